# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import queue
import socket
import threading
import typing as t
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._errors import ApiUnavailable, InvalidInput, NotReady
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi
from ansible_collections.drystone.platform.plugins.module_utils._ready.conditions import build_conditions
from ansible_collections.drystone.platform.plugins.module_utils._ready.wait import ClusterReady

if t.TYPE_CHECKING:
    from tests.unit.fake_api import FakeApi

Object = dict[str, t.Any]

# Real seconds without updates after which the clock of a test jumps. This applies only if no update is expected.
# Expected updates are always awaited, even on a slow machine.
QUIET = 0.3
PATIENCE = 20


@pytest.fixture
def server(fake_api: FakeApi) -> FakeApi:
    for namespace in ("dev", "staging", "argocd"):
        fake_api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    return fake_api


class Clock:
    """A clock that stands still while there are updates and jumps otherwise, so that no test waits for a timeout.

    Each time there are no more updates, the clock advances by 5 s and the next step of the test runs. If there are
    always updates, such as HTTP responses, each one advances the clock by tick.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.tick = 0.0
        self.steps: list[Callable[[], object]] = []
        self.settled: Callable[[], bool] = lambda: True
        self.news_due = False

    def __call__(self) -> float:
        return self.now

    def receive(self, updates: queue.SimpleQueue[Callable[[], None]], timeout: float) -> Callable[[], None]:
        quiet = self.settled() and not self.news_due
        try:
            update = updates.get(timeout=QUIET if quiet else PATIENCE)
        except queue.Empty:
            if not self.steps:
                self.now += timeout
                raise
            self.now += 5
            self.steps.pop(0)()
            self.news_due = True
            return lambda: None
        self.news_due = False
        self.now += self.tick
        return update


class Waiting:
    """A wait against the fake server, with steps that run when there are no more updates."""

    def __init__(self, server: FakeApi, tmp_path: Path) -> None:
        self.clock = Clock()
        path = server.kubeconfig(tmp_path / "kubeconfig")
        self.over = threading.Event()
        self.api = KubeApi.from_kubeconfig(path, timeout=5, retry_for=0, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        """End the threads with the test. In a module they end with the process."""
        if self.over.wait(seconds):
            raise ApiUnavailable("the test is over")

    def engine(self, *conditions: Object, timeout: float = 300) -> ClusterReady:
        engine = ClusterReady(
            self.api,
            build_conditions(conditions),
            timeout,
            clock=self.clock,
            receive=self.clock.receive,
            retry_after=0.02,
            probe_every=0.02,
            probe_timeout=2,
        )
        self.clock.settled = lambda: engine._world.complete
        return engine

    def then(self, *steps: Callable[[], object]) -> Waiting:
        self.clock.steps += steps
        return self

    def wait(self, *conditions: Object, timeout: float = 300) -> Object:
        return self.engine(*conditions, timeout=timeout).wait()

    def fails(self, *conditions: Object, timeout: float = 300) -> NotReady:
        with pytest.raises(NotReady) as caught:
            self.wait(*conditions, timeout=timeout)
        return caught.value


@pytest.fixture
def waiting(server: FakeApi, tmp_path: Path) -> Iterator[Waiting]:
    made = Waiting(server, tmp_path)
    yield made
    made.over.set()


def deployment(name: str = "web", namespace: str = "dev", ready: int = 1, **status: t.Any) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}, "generation": 1},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}},
        "status": {
            "observedGeneration": 1,
            "replicas": 1,
            "updatedReplicas": 1,
            "readyReplicas": ready,
            "availableReplicas": ready,
            **status,
        },
    }


def pod(name: str, status: Object, owner: str = "", namespace: str = "dev", app: str = "web") -> Object:
    metadata: Object = {"name": name, "namespace": namespace, "labels": {"app": app}}
    if owner:
        metadata["ownerReferences"] = [{"kind": owner, "name": f"{app}-5d4f", "uid": "u", "controller": True}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status}


def warning(kind: str, name: str, reason: str, message: str, at: str, namespace: str = "dev", **more: t.Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{name}.{reason}.{at[-4:-1]}", "namespace": namespace},
        "involvedObject": {"kind": kind, "name": name, "namespace": namespace},
        "type": "Warning",
        "reason": reason,
        "message": message,
        "lastTimestamp": at,
        **more,
    }


def job(conditions: list[Object], **metadata: t.Any) -> Object:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "migrate", "namespace": "dev", **metadata},
        "spec": {"completions": 1},
        "status": {"conditions": conditions},
    }


def node(name: str, ready: str = "True", **labels: str) -> Object:
    status = {"conditions": [{"type": "Ready", "status": ready, "reason": "KubeletNotReady"}]}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "status": status}


DEV: Object = {"workloads": {"namespaces": ["dev"]}}
PULL = {
    "phase": "Pending",
    "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False"}],
    "containerStatuses": [
        {
            "name": "web",
            "image": "drystone.local/web:9",
            "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}},
        }
    ],
}


def unmet(error: NotReady) -> list[Object]:
    return [item for condition in error.facts["conditions"] for item in condition["unmet"]]


# Ready and unready objects


def test_everything_ready_returns_at_once(server: FakeApi, waiting: Waiting) -> None:
    server.put(deployment())
    server.put(node("one"))
    result = waiting.wait(DEV, {"nodes": {}})
    assert result["ready"] is True
    assert result["elapsed"] == 0
    assert [(c["type"], c["ready"], c["reason"]) for c in result["conditions"]] == [
        ("workloads", True, "1 of 1 ready"),
        ("nodes", True, "1 of 1 ready"),
    ]


def test_wait_ends_with_the_event_that_makes_the_last_thing_ready(server: FakeApi, waiting: Waiting) -> None:
    server.put(deployment(ready=0))
    server.put(node("one", "False"))
    waiting.then(lambda: server.put(node("one")), lambda: server.put(deployment()))
    result = waiting.wait({"nodes": {}}, DEV)
    assert result["ready"]
    assert [c["elapsed"] for c in result["conditions"]] == [5, 10]


def test_each_kind_is_listed_and_watched_once(server: FakeApi, waiting: Waiting) -> None:
    server.put(deployment(ready=0))
    server.put(deployment(namespace="staging"))
    for replicas in (2, 3, 4):
        waiting.then(partial(server.put, deployment(ready=0, replicas=replicas)))
    waiting.then(lambda: server.put(deployment()))
    waiting.wait(
        {"workloads": {"namespaces": ["dev"], "selector": "app=web", "kinds": ["Deployment"]}},
        {"workloads": {"namespaces": ["staging"], "kinds": ["Deployment"]}},
        {"resources": {"api_version": "apps/v1", "kind": "Deployment"}},
    )
    asked = [request for request in server.requests if "deployments" in request]
    assert len(asked) == 2
    assert sum("watch=1" in request for request in asked) == 1


def test_condition_that_was_met_must_still_hold_at_the_end(server: FakeApi, waiting: Waiting) -> None:
    server.put(deployment())
    server.put(deployment("slow", ready=0))
    waiting.then(lambda: server.put(deployment(ready=0)), lambda: server.put(deployment("slow")))
    error = waiting.fails(*[{"workloads": {"namespaces": ["dev"], "names": [name]}} for name in ("web", "slow")])
    assert [item["name"] for item in unmet(error)] == ["web"]


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (deployment(observedGeneration=0), "its status is from generation 0, but its spec is at generation 1"),
        (deployment(replicas=2), "1 replicas with an older template still run"),
        (deployment(updatedReplicas=0), "0 of 1 replicas updated"),
        (job([]), "0 of 1 completions, 0 pods active"),
    ],
)
def test_readiness_lies_are_seen_through(server: FakeApi, waiting: Waiting, lie: Object, reason: str) -> None:
    server.put(lie)
    error = waiting.fails(DEV)
    assert [item["reason"] for item in unmet(error)] == [reason]


def test_a_namespace_may_be_empty_where_that_is_said(server: FakeApi, waiting: Waiting) -> None:
    options = {"namespaces": ["dev"], "kinds": ["Deployment"], "allow_empty": True}
    assert waiting.wait({"workloads": options})["ready"]
    error = waiting.fails({"workloads": {**options, "names": ["api"]}})
    assert [item["reason"] for item in unmet(error)] == ["no object with this name exists"]


def test_nothing_selected_is_not_ready(server: FakeApi, waiting: Waiting) -> None:
    server.put(deployment())
    error = waiting.fails(
        {"workloads": {"namespaces": ["dev", "staging"]}},
        {"workloads": {"namespaces": ["dev"], "selector": "app=other", "kinds": ["Deployment"]}},
        {"workloads": {"namespaces": ["dev"], "names": ["web", "api"], "selector": "app"}},
        {"nodes": {"count": 2}},
        {"crds": {"names": ["applications.argoproj.io"]}},
    )
    assert [(i["kind"], i["namespace"], i["name"], i["reason"]) for i in unmet(error)] == [
        ("workload", "staging", "", "no workload exists"),
        ("Deployment", "dev", "", "no Deployment that matches app=other exists"),
        ("workload", "dev", "api", "no object with this name that matches app exists"),
        ("Node", "", "", "0 of 2 nodes have joined"),
        ("CustomResourceDefinition", "", "applications.argoproj.io", "no object with this name exists"),
    ]
    assert "Deployment in dev: no Deployment that matches app=other exists" in str(error)


def test_parts_of_a_workload_are_judged_with_it_and_others_alone(server: FakeApi, waiting: Waiting) -> None:
    failed = {"type": "Failed", "status": "True"}
    owner = {"kind": "CronJob", "name": "nightly", "uid": "u", "controller": True}
    server.put(deployment())
    server.put(pod("old", {"phase": "Failed"}, owner="ReplicaSet"))
    server.put(job([failed], name="nightly-1", ownerReferences=[owner]))
    assert waiting.wait(DEV)["conditions"][0]["reason"] == "1 of 1 ready"
    server.put(pod("static", {"phase": "Running"}, owner="Node"))
    assert [item["name"] for item in unmet(waiting.fails(DEV))] == ["static"]


def test_nodes_all_that_match_must_be_ready(server: FakeApi, waiting: Waiting) -> None:
    for name, ready in (("a", "True"), ("b", "True"), ("c", "False")):
        server.put(node(name, ready, pool="apps" if name != "a" else "platform"))
    error = waiting.fails(
        {"nodes": {"count": 2, "selector": "pool=apps"}}, {"nodes": {"selector": "pool in (platform)"}}
    )
    assert [(item["name"], item["reason"]) for item in unmet(error)] == [
        ("c", "condition Ready is False (KubeletNotReady)")
    ]


def test_crds_and_apiservices(server: FakeApi, waiting: Waiting) -> None:
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {"group": "example.com", "versions": [], "names": {}, "scope": "Cluster"},
    }
    service = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService"}
    named = {**service, "metadata": {"name": "v1beta1.metrics.k8s.io"}}
    server.establish_after = None
    server.put(crd)
    server.put({**named, "status": {"conditions": [{"type": "Available", "status": "False", "reason": "Missing"}]}})
    conditions = [{"type": kind, "status": "True"} for kind in ("NamesAccepted", "Established")]
    waiting.then(
        lambda: server.put({**crd, "status": {"conditions": conditions}}),
        lambda: server.put({**named, "status": {"conditions": [{"type": "Available", "status": "True"}]}}),
    )
    wanted = ({"crds": {"names": ["things.example.com"]}}, {"apiservices": {"names": ["v1beta1.metrics.k8s.io"]}})
    assert waiting.wait(*wanted)["elapsed"] == 10


def test_applications_at_a_revision(server: FakeApi, waiting: Waiting) -> None:
    server.serve("argoproj.io/v1alpha1", "Application", "applications")

    def application(revision: str) -> Object:
        return {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": "greeter-dev", "namespace": "argocd"},
            "status": {"sync": {"status": "Synced", "revision": revision}, "health": {"status": "Healthy"}},
        }

    server.put(application("a" * 40))
    wanted = {"applications": {"names": ["greeter-dev"], "revision": "b" * 40}}
    assert unmet(waiting.fails(wanted))[0]["reason"] == "is at aaaaaaaaaaaa, not at bbbbbbbbbbbb"
    waiting.then(lambda: server.put(application("b" * 40)))
    assert waiting.wait(wanted)["ready"]


def test_resources_by_expression(server: FakeApi, waiting: Waiting) -> None:
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "git", "namespace": "dev"}}
    server.put({**claim, "status": {"phase": "Pending"}})
    wanted = {
        "resources": {"api_version": "v1", "kind": "PersistentVolumeClaim", "expression": "status.phase == 'Bound'"}
    }
    assert unmet(waiting.fails(wanted))[0]["reason"] == "expression status.phase == 'Bound' returned False"
    waiting.then(lambda: server.put({**claim, "status": {"phase": "Bound"}}))
    assert waiting.wait(wanted)["ready"]


def test_expression_is_not_asked_of_a_stale_status(server: FakeApi, waiting: Waiting) -> None:
    server.put(deployment(observedGeneration=0))
    wanted = {"resources": {"api_version": "apps/v1", "kind": "Deployment", "expression": "status.readyReplicas"}}
    assert "generation 0" in unmet(waiting.fails(wanted))[0]["reason"]


def test_value_of_an_expression_over_a_secret_is_not_shown(server: FakeApi, waiting: Waiting) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": "dev"},
        "data": {"k": "Y2E="},
    }
    server.put(secret)
    wanted = {"resources": {"api_version": "v1", "kind": "Secret", "expression": "data.k == 'x' && data.k"}}
    error = waiting.fails(wanted)
    assert "returned a false value" in str(error)
    assert "Y2E=" not in str(error)


def test_kind_without_a_rule_is_not_ready(server: FakeApi, waiting: Waiting) -> None:
    server.serve("example.com/v1", "Gadget", "gadgets")
    server.put({"apiVersion": "example.com/v1", "kind": "Gadget", "metadata": {"name": "g", "namespace": "dev"}})
    error = waiting.fails({"resources": {"api_version": "example.com/v1", "kind": "Gadget", "namespace": "dev"}})
    assert "there is no readiness rule for Gadget" in str(error)


# Reasons


def test_timeout_names_the_pod_its_image_and_the_last_warning(server: FakeApi, waiting: Waiting) -> None:
    server.put(deployment(ready=0))
    server.put(pod("web-1", PULL, owner="ReplicaSet"))
    server.put(warning("Pod", "web-1", "FailedMount", "no such volume", "2026-01-01T00:00:01Z"))
    server.put(warning("Pod", "web-1", "Failed", "Error: ErrImagePull", "2026-01-01T00:00:09Z"))
    server.put(warning("Pod", "web-1", "BackOff", "Back-off pulling image", "2026-01-01T00:00:10Z"))
    server.put(warning("Pod", "other", "Evicted", "low on memory", "2026-01-01T00:00:10Z"))
    server.put({**warning("Pod", "web-1", "Pulling", "pulling", "2026-01-01T00:00:11Z"), "type": "Normal"})
    error = waiting.fails(DEV, timeout=60)
    assert unmet(error) == [
        {
            "kind": "Deployment",
            "namespace": "dev",
            "name": "web",
            "reason": "0 of 1 replicas ready",
            "details": [
                "pod web-1: container web is waiting: ImagePullBackOff (image drystone.local/web:9): not found",
                "last warning: Failed on Pod web-1 at 2026-01-01T00:00:09Z: Error: ErrImagePull",
            ],
            "unchanged_for": 60.0,
            "terminal": False,
        }
    ]
    assert str(error).startswith(
        "Not ready after 60 s: 1 of 1 conditions do not hold.\nworkloads in dev (0 of 1 ready):"
    )
    assert "  - Deployment dev/web: 0 of 1 replicas ready; pod web-1: container web is waiting: " in str(error)
    assert str(error).endswith("Error: ErrImagePull [for 60 s]")
    assert error.facts["elapsed"] == 60
    assert error.facts["ready"] is False


def test_unready_pods_are_counted_and_the_youngest_is_named(server: FakeApi, waiting: Waiting) -> None:
    server.put(deployment(ready=0))
    for name, made in (("web-1", "2026-01-01T00:00:00Z"), ("web-2", "2026-01-02T00:00:00Z")):
        server.put(pod(name, PULL, owner="ReplicaSet"))
        server.find("Pod", name, "dev")
        with server.lock:
            stored = next(s for key, s in server.store.items() if key[3] == name)
            stored.object["metadata"]["creationTimestamp"] = made
    details = unmet(waiting.fails(DEV))[0]["details"]
    assert details[0].startswith("pod web-2: ")
    assert details[0].endswith(" (and 1 more pods not ready)")


def test_warning_about_a_replica_set_explains_a_deployment_without_pods(server: FakeApi, waiting: Waiting) -> None:
    server.put(deployment(ready=0, replicas=0, updatedReplicas=0))
    server.put(warning("ReplicaSet", "web-5d4f", "FailedCreate", "exceeded quota: dev", "2026-01-01T00:00:01Z"))
    server.put(warning("ReplicaSet", "web-api-77", "FailedCreate", "another one", "2026-01-01T00:00:02Z"))
    details = unmet(waiting.fails(DEV))[0]["details"]
    assert details == ["last warning: FailedCreate on ReplicaSet web-5d4f at 2026-01-01T00:00:01Z: exceeded quota: dev"]


def test_stuck_is_told_from_slow(server: FakeApi, waiting: Waiting) -> None:
    server.put(deployment("stuck", ready=0))
    server.put(deployment("slow", ready=0, replicas=0))
    waiting.then(lambda: server.put(deployment("slow", ready=0)))
    error = waiting.fails(DEV, timeout=100)
    assert {item["name"]: item["unchanged_for"] for item in unmet(error)} == {"stuck": 100, "slow": 95}


def test_failed_job_ends_the_wait_at_once(server: FakeApi, waiting: Waiting) -> None:
    server.put(deployment(ready=0))
    server.put(job([{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]))
    error = waiting.fails(DEV)
    assert error.facts["elapsed"] == 0
    assert "Stopped waiting after 0 s, because an object can never become ready" in str(error)
    assert {item["name"]: item["terminal"] for item in unmet(error)} == {"migrate": True, "web": False}


def test_long_lists_are_cut_in_the_message_only(server: FakeApi, waiting: Waiting) -> None:
    for number in range(30):
        server.put(deployment(f"web-{number}", ready=0))
    error = waiting.fails(DEV)
    assert str(error).count("  - Deployment") == 25
    assert "and 5 more, see the returned data." in str(error)
    assert len(unmet(error)) == 30


# Failing API servers


def test_server_that_is_not_up_yet_is_waited_for(server: FakeApi, waiting: Waiting, fault: t.Any) -> None:
    server.put(deployment())
    server.faults.append(fault("GET", times=6, status=503))
    server.faults.append(fault("GET", times=3, drop_before=True))
    assert waiting.wait(DEV)["ready"]
    assert sum(made.times for made in server.faults) == 0


def test_server_that_never_answers_is_named_once(tmp_path: Path, server: FakeApi) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    waiting = Waiting(server, tmp_path)
    waiting.api.transport.endpoint.port = port
    waiting.clock.tick = 1
    error = waiting.fails(DEV, {"nodes": {}}, timeout=60)
    assert [condition["ready"] for condition in error.facts["conditions"]] == [False, False]
    assert f"http://127.0.0.1:{port}" in unmet(error)[0]["reason"]
    assert "Connection refused" in unmet(error)[0]["reason"]
    assert error.facts["elapsed"] >= 60


def test_lost_watch_is_taken_up_again(server: FakeApi, waiting: Waiting) -> None:
    server.put(deployment(ready=0))

    def lose() -> None:
        with server.lock:
            # The server forgets all events, so open watches end with 410 and must list again.
            server.put(deployment())
            server.log.clear()
            server.expired_before = server.version + 1
            server.lock.notify_all()

    waiting.then(lose)
    assert waiting.wait(DEV)["ready"]


def test_kind_that_is_not_served_yet_is_waited_for(server: FakeApi, waiting: Waiting) -> None:
    waiting.clock.tick = 1
    wanted = {"resources": {"api_version": "example.com/v1", "kind": "Gadget", "expression": "spec.done"}}
    error = waiting.fails(wanted, timeout=10)
    assert "serves no example.com/v1 Gadget" in unmet(error)[0]["reason"]
    server.serve("example.com/v1", "Gadget", "gadgets")
    gadget = {"apiVersion": "example.com/v1", "kind": "Gadget", "metadata": {"name": "g", "namespace": "dev"}}
    server.put({**gadget, "spec": {"done": True}})
    assert waiting.wait(wanted)["ready"]


def test_rollouts_count_only_where_they_are_served(server: FakeApi, waiting: Waiting) -> None:
    server.put(deployment())
    waiting.clock.tick = 1
    wanted = {"workloads": {"namespaces": ["dev"], "kinds": ["Deployment", "Rollout"]}}
    assert "serves no argoproj.io/v1alpha1 Rollout" in str(waiting.fails(wanted, timeout=10))
    assert waiting.wait(DEV)["ready"]


def test_wait_fails_with_what_is_known_if_evidence_cannot_be_read(
    server: FakeApi, waiting: Waiting, fault: t.Any
) -> None:
    server.put(deployment(ready=0))
    server.faults.append(fault("GET .*events", times=9, status=500))
    error = waiting.fails({"workloads": {"namespaces": ["dev"], "kinds": ["Deployment"]}})
    assert "0 of 1 replicas ready" in str(error)
    assert "Pods and events could not be read: Listing Event dev" in str(error)


# A single check


def test_look_tells_how_things_stand_and_never_fails(server: FakeApi, waiting: Waiting) -> None:
    server.put(deployment(ready=0))
    server.put(pod("web-1", PULL, owner="ReplicaSet"))
    result = waiting.engine(DEV, {"nodes": {}}).look()
    assert result["ready"] is False
    assert "ImagePullBackOff" in result["conditions"][0]["unmet"][0]["details"][0]
    server.put(deployment())
    server.put(node("one"))
    assert waiting.engine(DEV, {"nodes": {}}).look()["ready"] is True
    assert not any("watch=1" in request for request in server.requests)


def test_wait_without_time_looks_once(server: FakeApi, waiting: Waiting) -> None:
    server.put(deployment(ready=0))
    assert "0 of 1 replicas ready" in str(waiting.fails(DEV, timeout=0))
    server.put(deployment())
    assert waiting.wait(DEV, timeout=0)["ready"]


# HTTP


class Site:
    """A web server with a configurable response."""

    def __init__(self) -> None:
        self.status, self.body, self.headers = 200, "hello", {"Content-Type": "text/plain"}
        self.first: list[int] = []
        self.seen: list[dict[str, str]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.seen.append(dict(self.headers))
                self.send_response(site.first.pop(0) if site.first else site.status)
                for name, value in site.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(site.body.encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  BaseHTTPRequestHandler names this parameter
                """Log nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/healthz"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.mark.parametrize(
    ("options", "status", "body", "reason"),
    [
        ({}, 503, "no healthy upstream", "answered 503, not 200: no healthy upstream"),
        ({}, 302, "", "answered 302 (redirect to /login), not 200: empty body"),
        ({"status": 404}, 200, "hello", "answered 200, not 404: hello"),
        ({"body": "revision 2"}, 200, "revision 1", "answered 200 without 'revision 2' in its body: revision 1"),
        ({"expression": "data"}, 200, "<html>", "answered 200, but the body is not JSON: <html>"),
        ({"expression": "data[?up]"}, 200, '{"data": []}', "expression data[?up] returned []"),
    ],
)
def test_http_answer_that_is_not_the_right_one(
    waiting: Waiting, site: Site, options: Object, status: int, body: str, reason: str
) -> None:
    site.status, site.body = status, body
    if status == 302:
        site.headers["Location"] = "/login"
    waiting.clock.tick = 1
    error = waiting.fails({"http": {"url": site.url, **options}}, timeout=5)
    assert [(item["kind"], item["name"], item["reason"]) for item in unmet(error)] == [("URL", site.url, reason)]


