#!/usr/bin/python
# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: artifact_fetch
short_description: Download pinned files and verify them before use
version_added: 1.0.0
description:
  - Downloads files in parallel and verifies each with its O(files[].tree_sum), the lock or the publisher's own checksum
    list. Then it replaces the destination atomically. If the verification fails, it discards the download and keeps the
    existing file. A file without any of the three is accepted without verification and returned in RV(unlocked).
  - Writes a record next to each file, which tells a later run the origin of the file. The module downloads a file again
    if it was changed since.
  - Uses the proxies of the environment.
author:
  - The Drystone authors (!UNKNOWN)
extends_documentation_fragment:
  - drystone.platform._attributes
attributes:
  check_mode:
    support: full
    details: Returns the files that a run would download. It does not use the network.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  directory:
    description: Base directory of O(files[].dest).
    type: path
    required: true
  bases:
    description: Base URL of each publisher. The keys are the names in O(files[].publisher).
    type: dict
    required: true
  files:
    description: The files to download.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the file in records and messages.
        type: str
        required: true
      publisher:
        description: Publisher of the file, a key of O(bases).
        type: str
        required: true
      path:
        description: Path below the publisher's base URL, including the version.
        type: str
        required: true
      dest:
        description: Destination below O(directory). Files become executable.
        type: str
        required: true
      checksums:
        description: Path of the publisher's SHA-256 list, used without a lock. Empty if the publisher has none.
        type: str
        default: ""
      extract:
        description:
          - The file to extract from the downloaded tar archive, or a folder if the path ends with a slash.
          - Without this option the module keeps the download itself.
        type: str
        default: ""
      tree_sum:
        description:
          - Checksum of the folder in O(files[].extract), for archives that the publisher packs on demand and whose own
            checksum varies. It replaces the checksum of the archive, with and without a lock.
          - The format is that of Go's C(dirhash). It consists of C(h1:) and the Base64 SHA-256 of a list. The list has
            one line for each file, ordered by path, with the file's SHA-256, two spaces and its path in the folder.
        type: str
        default: ""
      setting:
        description: The variable that sets the version, for messages.
        type: str
        default: ""
  arch:
    description:
      - What C({arch}) stands for in O(files[].path), O(files[].checksums) and O(files[].extract), such as
        V(amd64). M(drystone.platform.artifact_source) returns it.
    type: str
  lock:
    description: File with recorded checksums. If it does not exist, the module uses the publishers' own lists.
    type: path
  timeout:
    description: Seconds to wait for data from a server.
    type: float
    default: 30.0
"""

EXAMPLES = r"""
- name: Download kind
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

- name: Extract one file of an archive, verified with a recorded checksum
  drystone.platform.artifact_fetch:
    directory: ~/.cache/drystone
    bases:
      helm: https://get.helm.sh
    lock: ./artifacts.lock.yml
    arch: arm64
    files:
      - name: helm
        publisher: helm
        path: helm-v3.18.0-linux-{arch}.tar.gz
        extract: linux-{arch}/helm
        dest: bin/helm

- name: Extract a folder of a repository at a tag, and show failed downloads
  block:
    - name: Download the manifests
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
    - name: Show the failed URLs
      ansible.builtin.fail:
        msg: "{{ fetched.failures | map(attribute='url') | join(', ') }}"
"""

RETURN = r"""
fetched:
  description: The downloaded files, in check mode those that a run would download.
  returned: success
  type: list
  elements: str
  sample: [kind, helm]
unlocked:
  description: Files that were not verified with a lock, because there is no lock.
  returned: success
  type: list
  elements: str
  sample: [kind, helm]
failures:
  description: The files that could not be downloaded.
  returned: failure
  type: list
  elements: dict
  contains:
    name:
      description: Name of the file.
      type: str
    url:
      description: URL of the download.
      type: str
    reason:
      description: >-
        V(missing), V(checksum), V(truncated), V(unreachable), V(busy), V(refused), V(archive) or V(disk).
      type: str
    expected:
      description: The expected checksum if the checksums differ.
      type: str
    seen:
      description: The actual checksum if the checksums differ.
      type: str
  sample:
    - name: kind
      url: https://github.com/kubernetes-sigs/kind/releases/download/v0.30.0/kind-linux-amd64
      reason: missing
msg:
  description: The result, or the errors with their remedies.
  returned: always
  type: str
  sample: "downloaded kind, helm; unlocked: kind, helm"
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.drystone.platform.plugins.module_utils._artifacts.fetch import (
    Fetcher,
    Wanted,
    for_architecture,
)
from ansible_collections.drystone.platform.plugins.module_utils._artifacts.lock import base_of, read_lock, summary
from ansible_collections.drystone.platform.plugins.module_utils._module import failing, succeed


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
            "arch": {"type": "str"},
            "lock": {"type": "path"},
            "timeout": {"type": "float", "default": 30.0},
        },
        supports_check_mode=True,
    )
    params = module.params
    with failing(module):
        files = [
            Wanted(
                **for_architecture(
                    {name: value for name, value in file.items() if name not in ("publisher", "dest")}, params["arch"]
                ),
                base=base_of(file["publisher"], params["bases"]),
                dest=os.path.join(params["directory"], file["dest"]),
            )
            for file in params["files"]
        ]
        fetcher = Fetcher(read_lock(params["lock"]), timeout=params["timeout"])
        outcome = fetcher.fetch(files, check=module.check_mode)
    succeed(
        module,
        changed=bool(outcome.fetched),
        fetched=outcome.fetched,
        unlocked=outcome.unlocked,
        msg=summary("downloaded", outcome.fetched, outcome.unlocked),
        diff={"before": outcome.before, "after": outcome.after},
    )


if __name__ == "__main__":
    main()
