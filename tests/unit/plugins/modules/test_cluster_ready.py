# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.drystone.platform.plugins.module_utils._ready.argspec import CONDITIONS
from ansible_collections.drystone.platform.plugins.modules import cluster_ready

if t.TYPE_CHECKING:
    from tests.unit.conftest import ModuleRun, RunModule
    from tests.unit.fake_api import FakeApi

_NODES = {"nodes": {"count": 1}}


@pytest.fixture
def run(run_module: RunModule) -> RunModule:
    def wait(*conditions: dict[str, t.Any], check: bool = False, **params: t.Any) -> ModuleRun:
        arguments = {"conditions": list(conditions), "timeout": 1, **params}
        return run_module("cluster_ready", arguments, check=check, environ={"KUBECONFIG": "/nowhere"})

    return wait


@pytest.fixture
def kubeconfig(fake_api: FakeApi, tmp_path: Path) -> str:
    return fake_api.kubeconfig(tmp_path / "kubeconfig")


def ready_node(ready: str) -> dict[str, t.Any]:
    status = {"conditions": [{"type": "Ready", "status": ready}]}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "one"}, "status": status}


def test_ready_cluster(run: RunModule, fake_api: FakeApi, kubeconfig: str) -> None:
    fake_api.put(ready_node("True"))
    done = run(_NODES, kubeconfig=kubeconfig)
    assert done.code == 0
    assert done.result["changed"] is False
    assert done.result["ready"] is True
    assert fake_api.writes == []


def test_deadline_fails_with_reasons_as_text_and_as_data(run: RunModule, fake_api: FakeApi, kubeconfig: str) -> None:
    fake_api.put(ready_node("Unknown"))
    done = run(_NODES, kubeconfig=kubeconfig)
    assert done.code == 1
    assert done.result["failed"] is True
    assert done.result["msg"].splitlines()[1:] == [
        "1 node (0 of 1 ready):",
        "  - Node one: condition Ready is Unknown [for 1 s]",
    ]
    assert 1 <= done.result["elapsed"] < 10
    assert done.result["conditions"][0]["unmet"][0]["name"] == "one"


def test_check_mode_looks_once_and_does_not_fail(run: RunModule, fake_api: FakeApi, kubeconfig: str) -> None:
    fake_api.put(ready_node("False"))
    done = run(_NODES, kubeconfig=kubeconfig, check=True, timeout=600)
    assert (done.code, done.result["ready"]) == (0, False)
    fake_api.put(ready_node("True"))
    assert run(_NODES, kubeconfig=kubeconfig, check=True).result["ready"] is True


def test_check_mode_before_there_is_a_cluster(run: RunModule, tmp_path: Path) -> None:
    missing = str(tmp_path / "kubeconfig")
    done = run(_NODES, kubeconfig=missing, check=True)
    assert (done.code, done.result["ready"]) == (0, False)
    assert done.result["conditions"][0]["reason"].startswith(f"kubeconfig {missing} does not exist: ")
    failed = run(_NODES, kubeconfig=missing)
    assert failed.code == 1
    assert "the file does not exist" in failed.result["msg"]


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ([], "conditions is empty"),
        ([{}], "one of the following is required: workloads, nodes"),
        ([{**_NODES, "crds": {"names": ["a"]}}], "parameters are mutually exclusive: workloads|nodes|crds"),
        ([{"nodes": {"cuont": 3}}], "module: conditions.nodes.cuont. Supported parameters include: count, selector"),
        ([{"nodes": {"count": "three"}}], "cannot be converted"),
        ([{"nodes": {"count": 0}}], "Condition 1 (nodes): count is 0."),
        (
            [{"workloads": {"namespaces": ["dev"], "kinds": ["Deploy"]}}],
            "must be one or more of: Deployment, StatefulSet",
        ),
        ([{"crds": {}}], "missing required arguments: names found in conditions -> crds"),
        ([{"resources": {"api_version": "v1", "kind": "Pod", "expression": "a ||"}}], "is not valid JMESPath"),
        ([_NODES], "Set kubeconfig: all conditions except http"),
        (
            [{"http": {"url": "http://127.0.0.1:9/", "secret_headers": [{}]}}],
            "missing required arguments: header, key, name, namespace found in conditions -> http -> secret_headers",
        ),
    ],
)
def test_wrong_input_is_refused_at_once(run: RunModule, conditions: list[dict[str, t.Any]], message: str) -> None:
    done = run(*conditions, timeout=600)
    assert done.code == 1
    assert message in done.result["msg"]


def test_a_condition_s_own_timeout_ends_the_wait_and_is_named(run: RunModule) -> None:
    http = {"url": "http://127.0.0.1:9/"}
    done = run({"http": http, "timeout": 0}, {"http": {"url": "http://127.0.0.1:10/"}, "timeout": 0}, timeout=600)
    assert done.code == 1
    assert done.result["msg"].startswith("Not ready after 0 s: 2 of 2 conditions do not hold.")


def test_http_alone_needs_no_kubeconfig_and_the_token_is_not_shown(run: RunModule) -> None:
    http = {"url": "http://127.0.0.1:9/", "bearer_token": "canary-token"}
    done = run({"http": http}, timeout=0)
    assert done.code == 1
    assert "no answer: [Errno 111] Connection refused" in done.result["msg"]
    assert "canary-token" not in done.output


def test_examples_are_valid_conditions() -> None:
    tasks = yaml.safe_load(cluster_ready.EXAMPLES)
    examples = [task["drystone.platform.cluster_ready"] for task in tasks if "drystone.platform.cluster_ready" in task]
    assert len(examples) >= 3
    for example in examples:
        for condition in example["conditions"]:
            assert isinstance(condition.pop("timeout", 0), int)
            ((name, options),) = condition.items()
            assert set(options) <= set(CONDITIONS[name])
