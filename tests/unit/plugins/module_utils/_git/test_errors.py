# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Classification of messages of git, OpenSSH, libcurl with both TLS libraries, and common servers."""

from __future__ import annotations

import os
import signal
import time
import typing as t

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._errors import CommandFailed, DrystoneError
from ansible_collections.drystone.platform.plugins.module_utils._git import errors
from ansible_collections.drystone.platform.plugins.module_utils._git.errors import failure, is_refusal
from ansible_collections.drystone.platform.plugins.module_utils._git.remote import Git, Remote

if t.TYPE_CHECKING:
    from pathlib import Path

USED = Remote("https://h/x.git", private_key="/k", known_hosts="/known_hosts", username="site")
HTTPS = "fatal: unable to access 'https://git.example.org/x.git/': "
END = "\nfatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\n"

SAID: list[tuple[type[DrystoneError], str]] = [
    (errors.PermissionDenied, "git@github.com: Permission denied (publickey)."),
    (errors.PermissionDenied, "git@h: Permission denied (publickey,password,keyboard-interactive)."),
    (errors.PermissionDenied, "Received disconnect from 192.0.2.1 port 22:2: Too many authentication failures"),
    (errors.HostKeyMissing, "No ED25519 host key is known for h and you have requested strict checking."),
    (errors.HostKeyMissing, "Host key verification failed."),
    (
        errors.HostKeyChanged,
        "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\nHost key verification failed.\r\n",
    ),
    (errors.HostKeyChanged, "@       WARNING: REVOKED HOST KEY DETECTED!               @"),
    (errors.RemoteUnavailable, "ssh: connect to host h port 22: Connection refused"),
    (errors.RemoteUnavailable, "ssh: connect to host h port 22: Connection timed out"),
    (errors.RemoteUnavailable, "ssh: connect to host h port 22: No route to host"),
    (errors.RemoteUnavailable, "ssh: Could not resolve hostname h: Name or service not known"),
    (errors.RemoteUnavailable, "kex_exchange_identification: Connection closed by remote host"),
    (errors.RemoteUnavailable, "Connection closed by 192.0.2.1 port 22"),
    (errors.RemoteUnavailable, HTTPS + "Failed to connect to h port 443 after 0 ms: Couldn't connect to server"),
    (errors.RemoteUnavailable, HTTPS + "Failed to connect to h port 443: Connection refused"),
    (errors.RemoteUnavailable, HTTPS + "Could not resolve host: h"),
    (errors.RemoteUnavailable, HTTPS + "The requested URL returned error: 503"),
    (errors.RemoteUnavailable, HTTPS + "The requested URL returned error: 429"),
    (errors.RemoteUnavailable, HTTPS + "Empty reply from server"),
    (errors.RemoteUnavailable, HTTPS + "Recv failure: Connection reset by peer"),
    (
        errors.RemoteUnavailable,
        HTTPS + "gnutls_handshake() failed: The TLS connection was non-properly terminated.",
    ),
    (errors.TlsNotTrusted, HTTPS + "SSL certificate problem: unable to get local issuer certificate"),
    (errors.TlsNotTrusted, HTTPS + "SSL certificate problem: certificate has expired"),
    (errors.TlsNotTrusted, HTTPS + "SSL: no alternative certificate subject name matches target host name 'h'"),
    (errors.TlsNotTrusted, HTTPS + "server certificate verification failed. CAfile: none CRLfile: none"),
    (errors.TlsNotTrusted, HTTPS + "server verification failed: certificate signer not trusted. (CAfile: /x)"),
    (errors.TlsNotTrusted, HTTPS + "error setting certificate verify locations:  CAfile: /x CApath: none"),
    (
        errors.AuthenticationFailed,
        "remote: Invalid username or password.\nfatal: Authentication failed for 'https://h/'",
    ),
    (
        errors.AuthenticationFailed,
        "remote: HTTP Basic: Access denied\nfatal: Authentication failed for 'https://h/'",
    ),
    (errors.AuthenticationFailed, HTTPS + "The requested URL returned error: 403"),
    (errors.AuthenticationFailed, "fatal: could not read Username for 'https://h': terminal prompts disabled"),
    (errors.RepositoryNotFound, "ERROR: Repository not found."),
    (
        errors.RepositoryNotFound,
        "remote: Repository not found.\nfatal: repository 'https://github.com/a/b/' not found",
    ),
    (errors.RepositoryNotFound, "fatal: '/srv/git/x.git' does not appear to be a git repository"),
    (
        errors.RepositoryNotFound,
        "remote: ERROR: The project you were looking for could not be found or you don't have permission to view it.",
    ),
    (errors.RepositoryNotFound, "This key may only read the repository /srv/git/site-content.git."),
    # Quoted text is a name and not a message.
    (errors.RepositoryNotFound, "fatal: 'Connection refused.git' does not appear to be a git repository"),
    (CommandFailed, "fatal: something new about 'Permission denied (publickey)'"),
]


