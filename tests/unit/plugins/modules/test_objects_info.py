# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

if t.TYPE_CHECKING:
    from tests.unit.conftest import ModuleRun, RunModule
    from tests.unit.fake_api import FakeApi


@pytest.fixture
def read(fake_api: FakeApi, tmp_path: Path, run_module: RunModule) -> t.Callable[..., ModuleRun]:
    kubeconfig = fake_api.kubeconfig(tmp_path / "kubeconfig")
    for namespace in ("dev", "staging", "other"):
        metadata = {"name": "greeter", "namespace": namespace, "labels": {"in": namespace}}
        fake_api.put({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [{"port": 1}]}})
    return lambda **options: run_module("objects_info", {"kubeconfig": kubeconfig, **options})


def places(done: ModuleRun) -> list[str]:
    assert done.code == 0, done.output
    return [f"{one['metadata']['namespace']}/{one['metadata']['name']}" for one in done.result["objects"]]


def test_objects_of_the_namespaces_are_listed_without_managed_fields(read: t.Callable[..., ModuleRun]) -> None:
    done = read(kind="Service", namespaces=["dev", "staging"])
    assert places(done) == ["dev/greeter", "staging/greeter"]
    assert done.result["changed"] is False
    assert {one["kind"] for one in done.result["objects"]} == {"Service"}
    assert not any("managedFields" in one["metadata"] for one in done.result["objects"])


def test_without_namespaces_all_are_listed(read: t.Callable[..., ModuleRun]) -> None:
    assert sorted(places(read(kind="Service"))) == ["dev/greeter", "other/greeter", "staging/greeter"]
    assert places(read(kind="Service", selector="in=other")) == ["other/greeter"]


def test_one_object_is_there_or_not(read: t.Callable[..., ModuleRun]) -> None:
    assert places(read(kind="Service", namespaces=["dev"], name="greeter")) == ["dev/greeter"]
    assert places(read(kind="Service", namespaces=["dev"], name="other")) == []


def test_nothing_secret_is_returned(read: t.Callable[..., ModuleRun], fake_api: FakeApi) -> None:
    metadata = {"name": "a", "namespace": "dev", "annotations": {"last-applied": "canary-1"}}
    fake_api.put({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"password": "canary-2"}})
    done = read(kind="Secret", namespaces=["dev"])
    assert places(done) == ["dev/a"]
    assert "canary" not in done.output


def test_a_refused_request_is_no_empty_list(
    read: t.Callable[..., ModuleRun], fake_api: FakeApi, fault: t.Callable[..., t.Any]
) -> None:
    fake_api.faults.append(fault("GET .*/services", status=403, message="services is forbidden"))
    done = read(kind="Service", namespaces=["dev"])
    assert done.code == 1
    assert "objects" not in done.result
    assert "services is forbidden" in done.result["msg"]


def test_an_unknown_kind_is_named(read: t.Callable[..., ModuleRun]) -> None:
    assert "Gadget" in read(kind="Gadget").result["msg"]
