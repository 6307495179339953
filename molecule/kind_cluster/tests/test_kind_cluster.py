"""Three labelled nodes in a separate network run Pods, reach each other and provide storage."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

from drystone_testing import Kubectl, wait_until

POOL = "drystone.dev/pool"
WORKER = "node-role.kubernetes.io/worker"


@pytest.fixture(scope="module")
def nodes(kubectl: Kubectl) -> dict[str, dict[str, Any]]:
    return {node["metadata"]["name"]: node for node in kubectl.items("nodes")}


def test_three_nodes_are_ready(nodes: dict[str, Any], variables: dict[str, Any]) -> None:
    name = variables["cluster_name"]
    assert set(nodes) == {f"{name}-control-plane", f"{name}-worker", f"{name}-worker2"}
    for node in nodes.values():
        ready = [one["status"] for one in node["status"]["conditions"] if one["type"] == "Ready"]
        assert ready == ["True"], node["metadata"]["name"]
        assert node["status"]["nodeInfo"]["kubeletVersion"] == f"v{variables['kubernetes_version']}"


def test_the_workers_carry_their_labels_and_taints(nodes: dict[str, Any], variables: dict[str, Any]) -> None:
    labels = {name: node["metadata"]["labels"] for name, node in nodes.items()}
    workers = [f"{variables['cluster_name']}-worker", f"{variables['cluster_name']}-worker2"]
    assert [name for name in labels if WORKER in labels[name]] == workers
    assert sorted(labels[worker][POOL] for worker in workers) == ["apps", "platform"]
    for worker in workers:
        effects = [taint["effect"] for taint in nodes[worker]["spec"].get("taints", [])]
        assert effects == (["PreferNoSchedule"] if labels[worker][POOL] == "platform" else [])


def test_the_kubeconfig_is_its_own_and_private(variables: dict[str, Any]) -> None:
    path = Path(variables["kubeconfig"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    users = Path.home() / ".kube/config"
    assert not users.exists() or variables["cluster_name"] not in users.read_text()


def test_its_ports_are_open_on_the_loopback_address_only(host: Host, variables: dict[str, Any]) -> None:
    ports = json.loads(
        host.check_output(
            f"docker inspect --format '{{{{json .NetworkSettings.Ports}}}}' {variables['cluster_name']}-control-plane"
        )
    )
    published = {(one["HostIp"], int(one["HostPort"])) for bindings in ports.values() for one in bindings or []}
    wanted = {variables[f"{name}_port"] for name in ("api", "http", "https", "git_ssh", "git_https")}
    assert published == {("127.0.0.1", int(port)) for port in wanted}


def test_its_containers_are_on_a_network_of_their_own(host: Host, variables: dict[str, Any]) -> None:
    members = json.loads(
        host.check_output(f"docker network inspect --format '{{{{json .Containers}}}}' {variables['docker_network']}")
    )
    names = {member["Name"] for member in members.values()}
    assert variables["registry_container"] in names
    assert {name for name in names if not name.startswith(variables["cluster_name"])} == set()


def pod(
    name: str, node: str, image: str, *command: str, container: dict[str, Any] | None = None, **spec: Any
) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "nodeName": node,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "main", "image": image, "command": list(command), **(container or {})}],
            **spec,
        },
    }


def ended(kubectl: Kubectl, namespace: str, name: str) -> str:
    """Return the phase in which a Pod ended, or its phase at the timeout."""

    def phase() -> str:
        found: str = kubectl.json("get", "pod", name, f"--namespace={namespace}")["status"]["phase"]
        return found

    wait_until(lambda: phase() in ("Succeeded", "Failed"), timeout=120)
    return phase()


def test_pods_on_different_nodes_reach_each_other_by_service_name(
    kubectl: Kubectl, namespace: str, variables: dict[str, Any]
) -> None:
    name, image = variables["cluster_name"], variables["images"]["greeter"]
    server = pod("server", f"{name}-worker", image, "python3", "-m", "http.server", "8000")
    url = f"http://server.{namespace}.svc.cluster.local:8000/"
    program = (
        "import time, urllib.request\n"
        "for left in range(60, -1, -1):\n"
        "    try:\n"
        f"        print(urllib.request.urlopen({url!r}, timeout=2).status); break\n"
        "    except OSError:\n"
        "        if not left: raise\n"
        "        time.sleep(0.5)\n"
    )
    client = pod("client", f"{name}-worker2", image, "python3", "-c", program)
    service: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "server"},
        "spec": {"selector": {"app": "server"}, "ports": [{"port": 8000}]},
    }
    for thing in (server, client, service):
        thing["metadata"]["namespace"] = namespace
    kubectl.apply(server, client, service)

    assert ended(kubectl, namespace, "client") == "Succeeded", kubectl("logs", "client", f"--namespace={namespace}")
    assert kubectl("logs", "client", f"--namespace={namespace}").strip() == "200"


def test_a_claim_is_bound_and_keeps_what_is_written(
    kubectl: Kubectl, namespace: str, variables: dict[str, Any]
) -> None:
    claim: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    kubectl.apply(claim)
    volume: dict[str, Any] = {
        "container": {"volumeMounts": [{"name": "data", "mountPath": "/data"}]},
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        "securityContext": {"fsGroup": 1001},
    }
    for name, command in (("writer", "echo kept > /data/file"), ("reader", "cat /data/file")):
        made = pod(name, "", variables["images"]["greeter"], "sh", "-c", command, **volume)
        made["metadata"]["namespace"] = namespace
        del made["spec"]["nodeName"]  # the scheduler places it where the volume is
        kubectl.apply(made)
        assert ended(kubectl, namespace, name) == "Succeeded", kubectl(
            "describe", "pod", name, f"--namespace={namespace}"
        )
    assert kubectl("logs", "reader", f"--namespace={namespace}").strip() == "kept"
