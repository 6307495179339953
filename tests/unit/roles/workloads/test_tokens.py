# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The token of hello on its whole way: inventory, vault, Secret, environment of the service, curl."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml

from app.hello.tests.test_process import curl, hello

if t.TYPE_CHECKING:
    from tests.unit.fake_api import FakeApi

ROOT = Path(__file__).resolve().parents[4]
TOKEN = "T1&eWbYXNWG1w1^YGKDPxAWJ@^et^&kX"
REFUSAL = "workloads_hello_token must be one line of printable text without spaces at its ends"
BIN = Path(sys.executable).parent
PLAY = """\
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: drystone.platform.workloads
        tasks_from: tokens
"""

Run = t.Callable[..., "subprocess.CompletedProcess[str]"]


def command(folder: Path, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    environment["ANSIBLE_VAULT_PASSWORD_FILE"] = str(folder / "password")
    return subprocess.run(
        [str(BIN / arguments[0]), *arguments[1:]],
        cwd=ROOT,
        env=environment,
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def run(tmp_path: Path, fake_api: FakeApi) -> Run:
    """Return a function that creates the tokens with an encrypted value in the inventory."""
    (tmp_path / "password").write_text("of the vault")
    (tmp_path / "play.yml").write_text(PLAY)
    for name in ("dev", "qa"):
        fake_api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    host = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "workloads_kubeconfig": fake_api.kubeconfig(tmp_path / "kubeconfig"),
        "drystone_environments": ["dev", "qa"],
        "workloads_tools_dir": str(tmp_path),
    }
    (tmp_path / "kubectl").write_text('#!/bin/sh\nprintf "%s\\n" "$*" >> "$0.calls"\n')
    (tmp_path / "kubectl").chmod(0o755)

    def create(token: str | None) -> subprocess.CompletedProcess[str]:
        text = yaml.safe_dump({"all": {"hosts": {"here": host}}})
        if token is not None:
            vaulted = command(tmp_path, "ansible-vault", "encrypt_string", "--stdin-name=token", given=token)
            assert vaulted.returncode == 0, vaulted.stderr
            (tmp_path / "group_vars").mkdir(exist_ok=True)
            (tmp_path / "group_vars/all.yml").write_text(vaulted.stdout.replace("token:", "workloads_hello_token:", 1))
        (tmp_path / "hosts.yml").write_text(text)
        return command(
            tmp_path, "ansible-playbook", "-vvv", f"--inventory={tmp_path}/hosts.yml", f"{tmp_path}/play.yml"
        )

    return create


def token_of(fake_api: FakeApi, namespace: str) -> str:
    secret = fake_api.find("Secret", "hello", namespace)
    assert secret is not None
    return base64.b64decode(secret["data"]["token"]).decode()


def test_the_token_of_the_document_survives_from_the_inventory_to_curl(run: Run, fake_api: FakeApi) -> None:
    done = run(TOKEN)
    assert done.returncode == 0, done.stdout + done.stderr
    assert TOKEN not in done.stdout + done.stderr
    with hello(AUTH_TOKEN=token_of(fake_api, "qa")) as (_process, url):
        assert curl(url, "--header", f"X-Auth-Token: {TOKEN}") == (200, "Hello World\n")
        assert curl(url, "--header", "X-Auth-Token: another")[0] == 401


def test_without_a_token_each_environment_gets_one_that_stays(run: Run, fake_api: FakeApi) -> None:
    done = run(None)
    assert done.returncode == 0, done.stdout + done.stderr
    made = [token_of(fake_api, name) for name in ("dev", "qa")]
    assert len(set(made)) == 2
    again = run(None)
    assert "changed=0" in again.stdout
    assert [token_of(fake_api, name) for name in ("dev", "qa")] == made
    assert "changed=1" in run(TOKEN).stdout
    assert [token_of(fake_api, name) for name in ("dev", "qa")] == [TOKEN, TOKEN]


@pytest.mark.parametrize(
    ("owner", "patched", "field"),
    [
        ({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout"}, "Rollout.v1alpha1.argoproj.io", '{"restartAt": '),
        ({"apiVersion": "apps/v1", "kind": "Deployment"}, "Deployment.v1.apps", '{"template": '),
    ],
)
def test_a_changed_token_restarts_hello_in_its_environment_once(
    run: Run, fake_api: FakeApi, tmp_path: Path, owner: dict[str, str], patched: str, field: str
) -> None:
    for number in (1, 2):
        metadata = {
            "name": f"hello-{number}",
            "namespace": "qa",
            "labels": {"app.kubernetes.io/name": "hello"},
            "ownerReferences": [{**owner, "name": "hello", "uid": "1", "controller": True}],
        }
        fake_api.put({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata})
    calls = tmp_path / "kubectl.calls"
    assert run(None).returncode == 0
    assert not calls.exists()
    done = run(TOKEN)
    assert done.returncode == 0, done.stdout + done.stderr
    (call,) = calls.read_text().splitlines()
    assert call.startswith(f"--namespace=qa patch {patched} hello --type=merge --patch=")
    assert field in call
    assert "changed=0" in run(TOKEN).stdout


@pytest.mark.parametrize("token", ["one\ntwo", " one", "one\n"])
def test_an_invalid_token_is_refused_and_changes_nothing(run: Run, fake_api: FakeApi, token: str) -> None:
    done = run(token)
    assert done.returncode != 0
    assert REFUSAL in done.stdout
    assert "two" not in done.stdout.replace("between", "")
    assert fake_api.find("Secret", "hello", "dev") is None
