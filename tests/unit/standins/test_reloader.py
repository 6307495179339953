# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in of Reloader: exactly one rollout for each change, also after a crash, and none for anything else."""

from __future__ import annotations

import base64
import http.client
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from bundle.standins.reloader import __main__ as command
from bundle.standins.reloader import decide
from bundle.standins.reloader.follow import Reloader
from bundle.standins.reloader.kube import Api
from bundle.standins.reloader.metrics import Metrics

if TYPE_CHECKING:
    from tests.unit.fake_api import FakeApi

Object = dict[str, Any]

FLAGS = [
    "--namespaces=dev",
    "--reload-strategy=env-vars",
    "--reload-on-create=true",
    "--sync-after-restart=true",
    "--ignored-workload-types=jobs,cronjobs",
    "--log-format=json",
]


def config(name: str = "settings", kind: str = "ConfigMap", **data: str) -> Object:
    values = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "dev"},
        "data": values if kind == "Secret" else data,
    }


def workload(name: str, annotations: dict[str, str], kind: str = "Deployment", **pod: Any) -> Object:
    return {
        "apiVersion": "argoproj.io/v1alpha1" if kind == "Rollout" else "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "dev", "annotations": annotations},
        "spec": {
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod or {"containers": [{"name": "main"}]}}
        },
    }


NAMED = {"configmap.reloader.stakater.com/reload": "settings"}


def wait_for(what: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not what() and time.monotonic() < deadline:
        time.sleep(0.01)
    return what()


class World:
    """The stand-in on a fake cluster. Tests start and stop it."""

    def __init__(self, api: FakeApi) -> None:
        self.api = api
        self.metrics = Metrics()
        self.running: Reloader | None = None
        self.logged: list[str] = []
        api.serve("argoproj.io/v1alpha1", "Rollout", "rollouts")
        api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "dev"}})

    def start(self) -> Reloader:
        self.metrics = Metrics()
        client = Api(self.api.url, lambda: "token", count=self.count)
        self.running = Reloader(
            client,
            ["dev"],
            self.metrics,
            lambda level, message: self.logged.append(f"{level}: {message}"),
            rollouts=True,
            watch_seconds=1,
            pause=(0.02, 0.1),
        )
        self.running.start()
        return self.running

    def started(self) -> World:
        running = self.start()
        assert wait_for(lambda: not running.unread()), self.logged
        return self

    def stop(self) -> None:
        if self.running:
            self.running.stop.set()
        self.running = None

    def count(self, code: str, method: str) -> None:
        self.metrics.add("rest_client_requests_total", code=code, method=method, host="fake")

    def rollouts(self) -> list[str]:
        return [write for write in self.api.writes if write.startswith("update") and "Event" not in write]

    def variables(self, name: str, kind: str = "Deployment", container: int = 0) -> dict[str, str]:
        found = self.api.find(kind, name, "dev")
        assert found is not None
        env = found["spec"]["template"]["spec"]["containers"][container].get("env", [])
        return {one["name"]: one["value"] for one in env if "value" in one}

    def hash(self, name: str, kind: str = "Deployment") -> str | None:
        return self.variables(name, kind).get("STAKATER_SETTINGS_CONFIGMAP")

    def change(self, **data: str) -> str:
        """Change the ConfigMap, and return the hash of its content."""
        self.api.put(config(**data))
        found = self.api.find("ConfigMap", "settings", "dev")
        assert found is not None
        return decide.digest(found)

    def settled(self) -> bool:
        """Return whether a further change was processed, which means that all previous ones were."""
        marker = f"marker-{time.time_ns()}"
        asking = workload("marker", {"configmap.reloader.stakater.com/reload": marker})
        self.api.put(asking)
        self.api.put(config(marker, n="1"))
        time.sleep(0.05)
        self.api.put(config(marker, n="2"))
        name = decide.variable("ConfigMap", marker)
        return wait_for(lambda: name in self.variables("marker"))

    def events(self, reason: str) -> list[Object]:
        names = self.api.names("Event")
        found = [self.api.find("Event", name, "dev") for name in names]
        return [one for one in found if one and one["reason"] == reason]


