# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Validation of the form of credentials: keys, host keys, URLs, passwords and certificates."""

from __future__ import annotations

import base64
import hashlib
import hmac
import shutil
import subprocess
import typing as t

import pytest
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

from ansible_collections.drystone.platform.plugins.module_utils._credentials import git_credential as gc
from ansible_collections.drystone.platform.plugins.module_utils._credentials import known_hosts as kh
from ansible_collections.drystone.platform.plugins.module_utils._credentials import ssh_key as sk
from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput

if t.TYPE_CHECKING:
    from pathlib import Path

OPENSSH, PKCS8, PKCS1 = s.PrivateFormat.OpenSSH, s.PrivateFormat.PKCS8, s.PrivateFormat.TraditionalOpenSSL


def private(key: t.Any, form: s.PrivateFormat = OPENSSH, password: str = "") -> str:
    protection = s.BestAvailableEncryption(password.encode()) if password else s.NoEncryption()
    return str(key.private_bytes(s.Encoding.PEM, form, protection).decode())


def public(key: t.Any) -> str:
    return str(key.public_key().public_bytes(s.Encoding.OpenSSH, s.PublicFormat.OpenSSH).decode())


ED25519 = ed25519.Ed25519PrivateKey.generate()
RSA = rsa.generate_private_key(public_exponent=65537, key_size=3072)


def ecdsa(curve: ec.EllipticCurve) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve)


# Private keys


