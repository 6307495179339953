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
  - Returns V(source) if they are built from package registries, or V(upstream) if they are downloaded from their
    publishers, with the reason.
  - V(auto) uses a complete local result for these pins, and prefers a build to a download. Otherwise it uses upstream
    if all of its endpoints answer in time, and otherwise a build.
  - The module only reads.
author:
  - The Drystone authors (!UNKNOWN)
extends_documentation_fragment:
  - drystone.platform._attributes
attributes:
  check_mode:
    support: full
    details: The module never changes anything.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  requested:
    description: The source that the user requested.
    type: str
    choices: [auto, upstream, source]
    default: auto
  directory:
    description: Directory of the build graph.
    type: path
    required: true
  cache:
    description: Directory for builds and downloads.
    type: path
    required: true
  pins:
    description: Variables of the build graph, such as C(KUBERNETES_VERSION).
    type: dict
    required: true
  downloaded:
    description: File that exists when all downloads for these pins are complete.
    type: path
  endpoints:
    description:
      - URLs that must all answer before the module chooses upstream. Status 401 (a request for a token) counts as an
        answer.
      - The module replaces C({arch}) with the value of RV(arch).
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds to wait for all endpoints together.
    type: float
    default: 3.0
"""

EXAMPLES = r"""
- name: Choose the source from the cache and the reachable endpoints
  drystone.platform.artifact_source:
    directory: ./bundle
    cache: ~/.cache/drystone
    pins:
      KUBERNETES_VERSION: 1.34.0
    endpoints:
      - https://github.com/kubernetes-sigs/kind
      - https://quay.io/v2/
  register: decision

- name: Show the decision and its reason
  ansible.builtin.debug:
    msg: "{{ decision.msg }}"

- name: Fail if only a build is possible
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
  description: The source, V(upstream) or V(source).
  returned: always
  type: str
  sample: source
msg:
  description: The source and the reason for it.
  returned: always
  type: str
  sample: "source: all artefacts of these pins are already built on this host"
complete:
  description: Whether the cache is complete, so that nothing has to be built or downloaded.
  returned: always
  type: bool
  sample: true
arch:
  description: The processor architecture as publishers name it; V(amd64) or V(arm64).
  returned: always
  type: str
  sample: amd64
endpoints:
  description: The result of each endpoint. Empty if the module queried none.
  returned: always
  type: list
  elements: dict
  contains:
    url:
      description: The endpoint.
      type: str
    error:
      description: Why the endpoint is unusable; empty if it is usable.
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
from ansible_collections.drystone.platform.plugins.module_utils._module import failing, succeed


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
    with failing(module):
        arch = architecture(platform.machine())
    decision = decide(
        params["requested"],
        built=lambda: is_built(run, params["directory"], params["cache"], params["pins"]),
        downloaded=lambda: bool(params["downloaded"]) and os.path.isfile(params["downloaded"]),
        answers=lambda: probe([url.replace("{arch}", arch) for url in params["endpoints"]], params["timeout"]),
        within=params["timeout"],
    )
    succeed(
        module,
        changed=False,
        source=decision.source,
        msg=decision.msg,
        complete=decision.complete,
        arch=arch,
        endpoints=[dataclasses.asdict(answer) for answer in decision.answers],
    )


if __name__ == "__main__":
    main()