@pytest.mark.parametrize(
    ("options", "status", "body"),
    [
        ({}, 200, ""),
        ({"status": 404}, 404, ""),
        ({"body": "ell"}, 200, "hello"),
        ({"expression": "up"}, 200, '{"up": 1}'),
    ],
)
def test_http_answer_that_is_right(waiting: Waiting, site: Site, options: Object, status: int, body: str) -> None:
    site.status, site.body = status, body
    assert waiting.wait({"http": {"url": site.url, **options}})["ready"]


def test_http_is_asked_again_until_it_answers(waiting: Waiting, site: Site) -> None:
    site.first = [503, 503, 302]
    engine = waiting.engine({"http": {"url": site.url}})
    waiting.clock.settled = lambda: False  # let the clock stand still until each answer arrives, also on a slow host
    assert engine.wait()["ready"]
    assert len(site.seen) == 4


def test_http_headers_and_token_are_sent_and_proxies_ignored(
    waiting: Waiting, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    headers = {"Host": "greeter.dev.localhost"}
    assert waiting.wait({"http": {"url": site.url, "headers": headers, "bearer_token": "canary"}})["ready"]
    assert site.seen[0]["Host"] == "greeter.dev.localhost"
    assert site.seen[0]["Authorization"] == "Bearer canary"


TOKEN = {"header": "X-Auth-Token", "namespace": "dev", "name": "web", "key": "token"}


def secret(value: str) -> Object:
    data = {"token": base64.b64encode(value.encode()).decode()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "web", "namespace": "dev"}, "data": data}


