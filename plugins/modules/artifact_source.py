#!/usr/bin/python
# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: artifact_source
short_description: Decide where tools, images and manifests come from
version_added: 1.0.0
description:
  - Answers V(source), they are built here from package registries, or V(upstream), they are downloaded from their
    publishers, and says why.
  - V(auto) takes what is finished here for these pins, a build before a download; else upstream, if all of its
    endpoints answer in time; else a build.
  - It only reads.
author:
  - The Drystone authors (@drystone)
extends_documentation_fragment:
  - drystone.platform._attributes
attributes:
  check_mode:
    support: full
    details: It changes nothing anyway.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  requested:
    description: What the user asks for.
    type: str
    choices: [auto, upstream, source]
    default: auto
  directory:
    description: Directory of the build graph.
    type: path
    required: true
  cache:
    description: Directory that takes what is built or downloaded.
    type: path
    required: true
  pins:
    description: Variables of the build graph, such as C(KUBERNETES_VERSION).
    type: dict
    required: true
  downloaded:
    description: File that is there once everything was downloaded for these pins.
    type: path
  endpoints:
    description:
      - Addresses that must all answer for upstream to be used. Asking for a token (401) is an answer.
      - C({arch}) stands for the processor, as in RV(arch).
    type: list
    elements: str
    default: []
  timeout:
    description: How long all endpoints together may take, in seconds.
    type: float
    default: 3.0
"""

EXAMPLES = r"""
- name: Decide by what there is and what answers
  drystone.platform.artifact_source:
    directory: ./bundle
    cache: ~/.cache/drystone
    pins:
      KUBERNETES_VERSION: 1.34.0
    endpoints:
      - https://github.com/kubernetes-sigs/kind
      - https://quay.io/v2/
  register: decision

- name: Say which it is, and why
  ansible.builtin.debug:
    msg: "{{ decision.msg }}"

- name: Stop where nothing but a build would be left
  drystone.platform.artifact_source:
    directory: ./bundle
    cache: ~/.cache/drystone
    pins: {}
    endpoints:
      - https://github.com/kubernetes-sigs/kind
  register: decision
  failed_when: decision.source == 'source'
"""

RETURN = r"""
source:
  description: Where things come from, V(upstream) or V(source).
  returned: always
  type: str
  sample: source
msg:
  description: The source, and why it is that one.
  returned: always
  type: str
  sample: "source: everything is built here already for these pins"
complete:
  description: Whether everything is here already, so that nothing has to be built or downloaded.
  returned: always
  type: bool
  sample: true
arch:
  description: This processor, named as publishers name their files; V(amd64) or V(arm64).
  returned: always
  type: str
  sample: amd64
endpoints:
  description: What came of asking each endpoint. Empty where none was asked.
  returned: always
  type: list
  elements: dict
  contains:
    url:
      description: The endpoint.
      type: str
    error:
      description: Why it cannot be used; empty if it can.
      type: str
  sample:
    - url: https://quay.io/v2/
      error: ""
"""

import dataclasses
import os
import platform

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.drystone.platform.plugins.module_utils._artifacts.source import (
    architecture,
    decide,
    is_built,
    probe,
)
from ansible_collections.drystone.platform.plugins.module_utils._command import run
from ansible_collections.drystone.platform.plugins.module_utils._errors import DrystoneError


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "requested": {"type": "str", "choices": ["auto", "upstream", "source"], "default": "auto"},
            "directory": {"type": "path", "required": True},
            "cache": {"type": "path", "required": True},
            "pins": {"type": "dict", "required": True},
            "downloaded": {"type": "path"},
            "endpoints": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "float", "default": 3.0},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        arch = architecture(platform.machine())
    except DrystoneError as error:
        module.fail_json(msg=error.msg, **error.facts)
    decision = decide(
        params["requested"],
        built=lambda: is_built(run, params["directory"], params["cache"], params["pins"]),
        downloaded=lambda: bool(params["downloaded"]) and os.path.isfile(params["downloaded"]),
        answers=lambda: probe([url.replace("{arch}", arch) for url in params["endpoints"]], params["timeout"]),
        within=params["timeout"],
    )
    module.exit_json(
        changed=False,
        source=decision.source,
        msg=decision.msg,
        complete=decision.complete,
        arch=arch,
        endpoints=[dataclasses.asdict(answer) for answer in decision.answers],
    )


if __name__ == "__main__":
    main()
