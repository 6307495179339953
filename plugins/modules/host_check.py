#!/usr/bin/python
# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_check
version_added: 1.0.0
short_description: Check whether a host can run a kind cluster
description:
  - Checks cores, memory, disk space, kernel settings, control groups, ports and the Docker engine. Changes nothing.
  - Fails with a list of all problems. For each it reports the current value, the required value and the remedy.
  - Does not fail because of low kernel settings if the user may raise them. It returns them in RV(sysctls).
author: The Drystone authors (!UNKNOWN)
options:
  cluster:
    description: Name of the kind cluster. Ports that its own containers use are not a problem.
    type: str
    required: true
  own_containers:
    description: Names of other containers whose ports are not a problem.
    type: list
    elements: str
    default: []
  min_cores:
    description: Minimum number of cores.
    type: float
    default: 2
  min_memory_mib:
    description: Minimum memory in MiB.
    type: int
    default: 4096
  disks:
    description: Directories and the free space that each of them needs.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description:
          - The directory. If it does not exist yet, the module checks its nearest existing parent.
          - By default the engine's data root.
        type: path
      purpose:
        description: What the directory is for.
        type: str
        required: true
      min_free_mib:
        description: Free space in MiB that the first run needs.
        type: int
        required: true
      min_free_again_mib:
        description: Free space in MiB that is needed if O(disks[].marker) exists.
        type: int
        required: true
      marker:
        description: A path that exists after the first run has filled the directory.
        type: path
  sysctls:
    description: Kernel settings that must not be lower than a minimum.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the setting.
        type: str
        required: true
      minimum:
        description: The lowest sufficient value.
        type: int
        required: true
      value:
        description: The value to set if the current one is too low.
        type: int
        required: true
  raise_sysctls:
    description: Whether Drystone may raise kernel settings if the user is root or can become root without a password.
    type: bool
    default: true
  ports:
    description: Ports of 127.0.0.1 that must be free.
    type: list
    elements: dict
    default: []
    suboptions:
      port:
        description: The port.
        type: int
        required: true
      purpose:
        description: What the port is for.
        type: str
        required: true
      variable:
        description: The variable that sets the port, for the error message.
        type: str
        required: true
  install_engine:
    description: Whether Drystone may install or start a Docker engine if none answers.
    type: bool
    default: true
extends_documentation_fragment:
  - drystone.platform._attributes
attributes:
  check_mode:
    support: full
    description: The module only reads.
  diff_mode:
    support: none
    description: The module changes nothing.
"""

EXAMPLES = r"""
- name: Check cores, memory, control groups and the engine
  drystone.platform.host_check:
    cluster: dev
    min_memory_mib: 8192

- name: Check that ports are free
  drystone.platform.host_check:
    cluster: dev
    ports:
      - port: 8080
        purpose: HTTP
        variable: drystone_http_port

- name: Find kernel settings that are too low
  drystone.platform.host_check:
    cluster: dev
    sysctls:
      - name: fs.inotify.max_user_instances
        minimum: 512
        value: 1024
  register: host
"""

RETURN = r"""
failures:
  description: Problems that prevent a cluster on this host.
  returned: always
  type: list
  elements: dict
  sample:
    - what: Port 8080 on 127.0.0.1 (HTTP)
      seen: held by pid 4242, nginx
      needed: a free port
      advice: Stop it with kill 4242, or set another port in drystone_http_port
warnings_found:
  description: Problems that may disturb the cluster; the same keys as RV(failures).
  returned: always
  type: list
  elements: dict
  sample: []
notes:
  description: Unusual properties of the host that Drystone handles.
  returned: always
  type: list
  elements: str
  sample: ["The host uses cgroup v1. The cluster's kubelets are configured to accept it."]
sysctls:
  description: Kernel settings to raise, each with its current and its new value.
  returned: always
  type: list
  elements: dict
  sample:
    - name: fs.inotify.max_user_instances
      seen: 128
      value: 1024
"""

import dataclasses
import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.drystone.platform.plugins.module_utils._command import may_become_root, run
from ansible_collections.drystone.platform.plugins.module_utils._host import checks as host
from ansible_collections.drystone.platform.plugins.module_utils._host.engine import read_engine
from ansible_collections.drystone.platform.plugins.module_utils._host.engine_installation import (
    engine_problem,
    read_installation,
)
from ansible_collections.drystone.platform.plugins.module_utils._host.proc import Proc
from ansible_collections.drystone.platform.plugins.module_utils._module import succeed

DISK = {
    "path": {"type": "path"},
    "purpose": {"type": "str", "required": True},
    "min_free_mib": {"type": "int", "required": True},
    "min_free_again_mib": {"type": "int", "required": True},
    "marker": {"type": "path"},
}
SYSCTL = {
    "name": {"type": "str", "required": True},
    "minimum": {"type": "int", "required": True},
    "value": {"type": "int", "required": True},
}
PORT = {
    "port": {"type": "int", "required": True},
    "purpose": {"type": "str", "required": True},
    "variable": {"type": "str", "required": True},
}


def main() -> None:
    """Check the host."""
    module = AnsibleModule(
        argument_spec={
            "cluster": {"type": "str", "required": True},
            "own_containers": {"type": "list", "elements": "str", "default": []},
            "min_cores": {"type": "float", "default": 2},
            "min_memory_mib": {"type": "int", "default": 4096},
            "disks": {"type": "list", "elements": "dict", "options": DISK, "default": []},
            "sysctls": {"type": "list", "elements": "dict", "options": SYSCTL, "default": []},
            "raise_sysctls": {"type": "bool", "default": True},
            "ports": {"type": "list", "elements": "dict", "options": PORT, "default": []},
            "install_engine": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    wanted = module.params
    proc = Proc()
    report = host.Report()
    engine = read_engine(run, os.environ)
    problem = engine_problem(engine, read_installation(), wanted["install_engine"])
    running = host.containers(run) if engine.state == "running" else []

    def own(container: t.Mapping[str, t.Any]) -> bool:
        return host.is_own(container, wanted["cluster"], wanted["own_containers"])

    host.check_cores(report, proc, wanted["min_cores"])
    host.check_memory(report, proc, wanted["min_memory_mib"], any(own(container) for container in running))
    for disk in wanted["disks"]:
        host.check_disk(report, {**disk, "path": disk["path"] or engine.data_root}, os.statvfs)
    may_raise = wanted["raise_sysctls"] and may_become_root(run, os.geteuid())
    sysctls = host.check_sysctls(report, proc, wanted["sysctls"], may_raise)
    host.check_cgroups(report, proc)
    listeners = proc.listeners({entry["port"] for entry in wanted["ports"]})
    host.check_ports(report, wanted["ports"], listeners, running, own)
    host.check_engine(report, engine, problem, proc.missing_capabilities())

    for warning in report.warnings:
        module.warn(warning.line())
    facts: dict[str, t.Any] = {
        "failures": [dataclasses.asdict(finding) for finding in report.failures],
        "warnings_found": [dataclasses.asdict(finding) for finding in report.warnings],
        "notes": report.notes,
        "sysctls": sysctls,
    }
    if report.failures:
        lines = "\n".join(f"- {finding.line()}" for finding in report.failures)
        module.fail_json(
            msg=f"This host cannot run the cluster {wanted['cluster']} yet. Drystone created nothing.\n{lines}", **facts
        )
    succeed(module, changed=False, **facts)


if __name__ == "__main__":
    main()
