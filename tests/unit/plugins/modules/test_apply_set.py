# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible runs it, in a separate process, against a fake API server."""

from __future__ import annotations

import base64
import json
import os
import signal
import typing as t
from pathlib import Path

import pytest

if t.TYPE_CHECKING:
    from tests.unit.conftest import ModuleRun, RunModule
    from tests.unit.fake_api import FakeApi


@pytest.fixture
def run(fake_api: FakeApi, tmp_path: Path, run_module: RunModule) -> RunModule:
    kubeconfig = fake_api.kubeconfig(tmp_path / "kubeconfig")

    def apply(*objects: dict[str, t.Any], check: bool = False, **params: t.Any) -> ModuleRun:
        arguments = {
            "name": "demo",
            "namespace": "demo",
            "kubeconfig": kubeconfig,
            "objects": list(objects),
            **params,
        }
        # The environment must have no effect, even if it points to another cluster.
        environ = {"KUBECONFIG": "/nowhere", "HTTP_PROXY": "http://[::]:1"}
        return run_module("apply_set", arguments, check=check, environ=environ)

    return apply


def _namespace() -> dict[str, t.Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo"}}


def _config(name: str, **data: str) -> dict[str, t.Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def _actions(run: ModuleRun) -> dict[str, str]:
    return {entry["name"]: entry["action"] for entry in run.result["objects"]}


def test_apply_again_check_change_and_remove(run: RunModule, fake_api: FakeApi) -> None:
    predicted = run(_namespace(), _config("a", k="1"), check=True)
    assert predicted.result["changed"] is True
    assert fake_api.writes == []

    first = run(_namespace(), _config("a", k="1"))
    assert first.result["changed"] is True
    assert _actions(first) == {"demo": "created", "a": "created"} == _actions(predicted)
    assert first.result["diff"] == predicted.result["diff"]

    versions = fake_api.versions_of_all()
    again = run(_namespace(), _config("a", k="1"))
    assert again.result["changed"] is False
    assert again.result["diff"] == []
    assert fake_api.versions_of_all() == versions

    changed = run(_namespace(), _config("a", k="2"))
    assert _actions(changed) == {"demo": "unchanged", "a": "configured"}
    assert "k: '1'" in changed.result["diff"][0]["before"]
    assert "k: '2'" in changed.result["diff"][0]["after"]

    gone = run(state="absent")
    assert _actions(gone) == {"a": "pruned", "demo": "released"}
    assert fake_api.names("ConfigMap") == []
    assert run(state="absent").result["changed"] is False


def test_manifests_are_a_string_or_a_list_of_strings(run: RunModule, fake_api: FakeApi) -> None:
    text = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: demo}\n---\n# nothing\n---\n" + json.dumps(
        _config("a")
    )
    assert _actions(run(manifests=text)) == {"demo": "created", "a": "created"}
    assert _actions(run(manifests=[text])) == {"demo": "unchanged", "a": "unchanged"}


def test_secret_values_appear_nowhere(run: RunModule, fake_api: FakeApi) -> None:
    canary, other = "canary-7f3a-first", "canary-7f3a-second"

    def secret(value: str, **more: t.Any) -> dict[str, t.Any]:
        metadata = {"name": "login", "namespace": "default"}
        data = {"old": base64.b64encode(other.encode()).decode()}
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "stringData": {"p": value},
            "data": data,
            **more,
        }

    runs = [
        run(secret(canary), namespace="default"),
        run(secret(other), namespace="default", check=True),
        run(secret(other), namespace="default"),
        run(secret(canary, type=7, spec={"bogus": 1}), namespace="default"),
        run(secret(canary), namespace="default", state="presnt"),
        run(secret(canary), namespace="default", timeout="long"),
        run({**secret(canary), "stringData": {"p": [canary]}}, namespace="default"),
        run(manifests=f"kind: Secret\nstringData: {{p: {canary}, :", namespace="default"),
        run("{" + canary, namespace="default"),
    ]
    assert [each.code for each in runs] == [0, 0, 0, 1, 1, 1, 1, 1, 1]
    for each in runs:
        for value in (canary, other):
            assert value not in each.output
            assert base64.b64encode(value.encode()).decode() not in each.output
    after = runs[2].result["diff"][0]
    assert "p: sha256:" in after["before"]
    assert after["before"] != after["after"]
    assert "login" in runs[3].result["msg"]
    live = fake_api.find("Secret", "login", "default")
    assert live is not None
    assert base64.b64decode(live["data"]["p"]).decode() == other


def test_a_short_secret_that_is_a_name_does_not_star_out_the_result(run: RunModule) -> None:
    metadata = {"name": "application", "namespace": "default"}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"user": "application"}}
    done = run(secret, namespace="default")
    assert done.result["objects"][0]["name"] == "application"


def test_errors_are_results_and_not_tracebacks(run: RunModule, fake_api: FakeApi, tmp_path: Path) -> None:
    unknown = run({"apiVersion": "apps/v1", "kind": "Deploymnt", "metadata": {"name": "x"}})
    assert unknown.result["failed"] is True
    assert "serves no apps/v1 Deploymnt" in unknown.result["msg"]
    assert "Deployment" in unknown.result["msg"]
    nowhere = run(_namespace(), kubeconfig=str(tmp_path / "none"))
    assert (
        nowhere.result["msg"]
        == f"Reading kubeconfig {tmp_path / 'none'}: the file does not exist. Create the cluster first."
    )
    assert fake_api.writes == []


@pytest.mark.parametrize("write", [2, 4])
def test_killed_at_any_write_then_run_again(run: RunModule, fake_api: FakeApi, write: int) -> None:
    objects = [_namespace(), *(_config(name, k="1") for name in "abcd")]
    first = run(_namespace(), _config("old"))
    assert first.code == 0
    before = len(fake_api.writes)
    killed: list[int] = []

    def children(process: int) -> list[int]:
        return [int(one) for one in Path(f"/proc/{process}/task/{process}/children").read_text().split()]

    def kill(count: int) -> None:
        if count == before + write:
            for server in children(os.getpid()):
                if b"module_server" in Path(f"/proc/{server}/cmdline").read_bytes():
                    killed.extend(children(server))
            for module in killed:
                os.kill(module, signal.SIGKILL)

    fake_api.on_write = kill
    assert run(*objects).code == -signal.SIGKILL
    assert len(killed) == 1
    fake_api.on_write = lambda count: None
    assert run(*objects).code == 0
    assert fake_api.names("ConfigMap") == ["a", "b", "c", "d", "drystone-demo"]
    assert run(*objects).result["changed"] is False
