# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release_diff
short_description: Show what the release of another commit would change
version_added: 1.0.0
author:
  - The Drystone authors (!UNKNOWN)
description:
  - Renders a workload of an environment from its current commit and from another one, like Argo CD does, and returns
    the differences. Each difference has one or more classes of impact.
  - V(image), another image; V(configuration), settings, and everything that has no other class; V(size), replicas,
    scaling, and resources; V(network), Services, Ingresses, policies, and ports; V(rights), identities, roles, and
    security contexts; V(storage), volumes that keep data; V(removal), an object disappears, or somebody must delete it
    because Kubernetes cannot change the field.
extends_documentation_fragment:
  - drystone.platform._attributes
  - drystone.platform._git_remote
attributes:
  check_mode:
    details: Nothing is ever changed.
  diff_mode:
    details: The diff shows the rendered objects before and after. Nothing is changed.
options:
  environment:
    description: The environment.
    type: str
    required: true
  workload:
    description: The workload.
    type: str
    required: true
  revision:
    description:
      - The commit, a full hash or at least seven characters of it. It must be in the history of O(branch).
      - Without O(revision) and O(version), the head of the branch.
    type: str
  version:
    description:
      - The tag of an image. The module chooses the newest of the last 100 commits of C(deploy/) in which the workload
        has an image with this tag.
    type: str
  same_images_as:
    description:
      - An environment. The module fails if it has another tag of an image at the chosen commit, because then the
        release would not bring the version of this environment.
    type: str
  kustomize_binary:
    description: The kustomize binary.
    type: path
    required: true
  helm_binary:
    description: The helm binary.
    type: path
    required: true
  kube_version:
    description: Version of Kubernetes for which charts are rendered.
    type: str
    required: true
requirements:
  - git
  - helm
  - kustomize
seealso:
  - module: drystone.platform.git_release
"""

EXAMPLES = r"""
- name: Show what a promotion to staging would change
  drystone.platform.release_diff:
    repository: /srv/git/platform.git
    environment: staging
    workload: greeter
    revision: 5b3d2b0ce1b2
    kustomize_binary: ~/.cache/drystone/bin/kustomize
    helm_binary: ~/.cache/drystone/bin/helm
    kube_version: "1.36"

- name: Show what the version 2.4.0 would change in production
  drystone.platform.release_diff:
    repository: /srv/git/platform.git
    environment: production
    workload: hello
    version: 2.4.0
    kustomize_binary: ~/.cache/drystone/bin/kustomize
    helm_binary: ~/.cache/drystone/bin/helm
    kube_version: "1.36"
"""

RETURN = r"""
revision:
  description: The full hash of the chosen commit.
  returned: success
  type: str
  sample: 5b3d2b0ce1b2f1d6c5a4f0b0f3a1e2d3c4b5a697
current:
  description: The current release, a full hash. An empty string if the workload follows the branch.
  returned: success
  type: str
  sample: 0c1f0f5dd3f5bb2d5a0c4bd1a0c1b1a0f2e3d4c5
changes:
  description: The changed objects.
  returned: success
  type: list
  elements: dict
  sample:
    - action: changed
      kind: Deployment
      name: greeter
      impacts: [image, size]
impacts:
  description: All classes of impact, from the least to the most dangerous one.
  returned: success
  type: list
  elements: str
  sample: [image, size]
images:
  description: The images of the workload at the chosen commit.
  returned: success
  type: list
  elements: str
  sample: ["drystone.local/greeter:2.4.0"]
diff_text:
  description: The changes as a unified diff.
  returned: success
  type: str
"""

import tempfile

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.drystone.platform.plugins.module_utils._argspec import git_argspec
from ansible_collections.drystone.platform.plugins.module_utils._git.remote import Git, remote_of
from ansible_collections.drystone.platform.plugins.module_utils._module import failing, succeed
from ansible_collections.drystone.platform.plugins.module_utils._release.pins import Target
from ansible_collections.drystone.platform.plugins.module_utils._release.plan import plan
from ansible_collections.drystone.platform.plugins.module_utils._release.render import Renderer


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **git_argspec(),
            "environment": {"type": "str", "required": True},
            "workload": {"type": "str", "required": True},
            "revision": {"type": "str"},
            "version": {"type": "str"},
            "same_images_as": {"type": "str"},
            "kustomize_binary": {"type": "path", "required": True},
            "helm_binary": {"type": "path", "required": True},
            "kube_version": {"type": "str", "required": True},
        },
        mutually_exclusive=[("revision", "version")],
        supports_check_mode=True,
    )
    params = module.params
    remote = remote_of(params)
    with failing(module), tempfile.TemporaryDirectory(prefix="drystone-release-") as directory:
        git = Git(remote, directory)
        renderer = Renderer(
            git,
            directory,
            kustomize=params["kustomize_binary"],
            helm=params["helm_binary"],
            kube_version=params["kube_version"],
        )
        target = Target(params["environment"], params["workload"])
        found = plan(
            git,
            renderer,
            target,
            revision=params["revision"],
            version=params["version"],
            same_images_as=params["same_images_as"],
        )
    succeed(module, changed=False, **found.facts(), diff=[change.diff for change in found.changes])


if __name__ == "__main__":
    main()
