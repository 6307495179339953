# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads off Services how they are checked from outside."""

from __future__ import annotations

DOCUMENTATION = r"""
name: service_checks
short_description: Read off Services how they are checked
version_added: 1.0.0
author:
  - The Drystone authors (@drystone)
description:
  - A Service says by annotations how it is checked. C(drystone.dev/check-paths) has the paths that must answer with
    200, with spaces between them. C(drystone.dev/check-port) has the name or number of the port, and is needed only if
    the Service has several.
  - A Service without C(drystone.dev/check-paths) is not checked.
options:
  _input:
    description: The Services, as the API server has them.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Ask every Service of the environments
  drystone.platform.cluster_ready:
    kubeconfig: ~/.local/state/drystone/drystone-dev/kubeconfig
    conditions: "{{ services.objects | drystone.platform.service_checks | map(attribute='conditions') | flatten }}"

- name: Name the Services that have no check
  ansible.builtin.debug:
    msg: "{{ checks | rejectattr('conditions') | map(attribute='service') }}"
  vars:
    checks: "{{ services.objects | drystone.platform.service_checks }}"

- name: Count the Services of an environment
  ansible.builtin.debug:
    msg: "{{ services.objects | drystone.platform.service_checks | selectattr('namespace', 'eq', 'dev') | length }}"
"""

RETURN = r"""
_value:
  description:
    - For each Service its C(namespace), C(service), and C(conditions) for M(drystone.platform.cluster_ready), one for
      each path, asked through the API server. A Service without check has none.
  type: list
  elements: dict
"""

import re
import typing as t

from ansible.errors import AnsibleFilterError

PATHS, PORT = "drystone.dev/check-paths", "drystone.dev/check-port"
# Whoever writes the annotation must not choose what else of the API server is asked.
_PATH = re.compile(r"/[A-Za-z0-9._~/-]*(\?[A-Za-z0-9._~/=&-]*)?")


def _fail(service: str, problem: str) -> t.NoReturn:
    raise AnsibleFilterError(f"Service {service}: {problem}")


def _port(service: str, spec: dict[str, t.Any], asked: str | None) -> str:
    ports = spec.get("ports") or []
    known = {str(one[key]) for one in ports for key in ("name", "port") if key in one}
    if asked is None:
        if len(ports) != 1:
            _fail(service, f"it has {len(ports)} ports, so annotation {PORT} must say which of them is checked.")
        return str(ports[0]["port"])
    if asked not in known:
        _fail(service, f"annotation {PORT} is {asked!r}, and its ports are {', '.join(sorted(known)) or 'none'}.")
    return asked


def service_checks(services: list[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Read the annotations of each Service."""
    checks = []
    for one in sorted(services, key=lambda one: (one["metadata"]["namespace"], one["metadata"]["name"])):
        namespace, name = one["metadata"]["namespace"], one["metadata"]["name"]
        said = one["metadata"].get("annotations") or {}
        paths = said.get(PATHS, "").split()
        title = f"{namespace}/{name}"
        for path in paths:
            if not _PATH.fullmatch(path) or ".." in path.partition("?")[0].split("/"):
                _fail(title, f"annotation {PATHS} has {path!r}, which is not a plain path such as /healthz.")
        port = _port(title, one.get("spec") or {}, said.get(PORT)) if paths else ""
        base = f"/api/v1/namespaces/{namespace}/services/{name}:{port}/proxy"
        conditions = [{"http": {"url": f"{base}{path}"}} for path in paths]
        checks.append({"namespace": namespace, "service": name, "conditions": conditions})
    return checks


class FilterModule:
    """The filter, as Ansible looks for it."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Give the filter by its name."""
        return {"service_checks": service_checks}