@pytest.mark.parametrize("value", ["T1&eWbYXNWG1w1^YGKDPxAWJ@^et^&kX", "grüße ✓"])
def test_a_header_is_sent_with_the_value_in_a_secret(server: FakeApi, waiting: Waiting, site: Site, value: str) -> None:
    server.put(secret(value))
    assert waiting.wait({"http": {"url": site.url, "secret_headers": [TOKEN]}})["ready"]
    assert site.seen[0]["X-Auth-Token"].encode("latin-1").decode() == value


def test_the_value_in_a_secret_is_not_shown_even_if_the_answer_contains_it(
    server: FakeApi, waiting: Waiting, site: Site
) -> None:
    server.put(secret("canary"))
    site.status, site.body = 401, "the token canary is wrong"
    waiting.clock.tick = 1
    wanted = {"url": site.url, "headers": {"host": "example.com"}, "secret_headers": [TOKEN]}
    error = waiting.fails({"http": wanted}, timeout=3)
    (item,) = unmet(error)
    assert item["name"] == f"{site.url} (host example.com)"
    assert item["reason"] == "answered 401, not 200: the token *** is wrong"
    assert "canary" not in str(error)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "Secret dev/web cannot be read: the API server answered 404"),
        ("", "Secret dev/web has no value under the key token"),
        ("can\nary", "the key token of Secret dev/web is not one line of text without spaces at its ends"),
        ("canary ", "the key token of Secret dev/web is not one line of text without spaces at its ends"),
    ],
)
def test_without_a_usable_value_in_the_secret_nothing_is_requested(
    server: FakeApi, waiting: Waiting, site: Site, value: str | None, reason: str
) -> None:
    if value is not None:
        server.put(secret(value))
    waiting.clock.tick = 1
    error = waiting.fails({"http": {"url": site.url, "secret_headers": [TOKEN]}}, timeout=3)
    assert [item["reason"] for item in unmet(error)] == [reason]
    assert site.seen == []


