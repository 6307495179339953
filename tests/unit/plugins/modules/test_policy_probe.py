# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe determines enforcement from connections instead of objects, and leaves no objects behind."""

from __future__ import annotations

import contextlib
import copy
import json
import signal
import socket
import subprocess
import sys
import threading
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._policy.probe_pod import LABELS, SCRIPT, WAIT, probe_pod

if t.TYPE_CHECKING:
    from tests.unit.conftest import ModuleRun, RunModule
    from tests.unit.fake_api import FakeApi

Object = dict[str, t.Any]
OPEN = {"source": "dev", "namespace": "dev", "service": "own", "port": 80, "expected": "allowed"}
SHUT = {"source": "dev", "namespace": "other", "service": "foreign", "port": 81, "expected": "denied"}
SHUT_TOO = {**SHUT, "port": 82}
ADDRESSES = {"own": "10.96.0.1", "foreign": "10.96.0.2"}


class Cluster:
    """A fake API server with Services, and a fake kubelet whose Pods report the connections that a network allows."""

    def __init__(self, api: FakeApi) -> None:
        self.api = api
        self.lets_through: t.Callable[[Object], str] = lambda target: "reached"
        self.pods: list[Object] = []
        self.starts = True
        self.reports = True
        self.stopped = threading.Event()
        self.kubelet = threading.Thread(target=self._run_pods, daemon=True)
        api.serve("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
        for namespace in ("dev", "other"):
            api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        for namespace, service in (("dev", "own"), ("other", "foreign")):
            self.serve(namespace, service)
        self.kubelet.start()

    def serve(
        self,
        namespace: str,
        service: str,
        *,
        ready: bool = True,
        ports: list[Object] | None = None,
        labels: dict[str, str] | None = None,
    ) -> None:
        metadata = {"name": service, "namespace": namespace, "labels": labels or {}}
        spec = {"clusterIP": ADDRESSES[service], "ports": ports or []}
        self.api.put({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
        self.api.put(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {**metadata, "labels": {"kubernetes.io/service-name": service}},
                "endpoints": [{"addresses": ["10.244.0.9"], "conditions": {"ready": ready}}],
            }
        )

    def left(self) -> list[str]:
        with self.api.lock:
            return [key[3] for key in self.api.store if key[1] == "pods"]

    def _run_pods(self) -> None:
        """Start new Pods, and end deleted ones."""
        while not self.stopped.wait(0.02):
            with self.api.lock:
                pods = [copy.deepcopy(stored.object) for key, stored in self.api.store.items() if key[1] == "pods"]
            for pod in pods:
                if "status" not in pod:
                    self.pods.append(pod)
                    pod["spec"]["nodeName"] = "one"
                    self.api.put({**pod, "status": self._beginning()})
                elif "deletionTimestamp" in pod["metadata"]:
                    self.api.put({**pod, "status": self._end(pod)})
                    self.api.drop("Pod", pod["metadata"]["name"], pod["metadata"]["namespace"])

    def _beginning(self) -> Object:
        if self.starts:
            return {"phase": "Running", "containerStatuses": [{"state": {"running": {"startedAt": "now"}}}]}
        waiting = {"reason": "ImagePullBackOff", "message": "not found"}
        return {"phase": "Pending", "containerStatuses": [{"state": {"waiting": waiting}}]}

    def _end(self, pod: Object) -> Object:
        env = {one["name"]: one["value"] for one in pod["spec"]["containers"][0]["env"]}
        message = json.dumps([self.lets_through(target) for target in json.loads(env["TARGETS"])])
        ended = {"exitCode": 0, "message": message if self.reports else ""}
        return {"phase": "Succeeded", "containerStatuses": [{"state": {"terminated": ended}}]}


@pytest.fixture
def cluster(fake_api: FakeApi) -> t.Iterator[Cluster]:
    made = Cluster(fake_api)
    yield made
    made.stopped.set()
    made.kubelet.join()


@pytest.fixture
def run(cluster: Cluster, tmp_path: Path, run_module: RunModule) -> RunModule:
    kubeconfig = cluster.api.kubeconfig(tmp_path / "kubeconfig")

    def probe(*connections: Object, check: bool = False, **options: t.Any) -> ModuleRun:
        arguments = {
            "kubeconfig": kubeconfig,
            "image": "demo",
            "connections": connections,
            "timeout": 10,
            **options,
        }
        return run_module("policy_probe", arguments, check=check)

    return probe


def stops(target: Object) -> str:
    return "timeout" if target["denied"] else "reached"


def test_enforced_is_told_from_a_connection_that_was_stopped(run: RunModule, cluster: Cluster) -> None:
    cluster.lets_through = stops
    done = run(OPEN, SHUT, SHUT_TOO)
    assert (done.code, done.result["changed"], done.result["enforcement"]) == (0, False, "enforced")
    assert "ARE enforced: all 2 forbidden" in done.result["message"]
    assert [one["seen"] for one in done.result["connections"]] == ["reached", "timeout", "timeout"]
    assert cluster.left() == []


def test_not_enforced_is_said_clearly_and_fails_only_where_it_is_required(run: RunModule) -> None:
    done = run(OPEN, SHUT)
    assert (done.code, done.result["changed"], done.result["enforcement"]) == (0, False, "not_enforced")
    assert "are NOT enforced:" in done.result["message"]
    assert "dev -> other/foreign:81" in done.result["message"]
    required = run(OPEN, SHUT, require_enforcement=True)
    assert required.code == 1
    assert required.result["msg"].endswith("Enforcement is required (require_enforcement).")


def test_a_hole_is_a_failure(run: RunModule, cluster: Cluster) -> None:
    cluster.lets_through = lambda target: "timeout" if target["port"] == 81 else "reached"
    done = run(OPEN, SHUT, SHUT_TOO)
    assert (done.code, done.result["enforcement"]) == (1, "partial")
    assert "1 of 2 forbidden connections succeeded (dev -> other/foreign:82)" in done.result["msg"]
    assert cluster.left() == []


def test_a_connection_that_should_be_possible_and_is_not_is_a_failure(run: RunModule, cluster: Cluster) -> None:
    cluster.lets_through = lambda target: "timeout" if target["port"] in (81, 83) else "reached"
    done = run(OPEN, {**OPEN, "port": 83}, SHUT)
    assert done.code == 1
    assert done.result["blocked"] == ["dev -> dev/own:83"]
    assert "dev -> dev/own:83: timeout" in done.result["msg"]


def test_where_nothing_can_be_reached_nothing_is_proved(run: RunModule, cluster: Cluster) -> None:
    cluster.lets_through = lambda target: "timeout"
    done = run(SHUT)
    assert (done.code, done.result["enforcement"]) == (0, "unknown")
    assert "no target could be reached from dev" in done.result["message"]
    assert run(SHUT, require_enforcement=True).code == 1


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"source": "nowhere"}, "namespace nowhere does not exist"),
        ({"namespace": "nowhere"}, "namespace nowhere does not exist"),
        ({"service": "nothing"}, "Service other/nothing does not exist or has no address"),
    ],
)
def test_what_cannot_be_tried_is_named(run: RunModule, changed: Object, reason: str) -> None:
    done = run(OPEN, {**SHUT, **changed})
    assert (done.code, done.result["enforcement"]) == (0, "unknown")
    assert reason in done.result["message"]


