# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Invalid descriptions of a cluster: all errors are reported together, each with its exact place."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput
from ansible_collections.drystone.platform.plugins.module_utils._kind.spec import ClusterSpec
from ansible_collections.drystone.platform.plugins.module_utils._kind.validate import parse

CONTROL_PLANE: dict[str, t.Any] = {"role": "control-plane"}


def described(**changes: t.Any) -> ClusterSpec:
    base = {"name": "demo", "image": "node:1", "nodes": [CONTROL_PLANE], "network": "demo", "api_port": 16443}
    return parse({**base, **changes})


def problems(**changes: t.Any) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        described(**changes)
    assert "nothing was changed" in caught.value.msg
    found: list[str] = caught.value.facts["problems"]
    assert all(problem in caught.value.msg for problem in found)
    return found


def worker(labels: dict[t.Any, t.Any] | None = None, *taints: dict[str, t.Any]) -> dict[str, t.Any]:
    return {"nodes": [CONTROL_PLANE, {"role": "worker", "labels": labels or {}, "taints": list(taints)}]}


@pytest.mark.parametrize(
    "name",
    ["Demo", "demo_1", "-demo", "demo-", "", "a..b", "a.-b", "démo", "demo\n", "demo;rm", "{{ x }}", "a" * 50],
)
def test_wrong_names(name: str) -> None:
    assert problems(name=name)[0].startswith(f"name: {name!r}")


@pytest.mark.parametrize("name", ["a", "demo", "demo.1-2", "a" * 49])
def test_right_names(name: str) -> None:
    assert described(name=name).nodes[0].name == f"{name}-control-plane"


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"a b": "x"}, "key 'a b': the name must be"),
        ({"": "x"}, "key '': the name must be"),
        ({"x" * 64: "x"}, "the name must be 1 to 63"),
        ({"-a": "x"}, "key '-a'"),
        ({"Prefix/a": "x"}, "the prefix before '/' must be a DNS name"),
        ({"/a": "x"}, "the prefix before '/' must be a DNS name"),
        ({"a/b/c": "x"}, "the prefix before '/' must be a DNS name"),
        ({1: "x"}, "key 1 is int, not a string: put it in quotes"),
        ({"a": True}, "value True is bool, not a string: put it in quotes"),
        ({"a": 1}, "value 1 is int, not a string"),
        ({"a": None}, "value None is NoneType, not a string"),
        ({"a": "x y"}, "value 'x y' must be empty or 1 to 63"),
        ({"a": "x\n"}, "must be empty or 1 to 63"),
        ({"a": "{{ x }}"}, "must be empty or 1 to 63"),
        ({"a": "x" * 64}, "must be empty or 1 to 63"),
        ({"kubernetes.io/hostname": "x"}, "is set by the kubelet"),
        ({"kubernetes.io/arch": "x"}, "is set by the kubelet"),
        ({"kubernetes.io/role": "x"}, "reserved by Kubernetes"),
        ({"k8s.io/x": "x"}, "reserved by Kubernetes"),
        ({"app.kubernetes.io/name": "x"}, "reserved by Kubernetes"),
        ({"node-role.kubernetes.io/control-plane": ""}, "marks control planes, but this node is a worker"),
    ],
)
def test_wrong_labels_name_the_node_and_the_key(labels: dict[t.Any, t.Any], expected: str) -> None:
    (problem,) = problems(**worker(labels))

    assert problem.startswith("nodes[1] (demo-worker).labels")
    assert expected in problem


@pytest.mark.parametrize(
    "key",
    [
        "node-role.kubernetes.io/worker",
        "node.kubernetes.io/exclude-from-external-load-balancers",
        "team.node-restriction.kubernetes.io/x",
        "topology.kubernetes.io/zone",
        "drystone.dev/pool",
        "notkubernetes.io/x",
        "a",
        "A_b.c-d",
    ],
)
def test_right_labels(key: str) -> None:
    assert described(**worker({key: ""})).nodes[1].labels == {key: ""}


def test_a_control_plane_may_describe_its_own_role() -> None:
    nodes = [{"role": "control-plane", "labels": {"node-role.kubernetes.io/control-plane": ""}}]

    assert described(nodes=nodes).nodes[0].labels


@pytest.mark.parametrize(
    ("taints", "expected"),
    [
        ([{"key": "a", "effect": "Never"}], "effect 'Never' must be one of NoSchedule, PreferNoSchedule, NoExecute"),
        ([{"key": "a b", "effect": "NoSchedule"}], "key 'a b'"),
        ([{"key": "a", "value": "x y", "effect": "NoSchedule"}], "value 'x y'"),
        ([{"key": "a", "effect": "NoSchedule"}, {"key": "a", "value": "b", "effect": "NoSchedule"}], "is listed twice"),
        ([{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}], "by the node controller of Kubernetes"),
    ],
)
def test_wrong_taints_name_the_node_and_the_taint(taints: list[dict[str, str]], expected: str) -> None:
    (problem,) = problems(**worker({}, *taints))

    assert problem.startswith(f"nodes[1] (demo-worker).taints[{len(taints) - 1}]: ")
    assert expected in problem


