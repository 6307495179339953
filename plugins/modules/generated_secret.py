# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: generated_secret
short_description: Generate the values of a Secret once
version_added: 1.0.0
author:
  - The Drystone authors (!UNKNOWN)
description:
  - Ensures that a Secret has the given keys. It generates missing values and never changes an existing value, whoever
    created it. Therefore a second run rotates nothing. The exceptions are a certificate that Drystone created
    and that expires soon, and O(entries[].value).
  - The Secret in the cluster is the only source of truth. The module never returns or shows a value, only fingerprints
    and the public halves of SSH keys.
  - If something else created the Secret, the module uses it if it has all the keys, and never adds keys to it.
extends_documentation_fragment:
  - drystone.platform._attributes
  - drystone.platform._kube
attributes:
  check_mode:
    details:
      - For values that a run would generate, the public keys and fingerprints are those of temporary values.
  diff_mode:
    details:
      - The diff shows fingerprints.
options:
  namespace:
    description: Namespace of the Secret. It must exist.
    type: str
    required: true
  name:
    description: Name of the Secret.
    type: str
    required: true
  labels:
    description: Labels of a new Secret in addition to C(app.kubernetes.io/managed-by=drystone).
    type: dict
    default: {}
  state:
    description: Whether the Secret exists. V(absent) deletes it if Drystone created it, and keeps files.
    type: str
    choices:
      - present
      - absent
    default: present
  rotate:
    description: Replace all values with new ones in every run.
    type: bool
    default: false
  entries:
    description: The keys of the Secret. Required for O(state=present).
    type: list
    elements: dict
    suboptions:
      name:
        description: The key.
        type: str
        required: true
      kind:
        description:
          - What to generate.
          - V(password) is a random string of letters and digits.
          - V(ssh_ed25519) is an SSH private key without passphrase, in OpenSSH format.
          - V(tls_certificate) is a private key (ECDSA P-256) followed by a self-signed server certificate, in PEM
            format. The module replaces it if it expires within 30 days or lacks one of O(entries[].hosts).
        type: str
        choices:
          - password
          - ssh_ed25519
          - tls_certificate
        required: true
      length:
        description: Length of a password.
        type: int
        default: 32
      comment:
        description: Comment in the public half of an SSH key.
        type: str
        default: ""
      hosts:
        description: Names and addresses in the certificate. Required for V(tls_certificate).
        type: list
        elements: str
      days:
        description: Validity of a new certificate in days.
        type: int
        default: 365
      value:
        description:
          - The value to use instead of a generated one. It replaces another value of a Secret that Drystone created.
          - If empty, the module generates a missing value and keeps an existing one.
        type: str
      path:
        description:
          - File on the host for a copy of the value, mode 0600. The module corrects a file with another content.
          - Its directory must exist.
        type: path
requirements:
  - cryptography
seealso:
  - module: drystone.platform.apply_set
"""

EXAMPLES = r"""
- name: Generate a password once
  drystone.platform.generated_secret:
    kubeconfig: ~/.kube/config
    namespace: argocd
    name: argocd-redis
    entries:
      - name: auth
        kind: password

- name: Set a token, or generate it once if the variable is empty
  drystone.platform.generated_secret:
    kubeconfig: ~/.kube/config
    namespace: dev
    name: hello
    entries:
      - name: token
        kind: password
        value: "{{ token }}"

- name: Generate an SSH key pair once and copy the private half for the operator
  drystone.platform.generated_secret:
    kubeconfig: ~/.kube/config
    namespace: git
    name: git-server-keys
    entries:
      - name: operator
        kind: ssh_ed25519
        comment: operator@example
        path: /home/operator/.ssh/id_example
  register: keys

- name: Generate the certificate of a server and renew it before it expires
  drystone.platform.generated_secret:
    kubeconfig: ~/.kube/config
    namespace: git
    name: git-server-certificate
    entries:
      - name: server.pem
        kind: tls_certificate
        hosts: [git-server.git.svc, 127.0.0.1]

