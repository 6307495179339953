# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible runs it, in a separate process, against a fake API server."""

from __future__ import annotations

import base64
import json
import typing as t
from pathlib import Path

import pytest

if t.TYPE_CHECKING:
    from tests.unit.conftest import ModuleRun, RunModule
    from tests.unit.fake_api import FakeApi

ENTRIES = [{"name": "auth", "kind": "password"}, {"name": "key", "kind": "ssh_ed25519", "comment": "demo"}]


@pytest.fixture
def run(fake_api: FakeApi, tmp_path: Path, run_module: RunModule) -> RunModule:
    kubeconfig = fake_api.kubeconfig(tmp_path / "kubeconfig")
    fake_api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo"}})

    def generate(*, check: bool = False, entries: list[dict[str, t.Any]] = ENTRIES) -> ModuleRun:
        arguments = {
            "namespace": "demo",
            "name": "generated",
            "kubeconfig": kubeconfig,
            "entries": entries,
            "_ansible_verbosity": 4,
        }
        return run_module("generated_secret", arguments, check=check)

    return generate


def test_check_then_create_then_keep(run: RunModule, fake_api: FakeApi, tmp_path: Path) -> None:
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


def test_no_value_is_shown_at_any_verbosity(run: RunModule, fake_api: FakeApi) -> None:
    outputs = run().output + run().output
    secret = fake_api.find("Secret", "generated", "demo")
    assert secret is not None
    for encoded in secret["data"].values():
        value = base64.b64decode(encoded).decode()
        assert encoded not in outputs
        assert value not in outputs
        assert json.dumps(value)[1:-1] not in outputs


def test_a_given_value_reaches_the_secret_and_no_output(run: RunModule, fake_api: FakeApi) -> None:
    value = "T1&eWbYXNWG1w1^YGKDPxAWJ@^et^&kX"
    done = run(entries=[{"name": "token", "kind": "password", "value": value}])
    secret = fake_api.find("Secret", "generated", "demo")
    assert secret is not None
    assert base64.b64decode(secret["data"]["token"]).decode() == value
    assert value not in done.output
    assert json.dumps(value)[1:-1] not in done.output


def test_foreign_secret_is_refused_with_the_reason(run: RunModule, fake_api: FakeApi) -> None:
    metadata = {"name": "generated", "namespace": "demo"}
    fake_api.put({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {}})
    refused = run()
    assert refused.code == 1
    assert "Drystone did not create it" in refused.result["msg"]


def test_a_certificate_is_returned_and_its_key_is_not(run: RunModule, fake_api: FakeApi) -> None:
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
