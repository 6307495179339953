# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole module with fake docker and kind programs."""

from __future__ import annotations

import copy
import json
import os
import signal
import socket
import stat
import typing as t
from pathlib import Path

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._host.proc import Listener, Proc
from tests.unit.plugins.modules.kind_cluster.conftest import Host

NAME = "demo"
POOL = "drystone.dev/pool"
WORKER_LABEL = "node-role.kubernetes.io/worker"
ALL = [f"{NAME}-control-plane", f"{NAME}-worker", f"{NAME}-worker2"]


def classes(result: dict[str, t.Any]) -> list[tuple[str, str, str]]:
    return [(one["class"], one["action"], one["target"]) for one in result["plan"]]


def tree(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


def nonce(host: Host) -> str:
    (owner,) = host.state_dir.glob("owner-*")
    return owner.name.removeprefix("owner-")


def with_labels(host: Host, number: int, labels: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    nodes: list[dict[str, t.Any]] = copy.deepcopy(host.params["nodes"])
    nodes[number]["labels"] = labels
    return nodes


# Create


def test_creates_cluster_network_kubeconfig_labels_and_taints(host: Host) -> None:
    result = host.run()

    assert classes(result) == [("create", "create_network", NAME), ("create", "create_cluster", NAME)]
    assert host.containers() == dict.fromkeys(ALL, "running")
    assert stat.S_IMODE(host.kubeconfig.stat().st_mode) == 0o600
    assert stat.S_IMODE(host.state_dir.stat().st_mode) == 0o700
    assert host.labels(f"{NAME}-worker")[WORKER_LABEL] == ""
    assert host.labels(f"{NAME}-worker2")[POOL] == "platform"
    assert host.node(f"{NAME}-worker2")["spec"]["taints"] == [
        {"key": POOL, "value": "platform", "effect": "PreferNoSchedule"}
    ]
    control_plane_taints = host.node(f"{NAME}-control-plane")["spec"]["taints"]
    assert [one["key"] for one in control_plane_taints] == ["node-role.kubernetes.io/control-plane"]
    (network,) = host.read()["networks"].values()
    assert network["Labels"] == {"drystone.dev/cluster": NAME, "drystone.dev/owner": nonce(host)}
    assert result["node_names"] == ALL
    assert result["diff"]["before"] == {}
    assert result["diff"]["after"]["nodes"][f"{NAME}-worker"]["labels"] == {WORKER_LABEL: "", POOL: "apps"}


def test_second_run_changes_and_writes_nothing(cluster: Host) -> None:
    patches = cluster.read()["patches"]
    files = tree(cluster.state_dir)
    result = cluster.run()

    assert not result["changed"]
    assert result["plan"] == []
    assert result["diff"]["before"] == result["diff"]["after"]
    assert cluster.writes() == []
    assert cluster.read()["patches"] == patches
    assert {path: text for path, text in tree(cluster.state_dir).items() if not path.endswith("/lock")} == {
        path: text for path, text in files.items() if not path.endswith("/lock")
    }


def test_kind_sees_only_our_kubeconfig_and_network(host: Host) -> None:
    host.run()
    environment = host.read()["environment"]

    assert environment["KUBECONFIG"].startswith(str(host.state_dir))
    assert environment["KIND_EXPERIMENTAL_DOCKER_NETWORK"] == NAME
    assert "KIND_CLUSTER_NAME" not in environment
    assert not (host.directory / "home").exists()


def test_owner_file_is_mounted_read_only_into_every_node(host: Host) -> None:
    host.run()
    (owner,) = host.state_dir.glob("owner-*")
    mounts = [one["extraMounts"][-1] for one in host.read()["config"]["nodes"]]

    assert mounts == [{"hostPath": str(owner), "containerPath": "/etc/drystone/owner", "readOnly": True}] * 3


def test_ports_listen_on_loopback_only(host: Host) -> None:
    host.run(port_mappings=[{"host_port": host.port + 1, "container_port": 30080}])
    config = host.read()["config"]

    assert config["networking"] == {"apiServerAddress": "127.0.0.1", "apiServerPort": host.port}
    assert config["nodes"][0]["extraPortMappings"][0]["listenAddress"] == "127.0.0.1"
    assert "extraPortMappings" not in config["nodes"][1]


def test_network_has_the_mtu_of_the_default_bridge(host: Host) -> None:
    with host.world() as world:
        world["mtu"] = "1400"
    host.run()
    (network,) = host.read()["networks"].values()

    assert network["Options"] == {"com.docker.network.driver.mtu": "1400"}


def test_check_mode_predicts_creation_and_makes_nothing(host: Host) -> None:
    with host.world() as world:
        world["images"] = {}
    predicted = host.run(check=True, kind_binary="no-such-kind")

    assert predicted["changed"]
    assert host.writes() == []
    assert not host.state_dir.exists()
    with host.world() as world:
        world["images"] = {host.params["image"]: "sha256:1"}
    done = host.run()
    assert (predicted["plan"], predicted["diff"]) == (done["plan"], done["diff"])


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        ("image", "does not have the image drystone.local/node:v1.0.0"),
        ("kind", "Looking for no-such-kind"),
        ("engine", "unix:///"),
    ],
)
def test_missing_prerequisite_makes_nothing(host: Host, problem: str, text: str) -> None:
    changes: dict[str, t.Any] = {}
    with host.world() as world:
        if problem == "image":
            world["images"] = {}
        if problem == "engine":
            world["engine"] = "down"
    if problem == "kind":
        changes = {"kind_binary": "no-such-kind"}
    result = host.run(**changes)

    assert result["failed"]
    assert text in result["msg"]
    assert host.writes() == []
    assert not host.state_dir.exists()