def test_a_service_with_nothing_behind_it_proves_nothing(run: RunModule, cluster: Cluster) -> None:
    cluster.serve("other", "foreign", ready=False)
    done = run(OPEN, SHUT)
    assert done.result["enforcement"] == "unknown"
    assert "Service other/foreign has no ready endpoint" in done.result["message"]


def test_what_becomes_ready_in_time_is_tried(run: RunModule, cluster: Cluster) -> None:
    cluster.serve("other", "foreign", ready=False)
    timer = threading.Timer(0.3, cluster.serve, ("other", "foreign"))
    timer.start()
    done = run(OPEN, SHUT, ready_timeout=60)
    timer.join()
    assert [one["seen"] for one in done.result["connections"]] == ["reached", "reached"]


def test_pods_start_before_what_they_are_to_reach_is_ready_and_try_it_after_that(
    run: RunModule, cluster: Cluster
) -> None:
    ready = threading.Event()

    def become_ready_once_there_are_pods() -> None:
        while not cluster.pods and not cluster.stopped.wait(0.02):
            pass
        ready.set()
        cluster.serve("other", "foreign")

    cluster.serve("other", "foreign", ready=False)
    cluster.lets_through = lambda target: "reached" if ready.is_set() else "refused"
    other = threading.Thread(target=become_ready_once_there_are_pods)
    other.start()
    done = run(OPEN, SHUT, ready_timeout=20)
    cluster.stopped.set()
    other.join()
    assert [one["seen"] for one in done.result["connections"]] == ["reached", "reached"]