- name: Show the public key
  ansible.builtin.debug:
    msg: "{{ keys.public_keys.operator }}"

- name: Handle a Secret of the same name that something else created
  block:
    - name: Generate a token
      drystone.platform.generated_secret:
        kubeconfig: ~/.kube/config
        namespace: default
        name: shared
        entries:
          - name: token
            kind: password
            length: 64
  rescue:
    - name: Show the error, which names the Secret
      ansible.builtin.fail:
        msg: "{{ ansible_failed_result.msg }}"
"""

RETURN = r"""
action:
  description:
    - The action on the Secret, in check mode the action that a run would take. One of V(created), V(configured),
      V(unchanged), V(deleted).
  returned: success
  type: str
  sample: unchanged
generated:
  description: The keys whose values the module generated, or set to O(entries[].value).
  returned: success
  type: list
  elements: str
  sample:
    - auth
written:
  description: The files that the module wrote.
  returned: success
  type: list
  elements: str
  sample: []
public_keys:
  description: The public half of every SSH key, by key.
  returned: success
  type: dict
  sample:
    operator: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI... operator@example
certificates:
  description: The certificate of every V(tls_certificate), by key, in PEM format.
  returned: success
  type: dict
  sample: {}
fingerprints:
  description: The first characters of the SHA-256 checksum of every value, by key.
  returned: success
  type: dict
  sample:
    auth: sha256:3a7bd3e2360a
"""

import os
import tempfile

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.drystone.platform.plugins.module_utils._argspec import kube_argspec
from ansible_collections.drystone.platform.plugins.module_utils._credentials.generated_secret import (
    Entry,
    ensure,
    remove,
)
from ansible_collections.drystone.platform.plugins.module_utils._cryptography import require_cryptography
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi
from ansible_collections.drystone.platform.plugins.module_utils._module import failing, succeed


def _write(module: AnsibleModule, path: str, value: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=module.tmpdir)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(value)
    module.atomic_move(temporary, path)
    os.chmod(path, 0o600)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **kube_argspec(),
            "namespace": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "labels": {"type": "dict", "default": {}},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "rotate": {"type": "bool", "default": False},
            "entries": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "name": {"type": "str", "required": True},
                    "kind": {
                        "type": "str",
                        "choices": ["password", "ssh_ed25519", "tls_certificate"],
                        "required": True,
                    },
                    "length": {"type": "int", "default": Entry.length},
                    "comment": {"type": "str", "default": Entry.comment},
                    "hosts": {"type": "list", "elements": "str"},
                    "days": {"type": "int", "default": Entry.days},
                    "value": {"type": "str", "no_log": True},
                    "path": {"type": "path"},
                },
                "required_if": [("kind", "tls_certificate", ("hosts",))],
            },
        },
        required_if=[("state", "present", ("entries",))],
        supports_check_mode=True,
    )
    require_cryptography(module)
    params = module.params
    common = {"namespace": params["namespace"], "name": params["name"], "check": module.check_mode}
    with failing(module):
        api = KubeApi.from_kubeconfig(params["kubeconfig"], params["context"])
        if params["state"] == "absent":
            outcome = remove(api, **common)
        else:
            outcome = ensure(
                api,
                labels=params["labels"],
                entries=[Entry(**{**entry, "hosts": tuple(entry["hosts"] or ())}) for entry in params["entries"]],
                write=lambda path, value: _write(module, path, value),
                rotate=params["rotate"],
                **common,
            )
    module.no_log_values.update(outcome.private)
    succeed(
        module,
        changed=outcome.changed,
        action=outcome.action,
        generated=outcome.generated,
        written=outcome.written,
        public_keys=outcome.public_keys,
        certificates=outcome.certificates,
        fingerprints=outcome.fingerprints,
        diff={
            "before": {"data": outcome.before, "stale_files": outcome.written},
            "after": {"data": outcome.fingerprints, "stale_files": []},
        },
    )


if __name__ == "__main__":
    main()
