#!/usr/bin/python
# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: artifact_images
short_description: Have pinned images in the engine and in the registry that serves the nodes
version_added: 1.0.0
description:
  - Pulls images into the engine under a name of ours, copies others into a registry's storage directory, and builds
    those that have a Dockerfile here on their base image.
  - For copying, a registry runs on that directory for a moment. It needs Docker and skopeo.
  - A record in the storage tells a later run what each image was made from.
author:
  - The Drystone authors (@drystone)
extends_documentation_fragment:
  - drystone.platform._attributes
attributes:
  check_mode:
    support: full
    details: Tells what would be made without asking the network.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  storage:
    description: Storage directory of the registry.
    type: path
    required: true
  registry_image:
    description: Image of the registry that copies into the storage.
    type: str
    required: true
  bases:
    description: Registry of each publisher, by the names that O(images[].publisher) uses.
    type: dict
    required: true
  images:
    description: The images to have.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What it is called in records and messages.
        type: str
        required: true
      publisher:
        description: Who publishes it, a name in O(bases).
        type: str
        required: true
      path:
        description: Its name and tag at the publisher.
        type: str
        required: true
      target:
        description: Its name and tag here, in the registry without the registry's own name.
        type: str
        required: true
      engine:
        description: Whether it is wanted in the engine, not in the registry.
        type: bool
        default: false
      context:
        description: Directory with a Dockerfile that makes the image, its argument C(BASE) being what is published.
        type: str
        default: ""
      setting:
        description: The setting that its version comes from, for messages.
        type: str
        default: ""
  lock:
    description: File with the recorded digests. Where it does not exist, tags are trusted.
    type: path
  ca_bundle:
    description: Certificates that builds get as C(ca.crt), for hosts behind a proxy that ends TLS.
    type: path
"""

EXAMPLES = r"""
- name: Have the node image in the engine
  drystone.platform.artifact_images:
    storage: ~/.cache/drystone/registry
    registry_image: drystone.local/registry:v3.0.0
    bases:
      docker: docker.io
    images:
      - name: node
        publisher: docker
        path: kindest/node:v1.34.0
        target: drystone.local/node:v1.34.0
        engine: true

- name: Copy an image into the registry's storage, by a recorded digest
  drystone.platform.artifact_images:
    storage: ~/.cache/drystone/registry
    registry_image: drystone.local/registry:v3.0.0
    bases:
      quay: quay.io
    lock: ./artifacts.lock.yml
    images:
      - name: argocd
        publisher: quay
        path: argoproj/argocd:v3.2.0
        target: argocd:v3.2.0

- name: Build one, and say which image is in the way if that fails
  block:
    - name: Have the greeter
      drystone.platform.artifact_images:
        storage: ~/.cache/drystone/registry
        registry_image: drystone.local/registry:v3.0.0
        bases:
          docker: docker.io
        images:
          - name: greeter
            publisher: docker
            path: library/python:3.12-slim
            context: ./app/greeter
            target: greeter:1.0.0
      register: images
  rescue:
    - name: Say which
      ansible.builtin.fail:
        msg: "{{ images.failures | map(attribute='name') | join(', ') }}"
"""

RETURN = r"""
made:
  description: What was pulled, copied or built, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: [node, argocd]
unlocked:
  description: What nobody but its publisher vouches for, because there is no lock.
  returned: success
  type: list
  elements: str
  sample: [node, argocd]
failures:
  description: What could not be had.
  returned: failure
  type: list
  elements: dict
  contains:
    name:
      description: What it is called.
      type: str
    url:
      description: Where it was looked for.
      type: str
    reason:
      description: V(missing), V(checksum), V(refused), V(unreachable) or V(failed).
      type: str
  sample:
    - name: argocd
      url: quay.io/argoproj/argocd:v3.2.0
      reason: missing
msg:
  description: What was done, or what failed and what to do about it.
  returned: always
  type: str
  sample: "made node, argocd; unlocked: node, argocd"
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.drystone.platform.plugins.module_utils._artifacts.images import Image, Images
from ansible_collections.drystone.platform.plugins.module_utils._artifacts.lock import base_of, read_lock, summary
from ansible_collections.drystone.platform.plugins.module_utils._artifacts.registry import registry_container
from ansible_collections.drystone.platform.plugins.module_utils._command import run
from ansible_collections.drystone.platform.plugins.module_utils._errors import DrystoneError


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "storage": {"type": "path", "required": True},
            "registry_image": {"type": "str", "required": True},
            "bases": {"type": "dict", "required": True},
            "images": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "publisher": {"type": "str", "required": True},
                    "path": {"type": "str", "required": True},
                    "target": {"type": "str", "required": True},
                    "engine": {"type": "bool", "default": False},
                    "context": {"type": "str", "default": ""},
                    "setting": {"type": "str", "default": ""},
                },
            },
            "lock": {"type": "path"},
            "ca_bundle": {"type": "path"},
        },
        supports_check_mode=True,
    )
    params = module.params
    storage = params["storage"]
    try:
        wanted = [
            Image(
                **{name: value for name, value in image.items() if name != "publisher"},
                base=base_of(image["publisher"], params["bases"]),
            )
            for image in params["images"]
        ]
        images = Images(
            run,
            storage,
            lambda: registry_container(run, params["registry_image"], storage),
            read_lock(params["lock"]),
            params["ca_bundle"] or "",
        )
        outcome = images.ensure(wanted, check=module.check_mode)
    except DrystoneError as error:
        module.fail_json(msg=error.msg, **error.facts)
    module.exit_json(
        changed=bool(outcome.made),
        made=outcome.made,
        unlocked=outcome.unlocked,
        msg=summary("made", outcome.made, outcome.unlocked),
        diff={"before": outcome.before, "after": outcome.after},
    )


if __name__ == "__main__":
    main()