def test_a_service_that_never_comes_does_not_keep_the_others_from_being_tried(run: RunModule) -> None:
    done = run(OPEN, SHUT, {**SHUT, "service": "nothing"}, ready_timeout=1)
    assert [one["seen"] for one in done.result["connections"]] == ["reached", "reached", "not tried"]
    assert done.result["enforcement"] == "not_enforced"


ANY = {"source": "dev", "namespace": "other", "expected": "denied"}


def test_any_service_of_a_namespace_will_do(run: RunModule, cluster: Cluster) -> None:
    for name, spec in (
        ("a-headless", {"clusterIP": "None", "ports": [{"port": 1}]}),
        ("b-udp", {"clusterIP": "10.96.0.8", "ports": [{"port": 53, "protocol": "UDP"}]}),
    ):
        cluster.api.put(
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "other"}, "spec": spec}
        )
    cluster.serve("other", "foreign", ports=[{"port": 53, "protocol": "UDP"}, {"port": 8443, "protocol": "TCP"}])
    cluster.lets_through = stops
    done = run(OPEN, ANY)
    assert done.result["enforcement"] == "enforced"
    assert [(one["service"], one["port"], one["seen"]) for one in done.result["connections"]] == [
        ("own", 80, "reached"),
        ("foreign", 8443, "timeout"),
    ]


def test_a_service_of_isolated_pods_is_not_any_service(run: RunModule, cluster: Cluster) -> None:
    cluster.serve("other", "foreign", ports=[{"port": 81}], labels={"drystone.dev/isolation": "namespace"})
    done = run(OPEN, ANY)
    assert "other has no Service with an address and a TCP port" in done.result["message"]


def test_where_there_is_no_service_none_is_tried(run: RunModule) -> None:
    done = run(OPEN, SHUT, ANY)
    assert (done.code, done.result["enforcement"]) == (0, "not_enforced")
    assert (
        "dev -> other/any Service, because other has no Service with an address and a TCP port"
        in done.result["message"]
    )


def test_any_service_that_comes_in_time_is_tried(run: RunModule, cluster: Cluster) -> None:
    timer = threading.Timer(0.3, cluster.serve, ("other", "foreign"), {"ports": [{"port": 81}]})
    timer.start()
    done = run(OPEN, ANY, ready_timeout=60)
    timer.join()
    assert [one["seen"] for one in done.result["connections"]] == ["reached", "reached"]


def test_a_service_is_given_with_its_port(run: RunModule) -> None:
    done = run({"source": "dev", "namespace": "other", "service": "foreign", "expected": "denied"})
    assert done.code == 1
    assert "port" in done.result["msg"]


def test_check_mode_says_that_it_tries_nothing(run: RunModule, cluster: Cluster) -> None:
    done = run(OPEN, SHUT, check=True)
    assert (done.code, done.result["changed"], done.result["skipped"]) == (0, False, True)
    assert "was not tested" in done.result["message"]
    assert cluster.api.writes == []


def test_a_pod_that_does_not_start_is_an_error_with_its_reason_and_is_removed(run: RunModule, cluster: Cluster) -> None:
    cluster.starts = False
    done = run(OPEN, SHUT, timeout=1)
    assert done.code == 1
    assert "ImagePullBackOff" in done.result["msg"]
    assert cluster.left() == []


def test_a_pod_that_ends_without_a_word_is_an_error(run: RunModule, cluster: Cluster) -> None:
    cluster.reports = False
    done = run(OPEN, SHUT)
    assert done.code == 1
    assert "ended with code 0: no message" in done.result["msg"]


