#!/usr/bin/python
# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: engine_info
version_added: 1.0.0
short_description: Get information about the Docker engine and whether kind can use it
description:
  - Queries the engine that the C(docker) client of this user would use, including C(DOCKER_HOST) and contexts.
  - Returns whether Drystone installed the engine, which capabilities the host does not grant, and what the user must do
    if Drystone can neither use nor install an engine.
author: The Drystone authors (!UNKNOWN)
options:
  may_install:
    description: Whether Drystone may install or start an engine if none answers. This affects only RV(problem).
    type: bool
    default: true
  record:
    description: The file that records that this collection installed or configured the engine.
    type: path
    default: /var/lib/drystone/engine.json
  wait:
    description: Seconds to wait until the engine answers.
    type: int
    default: 0
  probe_privileged:
    description:
      - Whether to start a privileged container as a test if the host does not grant all capabilities.
      - The module imports an empty image, starts a container of it and removes both.
    type: bool
    default: false
extends_documentation_fragment:
  - drystone.platform._attributes
attributes:
  check_mode:
    support: full
    description: The module only reads. It also starts and removes the container of O(probe_privileged) in check mode.
  diff_mode:
    support: none
    description: The module changes nothing.
"""

EXAMPLES = r"""
- name: Read the engine
  drystone.platform.engine_info:
  register: engine

- name: Wait up to half a minute for a started engine
  drystone.platform.engine_info:
    wait: 30
  register: engine

- name: Fail if kind could not start nodes on the engine
  drystone.platform.engine_info:
    probe_privileged: true
  register: engine
  failed_when: engine.privileged_error != ""
"""

RETURN = r"""
engine:
  description: The engine's response.
  returned: always
  type: dict
  sample:
    state: running
    host: unix:///var/run/docker.sock
    reason: ""
    version: 20.10.24+dfsg1
    api_version: "1.41"
    data_root: /var/lib/docker
    storage_driver: overlay2
    cgroup_version: "1"
    default_runtime: drystone-runc
    rootless: false
    containers: 3
    runtimes: [drystone-runc, io.containerd.runc.v2, runc]
  contains:
    state:
      description: V(running), V(stopped), V(denied) if this user may not open the socket, V(absent) or V(broken).
      type: str
      returned: always
    host:
      description: Address of the engine.
      type: str
      returned: always
    reason:
      description: Why the engine does not answer.
      type: str
      returned: always
    version:
      description: Version of the engine.
      type: str
      returned: always
    api_version:
      description: Version of the engine's API.
      type: str
      returned: always
    data_root:
      description: Directory of images and containers.
      type: str
      returned: always
    storage_driver:
      description: Storage driver of the engine.
      type: str
      returned: always
    cgroup_version:
      description: The cgroup version that the engine uses.
      type: str
      returned: always
    default_runtime:
      description: The default OCI runtime.
      type: str
      returned: always
    rootless:
      description: Whether the engine runs without root.
      type: bool
      returned: always
    containers:
      description: Number of containers.
      type: int
      returned: always
    runtimes:
      description: The configured OCI runtimes.
      type: list
      elements: str
      returned: always
daemon:
  description: Path of C(dockerd), empty if it is not installed.
  returned: always
  type: str
  sample: /usr/sbin/dockerd
daemon_json:
  description: Content of C(/etc/docker/daemon.json); null if the file does not exist.
  returned: always
  type: dict
  sample: {}
data_root_exists:
  description: Whether C(/var/lib/docker) exists.
  returned: always
  type: bool
  sample: true
managed:
  description: Whether this collection may configure the engine; it is recorded, absent, or was never used.
  returned: always
  type: bool
  sample: true
recorded:
  description: Whether this collection installed or configured the engine, according to O(record).
  returned: always
  type: bool
  sample: true
missing_capabilities:
  description: The capabilities that C(--privileged) needs and that the host does not grant.
  returned: always
  type: list
  elements: str
  sample: [CAP_SYS_RESOURCE]
nofile_hard_limit:
  description: The hard limit on open files of a process on this host; -1 is unlimited.
  returned: always
  type: int
  sample: 20000
stale_pid_files:
  description: Pid files that a crashed engine left.
  returned: always
  type: list
  elements: str
  sample: [/run/docker.pid]
privileged_error:
  description: Why a privileged container cannot start; empty if it can, null if the module did not test it.
  returned: always
  type: str
  sample: ""
problem:
  description: Why Drystone can neither use nor start the engine, and what to do; empty if it can.
  returned: always
  type: str
  sample: ""
log:
  description: The last lines of the engine's log if the engine did not answer within O(wait).
  returned: always
  type: str
  sample: ""
"""

import dataclasses
import os
import resource

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.drystone.platform.plugins.module_utils._command import run
from ansible_collections.drystone.platform.plugins.module_utils._host.engine import (
    log_tail,
    probe_privileged,
    read_engine,
    stale_pid_files,
    wait_for_engine,
)
from ansible_collections.drystone.platform.plugins.module_utils._host.engine_installation import (
    engine_problem,
    is_managed,
    read_installation,
)
from ansible_collections.drystone.platform.plugins.module_utils._host.proc import Proc
from ansible_collections.drystone.platform.plugins.module_utils._module import succeed


def main() -> None:
    """Read the engine."""
    module = AnsibleModule(
        argument_spec={
            "may_install": {"type": "bool", "default": True},
            "record": {"type": "path", "default": "/var/lib/drystone/engine.json"},
            "wait": {"type": "int", "default": 0},
            "probe_privileged": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    proc = Proc()
    engine = wait_for_engine(lambda: read_engine(run, os.environ), module.params["wait"])
    installation = read_installation(module.params["record"])
    problem = engine_problem(engine, installation, module.params["may_install"])
    missing = proc.missing_capabilities()
    privileged_error = None
    if module.params["probe_privileged"] and engine.state == "running":
        privileged_error = probe_privileged(run) if missing else ""
    succeed(
        module,
        changed=False,
        engine=dataclasses.asdict(engine),
        daemon=installation.daemon,
        daemon_json=installation.daemon_json,
        data_root_exists=installation.data_root_exists,
        managed=is_managed(engine, installation),
        recorded=installation.recorded,
        missing_capabilities=missing,
        nofile_hard_limit=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        stale_pid_files=stale_pid_files(proc),
        privileged_error=privileged_error,
        problem=problem.line() if problem else "",
        log=log_tail(run) if module.params["wait"] and engine.state != "running" else "",
    )


if __name__ == "__main__":
    main()
