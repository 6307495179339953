#!/usr/bin/python
# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: artifact_fetch
short_description: Have pinned files from their publishers, checked before they are put in place
version_added: 1.0.0
description:
  - Downloads files side by side, checks each against its O(files[].tree_sum), the lock or the publisher's own list of
    checksums, and only then puts it in its place in one step. What fails the check is thrown away and what was there
    stays. A file that has none of the three is taken as its publisher's server gives it, and is RV(unlocked).
  - A record beside each file tells a later run what it was made from. A file that was altered since is fetched again.
  - Proxies are taken from the environment.
author:
  - The Drystone authors (@drystone)
extends_documentation_fragment:
  - drystone.platform._attributes
attributes:
  check_mode:
    support: full
    details: Tells what would be downloaded without asking the network.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  directory:
    description: Directory that O(files[].dest) is in.
    type: path
    required: true
  bases:
    description: Base address of each publisher, by the names that O(files[].publisher) uses.
    type: dict
    required: true
  files:
    description: The files to have.
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
        description: Its path below the publisher's base, with the version in it.
        type: str
        required: true
      dest:
        description: Its place below O(directory). A file becomes executable.
        type: str
        required: true
      checksums:
        description: Path of the publisher's list of SHA-256, used where there is no lock. Empty where there is none.
        type: str
        default: ""
      extract:
        description:
          - The file to take out of the tar archive that is downloaded. With a slash at its end, the folder.
          - Without it, the download itself is kept.
        type: str
        default: ""
      tree_sum:
        description:
          - Checksum of the folder that O(files[].extract) names, for archives that are packed on demand, never twice
            the same. It takes the place of one of the archive, whether there is a lock or not.
          - It is C(h1:) and the Base64 of the SHA-256 of one line for each file, in order of the paths, with its
            SHA-256, two blanks and its path in the folder. Go's C(dirhash) makes the same.
        type: str
        default: ""
      setting:
        description: The setting that its version comes from, for messages.
        type: str
        default: ""
  lock:
    description: File with the recorded checksums. Where it does not exist, the publishers' own lists are used.
    type: path
  timeout:
    description: How long a server may stay silent, in seconds.
    type: float
    default: 30.0
"""

EXAMPLES = r"""
- name: Have kind
  drystone.platform.artifact_fetch:
    directory: ~/.cache/drystone
    bases:
      github: https://github.com
    files:
      - name: kind
        publisher: github
        path: kubernetes-sigs/kind/releases/download/v0.30.0/kind-linux-amd64
        checksums: kubernetes-sigs/kind/releases/download/v0.30.0/kind-linux-amd64.sha256sum
        dest: bin/kind

- name: Have one file of an archive, by a recorded checksum
  drystone.platform.artifact_fetch:
    directory: ~/.cache/drystone
    bases:
      helm: https://get.helm.sh
    lock: ./artifacts.lock.yml
    files:
      - name: helm
        publisher: helm
        path: helm-v3.18.0-linux-amd64.tar.gz
        extract: linux-amd64/helm
        dest: bin/helm

- name: Have a folder of a repository at a tag, and say which file is in the way
  block:
    - name: Have the manifests
      drystone.platform.artifact_fetch:
        directory: ~/.cache/drystone
        bases:
          github: https://github.com
        files:
          - name: metrics-server
            publisher: github
            path: kubernetes-sigs/metrics-server/archive/refs/tags/v0.7.0.tar.gz
            extract: metrics-server-0.7.0/manifests/
            tree_sum: h1:Izz/Z/IjCPoJzZjI97jvYpQEG7+GpnCdQJOn7rEu46A=
            dest: manifests/metrics-server
      register: fetched
  rescue:
    - name: Say which
      ansible.builtin.fail:
        msg: "{{ fetched.failures | map(attribute='url') | join(', ') }}"
"""

RETURN = r"""
fetched:
  description: What was downloaded, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: [kind, helm]
unlocked:
  description: What nobody but its publisher vouches for, because there is no lock.
  returned: success
  type: list
  elements: str
  sample: [kind, helm]
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
      description: >-
        V(missing), V(checksum), V(truncated), V(unreachable), V(busy), V(refused), V(archive) or V(disk).
      type: str
    expected:
      description: The checksum that was expected, where that is the matter.
      type: str
    seen:
      description: The checksum that was seen, where that is the matter.
      type: str
  sample:
    - name: kind
      url: https://github.com/kubernetes-sigs/kind/releases/download/v0.30.0/kind-linux-amd64
      reason: missing
msg:
  description: What was done, or what failed and what to do about it.
  returned: always
  type: str
  sample: "downloaded kind, helm; unlocked: kind, helm"
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.drystone.platform.plugins.module_utils._artifacts.fetch import Fetcher, Wanted
from ansible_collections.drystone.platform.plugins.module_utils._artifacts.lock import base_of, read_lock, summary
from ansible_collections.drystone.platform.plugins.module_utils._errors import DrystoneError


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "bases": {"type": "dict", "required": True},
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "publisher": {"type": "str", "required": True},
                    "path": {"type": "str", "required": True},
                    "dest": {"type": "str", "required": True},
                    "checksums": {"type": "str", "default": ""},
                    "extract": {"type": "str", "default": ""},
                    "tree_sum": {"type": "str", "default": ""},
                    "setting": {"type": "str", "default": ""},
                },
            },
            "lock": {"type": "path"},
            "timeout": {"type": "float", "default": 30.0},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        files = [
            Wanted(
                **{name: value for name, value in file.items() if name not in ("publisher", "dest")},
                base=base_of(file["publisher"], params["bases"]),
                dest=os.path.join(params["directory"], file["dest"]),
            )
            for file in params["files"]
        ]
        fetcher = Fetcher(read_lock(params["lock"]), timeout=params["timeout"])
        outcome = fetcher.fetch(files, check=module.check_mode)
    except DrystoneError as error:
        module.fail_json(msg=error.msg, **error.facts)
    module.exit_json(
        changed=bool(outcome.fetched),
        fetched=outcome.fetched,
        unlocked=outcome.unlocked,
        msg=summary("downloaded", outcome.fetched, outcome.unlocked),
        diff={"before": outcome.before, "after": outcome.after},
    )


if __name__ == "__main__":
    main()