def test_one_key_may_have_two_effects() -> None:
    taints = [{"key": "a", "effect": effect} for effect in ("NoSchedule", "NoExecute")]

    assert len(described(**worker({}, *taints)).nodes[1].taints) == 2


@pytest.mark.parametrize("count", [0, 2, 3])
def test_exactly_one_control_plane(count: int) -> None:
    nodes = [CONTROL_PLANE] * count + [{"role": "worker"}]

    assert problems(nodes=nodes) == [f"nodes: exactly one control-plane is supported, but {count} are described"]


def mapping(host_port: int, container_port: int, protocol: str = "TCP") -> dict[str, t.Any]:
    return {"host_port": host_port, "container_port": container_port, "protocol": protocol}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"api_port": 0}, "api_port: 0 is not a port (1 to 65535)"),
        ({"port_mappings": [mapping(65536, 1)]}, "port_mappings[0].host_port: 65536 is not a port (1 to 65535)"),
        ({"port_mappings": [mapping(80, 0)]}, "port_mappings[0].container_port: 0 is not a port (1 to 65535)"),
        ({"port_mappings": [mapping(16443, 80)]}, "port_mappings[0].host_port: 16443 is also api_port"),
        (
            {"port_mappings": [mapping(80, 1), mapping(80, 2)]},
            "port_mappings[1].host_port: 80 is also port_mappings[0].host_port",
        ),
        (
            {"port_mappings": [mapping(80, 1), mapping(81, 1)]},
            "port_mappings[1].container_port: 1 is also that of port_mappings[0]",
        ),
        (
            {"port_mappings": [mapping(80, 6443)]},
            "port_mappings[0].container_port: 6443 is also that of the API server",
        ),
        (
            {"mounts": [{"host_path": "srv", "container_path": "/data"}]},
            "mounts[0].host_path: 'srv' is not an absolute path",
        ),
        (
            {"mounts": [{"host_path": "/srv", "container_path": "/etc/drystone/owner/"}]},
            "mounts[0].container_path: /etc/drystone/owner is used by another mount",
        ),
        *(
            (
                {"mounts": [{"host_path": "/srv", "container_path": "/data", "files": {path: "x"}}]},
                f"mounts[0].files[{path}]: the key must be a relative path in host_path, such as a/b.toml",
            )
            for path in ("/etc/passwd", "../up", "a/../../up", "..", ".", "a//b", "a/", "", 1)
        ),
        (
            {"mounts": [{"host_path": "/srv", "container_path": "/data", "files": {"a": {"b": 1}}}]},
            "mounts[0].files[a]: the content is dict, not a string",
        ),
        (
            {"kubeadm_config_patches": [{"maxPods": 1}]},
            "kubeadm_config_patches[0]: a patch without `kind` has no effect. Add one",
        ),
    ],
)
def test_other_mistakes(changes: dict[str, t.Any], expected: str) -> None:
    assert problems(**changes) == [expected]


def test_every_mistake_is_told_at_once() -> None:
    found = problems(name="Demo", api_port=0, **worker({"a b": "x y"}, {"key": "a", "effect": "Never"}))

    assert [problem.split(":")[0] for problem in found] == [
        "name",
        "nodes[1] (Demo-worker).labels",
        "nodes[1] (Demo-worker).labels[a b]",
        "nodes[1] (Demo-worker).taints[0]",
        "api_port",
    ]


def test_nodes_are_named_as_kind_names_them() -> None:
    nodes = [{"role": "worker"}, CONTROL_PLANE, {"role": "worker"}, {"role": "worker"}]

    assert [node.name for node in described(nodes=nodes).nodes] == [
        "demo-worker",
        "demo-control-plane",
        "demo-worker2",
        "demo-worker3",
    ]


def test_kind_config_leaves_labels_to_the_api_and_patches_without_api_version() -> None:
    config = described(
        **worker({"a": "b"}), kubeadm_config_patches=[{"kind": "KubeletConfiguration", "maxPods": 20}]
    ).kind_config("/state/owner-1")

    assert "labels" not in config["nodes"][1]
    assert [json.loads(patch) for patch in config["kubeadmConfigPatches"]] == [
        {"kind": "KubeletConfiguration", "maxPods": 20}
    ]