@pytest.mark.parametrize(("kind", "said"), SAID)
def test_what_was_said_has_one_class(kind: type[DrystoneError], said: str) -> None:
    error = failure("Reading main of x", "ls-remote", 128, said + END, USED)
    assert error.__class__ is kind
    assert error.msg.startswith("Reading main of x: git ls-remote failed with status 128: ")
    assert error.facts["rc"] == 128
    assert "{" not in error.msg


def test_a_changed_host_key_is_told_with_its_fingerprint() -> None:
    said = (
        "WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!\r\n"
        "The fingerprint for the ED25519 key sent by the remote host is\r\nSHA256:abc/+9.\r\n"
    )
    error = failure("Reading", "ls-remote", 128, said, USED)
    assert "fingerprint (the server presents SHA256:abc/+9)" in error.msg
    assert "differs from the one in /known_hosts" in error.msg


@pytest.mark.parametrize(
    ("said", "refusal"),
    [
        ("This key may only read.", True),
        ("remote: Write access to repository not granted.\n" + HTTPS + "The requested URL returned error: 403", True),
        ("ERROR: Permission to a/b.git denied to deploy key", True),
        ("conq: repository access denied. access via a deployment key is read-only.", True),
        ("fatal: remote error: service not enabled: /x.git", True),
        ("fatal: the remote end hung up unexpectedly", False),
        ("fatal: unable to access 'https://h/read-only.git/': Couldn't do it", False),
        ("", False),
    ],
)
def test_refusals_are_told_from_other_trouble(said: str, refusal: bool) -> None:
    assert is_refusal(said) is refusal


def test_the_reasons_are_all_different() -> None:
    kinds = errors.RemoteFailed.__subclasses__()
    assert len({kind.reason for kind in kinds}) == len(kinds) >= 9


def test_a_remote_that_hangs_is_given_up_with_everything_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    ssh = tmp_path / "bin/ssh"
    ssh.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n")
    ssh.chmod(0o755)
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("PATH", f"{ssh.parent}:{os.environ['PATH']}")
    started = time.monotonic()
    git = Git(Remote("ssh://git@h/x.git", timeout=2), str(tmp_path / "work"))
    with pytest.raises(errors.RemoteUnavailable, match="did not end within 2 s"):
        git.resolve("main", "Reading")
    assert time.monotonic() - started < 20
    pid = int((tmp_path / "pid").read_text())
    for _attempt in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.05)
    else:
        os.kill(pid, signal.SIGKILL)
        pytest.fail("ssh outlived git")


def test_https_is_never_left_and_proxies_are_those_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    seen = Remote("https://h/x.git", ca_cert="/ca", credentials="/a b/c").environment("/d")
    assert (seen["GIT_ALLOW_PROTOCOL"], seen["https_proxy"], seen["GIT_SSL_CAINFO"]) == (
        "https",
        "http://proxy:3128",
        "/ca",
    )
    assert seen["GIT_CONFIG_VALUE_0"] == "store --file='/a b/c'"
    assert "https_proxy" not in Remote("ssh://h/x.git").environment("/d")
