# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Convert folders and releases to conditions for their Applications."""

from __future__ import annotations

DOCUMENTATION = r"""
name: release_conditions
short_description: Convert folders and releases to conditions for their Applications
version_added: 1.0.0
author:
  - The Drystone authors (!UNKNOWN)
description:
  - Each folder C(ENVIRONMENT/WORKLOAD) has an Argo CD Application C(WORKLOAD-ENVIRONMENT). With a release it deploys
    the commit of the release, otherwise the head of the branch.
  - Returns one condition for each deployed commit, with the Applications that must run it.
options:
  _input:
    description: The folders, as M(drystone.platform.git_folders_info) returns them.
    type: list
    elements: str
    required: true
  releases:
    description: The releases, as M(drystone.platform.git_release_info) returns them.
    type: dict
    required: true
  head:
    description: The head of the branch.
    type: str
    required: true
  namespace:
    description: The namespace of the Applications.
    type: str
    required: true
seealso:
  - module: drystone.platform.cluster_ready
"""

EXAMPLES = r"""
- name: Wait until every workload runs its commit
  drystone.platform.cluster_ready:
    kubeconfig: ~/.local/state/drystone/drystone-dev/kubeconfig
    conditions: "{{ git.folders | drystone.platform.release_conditions(found.releases, found.head, 'argocd') }}"

- name: Show the commit of each Application
  ansible.builtin.debug:
    msg: "{{ git.folders | drystone.platform.release_conditions(found.releases, found.head, 'argocd') }}"
"""

RETURN = r"""
_value:
  description: The conditions for M(drystone.platform.cluster_ready). None without folders.
  type: list
  elements: dict
"""

import typing as t


def release_conditions(
    folders: list[str], releases: dict[str, str], head: str, namespace: str
) -> list[dict[str, t.Any]]:
    """Return the conditions, the head of the branch first."""
    names: dict[str, list[str]] = {}
    for folder in folders:
        environment, workload = folder.split("/", 1)
        names.setdefault(releases.get(folder, head), []).append(f"{workload}-{environment}")
    return [
        {"applications": {"namespace": namespace, "names": names[revision], "revision": revision}}
        for revision in sorted(names, key=lambda one: (one != head, one))
    ]


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"release_conditions": release_conditions}
