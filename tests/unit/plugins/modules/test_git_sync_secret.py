# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules as Ansible runs them, in separate processes, with real git and a fake API server."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import typing as t
from urllib.parse import quote

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._credentials.ssh_key import new_key, public_line

if t.TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.fake_api import FakeApi
    from tests.unit.fake_git import FakeGit

_RUN = """
import importlib, json, sys
from ansible.module_utils.testing import patch_module_args
module = importlib.import_module("ansible_collections.drystone.platform.plugins.modules." + sys.argv[1])
with patch_module_args(json.load(sys.stdin)):
    module.main()
"""
CANARY = "canary-7f3a9c51d2"
NAME = "site-git-credentials"


class Run(t.NamedTuple):
    code: int
    result: dict[str, t.Any]
    output: str


Runner = t.Callable[..., Run]


@pytest.fixture
def run(fake_api: FakeApi, fake_git: FakeGit, tmp_path: Path) -> Runner:
    kubeconfig = fake_api.kubeconfig(tmp_path / "kubeconfig")
    fake_api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "dev"}})

    def run_module(module: str = "git_sync_secret", *, check: bool = False, **options: t.Any) -> Run:
        arguments = {"kubeconfig": kubeconfig, "namespace": "dev", "name": NAME, **options}
        arguments |= {"_ansible_check_mode": check, "_ansible_diff": True, "_ansible_verbosity": 4}
        done = subprocess.run(
            [sys.executable, "-c", _RUN, module],
            input=json.dumps(arguments),
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert done.stdout, done.stderr
        return Run(done.returncode, json.loads(done.stdout), done.stdout + done.stderr)

    return run_module


def _key(fake_git: FakeGit) -> str:
    key = new_key()
    fake_git.authorize(public_line(key))
    return key


def _ssh(fake_git: FakeGit, **options: t.Any) -> dict[str, t.Any]:
    return {"repository": fake_git.ssh_url, "known_hosts": fake_git.known_hosts, **options}


def _https(fake_git: FakeGit, **options: t.Any) -> dict[str, t.Any]:
    return {"repository": fake_git.https_url, "username": "site", "ca_cert": fake_git.ca_cert, **options}


def _forms(secret: str) -> set[str]:
    """Return the forms in which a secret could appear: whole, by line, escaped and encoded."""
    lines = {line for line in secret.splitlines() if line and "-----" not in line}
    whole = {secret, secret.strip()}
    encoded = {base64.b64encode(text.encode()).decode() for text in whole} | {quote(text, safe="") for text in whole}
    return lines | whole | encoded | {json.dumps(text)[1:-1] for text in whole}


def assert_unseen(text: str, *secrets: str) -> None:
    for secret in secrets:
        for form in _forms(secret):
            assert form not in text


def test_a_given_key_from_prediction_to_repetition(run: Runner, fake_git: FakeGit, fake_api: FakeApi) -> None:
    options = _ssh(fake_git, private_key=_key(fake_git), require_read_only=True)
    checked = run(check=True, **options).result
    assert fake_api.find("Secret", NAME, "dev") is None
    created = run(**options).result
    again = run(**options).result
    assert [run["changed"] for run in (checked, created, again)] == [True, True, False]
    assert checked["diff"] == created["diff"]
    assert created["diff"]["before"] == {"current": None, "staged": None, "previous": None}
    assert created["diff"]["after"]["current"]["fingerprint"] == created["fingerprint"]
    assert again["diff"]["before"] == again["diff"]["after"]
    assert (created["commit"], created["auth"], created["rotated"]) == (fake_git.commit, "ssh", False)


def test_a_generated_key_from_staging_to_use_and_rotation(run: Runner, fake_git: FakeGit, fake_api: FakeApi) -> None:
    staged = run(state="staged", generate=True).result
    assert (staged["action"], staged["staged"], staged["commit"]) == ("staged", True, None)
    refused = run(generate=True, **_ssh(fake_git))
    assert refused.code == 1
    assert refused.result["reason"] == "permission_denied"
    assert refused.result["public_key"] == staged["public_key"]
    fake_git.authorize(staged["public_key"])
    assert run(generate=True, **_ssh(fake_git)).result["public_key"] == staged["public_key"]
    rotation = run(state="staged", generate=True, rotate=True).result
    fake_git.authorize(rotation["public_key"])
    rotated = run(generate=True, **_ssh(fake_git)).result
    assert (rotated["rotated"], rotated["public_key"]) == (True, rotation["public_key"])
    assert run(state="absent").result["action"] == "deleted"
    assert fake_api.names("Secret") == []


def test_a_replaced_key_is_kept_until_it_is_refused_and_not_shown(
    run: Runner, fake_git: FakeGit, fake_api: FakeApi
) -> None:
    old, new = _key(fake_git), _key(fake_git)
    assert run(state="checked", **_ssh(fake_git, private_key=old)).result["commit"] == fake_git.commit
    assert fake_api.names("Secret") == []
    run(**_ssh(fake_git, private_key=old))
    replaced = run(**_ssh(fake_git, private_key=new, keep_previous=True))
    assert (replaced.result["rotated"], replaced.result["diff"]["after"]["previous"]["auth"]) == (True, "ssh")
    early = run(state="retired", **_ssh(fake_git))
    assert (early.code, early.result["reason"]) == (1, "still_accepted")
    kept = run("git_sync_secret_info")
    assert kept.result["previous_fingerprint"] in early.result["msg"]
    fake_git.withdraw(public_line(old))
    retired = run(state="retired", **_ssh(fake_git))
    assert (retired.result["action"], retired.result["reason"]) == ("deleted", "permission_denied")
    assert fake_api.names("Secret") == [NAME]
    assert_unseen("".join(one.output for one in (replaced, early, kept, retired)), old, new)


def test_files_serve_as_well_as_values(run: Runner, fake_git: FakeGit, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(_key(fake_git).strip())
    assert run(private_key_file=str(tmp_path / "key"), **_ssh(fake_git)).result["action"] == "created"
    (tmp_path / "token").write_text("correct-horse\n")
    assert run(password_file=str(tmp_path / "token"), **_https(fake_git)).result["action"] == "configured"
    missing = run(password_file=str(tmp_path / "missing"), **_https(fake_git))
    assert missing.result["reason"] == "file_unreadable"
    assert "The password_file " in missing.result["msg"]


@pytest.mark.parametrize("outcome", ["created", "refused", "repeated"])
def test_no_form_of_a_key_is_seen_at_any_verbosity(
    run: Runner, fake_git: FakeGit, tmp_path: Path, outcome: str
) -> None:
    given, filed = new_key(), new_key()
    if outcome != "refused":
        fake_git.authorize(public_line(given))
        fake_git.authorize(public_line(filed))
    (tmp_path / "key").write_text(filed)
    seen = run(private_key=given, require_read_only=True, **_ssh(fake_git)).output
    seen += run(private_key_file=str(tmp_path / "key"), check=outcome == "repeated", **_ssh(fake_git)).output
    if outcome == "repeated":
        seen += run("git_sync_secret_info", check=True).output
        seen += run("git_sync_secret_info").output
    seen += fake_git.log.read_text()
    assert_unseen(seen, given, filed)


def test_no_form_of_a_generated_key_is_seen_at_any_verbosity(run: Runner, fake_git: FakeGit, fake_api: FakeApi) -> None:
    seen = run(state="staged", generate=True).output
    secret = fake_api.find("Secret", f"{NAME}-staged", "dev")
    assert secret is not None
    key = base64.b64decode(secret["data"]["ssh"]).decode()
    seen += run(generate=True, **_ssh(fake_git)).output
    fake_git.authorize(public_line(key))
    seen += run(generate=True, **_ssh(fake_git)).output + run(state="staged", generate=True, rotate=True).output
    seen += run("git_sync_secret_info", check=True, check_repository=fake_git.ssh_url).output
    assert_unseen(seen + fake_git.log.read_text(), key)


@pytest.mark.parametrize("works", [True, False])
def test_no_form_of_a_password_is_seen_even_where_the_server_repeats_it(
    run: Runner, fake_git: FakeGit, fake_api: FakeApi, tmp_path: Path, works: bool
) -> None:
    fake_git.users["site"] = (CANARY, "read-only")
    (tmp_path / "token").write_text(CANARY)
    options = _https(fake_git)
    seen = run(password=CANARY, **options).output if works else ""
    fake_git.status, fake_git.body = (0, "") if works else (403, "You sent AUTHORIZATION")
    seen += run(password=CANARY, **options).output
    seen += run(password_file=str(tmp_path / "token"), **options).output
    seen += run("git_sync_secret_info", check=True, repository=fake_git.https_url).output
    assert_unseen(seen, CANARY, f"site:{CANARY}")
    assert ("created" in seen) is works


def test_a_password_in_the_url_is_refused_and_not_repeated(run: Runner, fake_git: FakeGit) -> None:
    url = fake_git.https_url.replace("https://", f"https://site:{CANARY}@")
    refused = run(**_https(fake_git, repository=url, password="another-one"))
    assert "contains a credential for localhost" in refused.result["msg"]
    asked = run("git_sync_secret_info", check=True, repository=url)
    assert_unseen(refused.output + asked.output, CANARY)


def test_a_broken_key_is_not_quoted_back(run: Runner, fake_git: FakeGit) -> None:
    broken = new_key()[:250]
    refused = run(private_key=broken, **_ssh(fake_git))
    assert refused.result["reason"] == "key_unreadable"
    assert_unseen(refused.output, broken)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "state is present but all of the following are missing: repository"),
        ({"repository": "git@h:x", "private_key": "a" * 9, "private_key_file": "b"}, "mutually exclusive"),
        ({"repository": "https://h/x", "password": "a" * 9, "password_file": "b"}, "mutually exclusive"),
        ({"state": "checked"}, "state is checked but all of the following are missing: repository"),
        ({"repository": "git@h:x", "auth": "agent"}, "value of auth must be one of: ssh, https"),
    ],
)
def test_options_that_cannot_be_right_are_named(run: Runner, options: dict[str, t.Any], said: str) -> None:
    refused = run(**options)
    assert refused.code == 1
    assert said in refused.result["msg"]


def test_a_secret_of_somebody_else_is_refused_with_the_reason(
    run: Runner, fake_git: FakeGit, fake_api: FakeApi
) -> None:
    metadata = {"name": NAME, "namespace": "dev"}
    fake_api.put({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {}})
    refused = run(private_key=_key(fake_git), **_ssh(fake_git))
    assert (refused.code, refused.result["reason"]) == (1, "not_ours")
    assert run("git_sync_secret_info").result["ours"] is False
