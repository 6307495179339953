# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: drill_record
short_description: Record what a drill does and how long it takes
version_added: 1.0.0
author:
  - The Drystone authors (!UNKNOWN)
description:
  - Adds an event with its time to the record of a drill, the file C(NAME.json) in O(directory).
  - The record exists before the fault and has the state C(running) until the fault is undone. If a drill is killed, the
    next one finds the record and undoes the fault.
extends_documentation_fragment:
  - drystone.platform._attributes
attributes:
  diff_mode:
    support: none
    details: Each call adds an event, so there is nothing to compare.
  idempotent:
    support: none
    details: Each call adds an event.
options:
  directory:
    description: Directory of the records. The module creates it.
    type: path
    required: true
  name:
    description: Name of the drill.
    type: str
    required: true
  event:
    description:
      - V(begin) replaces the record of an earlier run. It fails if that run did not end.
      - V(fault) and V(symptom) are the injection of the fault and the moment at which its effect was seen.
      - V(remedy) and V(recovery) are the start of the repair and the moment at which its effect was seen.
      - V(step) is anything else, and V(failure) is the reason why the drill failed.
      - V(end) says that nothing of the fault is left.
    type: str
    required: true
    choices: [begin, fault, symptom, remedy, recovery, step, failure, end]
  what:
    description: What was done or awaited.
    type: str
    default: ""
  seen:
    description: What was seen.
    type: str
    default: ""
  undo:
    description: For V(begin), what somebody must know to undo the fault. It must not contain secrets.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Record that a drill begins
  drystone.platform.drill_record:
    directory: ~/.local/state/drystone/drystone-dev/drills
    name: node_lost
    event: begin
    undo:
      node: drystone-dev-worker

- name: Record that the alert fires
  drystone.platform.drill_record:
    directory: ~/.local/state/drystone/drystone-dev/drills
    name: node_lost
    event: symptom
    what: Wait for the alert NodeNotReady
    seen: NodeNotReady fires
"""

RETURN = r"""
record:
  description: The record after the event.
  returned: success
  type: dict
  contains:
    name:
      description: Name of the drill.
      returned: always
      type: str
    start:
      description: When the drill began, in UTC.
      returned: always
      type: str
    end:
      description: When nothing of the fault was left, or none.
      returned: always
      type: str
    state:
      description: C(running) until nothing of the fault is left, then C(ended).
      returned: always
      type: str
    result:
      description: C(passed), C(failed) or C(interrupted); none while the drill runs.
      returned: always
      type: str
    symptom_seconds:
      description: Seconds from the fault to the last symptom, or none.
      returned: always
      type: float
    recovery_seconds:
      description: Seconds from the first remedy to the last recovery, or none.
      returned: always
      type: float
    undo:
      description: What somebody must know to undo the fault.
      returned: always
      type: dict
    steps:
      description:
        - The events after the first. Each has C(event), C(at), C(seconds) since the event before, C(what) and
          C(seen).
      returned: always
      type: list
      elements: dict
"""

from datetime import UTC, datetime

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.drystone.platform.plugins.module_utils._drills.record import (
    EVENTS,
    after,
    path_of,
    read,
    write,
)
from ansible_collections.drystone.platform.plugins.module_utils._module import failing, succeed


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "name": {"type": "str", "required": True},
            "event": {"type": "str", "required": True, "choices": list(EVENTS)},
            "what": {"type": "str", "default": ""},
            "seen": {"type": "str", "default": ""},
            "undo": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    params = module.params
    with failing(module):
        path = path_of(params["directory"], params["name"])
        said = {name: params[name] for name in ("what", "seen", "undo")}
        record = after(read(path), params["name"], params["event"], datetime.now(UTC), **said)
        if not module.check_mode:
            write(path, record)
    succeed(module, changed=True, record=record)


if __name__ == "__main__":
    main()
