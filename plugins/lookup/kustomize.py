# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build a kustomization that is given as data."""

from __future__ import annotations

DOCUMENTATION = r"""
name: kustomize
short_description: Build a kustomization that is given as data
version_added: 1.0.0
author:
  - The Drystone authors (!UNKNOWN)
description:
  - Runs C(kustomize build) on a kustomization given as a dictionary and returns the rendered documents as one string.
  - The plugin writes the kustomization to a private temporary directory only while it builds it. Therefore check mode
    renders exactly the same as a run, and no rendered file can become outdated.
  - Unlike P(kubernetes.core.kustomize#lookup) it needs no kustomization directory, and O(_terms) may contain bases as
    absolute paths.
options:
  _terms:
    description:
      - One or more kustomizations.
      - The plugin converts absolute directory paths in C(resources), C(components) and C(crds) to relative ones, as
        kustomize requires.
      - C(patches[].patch) may be a dictionary. The plugin converts it to YAML.
    type: list
    elements: dict
    required: true
  binary_path:
    description: The kustomize binary.
    type: path
    required: true
requirements:
  - kustomize
seealso:
  - plugin: kubernetes.core.kustomize
    plugin_type: lookup
    description: Builds a kustomization directory.
"""

EXAMPLES = r"""
- name: Apply a base with another image
  drystone.platform.apply_set:
    name: example
    namespace: example
    kubeconfig: ~/.kube/config
    manifests:
      - "{{ lookup('drystone.platform.kustomize', example_kustomization, binary_path='/usr/local/bin/kustomize') }}"
  vars:
    example_kustomization:
      namespace: example
      resources:
        - /opt/example/manifests/base
      images:
        - name: example
          newTag: 1.2.3

- name: Show the output of an overlay
  ansible.builtin.debug:
    msg: "{{ lookup('drystone.platform.kustomize', {'resources': ['/opt/example/base']}, binary_path='kustomize') }}"

- name: Patch with data instead of a string
  ansible.builtin.debug:
    msg: "{{ lookup('drystone.platform.kustomize', example_kustomization, binary_path='kustomize') | from_yaml_all }}"
  vars:
    example_kustomization:
      resources:
        - /opt/example/base
      patches:
        - target:
            kind: Deployment
          patch:
            apiVersion: apps/v1
            kind: Deployment
            metadata:
              name: any
            spec:
              replicas: 2
"""

RETURN = r"""
_raw:
  description: The rendered YAML documents, one string for each kustomization.
  type: list
  elements: str
"""

import os
import tempfile
import typing as t

import yaml
from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.drystone.platform.plugins.module_utils._command import require, run
from ansible_collections.drystone.platform.plugins.module_utils._errors import DrystoneError

_TIMEOUT = 60.0


def _relative(entry: t.Any, directory: str) -> t.Any:
    if isinstance(entry, str) and os.path.isabs(entry):
        return os.path.relpath(os.path.realpath(entry), os.path.realpath(directory))
    return entry


def _plain(value: t.Any) -> t.Any:
    """Replace Ansible's string types, which PyYAML's safe dumper does not support."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def prepare(kustomization: dict[str, t.Any], directory: str) -> dict[str, t.Any]:
    """Return the kustomization in the form that kustomize requires in the directory."""
    ready = t.cast("dict[str, t.Any]", _plain(kustomization))
    for field in ("resources", "components", "crds"):
        if field in ready:
            ready[field] = [_relative(entry, directory) for entry in ready[field]]
    for patch in ready.get("patches", []):
        if isinstance(patch.get("patch"), dict | list):
            patch["patch"] = yaml.safe_dump(patch["patch"], sort_keys=False)
    return {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", **ready}


def build(kustomization: dict[str, t.Any], binary: str) -> str:
    """Render one kustomization."""
    with tempfile.TemporaryDirectory(prefix="drystone-kustomize-") as directory:
        with open(os.path.join(directory, "kustomization.yaml"), "w", encoding="utf-8") as stream:
            yaml.safe_dump(prepare(kustomization, directory), stream, sort_keys=False)
        command = [binary, "build", directory]
        bases = ", ".join(map(str, kustomization.get("resources", []))) or "no resources"
        try:
            return require(
                run(command, _TIMEOUT),
                command,
                doing=f"Rendering the kustomization of {bases}",
                if_missing="The role artifacts provides it.",
                if_slow="Check whether it has a base on another host. Use bases on this host.",
            )
        except DrystoneError as error:
            raise AnsibleError(str(error)) from error


class LookupModule(LookupBase):
    """Lookup of rendered kustomizations."""

    def run(self, terms: list[t.Any], variables: dict[str, t.Any] | None = None, **kwargs: t.Any) -> list[str]:
        """Render each of the terms."""
        self.set_options(var_options=variables, direct=kwargs)
        for term in terms:
            if not isinstance(term, dict):
                raise AnsibleError(f"A kustomization must be a dictionary, but this one is a {type(term).__name__}.")
        return [build(term, str(self.get_option("binary_path"))) for term in terms]