@pytest.mark.parametrize(
    ("key", "form"),
    [
        (ED25519, OPENSSH),
        (ED25519, PKCS8),
        (RSA, OPENSSH),
        (RSA, PKCS8),
        (RSA, PKCS1),
        (ecdsa(ec.SECP256R1()), OPENSSH),
        (ecdsa(ec.SECP384R1()), PKCS1),
        (ecdsa(ec.SECP521R1()), PKCS8),
    ],
)
def test_good_keys_are_stored_as_every_openssh_reads_them(key: t.Any, form: s.PrivateFormat) -> None:
    read = sk.read_key(private(key, form), "The key")
    assert read.text.startswith("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    assert read.text.endswith("-----END OPENSSH PRIVATE KEY-----\n")
    assert sk.public_line(read.text) == read.public == public(key)


@pytest.mark.parametrize("around", ["{}", "\n\n{}\n\n", "  {}  "])
def test_white_space_around_a_key_does_no_harm(around: str) -> None:
    text = private(ED25519)
    assert sk.read_key(around.format(text), "The key").text == text
    assert sk.read_key(around.format(text).replace("\n", "\r\n"), "The key").text == text


@pytest.mark.parametrize(
    ("text", "reason", "said"),
    [
        ("", "key_unreadable", "not a valid private key"),
        ("hunter2", "key_unreadable", "in OpenSSH or PEM format"),
        (public(ED25519), "key_unreadable", "is a public key"),
        ("PuTTY-User-Key-File-3: ssh-ed25519\n", "key_unreadable", "puttygen"),
        (private(ED25519)[:200], "key_unreadable", "incomplete, damaged"),
        (private(ED25519).replace("AAAA", "AAAB", 1), "key_unreadable", "incomplete, damaged"),
        (private(RSA, PKCS8).replace("\nM", "\nN", 1), "key_unreadable", "incomplete, damaged"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "key_unreadable", "not a private key"),
        (private(ED25519, PKCS8, "secret"), "key_has_passphrase", "ssh-keygen -p"),
        (private(RSA, PKCS1, "secret"), "key_has_passphrase", "cannot be entered in the pod"),
        (private(rsa.generate_private_key(65537, 2048)), "key_too_small", "rsa key of 2048 bits"),
        (private(ecdsa(ec.SECP256K1()), PKCS8), "key_type_refused", "curve secp256k1"),
        (private(ecdsa(ec.SECP224R1()), PKCS8), "key_type_refused", "curve secp224r1"),
        (private(ed448.Ed448PrivateKey.generate(), PKCS8), "key_type_refused", "Use ed25519"),
        (private(dsa.generate_private_key(2048), PKCS8), "key_type_refused", "rsa of 3072 bits or more"),
    ],
    # Keys differ in each run, so they cannot be names of cases.
    ids=lambda value: value if len(value) < 60 and "-----" not in value else "",
)
def test_a_key_that_will_not_do_is_told_why(text: str, reason: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        sk.read_key(text, "The key of the site")
    assert caught.value.facts["reason"] == reason
    assert caught.value.msg.startswith("The key of the site ")
    # Neither the message nor a chained exception may contain the input.
    assert caught.value.__cause__ is None
    assert not any(len(line) > 20 and line in repr(caught.value) for line in text.splitlines())


@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="the one that encrypts in OpenSSH's format")
def test_openssh_keys_and_fingerprints_are_those_of_ssh_keygen(tmp_path: Path) -> None:
    for name, passphrase in (("plain", ""), ("locked", "a passphrase")):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(tmp_path / name)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    with pytest.raises(InvalidInput) as caught:
        sk.read_key((tmp_path / "locked").read_text(), "The key")
    assert caught.value.facts["reason"] == "key_has_passphrase"
    shown = subprocess.run(["ssh-keygen", "-lf", tmp_path / "plain.pub"], check=True, capture_output=True, text=True)
    assert sk.read_key((tmp_path / "plain").read_text(), "The key").fingerprint == shown.stdout.split()[1]


def test_a_key_shows_only_its_public_half() -> None:
    key = sk.read_key(sk.new_key(), "The key")
    assert key.public in repr(key)
    assert key.text not in repr(key)


# Host keys

KEYS = [public(ed25519.Ed25519PrivateKey.generate()) for _which in range(3)]


def _hashed(name: str) -> str:
    salt = b"0123456789abcdefghij"
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


@pytest.mark.parametrize(
    ("hosts", "name", "found"),
    [
        ("git.example.org", "git.example.org", True),
        ("GIT.example.org", "git.example.org", True),
        ("git.example.org", "[git.example.org]:2222", False),
        ("[git.example.org]:2222", "[git.example.org]:2222", True),
        ("[git.example.org]:2222", "git.example.org", False),
        ("other,git.example.org,192.0.2.1", "git.example.org", True),
        ("*.example.org", "git.example.org", True),
        ("*.example.org,!git.example.org", "git.example.org", False),
        ("git?.example.org", "git.example.org", False),
        ("[*.example.org]:2222", "[git.example.org]:2222", True),
        ("[::1]:2222", "[::1]:2222", True),
        (_hashed("git.example.org"), "git.example.org", True),
        (_hashed("other.example.org"), "git.example.org", False),
        ("|1|damaged", "git.example.org", False),
    ],
)
def test_a_line_is_for_the_hosts_that_openssh_takes_it_for(hosts: str, name: str, found: bool) -> None:
    text = f"# a comment\n\n{hosts} {KEYS[0]} operator@example\n"
    if found:
        (key,) = kh.host_keys(text, name, "known_hosts")
        assert key.line == text.splitlines()[2]
        assert key.fingerprint == f"ssh-ed25519 {sk.key_fingerprint(KEYS[0].split()[1])}"
    else:
        with pytest.raises(InvalidInput, match="contains no host key for"):
            kh.host_keys(text, name, "known_hosts")


def test_markers_are_kept_and_a_revoked_key_alone_is_no_host_key() -> None:
    revoked, authority = f"@revoked h {KEYS[0]}", f"@cert-authority *.org,h {KEYS[1]}"
    keys = kh.host_keys(f"{revoked}\n{authority}\n", "h", "known_hosts")
    assert [key.line for key in keys] == [revoked, authority]
    assert kh.shown(keys)[0].startswith("@revoked ssh-ed25519 SHA256:")
    with pytest.raises(InvalidInput, match="no host key for h"):
        kh.host_keys(f"{revoked}\n", "h", "known_hosts")


@pytest.mark.parametrize(
    "line",
    ["h", "h ssh-ed25519", f"h {KEYS[0][:40]}", f"h ssh-rsa {KEYS[0].split()[1]}", "h ssh-ed25519 !!!"],
    ids=["no type", "no key", "cut short", "another type", "no base64"],
)
def test_a_damaged_line_of_the_host_is_named_by_its_number(line: str) -> None:
    with pytest.raises(InvalidInput, match=r"Line 2 of known_hosts, for h, contains an incomplete key") as caught:
        kh.host_keys(f"h {KEYS[0]}\n{line}\n", "h", "known_hosts")
    assert caught.value.facts["reason"] == "host_key_unreadable"


def test_a_damaged_line_of_another_host_is_no_matter() -> None:
    assert len(kh.host_keys(f"other ssh-rsa\nh {KEYS[0]}\n", "h", "known_hosts")) == 1


def test_obtained_keys_get_the_pods_name_once_and_in_order() -> None:
    scanned = "".join(f"# comment\n[127.0.0.1]:2322 {key}\n" for key in [*reversed(KEYS), KEYS[0]])
    renamed = kh.renamed(scanned, "[git]:2222").splitlines()
    assert renamed == sorted(f"[git]:2222 {key}" for key in KEYS)


# URLs


@pytest.mark.parametrize(
    ("url", "scheme", "name"),
    [
        ("ssh://git@git.example.org/team/x.git", "ssh", "git.example.org"),
        ("ssh://git@git.example.org:22/team/x.git", "ssh", "git.example.org"),
        ("ssh://git@GIT.example.org:2222/team/x.git", "ssh", "[git.example.org]:2222"),
        ("ssh://git@[::1]:2222/team/x.git", "ssh", "[::1]:2222"),
        ("git@git.example.org:team/x.git", "ssh", "git.example.org"),
        ("git.example.org:/srv/x.git", "ssh", "git.example.org"),
        ("https://git.example.org/team/x.git", "https", "[git.example.org]:443"),
        ("https://git.example.org:8443/team/x.git", "https", "[git.example.org]:8443"),
    ],
)
def test_urls_are_taken_apart(url: str, scheme: str, name: str) -> None:
    repository = gc.read_repository(url, "The repository")
    assert (repository.url, repository.scheme, repository.host_key_name) == (url, scheme, name)


@pytest.mark.parametrize(
    "url", ["https://site:hunter22@git.example.org/x.git", "ssh://git:hunter22@h/x", "https://token-hunter22@h/x.git"]
)
def test_a_url_with_a_credential_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(InvalidInput, match="contains a credential for") as caught:
        gc.read_repository(url, "The repository")
    assert "hunter22" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/srv/x.git",
        "git://h/x.git",
        "http://h/x.git",
        "ext::sh -c id",
        "https://h",
        "https://h/",
        "https:///x",
        "ssh://h h/x",
        "ssh://git@h:99999/x",
        "-oProxyCommand=id:x",
        "ssh://[::1/x",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        gc.read_repository(url, "The repository")
    assert caught.value.facts["reason"] == "url_invalid"


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://u:p@h/x", {"p"}),
        ("https://u:p:q@h/x", {"p:q"}),
        ("https://:p@h/x", {"p"}),
        ("https://u@h:1/x", set()),
        ("git@h:x", set()),
        (None, set()),
    ],
)
def test_the_password_in_a_url_is_found_to_be_hidden(url: str | None, found: set[str]) -> None:
    assert gc.password_in(url) == found


