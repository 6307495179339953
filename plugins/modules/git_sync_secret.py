# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: git_sync_secret
short_description: Keep the credential with which git-sync reads a private Git repository
version_added: 1.0.0
author:
  - The Drystone authors (@drystone)
description:
  - Keeps an SSH key with host keys, or a user with a password or token, in a Secret of the shape that git-sync mounts
    at C(/etc/git-secret).
  - Nothing is written before the credential has been proved. Its form is checked (the key can be read, has no
    passphrase and is of an accepted type and size; the server's host key is known), and then O(ref) of the repository
    is read with exactly this credential, by C(git) without the agent, the configuration and the prompts of the user.
  - What can go wrong has one error each, told apart by RV(reason). The Secret is then left as it was.
  - A key can be generated; its private half is kept nowhere but in the cluster. It waits in a Secret of its own,
    O(name) with C(-staged) appended, until the server knows the public half. Then it replaces the old credential in
    one request, so that a rotation leaves no moment without a credential that works.
  - Only Secrets that this module has made are changed or deleted. Keys that somebody added to them stay.
extends_documentation_fragment:
  - drystone.platform._attributes
  - drystone.platform._kube
attributes:
  check_mode:
    details:
      - The repository is read in check mode, too, so that the prediction is exact.
      - The public key and fingerprint of a key that would be generated are those of a throw-away key, and whether the
        server would accept it is not predicted.
  diff_mode:
    details:
      - The diff shows fingerprints.
  idempotent:
    support: partial
    details:
      - With O(rotate=true) a new key is staged whenever none is waiting, which is what it is for.
options:
  namespace:
    description: Namespace of the Secret. It must exist.
    type: str
    required: true
  name:
    description: Name of the Secret.
    type: str
    required: true
  state:
    description:
      - V(present) proves the credential and then makes sure that the Secret has it. With O(generate) that is the staged
        key if there is one, and else the key that the Secret has; where there is neither a key is staged first.
      - V(staged) makes sure that there is a key to be authorised at the Git server, and returns its public half. No
        server is contacted. Nothing is done where the Secret has an SSH key already, unless O(rotate) is set.
      - V(absent) deletes the Secret and the staged one.
    type: str
    choices:
      - present
      - staged
      - absent
    default: present
  repository:
    description:
      - URL of the repository as git-sync uses it, C(ssh://user@host:port/path), C(user@host:path) or
        C(https://host:port/path), without a password in it.
      - Required with O(state=present).
    type: str
  check_repository:
    description:
      - URL of the same repository as this host reaches it. The default is O(repository).
      - Host keys are looked up by the name in O(repository) all the same, as in the pod. The certificate of an HTTPS
        server must have both names.
    type: str
  ref:
    description: Branch, tag or full hash of the commit that must be readable.
    type: str
    default: main
  auth:
    description: How to authenticate. The default is what the scheme of O(repository) says, which it must agree with.
    type: str
    choices:
      - ssh
      - https
  private_key:
    description:
      - SSH private key without passphrase, in OpenSSH or PEM format. It is stored in OpenSSH's.
      - V(ed25519), V(ecdsa) of 256 bits or more and V(rsa) of 3072 bits or more are accepted.
    type: str
  private_key_file:
    description: File on the host with the SSH private key.
    type: path
  generate:
    description: Generate an ed25519 key once, and keep it.
    type: bool
    default: false
  rotate:
    description: With O(state=staged), stage a new key though the Secret has one.
    type: bool
    default: false
  known_hosts:
    description:
      - Lines of C(known_hosts), as C(ssh-keyscan) prints them, of which those for the host of O(repository) are kept.
        The name must be the one in O(repository), as in C([git.example.org]:2222) where the port is not 22.
      - Without it the host keys that the Secret has are kept.
    type: str
  accept_host_key:
    description:
      - Obtain the server's host keys with C(ssh-keyscan) and pin them where none is given and none is pinned yet.
        Compare RV(host_key_fingerprints) with what the server's operator says.
      - A pinned host key is never replaced by an obtained one. A server whose key changes is refused until its new key
        is given in O(known_hosts).
    type: bool
    default: false
  username:
    description: User for HTTPS. It is shown in diffs.
    type: str
  password:
    description: Password or token for HTTPS.
    type: str
  password_file:
    description: File on the host with the password or token.
    type: path
  ca_cert:
    description:
      - Certificates in PEM format of the authority that signed the HTTPS server's certificate. The default is what the
        host, and git-sync, trust anyway.
    type: str
  require_read_only:
    description:
      - Refuse a credential that may write. It is found out by asking the server to take a push, up to the point where
        something would be sent.
      - Rules that a server applies only to what it was sent, such as protected branches, are not seen.
    type: bool
    default: false
  timeout:
    description:
      - For how many seconds a server is asked again that does not accept the credential yet, does not show the
        repository yet or is down.
    type: int
    default: 0
  labels:
    description: Labels of the Secret, beside the module's own. Others that it has stay.
    type: dict
    default: {}
requirements:
  - cryptography
  - git
  - ssh and ssh-keyscan of OpenSSH for SSH repositories
notes:
  - A running git-sync reads the Secret's new values at its next sync, once the kubelet has brought them into the pod,
    which takes up to two minutes. Withdraw the old key at the server after that.
  - Proxies named in the environment are used for HTTPS.
seealso:
  - module: drystone.platform.git_sync_secret_info
  - module: drystone.platform.generated_secret
"""

EXAMPLES = r"""
- name: Store a deploy key from the vault, once it is proved to read the repository and not to write to it
  drystone.platform.git_sync_secret:
    kubeconfig: ~/.kube/config
    namespace: dev
    name: site-git-credentials
    repository: ssh://git@git.example.org/team/site-content.git
    private_key: "{{ vault_site_deploy_key }}"
    known_hosts: "{{ lookup('ansible.builtin.file', 'known_hosts') }}"
    require_read_only: true

- name: Store a token for a server with a certificate of its own authority, and reach it through a forwarded port
  drystone.platform.git_sync_secret:
    kubeconfig: ~/.kube/config
    namespace: dev
    name: site-git-credentials
    repository: https://git-server.git.svc:8443/site-content.git
    check_repository: https://localhost:2443/site-content.git
    username: site
    password_file: ~/.config/site/token
    ca_cert: "{{ lookup('ansible.builtin.file', 'ca.crt') }}"

- name: Make a key that never leaves the cluster
  drystone.platform.git_sync_secret:
    kubeconfig: ~/.kube/config
    namespace: dev
    name: site-git-credentials
    state: staged
    generate: true
  register: staged

- name: Show the public half, to be added as a read-only deploy key
  ansible.builtin.debug:
    msg: "{{ staged.public_key }}"

- name: Wait up to ten minutes until the key is authorised, and begin to use it
  drystone.platform.git_sync_secret:
    kubeconfig: ~/.kube/config
    namespace: dev
    name: site-git-credentials
    repository: git@git.example.org:team/site-content.git
    generate: true
    accept_host_key: true
    require_read_only: true
    timeout: 600

- name: Begin a rotation; state=present with generate goes on with it once the new key is authorised
  drystone.platform.git_sync_secret:
    kubeconfig: ~/.kube/config
    namespace: dev
    name: site-git-credentials
    state: staged
    generate: true
    rotate: true

- name: Tell a withdrawn key from a server that is down
  block:
    - name: Prove the key again
      drystone.platform.git_sync_secret:
        kubeconfig: ~/.kube/config
        namespace: dev
        name: site-git-credentials
        repository: git@git.example.org:team/site-content.git
        generate: true
  rescue:
    - name: Ask for the key to be authorised again
      ansible.builtin.fail:
        msg: "{{ ansible_failed_result.msg }}"
      when: ansible_failed_result.reason | default('') == 'permission_denied'
"""

RETURN = r"""
action:
  description:
    - What happened, or would in check mode. One of V(created), V(configured), V(staged), V(deleted), V(unchanged).
  returned: success
  type: str
  sample: configured
auth:
  description: How the credential authenticates, V(ssh) or V(https). Null if there is none.
  returned: success, or failure with a key that is staged
  type: str
  sample: ssh
public_key:
  description:
    - The public half of the SSH key. With O(state=staged), and where RV(staged) is true, it is the one to be
      authorised.
    - Null for HTTPS.
  returned: success, or failure with a key that is staged
  type: str
  sample: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI... dev/site-git-credentials
fingerprint:
  description: The fingerprint of the SSH key, or the beginning of a SHA-256 sum for HTTPS.
  returned: success, or failure with a key that is staged
  type: str
  sample: SHA256:4rEdyZSaZkGc1rXLM9wK0iYYpHgcXXyqVjWnbFJfQ1Q
host_key_fingerprints:
  description: Type and fingerprint of each host key that is accepted.
  returned: success, or failure with a key that is staged
  type: list
  elements: str
  sample:
    - ssh-ed25519 SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8
staged:
  description: Whether the key that is returned still waits to be authorised.
  returned: success, or failure with a key that is staged
  type: bool
  sample: false
commit:
  description: The commit that O(ref) is in the repository. Null if it was not asked.
  returned: success
  type: str
  sample: 5b3d2b0ce1b2f1d6c5a4f0b0f3a1e2d3c4b5a697
rotated:
  description: Whether another credential has replaced the one that the Secret had.
  returned: success
  type: bool
  sample: false
reason:
  description:
    - Why it failed.
    - Of the credential, V(key_unreadable), V(key_has_passphrase), V(key_type_refused), V(key_too_small),
      V(username_missing), V(username_invalid), V(password_missing), V(password_invalid), V(ca_cert_unreadable),
      V(file_unreadable), V(url_invalid).
    - Of the host key, V(host_key_missing), V(host_key_unreadable), V(host_key_changed).
    - Of the server, V(permission_denied) for SSH, V(authentication_failed) for HTTPS, V(repository_not_found),
      V(ref_not_found), V(remote_unavailable), V(tls_not_trusted), V(write_allowed).
    - Of the Secret, V(not_ours).
  returned: failure
  type: str
  sample: permission_denied
"""

import traceback

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.drystone.platform.plugins.module_utils._argspec import kube_argspec
from ansible_collections.drystone.platform.plugins.module_utils._credentials.git_credential import password_in
from ansible_collections.drystone.platform.plugins.module_utils._credentials.git_sync_request import Request, read_file
from ansible_collections.drystone.platform.plugins.module_utils._credentials.git_sync_secret import ensure
from ansible_collections.drystone.platform.plugins.module_utils._credentials.ssh_key import CRYPTOGRAPHY_ERROR
from ansible_collections.drystone.platform.plugins.module_utils._errors import DrystoneError
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **kube_argspec(),
            "namespace": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "staged", "absent"], "default": "present"},
            "repository": {"type": "str"},
            "check_repository": {"type": "str"},
            "ref": {"type": "str", "default": "main"},
            "auth": {"type": "str", "choices": ["ssh", "https"]},
            "private_key": {"type": "str", "no_log": True},
            "private_key_file": {"type": "path", "no_log": False},
            "generate": {"type": "bool", "default": False},
            "rotate": {"type": "bool", "default": False},
            "known_hosts": {"type": "str"},
            "accept_host_key": {"type": "bool", "default": False},
            "username": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "password_file": {"type": "path", "no_log": False},
            "ca_cert": {"type": "str"},
            "require_read_only": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 0},
            "labels": {"type": "dict", "default": {}},
        },
        mutually_exclusive=[("private_key", "private_key_file"), ("password", "password_file")],
        required_if=[("state", "present", ("repository",))],
        supports_check_mode=True,
    )
    if CRYPTOGRAPHY_ERROR:
        trace = "".join(traceback.format_exception(CRYPTOGRAPHY_ERROR))
        module.fail_json(msg=missing_required_lib("cryptography"), exception=trace)
    wishes = dict(module.params)
    # A password where none belongs is an error, which must not show it.
    module.no_log_values.update(password_in(wishes["repository"]) | password_in(wishes["check_repository"]))
    try:
        for name in ("private_key", "password"):
            path = wishes.pop(f"{name}_file")
            if path:
                wishes[name] = read_file(path, f"{name}_file")
        api = KubeApi.from_kubeconfig(wishes.pop("kubeconfig"), wishes.pop("context"))
        outcome = ensure(api, Request(**wishes), check=module.check_mode, hide=module.no_log_values.update)
    except DrystoneError as error:
        module.fail_json(msg=error.msg, **error.facts)
    module.exit_json(**outcome.facts())


if __name__ == "__main__":
    main()
