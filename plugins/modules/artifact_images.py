#!/usr/bin/python
# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: artifact_images
short_description: Provide pinned images in the engine and in the cluster's registry
version_added: 1.0.0
description:
  - Pulls images into the engine under a name of Drystone, copies others into a registry's storage directory, and builds
    images that have a local Dockerfile on their base image.
  - Runs a temporary registry on that directory to copy images. It needs Docker and skopeo.
  - Writes a record to the storage, which tells a later run the origin of each image.
author:
  - The Drystone authors (!UNKNOWN)
extends_documentation_fragment:
  - drystone.platform._attributes
attributes:
  check_mode:
    support: full
    details: Returns the images that a run would pull, copy or build. It does not use the network.
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
    description: Image of the temporary registry.
    type: str
    required: true
  bases:
    description: Registry of each publisher. The keys are the names in O(images[].publisher).
    type: dict
    required: true
  images:
    description: The images to provide.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the image in records and messages.
        type: str
        required: true
      publisher:
        description: Publisher of the image, a key of O(bases).
        type: str
        required: true
      path:
        description: Name and tag at the publisher.
        type: str
        required: true
      target:
        description: Local name and tag; for images in the registry without the registry's own name.
        type: str
        required: true
      engine:
        description: Whether to provide the image in the engine instead of the registry.
        type: bool
        default: false
      context:
        description: Directory with a Dockerfile to build the image. Its argument C(BASE) is the published image.
        type: str
        default: ""
      setting:
        description: The variable that sets the version, for messages.
        type: str
        default: ""
  lock:
    description: File with recorded digests. If it does not exist, the module trusts tags.
    type: path
  ca_bundle:
    description: Certificates that builds receive as C(ca.crt), for hosts behind a proxy that inspects TLS.
    type: path
"""

EXAMPLES = r"""
- name: Provide the node image in the engine
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

- name: Copy an image into the registry's storage, verified with a recorded digest
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

- name: Build an image, and show failed images
  block:
    - name: Build the greeter
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
    - name: Show the failed images
      ansible.builtin.fail:
        msg: "{{ images.failures | map(attribute='name') | join(', ') }}"
"""

RETURN = r"""
made:
  description: The images that were pulled, copied or built; in check mode those that a run would change.
  returned: success
  type: list
  elements: str
  sample: [node, argocd]
unlocked:
  description: Images that were not verified with a lock, because there is no lock.
  returned: success
  type: list
  elements: str
  sample: [node, argocd]
failures:
  description: The images that could not be provided.
  returned: failure
  type: list
  elements: dict
  contains:
    name:
      description: Name of the image.
      type: str
    url:
      description: Address of the image.
      type: str
    reason:
      description: V(missing), V(checksum), V(refused), V(unreachable) or V(failed).
      type: str
  sample:
    - name: argocd
      url: quay.io/argoproj/argocd:v3.2.0
      reason: missing
msg:
  description: The result, or the errors with their remedies.
  returned: always
  type: str
  sample: "made node, argocd; unlocked: node, argocd"
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.drystone.platform.plugins.module_utils._artifacts.images import Image, Images
from ansible_collections.drystone.platform.plugins.module_utils._artifacts.lock import base_of, read_lock, summary
from ansible_collections.drystone.platform.plugins.module_utils._artifacts.registry import registry_container
from ansible_collections.drystone.platform.plugins.module_utils._command import end_with_commands, run
from ansible_collections.drystone.platform.plugins.module_utils._module import failing, succeed


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
    end_with_commands()
    params = module.params
    storage = params["storage"]
    with failing(module):
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
    succeed(
        module,
        changed=bool(outcome.made),
        made=outcome.made,
        unlocked=outcome.unlocked,
        msg=summary("made", outcome.made, outcome.unlocked),
        diff={"before": outcome.before, "after": outcome.after},
    )


if __name__ == "__main__":
    main()
