# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: git_sync_secret
short_description: Manage the credential with which git-sync reads a private Git repository
version_added: 1.0.0
author:
  - The Drystone authors (!UNKNOWN)
description:
  - Stores an SSH key with host keys, or a user name with a password or token, in a Secret that git-sync can mount at
    C(/etc/git-secret).
  - Tests the credential before it writes anything. It checks the form of the credential (the key is readable, has no
    passphrase and has an accepted type and size; the server's host key is known). Then it reads O(ref) of the
    repository with exactly this credential. C(git) does not use the agent, configuration or prompts of the user.
  - Reports each kind of problem with its own error, which RV(reason) identifies, and then does not change the Secret.
  - Can generate a key, whose private half exists only in the cluster. The module keeps the new key in a separate
    Secret, O(name) with C(-staged) appended, until the server accepts the public half. Then it replaces the old
    credential in one request, so that a working credential exists at every moment of a rotation.
  - Can keep the credential that it replaces until the server refuses it. See O(keep_previous) and O(state=retired).
  - Changes or deletes only Secrets that this module created, and keeps keys that somebody added to them.
extends_documentation_fragment:
  - drystone.platform._attributes
  - drystone.platform._kube
attributes:
  check_mode:
    details:
      - The module also reads the repository in check mode, so the prediction is exact.
      - For a key that a run would generate, the module returns the public key and fingerprint of a temporary key. It
        does not predict whether the server would accept the key.
      - With O(state=retired) the module predicts the deletion and does not contact the server.
  diff_mode:
    details:
      - The diff shows fingerprints.
  idempotent:
    support: partial
    details:
      - With O(rotate=true) the module stages a new key whenever no staged key exists. This is intended.
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
      - V(present) tests the credential and then stores it in the Secret. With O(generate) the module uses the staged
        key if it exists, otherwise the key in the Secret. If there is no key, it stages one first.
      - V(staged) generates a key that you can authorize at the Git server, and returns its public half. The module does
        not contact the server. If the Secret already has an SSH key, it does nothing unless O(rotate) is set.
      - V(checked) tests a credential and never writes anything. It tests the given credential, or without one the
        credential in the Secret. O(expect) defines the answer that the server must give.
      - V(retired) waits until the server refuses the credential that O(keep_previous) kept, then deletes that
        credential. If there is none, it does nothing. If the Secret uses that credential again, it deletes the copy
        without contacting the server.
      - V(absent) deletes the Secret, the staged Secret and the Secret of the kept credential.
    type: str
    choices:
      - present
      - staged
      - checked
      - retired
      - absent
    default: present
  repository:
    description:
      - URL of the repository as git-sync uses it, C(ssh://user@host:port/path), C(user@host:path) or
        C(https://host:port/path). It must not contain a password.
      - Required with O(state=present), O(state=checked) and O(state=retired).
    type: str
  check_repository:
    description:
      - URL of the same repository as this host reaches it. The default is O(repository).
      - The module still looks up host keys by the name in O(repository), as the pod does. The certificate of an HTTPS
        server must contain both names.
    type: str
  ref:
    description: Branch, tag or full commit hash that must be readable.
    type: str
    default: main
  auth:
    description: How to authenticate. By default the scheme of O(repository) decides; another value must match it.
    type: str
    choices:
      - ssh
      - https
  private_key:
    description:
      - SSH private key without passphrase, in OpenSSH or PEM format. The module stores it in OpenSSH format.
      - Accepted types are V(ed25519), V(ecdsa) with at least 256 bits and V(rsa) with at least 3072 bits.
    type: str
  private_key_file:
    description: File on the host with the SSH private key.
    type: path
  generate:
    description: Generate an ed25519 key once and keep it in later runs.
    type: bool
    default: false
  rotate:
    description: With O(state=staged), stage a new key even if the Secret already has a key.
    type: bool
    default: false
  known_hosts:
    description:
      - Lines in C(known_hosts) format, as C(ssh-keyscan) prints them. The module keeps those for the host of
        O(repository). The name must match O(repository), as in C([git.example.org]:2222) if the port is not 22.
      - Without this option the module keeps the host keys in the Secret.
    type: str
  accept_host_key:
    description:
      - If no host key is given or pinned yet, get the server's host keys with C(ssh-keyscan) and pin them. Compare
        RV(host_key_fingerprints) with the fingerprints that the server's operator publishes.
      - The module never replaces a pinned host key automatically. If the server's key changes, it refuses the server
        until O(known_hosts) contains the new key.
    type: bool
    default: false
  username:
    description: User name for HTTPS. Diffs show it.
    type: str
  password:
    description: Password or token for HTTPS.
    type: str
  password_file:
    description: File on the host with the password or token.
    type: path
  ca_cert:
    description:
      - Certificates, in PEM format, of the authority that signed the HTTPS server's certificate. By default the host
        and git-sync use the authorities that they trust already.
    type: str
  require_read_only:
    description:
      - Refuse a credential that can write. The module starts a push and stops before it sends any data.
      - It cannot detect rules that a server applies only to received data, such as protected branches.
    type: bool
    default: false
  expect:
    description:
      - The answer that the server must give with O(state=checked).
      - V(accepted) means that the credential can read O(ref).
      - V(refused) means that the server itself refuses the credential. If the server is down or does not have the
        repository, the module fails.
    type: str
    choices:
      - accepted
      - refused
    default: accepted
  keep_previous:
    description:
      - With O(state=present), keep a credential that the module replaces with another one for the same O(auth). The
        module stores it in a separate Secret, O(name) with C(-previous) appended. Revoke it at the server and run the
        module with O(state=retired).
      - If that Secret already contains another credential, the server must refuse it before the module overwrites it.
    type: bool
    default: false
  timeout:
    description:
      - Seconds to retry while the server does not give the expected answer yet, does not have the repository yet, or is
        down.
    type: int
    default: 0
  labels:
    description: Labels of the Secret in addition to the module's own. The module keeps other existing labels.
    type: dict
    default: {}
requirements:
  - cryptography
  - git
  - ssh and ssh-keyscan of OpenSSH for SSH repositories
notes:
  - The kubelet updates the Secret in a running pod within two minutes, and git-sync reads the new values at its next
    sync. Revoke the old key at the server only after that.
  - For HTTPS the module uses the proxies of the environment.
seealso:
  - module: drystone.platform.git_sync_secret_info
  - module: drystone.platform.generated_secret
"""

EXAMPLES = r"""
- name: Store a deploy key from the vault if it can read the repository and cannot write to it
  drystone.platform.git_sync_secret:
    kubeconfig: ~/.kube/config
    namespace: dev
    name: site-git-credentials
    repository: ssh://git@git.example.org/team/site-content.git
    private_key: "{{ vault_site_deploy_key }}"
    known_hosts: "{{ lookup('ansible.builtin.file', 'known_hosts') }}"
    require_read_only: true

- name: Store a token for a server with a private certificate authority and reach the server through a forwarded port
  drystone.platform.git_sync_secret:
    kubeconfig: ~/.kube/config
    namespace: dev
    name: site-git-credentials
    repository: https://git-server.git.svc:8443/site-content.git
    check_repository: https://localhost:2443/site-content.git
    username: site
    password_file: ~/.config/site/token
    ca_cert: "{{ lookup('ansible.builtin.file', 'ca.crt') }}"

- name: Generate a key that never leaves the cluster
  drystone.platform.git_sync_secret:
    kubeconfig: ~/.kube/config
    namespace: dev
    name: site-git-credentials
    state: staged
    generate: true
  register: staged

- name: Show the public key, to add it as a read-only deploy key
  ansible.builtin.debug:
    msg: "{{ staged.public_key }}"

- name: Wait up to ten minutes until the server accepts the key, then use it
  drystone.platform.git_sync_secret:
    kubeconfig: ~/.kube/config
    namespace: dev
    name: site-git-credentials
    repository: git@git.example.org:team/site-content.git
    generate: true
    accept_host_key: true
    require_read_only: true
    timeout: 600

- name: Start a rotation; state=present with generate completes it when the server accepts the new key
  drystone.platform.git_sync_secret:
    kubeconfig: ~/.kube/config
    namespace: dev
    name: site-git-credentials
    state: staged
    generate: true
    rotate: true

- name: Replace a token and keep the old one until it is revoked
  drystone.platform.git_sync_secret:
    kubeconfig: ~/.kube/config
    namespace: dev
    name: site-git-credentials
    repository: https://git.example.org/team/site-content.git
    username: site
    password: "{{ vault_site_token }}"
    keep_previous: true

- name: Wait until the server refuses the old token, then delete it
  drystone.platform.git_sync_secret:
    kubeconfig: ~/.kube/config
    namespace: dev
    name: site-git-credentials
    repository: https://git.example.org/team/site-content.git
    state: retired
    timeout: 600

- name: Check that the server refuses a leaked key
  drystone.platform.git_sync_secret:
    kubeconfig: ~/.kube/config
    namespace: dev
    name: site-git-credentials
    state: checked
    expect: refused
    repository: git@git.example.org:team/site-content.git
    private_key: "{{ vault_leaked_key }}"
    accept_host_key: true

- name: Distinguish a revoked key from a server that is down
  block:
    - name: Test the key in the Secret
      drystone.platform.git_sync_secret:
        kubeconfig: ~/.kube/config
        namespace: dev
        name: site-git-credentials
        state: checked
        repository: git@git.example.org:team/site-content.git
  rescue:
    - name: Report that the server no longer accepts the key
      ansible.builtin.fail:
        msg: "{{ ansible_failed_result.msg }}"
      when: ansible_failed_result.reason | default('') == 'permission_denied'
"""

RETURN = r"""
action:
  description:
    - The action, in check mode the action that a run would take. One of V(created), V(configured), V(staged),
      V(deleted), V(unchanged).
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
    - The public half of the SSH key. With O(state=staged), and if RV(staged) is true, authorize this key at the server.
    - Null for HTTPS.
  returned: success, or failure with a key that is staged
  type: str
  sample: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI... dev/site-git-credentials
fingerprint:
  description: The fingerprint of the SSH key, or the first characters of a SHA-256 checksum for HTTPS.
  returned: success, or failure with a key that is staged
  type: str
  sample: SHA256:4rEdyZSaZkGc1rXLM9wK0iYYpHgcXXyqVjWnbFJfQ1Q
host_key_fingerprints:
  description: Type and fingerprint of each accepted host key.
  returned: success, or failure with a key that is staged
  type: list
  elements: str
  sample:
    - ssh-ed25519 SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8
staged:
  description: Whether the returned key is staged and not used yet.
  returned: success, or failure with a key that is staged
  type: bool
  sample: false
commit:
  description: The commit of O(ref) in the repository. Null if the module did not read the repository.
  returned: success
  type: str
  sample: 5b3d2b0ce1b2f1d6c5a4f0b0f3a1e2d3c4b5a697
rotated:
  description: Whether a new credential replaced the previous one in the Secret.
  returned: success
  type: bool
  sample: false
reason:
  description:
    - The reason for the failure.
    - Problems of the credential are V(key_unreadable), V(key_has_passphrase), V(key_type_refused), V(key_too_small),
      V(username_missing), V(username_invalid), V(password_missing), V(password_invalid), V(ca_cert_unreadable),
      V(file_unreadable), V(url_invalid).
    - Problems of the host key are V(host_key_missing), V(host_key_unreadable), V(host_key_changed).
    - Problems of the server are V(permission_denied) for SSH, V(authentication_failed) for HTTPS,
      V(repository_not_found), V(ref_not_found), V(remote_unavailable), V(tls_not_trusted), V(write_allowed),
      V(still_accepted).
    - V(not_ours) means that another program created the Secret.
    - V(credential_missing) and V(auth_differs) mean that there is no credential that O(state=checked) can test.
    - If the server refuses a credential as expected, the reason that it gives, V(permission_denied) or
      V(authentication_failed).
  returned: failure, and success if the server had to refuse a credential
  type: str
  sample: permission_denied
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.drystone.platform.plugins.module_utils._argspec import kube_argspec
from ansible_collections.drystone.platform.plugins.module_utils._credentials.git_credential import password_in
from ansible_collections.drystone.platform.plugins.module_utils._credentials.git_sync_request import Request, read_file
from ansible_collections.drystone.platform.plugins.module_utils._credentials.git_sync_secret import ensure
from ansible_collections.drystone.platform.plugins.module_utils._cryptography import require_cryptography
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi
from ansible_collections.drystone.platform.plugins.module_utils._module import failing, succeed


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **kube_argspec(),
            "namespace": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "state": {
                "type": "str",
                "choices": ["present", "staged", "checked", "retired", "absent"],
                "default": Request.state,
            },
            "repository": {"type": "str"},
            "check_repository": {"type": "str"},
            "ref": {"type": "str", "default": Request.ref},
            "auth": {"type": "str", "choices": ["ssh", "https"]},
            "private_key": {"type": "str", "no_log": True},
            "private_key_file": {"type": "path", "no_log": False},
            "generate": {"type": "bool", "default": Request.generate},
            "rotate": {"type": "bool", "default": Request.rotate},
            "known_hosts": {"type": "str"},
            "accept_host_key": {"type": "bool", "default": Request.accept_host_key},
            "username": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "password_file": {"type": "path", "no_log": False},
            "ca_cert": {"type": "str"},
            "require_read_only": {"type": "bool", "default": Request.require_read_only},
            "expect": {"type": "str", "choices": ["accepted", "refused"], "default": Request.expect},
            "keep_previous": {"type": "bool", "default": Request.keep_previous},
            "timeout": {"type": "int", "default": Request.timeout},
            "labels": {"type": "dict", "default": {}},
        },
        mutually_exclusive=[("private_key", "private_key_file"), ("password", "password_file")],
        required_if=[("state", state, ("repository",)) for state in ("present", "checked", "retired")],
        supports_check_mode=True,
    )
    require_cryptography(module)
    wishes = dict(module.params)
    # A password in a URL is an error, whose message must not contain it.
    module.no_log_values.update(password_in(wishes["repository"]) | password_in(wishes["check_repository"]))
    with failing(module):
        for name in ("private_key", "password"):
            path = wishes.pop(f"{name}_file")
            if path:
                wishes[name] = read_file(path, f"{name}_file")
        api = KubeApi.from_kubeconfig(wishes.pop("kubeconfig"), wishes.pop("context"))
        outcome = ensure(api, Request(**wishes), check=module.check_mode, hide=module.no_log_values.update)
    succeed(module, **outcome.facts())


if __name__ == "__main__":
    main()