@pytest.mark.parametrize("check", [True, False])
def test_busy_port_is_named_and_makes_nothing(host: Host, check: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        result = host.run(check, port_mappings=[{"host_port": port, "container_port": 30080}])

    assert result["failed"]
    assert f"host ports are in use, so nothing was changed. 127.0.0.1:{port}->30080/tcp: " in result["msg"]
    assert result["ports"] == [port]
    assert host.writes() == []
    assert not host.state_dir.exists()


def test_busy_port_names_its_process(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = Listener(host.port, 42, "nginx", "nginx -g daemon off;")
    monkeypatch.setattr(Proc, "listeners", lambda _self, ports: dict.fromkeys(ports, listener))

    assert f"127.0.0.1:{host.port}->6443/tcp: process 42 (nginx -g daemon off;) listens on it" in host.run()["msg"]


def test_failed_creation_tells_the_end_of_the_output_and_removes_only_our_containers(host: Host) -> None:
    with host.world() as world:
        world["kind_fails_after"] = 2
        world.add_node("other", "other-control-plane", {"role": "control-plane", "image": "x"}, 1, "kind")
    result = host.run()

    assert result["failed"]
    assert "address already in use" in result["msg"]
    assert "line 59" in result["msg"]
    assert "line 3\n" not in result["msg"]
    assert list(host.containers()) == ["other-control-plane"]
    with host.world() as world:
        del world["kind_fails_after"]
    assert not host.run()["failed"]
    assert set(host.containers()) == {*ALL, "other-control-plane"}


def test_creation_that_takes_too_long_is_ended(host: Host) -> None:
    with host.world() as world:
        world["kind_pause"] = 30
    result = host.run(create_timeout=1)

    assert result["failed"]
    assert "did not finish within 1 s (create_timeout)" in result["msg"]
    assert host.containers() == {}


# Ownership


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("state", ["present", "absent"])
def test_foreign_cluster_is_refused_with_evidence_and_left_alone(host: Host, state: str, check: bool) -> None:
    host.foreign_node(f"{NAME}-control-plane")
    with host.world() as world:
        for one in world["containers"].values():
            one["State"]["Status"] = "exited"
    before = host.read()
    result = host.run(check, recreate=True) if state == "present" else host.absent(check)

    assert result["failed"]
    assert f"{NAME}-control-plane" in result["msg"]
    assert "exited, created 2026-11-01T10:00:00Z" in result["msg"]
    assert result["containers"][0]["networks"] == ["kind"]
    assert host.writes() == []
    assert not host.state_dir.exists()
    after = host.read()
    assert (after["containers"], after["networks"]) == (before["containers"], before["networks"])


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("state", ["present", "network"])
@pytest.mark.parametrize(
    ("labels", "mark"),
    [
        ({}, "labels: none); it has no owner nonce"),
        ({"drystone.dev/cluster": NAME}, f"labels: drystone.dev/cluster={NAME}); it has no owner nonce"),
        ({"drystone.dev/owner": "0" * 32}, "it has the owner nonce of another state directory"),
    ],
)
def test_foreign_network_is_refused_with_evidence_and_left_alone(
    host: Host, labels: dict[str, str], mark: str, state: str, check: bool
) -> None:
    with host.world() as world:
        world.add_network(NAME, labels)
    result = host.run(check) if state == "present" else host.network(check)

    assert result["failed"]
    assert f"Docker network {NAME} exists, but Drystone did not create it" in result["msg"]
    assert mark in result["msg"]
    assert "docker network rm 0000" in result["msg"]
    assert host.writes() == []
    assert not host.state_dir.exists()


def test_a_network_of_ours_that_somebody_replaced_is_refused(cluster: Host) -> None:
    with cluster.world() as world:
        world["networks"] = {}
        world.add_network(NAME, {})
    assert "Drystone did not create it" in cluster.run(recreate=True)["msg"]
    assert cluster.writes() == []


def test_one_foreign_node_among_ours_stops_everything(cluster: Host) -> None:
    owner = [{"hostPath": "/elsewhere/owner-" + "0" * 32, "containerPath": "/etc/drystone/owner", "readOnly": True}]
    cluster.foreign_node(f"{NAME}-worker3", extraMounts=owner)
    files = tree(cluster.state_dir)
    for result in (cluster.run(recreate=True), cluster.absent()):
        assert result["failed"]
        assert "the owner nonce of another state directory" in result["msg"]
        assert "3 other containers belong to this cluster" in result["msg"]
    assert cluster.writes() == []
    assert {name: text for name, text in tree(cluster.state_dir).items() if not name.endswith("/lock")} == {
        name: text for name, text in files.items() if not name.endswith("/lock")
    }


def test_ownership_survives_a_state_cut_short(cluster: Host) -> None:
    for path in cluster.state_dir.glob("*"):
        if path.name != "kubeconfig":
            path.write_text("")
    result = cluster.run()

    assert not result["failed"]
    assert not result["changed"]


def test_asked_to_end_it_takes_kind_along(host: Host) -> None:
    with host.world() as world:
        world["kind_pause"] = 1
    process = host.start()
    while not host.containers():
        assert process.poll() is None
    process.terminate()
    process.communicate(timeout=30)
    left = len(host.containers())
    with host.world() as world:
        world["kind_pause"] = 0
    result = host.run()

    assert process.returncode == 128 + signal.SIGTERM
    assert left < len(ALL)
    assert not result["failed"], result["msg"]
    assert host.containers() == dict.fromkeys(ALL, "running")


@pytest.mark.parametrize("state", ["present", "absent"])
def test_users_own_kubeconfig_is_refused(host: Host, state: str) -> None:
    own = str(host.directory / "home" / ".kube" / "config")
    result = host.run(kubeconfig=own) if state == "present" else host.absent(kubeconfig=own)

    assert result["failed"]
    assert "the user's default file" in result["msg"]
    assert host.read()["calls"] == []


def test_kubeconfig_with_other_clusters_is_neither_overwritten_nor_removed(host: Host) -> None:
    shared = host.directory / "shared"
    text = json.dumps({"clusters": [{"name": "prod", "cluster": {}}]})
    shared.write_text(text)
    refused = host.run(kubeconfig=str(shared))
    host.run()
    kept = host.absent(kubeconfig=str(shared))

    assert refused["failed"]
    assert "other clusters: prod" in refused["msg"]
    assert kept["kept"] == [f"kubeconfig {shared}: it contains other clusters: prod"]
    assert shared.read_text() == text


# Kills


@pytest.mark.parametrize(
    "moment",
    [
        "before docker network create",
        "after docker network create",
        "before kind node 0",
        "before kind node 1",
        "before kind node 2",
        "before kind end",
    ],
)
def test_killed_in_creation_the_next_run_converges(host: Host, moment: str) -> None:
    host.run_killed(moment)
    left = set(host.containers())
    predicted = host.run(check=True)
    result = host.run()

    assert not result["failed"], result["msg"]
    assert predicted["plan"] == result["plan"]
    assert ("recreate" in {one["class"] for one in result["plan"]}) == bool(left)
    assert host.containers() == dict.fromkeys(ALL, "running")
    assert not host.run()["changed"]
    assert not list(host.state_dir.glob(".kind-*"))


def test_killed_after_creation_before_labels_the_next_run_sets_them(host: Host) -> None:
    host.run_killed("before kind get kubeconfig")
    ids = set(host.read()["containers"])
    result = host.run()

    assert {one[0] for one in classes(result)} == {"in_place"}
    assert set(host.read()["containers"]) == ids
    assert host.labels(f"{NAME}-worker")[POOL] == "apps"


def test_an_orphaned_kind_keeps_the_lock_until_it_is_done(host: Host) -> None:
    with host.world() as world:
        world["kind_pause"] = 0.4
    process = host.start({"FAKE_KILL": "before kind node 1", "FAKE_KILL_ORPHAN": "lives"})
    process.wait(timeout=30)
    busy = host.run()
    result = host.run(lock_timeout=20)

    assert busy["failed"]
    assert f"a command of process {process.pid}, which has ended," in busy["msg"]
    assert not result["failed"], result["msg"]
    assert host.containers() == dict.fromkeys(ALL, "running")


@pytest.mark.parametrize(
    "moment", ["before docker container rm", "after docker container rm", "after docker network rm"]
)
def test_killed_in_removal_the_next_removal_ends_at_nothing(cluster: Host, moment: str) -> None:
    cluster.run_killed(moment, state="absent")
    cluster.absent()

    assert cluster.containers() == {}
    assert cluster.read()["networks"] == {}
    assert not cluster.state_dir.exists()


def test_killed_in_removal_a_creation_makes_a_whole_cluster(cluster: Host) -> None:
    cluster.run_killed("before docker container rm", state="absent")
    cluster.remove_container(f"{NAME}-worker")
    result = cluster.run()

    assert [one[:2] for one in classes(result)] == [("recreate", "remove_nodes"), ("recreate", "create_cluster")]
    assert "a previous run was killed during its delete" in result["plan"][0]["reason"]
    assert cluster.containers() == dict.fromkeys(ALL, "running")


@pytest.mark.parametrize("changes", [{"state": "absent"}, {"recreate": True, "api_port": 1}])
def test_killed_before_anything_was_removed_the_cluster_is_still_one(cluster: Host, changes: dict[str, t.Any]) -> None:
    before = cluster.containers()
    cluster.run_killed("before docker container rm", **changes)
    assert cluster.started()["interrupted"] == ""
    result = cluster.run()

    assert (result["failed"], result["plan"]) == (False, [])
    assert cluster.containers() == before


def test_two_runs_at_once_never_interleave(host: Host) -> None:
    with host.world() as world:
        world["kind_pause"] = 0.4
    first = host.start()
    while "config" not in host.read():
        assert first.poll() is None
    second = host.run()
    output, _error = first.communicate(timeout=30)

    assert second["failed"]
    assert f"process {first.pid} still holds" in second["msg"]
    assert json.loads(output)["changed"]
    assert len(host.calls("kind", "create")) <= 1


# Stopped and missing nodes


def test_stopped_nodes_are_started_control_plane_first(cluster: Host) -> None:
    cluster.set_status("exited", *ALL)
    cluster.set_status("paused", f"{NAME}-worker2")
    predicted = cluster.run(check=True)
    result = cluster.run()

    assert classes(result) == [("start", "start_node", name) for name in ALL]
    assert predicted["plan"] == result["plan"]
    assert predicted["diff"] == result["diff"]
    started = [one.split()[2] for one in cluster.writes()]
    assert started == ["start", "start", "unpause"]
    assert cluster.containers() == dict.fromkeys(ALL, "running")
    assert not cluster.run()["changed"]


def test_one_killed_worker_is_started_and_nothing_else(cluster: Host) -> None:
    cluster.set_status("exited", f"{NAME}-worker")
    result = cluster.run()

    assert classes(result) == [("start", "start_node", f"{NAME}-worker")]
    assert result["diff"]["before"]["nodes"][f"{NAME}-worker"]["container"] == "exited"
    assert len(cluster.writes()) == 1


def test_start_puts_a_lost_kubeconfig_back(cluster: Host) -> None:
    cluster.set_status("exited", *ALL)
    cluster.kubeconfig.unlink()
    result = cluster.run()

    assert ("in_place", "write_kubeconfig", f"kind-{NAME}") in classes(result)
    assert cluster.kubeconfig.exists()


@pytest.mark.parametrize("check", [True, False])
def test_removed_worker_is_refused_unless_recreation_is_allowed(cluster: Host, check: bool) -> None:
    cluster.remove_container(f"{NAME}-worker2")
    result = cluster.run(check)

    assert result["failed"]
    assert f"node {NAME}-worker2 is described, but has no container (3 nodes described, 2 found)" in result["msg"]
    assert "recreate: true" in result["msg"]
    assert cluster.writes() == []
    allowed = cluster.run(check, recreate=True)
    assert [one[0] for one in classes(allowed)] == ["recreate", "recreate"]
    assert set(cluster.containers()) == set(ALL[:2] if check else ALL)


@pytest.mark.parametrize("workers", [1, 3])
def test_other_number_of_nodes_is_refused(cluster: Host, workers: int) -> None:
    result = cluster.run(nodes=[{"role": "control-plane"}, *[{"role": "worker"}] * workers])

    assert result["failed"]
    assert f"({workers + 1} nodes described, 3 found)" in result["msg"]
    assert cluster.writes() == []


def test_node_that_never_registered_is_named(cluster: Host) -> None:
    with cluster.world() as world:
        world["unregistered"] = [f"{NAME}-worker"]
    result = cluster.run()

    assert result["failed"]
    assert f"the container of {NAME}-worker runs" in result["msg"]
    assert result["missing"] == [f"{NAME}-worker"]


# Differences


def free_port() -> int:
    """Return an unused port of this host, because the module checks the ports of the real host."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


HTTP_PORT, OTHER_API_PORT = free_port(), free_port()


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        (
            {"image": "drystone.local/node:v2"},
            "runs image drystone.local/node:v1.0.0, but drystone.local/node:v2 is described",
        ),
        (
            {"port_mappings": [{"host_port": HTTP_PORT, "container_port": 30080}]},
            f"node {NAME}-control-plane lacks port 127.0.0.1:{HTTP_PORT}->30080/tcp",
        ),
        ({"api_port": OTHER_API_PORT}, f"lacks port 127.0.0.1:{OTHER_API_PORT}->6443/tcp"),
        (
            {"mounts": [{"host_path": "/srv", "container_path": "/data", "read_only": True}]},
            f"node {NAME}-worker lacks mount /srv:/data:ro",
        ),
        ({"network": "elsewhere"}, f"is in network {NAME} instead of elsewhere"),
        (
            {"kubeadm_config_patches": [{"kind": "KubeletConfiguration", "maxPods": 20}]},
            "kubeadm_config_patches differ: described [{'kind': 'KubeletConfiguration', 'maxPods': 20}]",
        ),
        ({"containerd_config_patches": ["version = 2"]}, "containerd_config_patches differ"),
    ],
    ids=["image", "port", "api_port", "mount", "network", "kubeadm", "containerd"],
)
def test_what_only_creation_can_set_is_refused_exactly(
    cluster: Host, changes: dict[str, t.Any], difference: str
) -> None:
    with cluster.world() as world:
        world["images"]["drystone.local/node:v2"] = "sha256:2"
        if "network" in changes:
            world.add_network("elsewhere", {"drystone.dev/owner": nonce(cluster)})
    ids = set(cluster.read()["containers"])
    refused = cluster.run(**changes)

    assert refused["failed"]
    assert difference in refused["msg"]
    assert {one["class"] for one in refused["plan"]} == {"refuse"}
    assert set(cluster.read()["containers"]) == ids
    allowed = cluster.run(**changes, recreate=True)
    assert not allowed["failed"], allowed["msg"]
    assert not set(cluster.read()["containers"]) & ids
    assert not cluster.run(**changes)["changed"]


def test_recreation_that_could_not_succeed_removes_nothing(cluster: Host) -> None:
    result = cluster.run(image="drystone.local/node:missing", recreate=True)

    assert result["failed"]
    assert "does not have the image drystone.local/node:missing" in result["msg"]
    assert cluster.containers() == dict.fromkeys(ALL, "running")
    assert not cluster.run()["changed"]


def test_image_built_again_under_its_name_is_no_difference(cluster: Host) -> None:
    with cluster.world() as world:
        world["images"][cluster.params["image"]] = "sha256:3"

    assert not cluster.run()["changed"]


# Labels and taints


@pytest.mark.parametrize("check", [True, False])
def test_changed_label_is_the_only_change(cluster: Host, check: bool) -> None:
    result = cluster.run(check, nodes=with_labels(cluster, 1, {WORKER_LABEL: "", POOL: "other"}))

    assert classes(result) == [("in_place", "patch_node", f"{NAME}-worker")]
    before, after = result["diff"]["before"], result["diff"]["after"]
    after["nodes"][f"{NAME}-worker"]["labels"][POOL] = "apps"
    assert before == after
    assert cluster.labels(f"{NAME}-worker")[POOL] == ("apps" if check else "other")
    assert cluster.writes() == []


def test_label_taken_from_the_description_goes_and_foreign_ones_stay(cluster: Host) -> None:
    with cluster.world() as world:
        node = next(one for one in world["nodes"].values() if one["metadata"]["name"] == f"{NAME}-worker")
        node["metadata"]["labels"]["somebody/else"] = "yes"
    cluster.run(nodes=with_labels(cluster, 1, {WORKER_LABEL: ""}))

    labels = cluster.labels(f"{NAME}-worker")
    assert POOL not in labels
    assert labels["somebody/else"] == "yes"
    assert WORKER_LABEL in labels


def test_patch_that_loses_a_race_is_made_again(cluster: Host) -> None:
    with cluster.world() as world:
        world["races"] = 2
    result = cluster.run(nodes=with_labels(cluster, 1, {WORKER_LABEL: "", POOL: "other"}))

    assert not result["failed"]
    labels = cluster.labels(f"{NAME}-worker")
    assert (labels[POOL], labels["raced"]) == ("other", "yes")


def test_kubeconfig_is_repaired_but_additions_are_the_users(cluster: Host) -> None:
    document = json.loads(cluster.kubeconfig.read_text())
    document["contexts"][0]["context"]["namespace"] = "dev"
    cluster.kubeconfig.write_text(json.dumps(document))
    assert not cluster.run()["changed"]

    document["clusters"][0]["cluster"]["server"] = "https://prod.example.com"
    cluster.kubeconfig.write_text(json.dumps(document))
    result = cluster.run()
    assert classes(result) == [("in_place", "write_kubeconfig", f"kind-{NAME}")]
    assert "server differ" in result["plan"][0]["reason"]

    cluster.kubeconfig.chmod(0o644)
    assert "mode 0644" in cluster.run()["plan"][0]["reason"]
    assert not cluster.run()["changed"]


# Prefetch


def test_nodes_prefetch_what_is_meant_for_them(host: Host) -> None:
    with host.world() as world:
        world["kind_pause"] = 0.3
        world["unpullable"] = ["r/missing:1"]
    result = host.run(
        prefetch=[
            {"reference": "r/all:1", "nodes": "all"},
            {"reference": "r/platform:1", "labels": {POOL: "platform"}},
            {"reference": "r/missing:1", "nodes": "control-plane"},
        ]
    )

    assert not result["failed"]
    pulled = {(one["node"], one["reference"]): one["error"] for one in result["prefetch"]}
    assert set(pulled) == {
        *((name, "r/all:1") for name in ALL),
        (f"{NAME}-worker2", "r/platform:1"),
        (f"{NAME}-control-plane", "r/missing:1"),
    }
    errors = [error for error in pulled.values() if error]
    assert len(errors) == 1
    assert "failed to resolve reference r/missing:1" in errors[0]
    assert sorted(map(tuple, host.read()["pulled"])) == sorted(key for key, error in pulled.items() if not error)


def test_nothing_is_pulled_before_the_api_server_listens(host: Host) -> None:
    with host.world() as world:
        world["kind_pause"] = 0.3
        world["deaf"] = 2
    result = host.run(prefetch=[{"reference": "r/all:1", "nodes": "all"}])

    assert [one["error"] for one in result["prefetch"]] == ["", "", ""]
    calls = [(call[2], call[3]) for call in host.calls("docker", "exec")]
    first_pull = [program for _node, program in calls].index("ctr")
    assert calls[:first_pull] == [(f"{NAME}-control-plane", "bash")] * first_pull
    assert first_pull > 2
    assert host.read()["deaf"] == 0


# Files that nodes mount


def mounted(host: Host, text: str) -> list[dict[str, t.Any]]:
    path = str(host.state_dir / "certs.d")
    return [
        {"host_path": path, "container_path": "/etc/containerd/certs.d", "files": {"r.example:5000/hosts.toml": text}}
    ]


def test_files_are_there_before_the_nodes_and_anyone_may_read_them(host: Host) -> None:
    old = os.umask(0o077)
    try:
        predicted = host.run(check=True, mounts=mounted(host, "a\n"))
        assert not host.state_dir.exists()
        result = host.run(mounts=mounted(host, "a\n"))
    finally:
        os.umask(old)
    path = host.state_dir / "certs.d/r.example:5000/hosts.toml"

    assert classes(result)[:3] == [
        ("create", "create_network", NAME),
        ("in_place", "write_file", str(path)),
        ("create", "create_cluster", NAME),
    ]
    assert (predicted["plan"], predicted["diff"]) == (result["plan"], result["diff"])
    assert result["diff"]["after"]["files"] == {str(path): ["a"]}
    assert path.read_text() == "a\n"
    modes = [stat.S_IMODE(one.stat().st_mode) for one in (path, path.parent, path.parents[1])]
    assert modes == [0o644, 0o755, 0o755]
    assert not host.run(mounts=mounted(host, "a\n"))["changed"]


@pytest.mark.parametrize("check", [True, False])
def test_a_file_that_differs_is_the_only_change(host: Host, check: bool) -> None:
    host.run(mounts=mounted(host, "a\n"))
    path = host.state_dir / "certs.d/r.example:5000/hosts.toml"
    (path.parent / "another").write_text("of the user")
    result = host.run(check, mounts=mounted(host, "b\n"))

    assert result["plan"] == [
        {"class": "in_place", "action": "write_file", "target": str(path), "reason": "its content differs"}
    ]
    before, after = result["diff"]["before"], result["diff"]["after"]
    assert (before.pop("files"), after.pop("files")) == ({str(path): ["a"]}, {str(path): ["b"]})
    assert before == after
    assert path.read_text() == ("a\n" if check else "b\n")
    assert sorted(one.name for one in path.parent.iterdir()) == ["another", "hosts.toml"]


def test_a_file_that_cannot_be_written_stops_before_anything_is_made(host: Host) -> None:
    host.state_dir.mkdir(parents=True)
    (host.state_dir / "certs.d").write_text("in the way")
    result = host.run(mounts=mounted(host, "a\n"))

    assert result["failed"]
    assert result["msg"].startswith(
        f"Reading {host.state_dir}/certs.d/r.example:5000/hosts.toml, which the nodes mount: "
    )
    assert result["msg"].endswith("Give this user access to it, or remove it.")
    assert host.containers() == {}


# Absent


def test_absent_removes_everything_of_ours_and_nothing_else(cluster: Host) -> None:
    with cluster.world() as world:
        other = world.add_node("other", "other-control-plane", {"role": "control-plane", "image": "x"}, 1, "kind")
    predicted = cluster.absent(check=True)
    assert set(cluster.containers()) == {*ALL, "other-control-plane"}
    result = cluster.absent()

    assert [one["action"] for one in result["plan"]] == ["remove_nodes", "remove_network", "remove_files"]
    assert predicted["plan"] == result["plan"]
    assert list(cluster.read()["containers"]) == [other]
    assert cluster.read()["networks"] == {}
    assert not cluster.state_dir.exists()
    again = cluster.absent()
    assert (again["changed"], again["plan"]) == (False, [])
    assert not cluster.state_dir.exists()


def test_absent_keeps_what_others_use_and_the_proof_that_it_is_ours(cluster: Host) -> None:
    (cluster.state_dir / "certs.d").mkdir()
    mark = nonce(cluster)
    with cluster.world() as world:
        (network,) = world["networks"].values()
        registry = world.add_node("none", "registry", {"role": "", "image": "x"}, 1, NAME)
    predicted = cluster.absent(check=True)
    result = cluster.absent()

    assert predicted["plan"] == result["plan"]
    assert result["kept"] == [f"network {NAME}: in use by containers {registry[:12]}"]
    assert cluster.read()["networks"] == {network["Id"]: network}
    assert sorted(path.name for path in cluster.state_dir.iterdir()) == ["certs.d", f"owner-{mark}"]
    assert not cluster.absent()["changed"]
    assert not cluster.run()["failed"]
    cluster.absent()
    cluster.remove_container("registry")
    assert classes(cluster.absent())[0] == ("remove", "remove_network", NAME)
    assert [path.name for path in cluster.state_dir.iterdir()] == ["certs.d"]
    assert not cluster.absent()["changed"]


def test_absent_keeps_a_network_of_somebody_else(cluster: Host) -> None:
    with cluster.world() as world:
        world["networks"] = {}
        world.add_network(NAME, {"drystone.dev/cluster": NAME})
    result = cluster.absent()

    (kept,) = result["kept"]
    assert kept.startswith(f"network {NAME} (0000")
    assert kept.endswith(f"labels: drystone.dev/cluster={NAME}): Drystone did not create it for cluster {NAME}")
    assert len(cluster.read()["networks"]) == 1
    assert not cluster.state_dir.exists()


# Only the network


def test_network_is_made_before_the_nodes_and_used_by_them(host: Host) -> None:
    predicted = host.network(check=True)
    assert not host.state_dir.exists()
    result = host.network()

    assert predicted["plan"] == result["plan"]
    assert classes(result) == [("create", "create_network", NAME)]
    assert host.containers() == {}
    (network,) = host.read()["networks"].values()
    assert network["Labels"] == {"drystone.dev/cluster": NAME, "drystone.dev/owner": nonce(host)}
    assert not host.network()["changed"]
    assert classes(host.run()) == [("create", "create_cluster", NAME)]
    assert not host.network()["changed"]
    assert not host.run()["changed"]


def test_network_without_nodes_is_removed(host: Host) -> None:
    host.network()
    assert [one["action"] for one in host.absent()["plan"]] == ["remove_network", "remove_files"]
    assert host.read()["networks"] == {}
    assert not host.state_dir.exists()


def test_network_beside_somebody_else_s_cluster_is_refused(host: Host) -> None:
    host.foreign_node(f"{NAME}-control-plane")
    assert "exists, but Drystone did not create it" in host.network()["msg"]
    assert host.writes() == []


@pytest.mark.parametrize("moment", ["before docker network create", "after docker network create"])
def test_killed_at_the_network_the_next_run_converges(host: Host, moment: str) -> None:
    host.run_killed(moment, state="network")
    assert not host.network()["failed"]
    assert not host.run()["failed"]
    host.absent()
    assert host.read()["networks"] == {}


# Started


def test_started_starts_the_nodes_control_plane_first_and_changes_nothing_else(cluster: Host) -> None:
    cluster.set_status("exited", *ALL)
    cluster.set_status("paused", f"{NAME}-worker2")
    patches = cluster.read()["patches"]
    predicted = cluster.started(check=True)
    assert set(cluster.containers().values()) == {"exited", "paused"}
    result = cluster.started()

    assert predicted["plan"] == result["plan"]
    assert classes(result) == [("start", "start_node", name) for name in ALL]
    assert (result["node_names"], result["interrupted"]) == (ALL, "")
    assert cluster.containers() == dict.fromkeys(ALL, "running")
    assert cluster.read()["patches"] == patches
    assert not cluster.started()["changed"]


def test_started_puts_a_lost_kubeconfig_back(cluster: Host) -> None:
    cluster.kubeconfig.unlink()
    assert classes(cluster.started()) == [("in_place", "write_kubeconfig", f"kind-{NAME}")]
    assert stat.S_IMODE(cluster.kubeconfig.stat().st_mode) == 0o600


def test_started_without_a_cluster_does_nothing(host: Host) -> None:
    result = host.started()
    assert (result["changed"], result["node_names"], result["interrupted"]) == (False, [], "")
    assert not host.state_dir.exists()


@pytest.mark.parametrize(
    ("moment", "state", "said"),
    [("before kind node 1", "present", "create"), ("after docker container rm", "absent", "delete")],
)
def test_started_leaves_alone_what_a_killed_run_left(host: Host, moment: str, state: str, said: str) -> None:
    if state == "absent":
        host.run()
    host.run_killed(moment, state=state)
    result = host.started()
    assert (result["changed"], result["interrupted"]) == (False, said)


def test_started_refuses_somebody_else_s_cluster(host: Host) -> None:
    host.foreign_node(f"{NAME}-control-plane")
    host.set_status("exited", f"{NAME}-control-plane")
    result = host.started()
    assert "exists, but Drystone did not create it" in result["msg"]
    assert host.writes() == []


def test_started_leaves_a_kubeconfig_with_other_clusters_alone(cluster: Host) -> None:
    text = cluster.kubeconfig.read_text().replace(f"kind-{NAME}", "kind-other")
    cluster.kubeconfig.write_text(text)
    cluster.kubeconfig.chmod(0o644)
    cluster.started()
    assert cluster.kubeconfig.read_text() == text
