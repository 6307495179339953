# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible runs it: a process of its own against a server over HTTP."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

if t.TYPE_CHECKING:
    from tests.unit.fake_api import FakeApi

_RUN = """
import json, sys
from ansible.module_utils.testing import patch_module_args
from ansible_collections.drystone.platform.plugins.modules import generated_secret
with patch_module_args(json.load(sys.stdin)):
    generated_secret.main()
"""
ENTRIES = [{"name": "auth", "kind": "password"}, {"name": "key", "kind": "ssh_ed25519", "comment": "demo"}]


class Run(t.NamedTuple):
    code: int
    result: dict[str, t.Any]
    output: str


@pytest.fixture
def run(fake_api: FakeApi, tmp_path: Path) -> t.Callable[..., Run]:
    kubeconfig = fake_api.kubeconfig(tmp_path / "kubeconfig")
    fake_api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo"}})

    def run_module(*, check: bool = False, entries: list[dict[str, t.Any]] = ENTRIES) -> Run:
        arguments = {
            "namespace": "demo",
            "name": "generated",
            "kubeconfig": kubeconfig,
            "entries": entries,
            "_ansible_check_mode": check,
            "_ansible_diff": True,
            "_ansible_verbosity": 4,
        }
        done = subprocess.run(
            [sys.executable, "-c", _RUN],
            input=json.dumps(arguments),
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert done.stdout, done.stderr
        return Run(done.returncode, json.loads(done.stdout), done.stdout + done.stderr)

    return run_module


def test_check_then_create_then_keep(run: t.Callable[..., Run], fake_api: FakeApi, tmp_path: Path) -> None:
    entries = [{**ENTRIES[1], "path": str(tmp_path / "key")}]
    checked = run(check=True, entries=entries)
    assert checked.result["changed"]
    assert fake_api.find("Secret", "generated", "demo") is None
    created = run(entries=entries)
    assert (created.result["action"], created.result["changed"]) == ("created", True)
    again = run(entries=entries)
    assert (again.result["action"], again.result["changed"]) == ("unchanged", False)
    assert again.result["public_keys"] == created.result["public_keys"]
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_no_value_is_shown_at_any_verbosity(run: t.Callable[..., Run], fake_api: FakeApi) -> None:
    outputs = run().output + run().output
    secret = fake_api.find("Secret", "generated", "demo")
    assert secret is not None
    for encoded in secret["data"].values():
        value = base64.b64decode(encoded).decode()
        assert encoded not in outputs
        assert value not in outputs
        assert json.dumps(value)[1:-1] not in outputs


def test_foreign_secret_is_refused_with_the_reason(run: t.Callable[..., Run], fake_api: FakeApi) -> None:
    metadata = {"name": "generated", "namespace": "demo"}
    fake_api.put({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {}})
    refused = run()
    assert refused.code == 1
    assert "was not made by Drystone" in refused.result["msg"]


def test_a_certificate_is_returned_and_its_key_is_not(run: t.Callable[..., Run], fake_api: FakeApi) -> None:
    done = run(entries=[{"name": "server.pem", "kind": "tls_certificate", "hosts": ["localhost"]}])
    secret = fake_api.find("Secret", "generated", "demo")
    assert secret is not None
    value = base64.b64decode(secret["data"]["server.pem"]).decode()
    assert value.endswith(done.result["certificates"]["server.pem"])
    key = value.removesuffix(done.result["certificates"]["server.pem"]).splitlines()[1:-1]
    assert key
    assert [line for line in key if line in done.output] == []
    refused = run(entries=[{"name": "server.pem", "kind": "tls_certificate"}])
    assert "hosts" in refused.result["msg"]