@pytest.fixture
def world(fake_api: FakeApi) -> Iterator[World]:
    made = World(fake_api)
    yield made
    made.stop()


# Annotations


def test_the_hash_is_upstream_s() -> None:
    # Of "colour=red;shape=round"
    assert decide.digest(config(colour="red", shape="round")) == "07e47054bcabd2393b35f72e5253f40b825bf1e2"
    assert decide.digest(config(kind="Secret", colour="red")) == decide.digest(config(colour="red"))
    binary = {**config(), "binaryData": {"b": "AAE="}}
    assert decide.digest(binary) == decide.digest(config(b="AAE="))
    labelled = config(colour="red")
    labelled["metadata"]["labels"] = {"a": "b"}
    assert decide.digest(labelled) == decide.digest(config(colour="red"))


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("ConfigMap", "greeter-config", "STAKATER_GREETER_CONFIG_CONFIGMAP"),
        ("Secret", "a.b--c", "STAKATER_A_B_C_SECRET"),
    ],
)
def test_the_variable_is_named_as_upstream_names_it(kind: str, name: str, expected: str) -> None:
    assert decide.variable(kind, name) == expected


USES: dict[str, Object] = {
    "volume": {
        "containers": [{"name": "other"}, {"name": "user", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
        "volumes": [{"name": "v", "configMap": {"name": "settings"}}],
    },
    "projected volume": {
        "containers": [{"name": "other"}, {"name": "user", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
        "volumes": [{"name": "v", "projected": {"sources": [{"configMap": {"name": "settings"}}]}}],
    },
    "variable": {
        "containers": [
            {"name": "other"},
            {
                "name": "user",
                "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "a"}}}],
            },
        ]
    },
    "all variables": {
        "containers": [{"name": "other"}, {"name": "user", "envFrom": [{"configMapRef": {"name": "settings"}}]}]
    },
    "init container": {
        "containers": [{"name": "user"}],
        "initContainers": [{"name": "init", "envFrom": [{"configMapRef": {"name": "settings"}}]}],
    },
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("annotations", [NAMED, {decide.AUTO: "true"}])
def test_the_container_that_uses_it_gets_the_variable(use: str, annotations: dict[str, str]) -> None:
    assert decide.container_for(workload("a", annotations, **USES[use]), "ConfigMap", "settings") == "user"


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        (NAMED, "main"),
        ({"configmap.reloader.stakater.com/reload": "other, settings"}, "main"),
        ({"configmap.reloader.stakater.com/reload": "settings-2"}, None),
        ({"secret.reloader.stakater.com/reload": "settings"}, None),
        ({decide.AUTO: "true"}, None),
        ({decide.AUTO: "false", **NAMED}, "main"),
        ({}, None),
    ],
)
def test_who_asks_for_a_reload_without_using_it(annotations: dict[str, str], expected: str | None) -> None:
    assert decide.container_for(workload("a", annotations), "ConfigMap", "settings") == expected


@pytest.mark.parametrize(
    "annotations",
    [
        {"configmap.reloader.stakater.com/auto": "true"},
        {"reloader.stakater.com/search": "true"},
        {"secrets.exclude.reloader.stakater.com/reload": "a"},
        {"deployment.reloader.stakater.com/pause-period": "5m"},
        {"reloader.stakater.com/auto": "yes"},
        {"configmap.reloader.stakater.com/reload": "settings-.*"},
        {"configmap.reloader.stakater.com/reload": ""},
    ],
)
def test_what_it_does_not_know_is_refused_aloud_and_once(world: World, annotations: dict[str, str]) -> None:
    world.api.put(workload("web", {**NAMED, **annotations}))
    world.api.put(config(colour="red"))
    world.started()
    world.change(colour="blue")
    assert world.settled()
    assert world.hash("web") is None
    (event,) = world.events("UnsupportedAnnotation")
    assert event["involvedObject"]["name"] == "web"
    assert event["type"] == "Warning"
    assert next(iter(annotations)) in event["message"]
    assert 'reloader_errors_total{type="unsupported_annotation"} 1' in world.metrics.render()


def test_annotations_of_a_pod_template_or_a_configmap_are_refused() -> None:
    asking = workload("web", {})
    asking["spec"]["template"]["metadata"]["annotations"] = dict(NAMED)
    assert decide.refusals(asking) == ["configmap.reloader.stakater.com/reload in the Pod template"]
    ignored = config()
    ignored["metadata"]["annotations"] = {"reloader.stakater.com/ignore": "true"}
    assert decide.refusals(ignored) == ["reloader.stakater.com/ignore"]
    left = workload("web", NAMED)
    left["spec"]["template"]["metadata"]["annotations"] = {"reloader.stakater.com/last-reloaded-from": "{}"}
    assert decide.refusals(left) == []


# Effects of a change


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "Rollout"])
def test_a_change_makes_exactly_one_rollout(world: World, kind: str) -> None:
    pod = {"containers": [{"name": "main", "image": "x", "env": [{"name": "KEPT", "value": "1"}]}, {"name": "side"}]}
    world.api.put(workload("web", NAMED, kind, **pod))
    world.api.put(workload("other", {}, kind))
    world.api.put(config(colour="red"))
    world.started()
    now = world.change(colour="blue")
    assert wait_for(lambda: world.hash("web", kind) == now)
    assert world.settled()
    assert world.variables("web", kind) == {"KEPT": "1", "STAKATER_SETTINGS_CONFIGMAP": now}
    assert [write for write in world.rollouts() if "marker" not in write] == [f"update {kind} web"]
    found = world.api.find(kind, "web", "dev")
    assert found is not None
    assert [one["name"] for one in found["spec"]["template"]["spec"]["containers"]] == ["main", "side"]
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "x"
    (message,) = [one["message"] for one in world.events("Reloaded") if one["involvedObject"]["name"] == "web"]
    assert message == (
        "Changes detected in 'settings' of type 'CONFIGMAP' in namespace 'dev', "
        f"Updated 'web' of type '{kind}' in namespace 'dev'"
    )


def test_a_secret_reloads_as_well_and_shows_nothing_of_itself(world: World) -> None:
    world.api.put(workload("web", {"secret.reloader.stakater.com/reload": "settings"}))
    world.api.put(config(kind="Secret", password="first-canary"))
    world.started()
    world.api.put(config(kind="Secret", password="second-canary"))
    assert wait_for(lambda: "STAKATER_SETTINGS_SECRET" in world.variables("web"))
    assert [line for line in world.logged if "canary" in line] == []


def test_content_counts_and_labels_do_not(world: World) -> None:
    world.api.put(workload("web", NAMED))
    world.api.put(config(colour="red"))
    world.started()
    world.api.edit("ConfigMap", "settings", "dev", "metadata/labels", {"a": "b"})
    assert world.settled()
    assert world.hash("web") is None


def test_several_changes_are_several_rollouts_and_the_last_one_stays(world: World) -> None:
    world.api.put(workload("web", NAMED))
    world.api.put(config(colour="red"))
    world.started()
    for colour in ("blue", "green"):
        now = world.change(colour=colour)
        assert wait_for(lambda now=now: world.hash("web") == now)  # type: ignore[misc]  # a default of a lambda has no type
    assert world.rollouts() == ["update Deployment web"] * 2


def test_deleted_and_made_again_with_other_content_counts_as_a_change(world: World) -> None:
    world.api.put(workload("web", NAMED))
    world.api.put(config(colour="red"))
    world.started()
    world.api.drop("ConfigMap", "settings", "dev")
    now = world.change(colour="blue")
    assert wait_for(lambda: world.hash("web") == now)


def test_another_namespace_is_none_of_its_business(world: World) -> None:
    world.started()
    assert wait_for(lambda: any("watch" in request for request in world.api.requests))
    touched = {request.split("/namespaces/")[1].split("/")[0] for request in world.api.requests}
    assert touched == {"dev"}


# Starts and crashes


def test_its_own_start_restarts_nothing(world: World) -> None:
    world.api.put(workload("web", NAMED))
    world.api.put(config(colour="red"))
    for _again in range(3):
        world.started()
        assert world.settled()
        world.stop()
    assert world.hash("web") is None
    assert [write for write in world.rollouts() if "marker" not in write] == []


def test_what_changed_while_it_was_down_is_caught_and_nothing_else_restarts(world: World) -> None:
    for name in ("web", "steady"):
        world.api.put(workload(name, {"configmap.reloader.stakater.com/reload": f"settings,{name}-config"}))
        world.api.put(config(f"{name}-config", colour="red"))
    world.started()
    for name in ("web", "steady"):
        world.api.put(config(f"{name}-config", colour="blue"))
        variable = decide.variable("ConfigMap", f"{name}-config")
        assert wait_for(lambda name=name, variable=variable: variable in world.variables(name))  # type: ignore[misc]  # as above
    world.stop()
    before = world.rollouts()
    world.api.put(config("web-config", colour="green"))
    world.started()
    expected = decide.digest(config(colour="green"))
    assert wait_for(lambda: world.variables("web")["STAKATER_WEB_CONFIG_CONFIGMAP"] == expected)
    assert world.settled()
    after = [write for write in world.rollouts()[len(before) :] if "marker" not in write]
    assert after == ["update Deployment web"]


def test_killed_between_two_workloads_it_serves_the_second_later_and_the_first_never_twice(world: World) -> None:
    for name in ("a", "b"):
        world.api.put(workload(name, NAMED))
    world.api.put(config(colour="red"))
    world.started()
    first = world.change(colour="blue")
    assert wait_for(lambda: world.hash("a") == world.hash("b") == first)
    written = len(world.rollouts())

    def die(_count: int) -> None:
        if len(world.rollouts()) == written + 1:
            world.stop()
            world.api.dead = True  # the first change is written, but its response is lost

    world.api.on_write = die
    second = world.change(colour="green")
    assert wait_for(lambda: world.api.dead)
    assert [world.hash(name) == second for name in ("a", "b")].count(True) == 1
    world.api.on_write = lambda count: None
    world.api.dead = False
    world.started()
    assert wait_for(lambda: world.hash("a") == world.hash("b") == second)
    assert world.settled()
    assert sorted(write for write in world.rollouts()[written:] if "marker" not in write) == [
        "update Deployment a",
        "update Deployment b",
    ]


def test_a_patch_that_fails_is_told_counted_and_tried_again(world: World, fault: Any) -> None:
    world.api.put(workload("web", NAMED))
    world.api.put(config(colour="red"))
    world.started()
    world.api.faults.append(fault("PATCH .*/deployments/web", times=2, status=500))
    now = world.change(colour="blue")
    assert wait_for(lambda: world.hash("web") == now)
    text = world.metrics.render()
    assert 'reloader_reload_executed_total{success="false"} 2' in text
    assert 'reloader_reload_executed_total{success="true"} 1' in text
    assert 'reloader_action_total{result="error",workload_kind="Deployment"} 2' in text
    assert len(world.events("ReloadFail")) == 2
    assert world.rollouts() == ["update Deployment web"]


def test_one_workload_that_cannot_be_changed_keeps_no_other_from_it(world: World, fault: Any) -> None:
    for name in ("a", "b"):
        world.api.put(workload(name, NAMED))
    world.api.put(config(colour="red"))
    world.started()
    world.api.faults.append(fault("PATCH .*/deployments/a", times=1000, status=403))
    now = world.change(colour="blue")
    assert wait_for(lambda: world.hash("b") == now)
    assert world.hash("a") is None
    world.api.faults.clear()
    assert wait_for(lambda: world.hash("a") == now)
    assert sorted(world.rollouts()) == ["update Deployment a", "update Deployment b"]


def test_a_change_during_an_expired_watch_is_found_by_the_next_list(world: World, fault: Any) -> None:
    world.api.put(workload("web", NAMED))
    world.api.put(config(colour="red"))
    world.started()
    world.api.expired_before = world.api.version + 1
    world.api.faults.append(fault("GET .*watch=true", times=4, status=410))
    now = world.change(colour="blue")
    assert wait_for(lambda: world.hash("web") == now)
    assert world.rollouts() == ["update Deployment web"]


def test_an_event_that_cannot_be_written_makes_no_second_rollout(world: World, fault: Any) -> None:
    world.api.put(workload("web", NAMED))
    world.api.put(config(colour="red"))
    world.started()
    world.api.faults.append(fault("POST .*/events", times=1000, status=403))
    now = world.change(colour="blue")
    assert wait_for(lambda: world.hash("web") == now)
    assert wait_for(lambda: any("/events" in line for line in world.logged))
    assert world.rollouts() == ["update Deployment web"]


def test_rollouts_are_no_error_where_they_are_not_installed(world: World) -> None:
    del world.api.kinds["argoproj.io", "rollouts"]
    world.api.put(workload("web", NAMED))
    world.api.put(config(colour="red"))
    world.started()
    now = world.change(colour="blue")
    assert wait_for(lambda: world.hash("web") == now)


def test_it_is_not_ready_before_it_has_read_everything(world: World, fault: Any) -> None:
    world.api.faults.append(fault("GET .*/secrets", times=1000, status=403))
    running = world.start()
    assert wait_for(lambda: running.unread() == "secrets of dev")
    server = ThreadingHTTPServer(("127.0.0.1", 0), command.handler(world.metrics, running.unread))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        assert ask(server, "/live") == (200, "ok\n")
        assert ask(server, "/metrics") == (503, "# not read yet: secrets of dev\n")
        world.api.faults.clear()
        assert wait_for(lambda: not running.unread())
        status, text = ask(server, "/metrics")
        assert status == 200
        assert 'reloader_reload_executed_total{success="true"} 0' in text
        assert 'reloader_reload_executed_total{success="false"} 0' in text
        assert 'rest_client_requests_total{code="403",host="fake",method="GET"}' in text
        assert ask(server, "/other")[0] == 404
    finally:
        server.shutdown()
        server.server_close()


def ask(server: ThreadingHTTPServer, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=5)
    connection.request("GET", path)
    answer = connection.getresponse()
    status, text = answer.status, answer.read().decode()
    connection.close()
    return status, text


# Flags


def test_our_flags_are_taken() -> None:
    options = command.parse([*FLAGS, "--is-Argo-Rollouts=true"])
    assert options.namespaces == ["dev"]
    assert options.rollouts == "true"


@pytest.mark.parametrize(
    "flags",
    [
        [*FLAGS, "--auto-reload-all"],
        [*FLAGS, "--enable-ha=true"],
        [*FLAGS, "--reload-strategy=annotations"],
        [*FLAGS, "--reload-on-create=false"],
        [*FLAGS, "--namespaces=dev,,production"],
        [*FLAGS, "--log-level=debug"],
        *[[flag for flag in FLAGS if flag != missing] for missing in FLAGS],
    ],
)
def test_any_other_set_of_flags_ends_it(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.parse(flags)
    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_an_environment_only_upstream_reads_ends_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ALERT_ON_RELOAD", "true")
    with pytest.raises(SystemExit):
        command.parse(FLAGS)
    assert "ALERT_ON_RELOAD" in capsys.readouterr().err


# The whole program


@pytest.fixture
def program(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Run main() in this process with the fake cluster and a free port, and restore the process afterwards."""
    monkeypatch.setattr(Api, "in_cluster", lambda count: Api(world.api.url, lambda: "token", count=count))
    monkeypatch.setattr(command, "PORT", 0)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    yield world
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_it_works_until_it_is_told_to_end(program: World, capsys: pytest.CaptureFixture[str]) -> None:
    program.api.put(workload("web", NAMED))
    program.api.put(config(colour="red"))

    def change() -> None:
        wait_for(lambda: sum("watch=true" in request for request in program.api.requests) >= 2)
        program.change(colour="blue")
        wait_for(lambda: program.hash("web") is not None)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    threading.Thread(target=change).start()
    assert command.main(FLAGS) == 0
    assert program.rollouts() == ["update Deployment web"]
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert lines[0]["msg"] == "Drystone's stand-in for Reloader follows dev"
    assert {"level", "msg", "time"} == set(lines[-1])


def test_it_ends_when_a_part_of_it_dies(
    program: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def die(*_arguments: str) -> None:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(Reloader, "follow", die)
    assert command.main(FLAGS) == 1
    assert "RuntimeError: a mistake of ours" in capsys.readouterr().err
