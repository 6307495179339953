# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Render an unpacked Helm chart and refuse values that the chart would ignore."""

from __future__ import annotations

DOCUMENTATION = r"""
name: helm_template
short_description: Render a Helm chart and refuse values that it would ignore
version_added: 1.0.0
author:
  - The Drystone authors (!UNKNOWN)
description:
  - Runs C(helm template) on an unpacked chart and returns the rendered documents as one string.
  - Helm ignores a value whose key the chart does not have. This plugin fails instead and suggests the nearest key. It
    reads the valid keys from C(values.yaml) of the chart and its subcharts.
  - Any key is allowed if the default is empty or null, below C(config), C(data), C(env) and C(nodeSelector), and below
    keys that end in C(labels), C(annotations), C(affinity), C(resources), C(securityContext) or C(strategy).
  - The plugin does not read the user's Helm data (repositories, plugins, cache). It keeps values and caches in a
    private temporary directory, so check mode renders exactly the same as a run. It omits hooks.
  - Unlike M(kubernetes.core.helm_template) it can set the version of Kubernetes to render for.
options:
  _terms:
    description: Directories of charts.
    type: list
    elements: path
    required: true
  binary_path:
    description: The helm binary.
    type: path
    required: true
  release:
    description: Name of the release, which charts use in the names of objects.
    type: str
    required: true
  namespace:
    description: Namespace of the release.
    type: str
    required: true
  values:
    description: Values to set.
    type: dict
    default: {}
  kube_version:
    description: Version of Kubernetes to render for. A helm that was not built by its publisher has no useful default.
    type: str
    required: true
  api_versions:
    description: API versions that the chart may assume to be served, such as V(monitoring.coreos.com/v1).
    type: list
    elements: str
    default: []
requirements:
  - helm
seealso:
  - module: kubernetes.core.helm_template
  - plugin: drystone.platform.kustomize
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Apply the rendered objects of a chart
  drystone.platform.apply_set:
    name: example
    namespace: example
    kubeconfig: ~/.kube/config
    manifests:
      - "{{ lookup('drystone.platform.helm_template', '/opt/charts/example', binary_path='/usr/local/bin/helm',
            release='example', namespace='example', values=example_values, kube_version='1.36') }}"
  vars:
    example_values:
      replicaCount: 2

- name: Show the default output of a chart
  ansible.builtin.debug:
    msg: "{{ lookup('drystone.platform.helm_template', '/opt/charts/example', binary_path='helm', release='example',
             namespace='default', kube_version='1.36') }}"

- name: Find a misspelled key before anything is applied
  block:
    - name: Render
      ansible.builtin.debug:
        msg: "{{ lookup('drystone.platform.helm_template', '/opt/charts/example', binary_path='helm', release='example',
                 namespace='default', values={'replicas': 2}, kube_version='1.36') }}"
  rescue:
    - name: Show the error, which suggests the valid key
      ansible.builtin.debug:
        msg: "{{ ansible_failed_result.msg }}"
"""

RETURN = r"""
_raw:
  description: The rendered YAML documents, one string for each chart.
  type: list
  elements: str
"""

import json
import os
import tempfile
import typing as t

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.drystone.platform.plugins.module_utils._command import require, run
from ansible_collections.drystone.platform.plugins.module_utils._errors import DrystoneError
from ansible_collections.drystone.platform.plugins.plugin_utils._chart_values import chart_defaults, unknown_keys

_TIMEOUT = 60.0


def check(chart: str, values: dict[str, t.Any]) -> None:
    """Raise an error if the chart would ignore a value."""
    try:
        problems = unknown_keys(values, chart_defaults(chart))
    except DrystoneError as error:
        raise AnsibleError(str(error)) from error
    if problems:
        raise AnsibleError(f"Helm would ignore these values of the chart {chart}: {'; '.join(problems)}.")


def command(chart: str, options: dict[str, t.Any], values_file: str) -> list[str]:
    """Return the helm command line."""
    call = [str(options["binary_path"]), "template", options["release"], chart]
    call += [f"--namespace={options['namespace']}", f"--kube-version={options['kube_version']}"]
    call += [f"--api-versions={version}" for version in options["api_versions"]]
    return [*call, "--no-hooks", "--skip-tests", f"--values={values_file}"]


def render(chart: str, options: dict[str, t.Any]) -> str:
    """Render one chart."""
    check(chart, options["values"])
    with tempfile.TemporaryDirectory(prefix="drystone-helm-") as directory:
        values_file = os.path.join(directory, "values.json")
        with open(values_file, "w", encoding="utf-8") as stream:
            json.dump(options["values"], stream, default=str)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("HELM_", "KUBE"))}
        own = {f"HELM_{what}_HOME": os.path.join(directory, what) for what in ("CACHE", "CONFIG", "DATA")}
        call = command(chart, options, values_file)
        try:
            return require(
                run(call, _TIMEOUT, env={**kept, **own}),
                call,
                doing=f"Rendering the chart {chart}",
                if_missing="The role artifacts provides it.",
            )
        except DrystoneError as error:
            raise AnsibleError(str(error)) from error


class LookupModule(LookupBase):
    """Lookup of rendered charts."""

    def run(self, terms: list[t.Any], variables: dict[str, t.Any] | None = None, **kwargs: t.Any) -> list[str]:
        """Render each of the charts."""
        self.set_options(var_options=variables, direct=kwargs)
        options = self.get_options()
        return [render(str(term), options) for term in terms]