def test_a_pod_that_somebody_removes_is_an_error_at_once(run: RunModule, cluster: Cluster) -> None:
    cluster.starts = False

    def remove() -> None:
        while not cluster.pods and not cluster.stopped.wait(0.02):
            pass
        cluster.api.drop("Pod", cluster.pods[0]["metadata"]["name"], "dev")

    other = threading.Thread(target=remove)
    other.start()
    started = time.monotonic()
    done = run(OPEN, SHUT, timeout=30)
    other.join()
    assert done.code == 1
    assert time.monotonic() - started < 20


def test_what_a_killed_run_left_is_removed_and_nothing_else(run: RunModule, cluster: Cluster) -> None:
    status = {"phase": "Failed"}
    for name, namespace, labels in (("policy-probe-old", "other", LABELS), ("policy-probe-foreign", "dev", {})):
        metadata = {"name": name, "namespace": namespace, "labels": labels}
        cluster.api.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": status})
    assert run(OPEN, SHUT).code == 0
    assert cluster.left() == ["policy-probe-foreign"]


def test_one_pod_for_each_namespace_and_none_with_rights(run: RunModule, cluster: Cluster) -> None:
    back = {"source": "other", "namespace": "dev", "service": "own", "port": 80, "expected": "denied"}
    run(OPEN, SHUT, back)
    assert sorted(pod["metadata"]["namespace"] for pod in cluster.pods) == ["dev", "other"]
    for pod in cluster.pods:
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert pod["spec"]["activeDeadlineSeconds"] > 0


def run_script(
    tmp_path: Path, targets: list[Object], settle: float = 0.6, late: float = 1.2
) -> tuple[list[str], float]:
    report = tmp_path / "report"
    env = {"TARGETS": json.dumps(targets), "SETTLE": str(settle), "LATE": str(late)}
    started = time.monotonic()
    script = SCRIPT.replace("/dev/termination-log", str(report))
    subprocess.run([sys.executable, "-c", script], check=True, env=env, timeout=30)
    found: list[str] = json.loads(report.read_text())
    return found, time.monotonic() - started


def test_the_script_tells_what_it_sees_in_the_order_asked(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as shut:
        shut.bind(("127.0.0.1", 0))  # a bound port without a listener refuses connections
        listening = {"address": "127.0.0.1", "port": server.getsockname()[1]}
        refused = {"address": "127.0.0.1", "port": shut.getsockname()[1]}
        targets = [{**listening, "denied": False}, {**refused, "denied": True}, {**listening, "denied": True}]
        seen, seconds = run_script(tmp_path, targets)
    assert seen == ["reached", "refused", "reached"]
    assert seconds >= 0.6  # a forbidden connection that succeeds counts only after the settling time


@pytest.mark.parametrize("denied", [False, True])
def test_the_script_does_not_take_what_is_not_there_yet_for_what_is_forbidden(tmp_path: Path, denied: bool) -> None:
    with socket.socket() as late:
        late.bind(("127.0.0.1", 0))
        timer = threading.Timer(1.5, late.listen)
        timer.start()
        target = {"address": "127.0.0.1", "port": late.getsockname()[1], "denied": denied}
        seen, _seconds = run_script(tmp_path, [target], settle=0.5, late=10)
        timer.join()
    assert seen == ["reached"]


def test_the_script_takes_what_is_lost_twice_for_stopped_at_once(tmp_path: Path) -> None:
    # With a full backlog, new connections time out.
    with socket.socket() as full, contextlib.ExitStack() as kept:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):
            client = kept.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        target = {"address": "127.0.0.1", "port": full.getsockname()[1], "denied": True}
        seen, seconds = run_script(tmp_path, [target], settle=20, late=20)
    assert seen == ["timeout"]
    assert seconds < 15


def test_the_pod_waits_until_it_is_told_to_end() -> None:
    waiting = subprocess.Popen([sys.executable, "-c", WAIT])
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(0.5)
    waiting.send_signal(signal.SIGTERM)
    assert waiting.wait(10) == 0


def test_the_result_fits_into_what_a_pod_may_report() -> None:
    # A kubelet truncates a termination message after 4096 bytes.
    assert len(json.dumps(["unreachable (Network is unreachable)"] * 60)) < 4096
    assert probe_pod("one", "dev", "demo", [], settle=3, longest=60)["spec"]["restartPolicy"] == "Never"
