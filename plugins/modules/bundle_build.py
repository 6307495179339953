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
  - Runs the build graph of the collection (C(bundle/Makefile)). It shows the current step and the progress. If it has
    built on this host before, it also shows the estimated remaining time.
  - The graph uses content hashes. Therefore an interrupted build continues where it stopped, and a complete one does
    nothing.
  - This is an action plugin. It works on the control node, which for this collection is also the managed host.
author:
  - The Drystone authors (!UNKNOWN)
extends_documentation_fragment:
  - drystone.platform._attributes
attributes:
  check_mode:
    support: full
    details: Returns the steps that a run would take.
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
    description: Directory for the results and for the measured durations of steps.
    type: path
    required: true
  pins:
    description: Variables of the build graph, such as C(KUBERNETES_VERSION).
    type: dict
    required: true
  jobs:
    description: Number of parallel steps. Only one compiler runs at a time, regardless of this number.
    type: int
    default: 3
  timeout:
    description: Seconds after which the module stops the build. The completed steps are kept.
    type: int
    default: 7200
"""

EXAMPLES = r"""
- name: Build the pinned versions
  drystone.platform.bundle_build:
    directory: "{{ drystone_project_dir }}/bundle"
    cache: "{{ drystone_cache_dir }}"
    pins:
      KUBERNETES_VERSION: "{{ drystone_kubernetes_version }}"

- name: Run one step at a time on a busy host
  drystone.platform.bundle_build:
    directory: "{{ drystone_project_dir }}/bundle"
    cache: "{{ drystone_cache_dir }}"
    jobs: 1
    pins:
      KUBERNETES_VERSION: "{{ drystone_kubernetes_version }}"

- name: Explain how to continue after a failed build
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
        msg: The completed steps are kept. Fix the cause and run the playbook again.
"""

RETURN = r"""
steps:
  description: The completed steps in order, in check mode those that a run would take.
  returned: always
  type: list
  elements: str
  sample: [compile kubernetes, image node]
seconds:
  description: Duration of the build.
  returned: when something was built
  type: float
  sample: 612.4
log:
  description: File with the complete output of the build.
  returned: when something was built
  type: str
  sample: /home/user/.cache/drystone/build/build.log
"""
