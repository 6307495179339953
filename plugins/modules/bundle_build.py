#!/usr/bin/python
# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: bundle_build
short_description: Build tools, images and manifests from package registries
version_added: 1.0.0
description:
  - Runs the build graph of the collection (C(bundle/Makefile)) and shows what it is doing, how far it is and,
    once it has built here before, about how long it will still take.
  - The graph is keyed by content, so a build that was interrupted goes on where it was and a finished one does nothing.
  - It is an action plugin and works on the control node, which for this collection is the host itself.
author:
  - The Drystone authors (@drystone)
extends_documentation_fragment:
  - drystone.platform._attributes
attributes:
  check_mode:
    support: full
    details: Names the steps that would be done and does none.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  directory:
    description: Directory of the build graph.
    type: path
    required: true
  cache:
    description: Directory that takes what is built, and what was learned about its duration.
    type: path
    required: true
  pins:
    description: Variables of the build graph, such as C(KUBERNETES_VERSION).
    type: dict
    required: true
  jobs:
    description: How many steps may be done at a time. Compilers take turns whatever it is.
    type: int
    default: 3
"""

EXAMPLES = r"""
- name: Build what the pins ask for
  drystone.platform.bundle_build:
    directory: "{{ drystone_project_dir }}/bundle"
    cache: "{{ drystone_cache_dir }}"
    pins:
      KUBERNETES_VERSION: "{{ drystone_kubernetes_version }}"

- name: Build one thing at a time, on a host that does other work
  drystone.platform.bundle_build:
    directory: "{{ drystone_project_dir }}/bundle"
    cache: "{{ drystone_cache_dir }}"
    jobs: 1
    pins:
      KUBERNETES_VERSION: "{{ drystone_kubernetes_version }}"

- name: Say what is left when the build fails, and stop
  block:
    - name: Build
      drystone.platform.bundle_build:
        directory: "{{ drystone_project_dir }}/bundle"
        cache: "{{ drystone_cache_dir }}"
        pins:
          KUBERNETES_VERSION: "{{ drystone_kubernetes_version }}"
  rescue:
    - name: Stop
      ansible.builtin.fail:
        msg: What was built is kept; run it again once the cause is gone.
"""

RETURN = r"""
steps:
  description: What was built, or in check mode would be, in order.
  returned: always
  type: list
  elements: str
  sample: [compile kubernetes, image node]
seconds:
  description: How long the build took.
  returned: when something was built
  type: float
  sample: 612.4
log:
  description: File with everything that the build printed.
  returned: when something was built
  type: str
  sample: /home/user/.cache/drystone/build/build.log
"""
