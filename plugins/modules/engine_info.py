#!/usr/bin/python
# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: engine_info
version_added: 1.0.0
short_description: Tell what Docker engine there is and whether kind can use it
description:
  - Asks the engine that the C(docker) client of this user would use, honouring C(DOCKER_HOST) and contexts.
  - Tells whose engine it is, which capabilities this host withholds, and what a user must do about an engine that
    can be neither used nor installed.
author: The Drystone authors (@drystone)
options:
  may_install:
    description: Whether an engine may be installed or started where none answers. It only changes RV(problem).
    type: bool
    default: true
  record:
    description: The file that says that the engine was installed or configured by this collection.
    type: path
    default: /var/lib/drystone/engine.json
  wait:
    description: For how many seconds to wait for the engine to answer.
    type: int
    default: 0
  probe_privileged:
    description:
      - Whether to try a privileged container where the host withholds capabilities.
      - An empty image is imported and a container of it is started; both are removed again.
    type: bool
    default: false
extends_documentation_fragment:
  - drystone.platform._attributes
attributes:
  check_mode:
    support: full
    description: It only reads. The container of O(probe_privileged) is tried in check mode too, and removed.
  diff_mode:
    support: none
    description: Nothing is changed.
"""

EXAMPLES = r"""
- name: Read the engine
  drystone.platform.engine_info:
  register: engine

- name: Give a started engine half a minute to answer
  drystone.platform.engine_info:
    wait: 30
  register: engine

- name: Refuse an engine on which kind could start no node
  drystone.platform.engine_info:
    probe_privileged: true
  register: engine
  failed_when: engine.privileged_error != ""
"""

RETURN = r"""
engine:
  description: The engine as it answered.
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
      description: V(running), V(stopped), V(denied) where the socket is closed to this user, V(absent) or V(broken).
      type: str
      returned: always
    host:
      description: Where it is.
      type: str
      returned: always
    reason:
      description: Why it does not answer.
      type: str
      returned: always
    version:
      description: Version of the engine.
      type: str
      returned: always
    api_version:
      description: Version of its API.
      type: str
      returned: always
    data_root:
      description: Where it keeps images and containers.
      type: str
      returned: always
    storage_driver:
      description: Its storage driver.
      type: str
      returned: always
    cgroup_version:
      description: The cgroup version it uses.
      type: str
      returned: always
    default_runtime:
      description: The OCI runtime it uses by default.
      type: str
      returned: always
    rootless:
      description: Whether it runs without root.
      type: bool
      returned: always
    containers:
      description: How many containers it has.
      type: int
      returned: always
    runtimes:
      description: The OCI runtimes it knows.
      type: list
      elements: str
      returned: always
daemon:
  description: Path of C(dockerd), empty where there is none.
  returned: always
  type: str
  sample: /usr/sbin/dockerd
daemon_json:
  description: What C(/etc/docker/daemon.json) holds; null where there is none.
  returned: always
  type: dict
  sample: {}
data_root_exists:
  description: Whether C(/var/lib/docker) is there.
  returned: always
  type: bool
  sample: true
managed:
  description: Whether this collection may configure the engine; it is on record, is not there, or has never been used.
  returned: always
  type: bool
  sample: true
recorded:
  description: Whether the engine is on record as installed or configured by this collection.
  returned: always
  type: bool
  sample: true
missing_capabilities:
  description: The capabilities that C(--privileged) asks for and that no service can have on this host.
  returned: always
  type: list
  elements: str
  sample: [CAP_SYS_RESOURCE]
nofile_hard_limit:
  description: The hard limit on open files of a process here; -1 is unlimited.
  returned: always
  type: int
  sample: 20000
stale_pid_files:
  description: Pid files that a crashed engine left behind.
  returned: always
  type: list
  elements: str
  sample: [/run/docker.pid]
privileged_error:
  description: Why a privileged container cannot start, empty if it can; null where that was not tried.
  returned: always
  type: str
  sample: ""
problem:
  description: Why the engine can be neither used nor brought up, and what to do; empty if it can.
  returned: always
  type: str
  sample: ""
log:
  description: The last lines of the engine's log, where it was waited for in vain.
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
    module.exit_json(
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
