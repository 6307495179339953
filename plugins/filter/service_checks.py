# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Convert annotations of Services to conditions that check them."""

from __future__ import annotations

DOCUMENTATION = r"""
name: service_checks
short_description: Convert annotations of Services to conditions that check them
version_added: 1.0.0
author:
  - The Drystone authors (!UNKNOWN)
description:
  - Annotations of a Service define how it is checked. C(drystone.dev/check-paths) lists the paths that must answer with
    200, separated by spaces. C(drystone.dev/check-port) is the name or number of the port. It is required if the
    Service has several ports.
  - A Service without C(drystone.dev/check-paths) is not checked.
options:
  _input:
    description: The Services, as the API server returns them.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Check all Services of the environments
  drystone.platform.cluster_ready:
    kubeconfig: ~/.local/state/drystone/drystone-dev/kubeconfig
    conditions: "{{ services.objects | drystone.platform.service_checks | map(attribute='conditions') | flatten }}"

- name: Show the Services without a check
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
    - For each Service its C(namespace), C(service), and C(conditions) for M(drystone.platform.cluster_ready). There is
      one condition for each path, which is requested through the API server. A Service without a check has none.
  type: list
  elements: dict
"""

import re
import typing as t

from ansible.errors import AnsibleFilterError

PATHS = "drystone.dev/check-paths"
PORT = "drystone.dev/check-port"
# Allow plain paths only: the author of an annotation must not be able to request other paths of the API server.
_PATH = re.compile(r"/[A-Za-z0-9._~/-]*(\?[A-Za-z0-9._~/=&-]*)?")


def _fail(service: str, problem: str) -> t.NoReturn:
    raise AnsibleFilterError(f"Service {service}: {problem}")


def _port(service: str, spec: dict[str, t.Any], asked: str | None) -> str:
    ports = spec.get("ports") or []
    known = {str(one[key]) for one in ports for key in ("name", "port") if key in one}
    if asked is None:
        if len(ports) != 1:
            _fail(service, f"it has {len(ports)} ports. Set the port to check in the annotation {PORT}.")
        return str(ports[0]["port"])
    if asked not in known:
        _fail(service, f"the annotation {PORT} is {asked!r}, but its ports are {', '.join(sorted(known)) or 'none'}.")
    return asked


def service_checks(services: list[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Return the checks of all Services."""
    checks = []
    for one in sorted(services, key=lambda one: (one["metadata"]["namespace"], one["metadata"]["name"])):
        namespace, name = one["metadata"]["namespace"], one["metadata"]["name"]
        said = one["metadata"].get("annotations") or {}
        paths = said.get(PATHS, "").split()
        title = f"{namespace}/{name}"
        for path in paths:
            if not _PATH.fullmatch(path) or ".." in path.partition("?")[0].split("/"):
                _fail(title, f"the annotation {PATHS} contains {path!r}, which is not a plain path such as /healthz.")
        port = _port(title, one.get("spec") or {}, said.get(PORT)) if paths else ""
        base = f"/api/v1/namespaces/{namespace}/services/{name}:{port}/proxy"
        conditions = [{"http": {"url": f"{base}{path}"}} for path in paths]
        checks.append({"namespace": namespace, "service": name, "conditions": conditions})
    return checks


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"service_checks": service_checks}
