# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Choose the workloads whose environments do not follow the branch."""

from __future__ import annotations

DOCUMENTATION = r"""
name: releases_to_pin
short_description: Choose the workloads whose environments do not follow the branch
version_added: 1.0.0
author:
  - The Drystone authors (!UNKNOWN)
description:
  - Returns a release for M(drystone.platform.git_release) for each folder of an environment that does not follow the
    branch.
options:
  _input:
    description: The folders, each C(ENVIRONMENT/WORKLOAD), as M(drystone.platform.git_folders_info) returns them.
    type: list
    elements: str
    required: true
  following:
    description: The environments that follow the branch.
    type: list
    elements: str
    required: true
  revision:
    description: The commit of the releases.
    type: str
    required: true
seealso:
  - module: drystone.platform.git_release
"""

EXAMPLES = r"""
- name: Keep staging and production at their commits
  drystone.platform.git_release:
    repository: /srv/git/platform.git
    only_missing: true
    commit_message: Release the first commit
    releases: "{{ found.folders | drystone.platform.releases_to_pin(['dev'], found.revision) }}"

- name: Show what changes only by promotion
  ansible.builtin.debug:
    msg: "{{ ['dev/greeter', 'staging/greeter'] | drystone.platform.releases_to_pin(['dev'], found.revision) }}"
"""

RETURN = r"""
_value:
  description: A release with C(environment), C(workload) and C(revision) for each of these folders.
  type: list
  elements: dict
"""

import typing as t


def releases_to_pin(folders: list[str], following: list[str], revision: str) -> list[dict[str, str]]:
    """Return the releases."""
    pairs = [folder.split("/", 1) for folder in folders]
    return [
        {"environment": environment, "workload": workload, "revision": revision}
        for environment, workload in pairs
        if environment not in following
    ]


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"releases_to_pin": releases_to_pin}