# HTTPS


def test_a_password_from_a_file_loses_its_line_break_and_nothing_else() -> None:
    assert gc.read_https("site", " p w \r\n", None).password == " p w "


@pytest.mark.parametrize(
    ("username", "password", "ca_cert", "reason"),
    [
        (None, "x", None, "username_missing"),
        ("", "x", None, "username_missing"),
        ("site", None, None, "password_missing"),
        ("site", "\n", None, "password_missing"),
        ("site", "two\nlines", None, "password_invalid"),
        ("site", "nul\0", None, "password_invalid"),
        ("si\nte", "x", None, "username_invalid"),
        ("si:te", "x", None, "username_invalid"),
        ("site", "x", "no certificate", "ca_cert_unreadable"),
        ("site", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "ca_cert_unreadable"),
    ],
)
def test_https_credentials_that_will_not_do_are_told_why(
    username: str | None, password: str | None, ca_cert: str | None, reason: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        gc.read_https(username, password, ca_cert)
    assert caught.value.facts["reason"] == reason
    assert not (password or "").strip() or len(password or "") < 2 or str(password) not in caught.value.msg


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("https://h/x.git", "https://a%40b:p%3Aw%2F%C3%BC@h\n"),
        ("https://H:443/x.git", "https://a%40b:p%3Aw%2F%C3%BC@H:443\n"),
        ("https://[::1]:8443/x.git", "https://a%40b:p%3Aw%2F%C3%BC@[::1]:8443\n"),
    ],
)
def test_the_credential_store_has_the_host_as_git_writes_it(url: str, line: str) -> None:
    repository = gc.read_repository(url, "The repository")
    assert gc.HttpsCredential("a@b", "p:w/ü").store_line(repository) == line
