# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Determine the repository and the credential Secret of each workload with content from Git."""

from __future__ import annotations

DOCUMENTATION = r"""
name: git_sync_plan
short_description: Determine repository, Secret and authentication of each workload with content from Git
version_added: 1.0.0
author:
  - The Drystone authors (!UNKNOWN)
description:
  - Distinguishes workloads that read a repository of the in-cluster Git server, specified by name, from workloads
    that read a repository on another server, specified by URL, and adds derived values.
  - The result contains no secrets, so tasks may loop over it and show it.
options:
  _input:
    description: The workloads, in the format of C(git_sync_workloads) of the role C(git_sync).
    type: list
    elements: dict
    required: true
  server:
    description:
      - URL prefixes of the repositories on the Git server in the cluster. C(ssh) and C(https) are for Pods, C(ssh_here)
        and C(https_here) are for this host.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the repository of a workload
  ansible.builtin.debug:
    msg: "{{ (workloads | drystone.platform.git_sync_plan(server) | first).repository }}"
  vars:
    workloads:
      - name: site
        namespace: dev
        repository: site-content
    server:
      ssh: ssh://git@git-server.git.svc:2222/srv/git
      ssh_here: ssh://git@127.0.0.1:2222/srv/git
      https: https://git-server.git.svc:8443
      https_here: https://127.0.0.1:2443

- name: Show the Secrets of workloads that read from other servers
  ansible.builtin.debug:
    msg: "{{ workloads | drystone.platform.git_sync_plan(server) | rejectattr('own') | map(attribute='secret') }}"

- name: Refuse an invalid list
  ansible.builtin.assert:
    that: workloads | drystone.platform.git_sync_plan(server) | length > 0
"""

RETURN = r"""
_value:
  description:
    - For each workload its C(index) in the input, C(id), C(name), C(namespace), the name of its C(secret), whether the
      server is the cluster's C(own), C(auth), C(ref), the URLs C(repository) and C(check_repository), and C(port). For
      the cluster's own server also C(repository_name) and C(user).
  type: list
  elements: dict
"""

import re
import typing as t
from urllib.parse import urlsplit

from ansible.errors import AnsibleFilterError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PORTS = {"ssh": 22, "https": 443}


def _fail(workload: str, problem: str) -> t.NoReturn:
    raise AnsibleFilterError(f"git_sync_workloads, {workload}: {problem}")


def _scheme_and_port(workload: str, url: str) -> tuple[str, int]:
    """Return scheme and port of a URL or of ssh's form user@host:path."""
    if "://" not in url:
        return "ssh", _PORTS["ssh"]
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        _fail(workload, "the port in repository is not a number.")
    if parts.scheme not in _PORTS:
        _fail(workload, f"repository begins with {parts.scheme}://, but git-sync supports only ssh:// and https://.")
    return parts.scheme, port or _PORTS[parts.scheme]


def git_sync_plan(workloads: list[dict[str, t.Any]], server: dict[str, str]) -> list[dict[str, t.Any]]:
    """Add the derived values to each workload."""
    plan: list[dict[str, t.Any]] = []
    for index, given in enumerate(workloads):
        identity = f"{given['namespace']}/{given['name']}"
        if any(one["id"] == identity for one in plan):
            _fail(identity, "it is listed twice, but a workload has only one repository.")
        repository, asked = str(given["repository"]), given.get("auth")
        entry: dict[str, t.Any] = {
            "index": index,
            "id": identity,
            "name": given["name"],
            "namespace": given["namespace"],
            "secret": f"{given['name']}-git-credentials",
            "own": "/" not in repository and ":" not in repository,
            "ref": given.get("ref") or "main",
        }
        if entry["own"]:
            if not _NAME.fullmatch(repository):
                _fail(identity, f"repository {repository!r} is neither a URL nor the name of a repository.")
            auth = asked or "ssh"
            paths = {key: f"{server[key]}/{repository}.git" for key in (auth, f"{auth}_here")}
            entry |= {
                "repository": paths[auth],
                "check_repository": paths[f"{auth}_here"],
                "repository_name": repository,
                "user": f"{given['namespace']}.{given['name']}",
                "port": urlsplit(paths[auth]).port,
            }
        else:
            auth, port = _scheme_and_port(identity, repository)
            if asked and asked != auth:
                _fail(identity, f"auth is {asked}, but the scheme of {repository} is {auth}.")
            entry |= {"repository": repository, "check_repository": repository, "port": port}
        plan.append({**entry, "auth": auth})
    return plan


class FilterModule:
    """The filter under its name."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filter by its name."""
        return {"git_sync_plan": git_sync_plan}