@pytest.mark.parametrize(("expression", "holds"), [("gitVersion", True), ("nothing", False)])
def test_a_path_is_asked_of_the_api_server_with_its_credentials(waiting: Waiting, expression: str, holds: bool) -> None:
    url = "/version"
    if holds:
        assert waiting.wait({"http": {"url": url, "expression": expression}})["ready"]
    else:
        waiting.clock.tick = 1
        error = waiting.fails({"http": {"url": url, "expression": expression}}, timeout=3)
        assert [(item["kind"], item["name"]) for item in unmet(error)] == [("URL", url)]
    assert waiting.fails({"http": {"url": "/nowhere"}}, timeout=0).facts["conditions"][0]["title"] == "http /nowhere"


def test_http_with_nobody_there_tells_what_the_system_said(waiting: Waiting) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    waiting.clock.tick = 1
    error = waiting.fails({"http": {"url": f"http://127.0.0.1:{port}/"}}, timeout=3)
    assert unmet(error)[0]["reason"] == "no answer: [Errno 111] Connection refused"


# Invalid input


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({}, "Condition 1 needs exactly one of workloads, nodes"),
        ({"nodes": {}, "crds": {"names": ["a"]}}, "Condition 1 needs exactly one of"),
        ({"workloads": {"namespaces": []}}, "Condition 1 (workloads): namespaces is empty."),
        ({"crds": {"names": []}}, "Condition 1 (crds): names is empty."),
        ({"nodes": {"selector": "a b"}}, "The selector 'a b' is invalid at 'a b'."),
        ({"applications": {"revision": "abc"}}, "revision 'abc' is too short"),
        ({"resources": {"api_version": "v1", "kind": "Pod", "expression": "status."}}, "is not valid JMESPath"),
        ({"resources": {"api_version": "v1", "kind": "Pod", "expression": "a && legth(b)"}}, "calls legth(), which"),
        (
            {"resources": {"api_version": "v1", "kind": "Pod", "expression": "a && length(b, c)"}},
            "with 2 arguments; it",
        ),
        ({"resources": {"api_version": "v1", "kind": "Pod", "expression": "not_null()"}}, "it takes 1 or more"),
        ({"http": {"url": "greeter:8000"}}, "is not an http or https URL"),
        ({"http": {"url": "http://me:canary@host/"}}, "url contains credentials"),
        ({"http": {"url": "/readyz", "bearer_token": "canary"}}, "Remove bearer_token"),
        ({"http": {"url": "/readyz", "secret_headers": [TOKEN]}}, "Remove secret_headers"),
    ],
)
def test_wrong_condition_is_refused_before_anything_is_asked(condition: Object, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        build_conditions([condition])
    assert message in str(caught.value)
    assert "canary" not in str(caught.value)


def test_no_condition_is_refused() -> None:
    with pytest.raises(InvalidInput, match="conditions is empty"):
        build_conditions([])


STAGING: Object = {"workloads": {"namespaces": ["staging"]}}


def test_a_condition_that_is_out_of_its_own_time_ends_the_wait_while_others_have_more(
    server: FakeApi, waiting: Waiting
) -> None:
    server.put(deployment(ready=0))
    server.put(deployment(ready=0, namespace="staging"))
    error = waiting.fails({**DEV, "timeout": 60}, STAGING, timeout=300)
    assert error.facts["elapsed"] == 60
    assert "workloads in dev (0 of 1 ready, within 60 s):" in error.msg
    assert "workloads in staging (0 of 1 ready):" in error.msg


def test_a_condition_that_has_held_in_its_time_may_hold_again_until_the_end(server: FakeApi, waiting: Waiting) -> None:
    server.put(deployment())
    server.put(deployment(ready=0, namespace="staging"))
    waiting.clock.steps = [
        lambda: server.put(deployment(ready=0)),
        lambda: server.put(deployment(namespace="staging")),
        lambda: server.put(deployment()),
    ]
    result = waiting.wait({**DEV, "timeout": 1}, STAGING, timeout=300)
    assert result["ready"]


def test_the_longest_own_time_is_that_of_the_whole_wait(server: FakeApi, waiting: Waiting) -> None:
    server.put(deployment(ready=0))
    assert waiting.fails({**DEV, "timeout": 400}, timeout=300).facts["elapsed"] == 400
