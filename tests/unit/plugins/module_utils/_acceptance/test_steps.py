# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps do what a user would do, and return what they saw."""

from __future__ import annotations

import shutil
import threading
import time
import typing as t
from contextlib import ExitStack
from pathlib import Path

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._acceptance import steps
from ansible_collections.drystone.platform.plugins.module_utils._acceptance.place import Command, Place
from ansible_collections.drystone.platform.plugins.module_utils._acceptance.rows import run_rows
from ansible_collections.drystone.platform.plugins.module_utils._acceptance.seen import Seen
from ansible_collections.drystone.platform.plugins.module_utils._command import Result
from ansible_collections.drystone.platform.plugins.module_utils._errors import CommandFailed, InvalidInput, NotReady
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi
from tests.unit.bare_repository import Server
from tests.unit.fake_api import FakeApi

Options = dict[str, t.Any]
DEFAULTS: dict[str, Options] = {
    "objects": {"api_version": "v1", "namespaces": [], "name": "", "selector": "", "show": None, "expect": None},
    "command": {"directory": None, "exit_code": 0, "output": None, "undo": []},
    "files": {"contain": None},
    "query": {"expect": None, "minutes": 0, "unit": ""},
}


@pytest.fixture
def place(fake_api: FakeApi, tmp_path: Path) -> Place:
    for name, pool in (("one", "apps"), ("two", "platform")):
        metadata = {"name": name, "labels": {"pool": pool}}
        fake_api.put({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {}})
    kubeconfig = fake_api.kubeconfig(tmp_path / "kubeconfig")
    now = iter(float(second) for second in range(10_000))
    return Place(
        KubeApi.from_kubeconfig(kubeconfig, retry_for=0),
        kubeconfig,
        prometheus="/prometheus",
        clock=lambda: next(now),
        now=lambda: 1000.0,
        sleep=lambda _seconds: None,
    )


def take(place: Place, kind: str, options: t.Any, timeout: float = 0) -> Seen:
    """Take one step; options that are left out have their defaults."""
    with ExitStack() as undo:
        whole = {**DEFAULTS[kind], **options} if kind in DEFAULTS else options
        return steps.KINDS[kind](place, whole, timeout, undo)


def test_conditions_show_answers_and_numbers(place: Place, fake_api: FakeApi) -> None:
    fake_api.answers["/readyz"] = (200, "ok")
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    for name in ("one", "two"):
        fake_api.put({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {}, "status": ready})
    seen = take(place, "conditions", [{"nodes": {"count": 2}}, {"http": {"url": "/readyz"}}])
    assert (seen.holds, seen.lines) == (True, ["2 nodes: 2 ready", "URL /readyz: answered 200"])


@pytest.mark.parametrize("timeout", [0, 1])
def test_conditions_that_do_not_hold_are_named(place: Place, fake_api: FakeApi, timeout: float) -> None:
    fake_api.answers["/readyz"] = (500, "no")
    place.clock = time.monotonic
    seen = take(place, "conditions", [{"http": {"url": "/readyz"}}], timeout)
    assert not seen.holds
    assert "answered 500" in " ".join(seen.lines)


def test_objects_are_shown_as_a_table_and_judged(place: Place) -> None:
    show = "[].{node: metadata.name, pool: metadata.labels.pool}"
    seen = take(place, "objects", {"kind": "Node", "show": show, "expect": "length(@) == `2`"})
    assert (seen.holds, seen.lines) == (True, ["2 x Node"])
    assert seen.table == [["node", "pool"], ["one", "apps"], ["two", "platform"]]


def test_objects_that_differ_are_shown_with_the_expectation(place: Place) -> None:
    seen = take(place, "objects", {"kind": "Node", "expect": "length(@) == `3`"}, timeout=5)
    assert (seen.holds, seen.lines) == (False, ["2 x Node", "Expected: length(@) == `3`"])


def test_without_an_expectation_an_object_must_exist(place: Place) -> None:
    seen = take(place, "objects", {"kind": "ConfigMap", "namespaces": ["dev"]})
    assert (seen.holds, seen.lines) == (False, ["0 x ConfigMap in dev", "Expected: at least one object"])


def test_the_content_of_a_secret_is_never_read(place: Place, fake_api: FakeApi) -> None:
    fake_api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "dev"}})
    metadata = {"name": "hello", "namespace": "dev"}
    fake_api.put({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"token": "c2VjcmV0"}})
    seen = take(place, "objects", {"kind": "Secret", "show": "[].{name: metadata.name, data: data}"})
    assert seen.table == [["name", "data"], ["hello", ""]]


@pytest.mark.parametrize("show", ["[].metadata.name", "[].[metadata.name]"])
def test_a_table_needs_named_cells(place: Place, show: str) -> None:
    with pytest.raises(InvalidInput, match="does not return a list of objects"):
        take(place, "objects", {"kind": "Node", "show": show})


def test_a_command_runs_with_the_cluster_and_its_tools(place: Place, tmp_path: Path) -> None:
    tool = tmp_path / "bin/tell"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\necho "$KUBECONFIG $1"\necho problem >&2\nexit 3\n')
    tool.chmod(0o755)
    place.tools = [str(tool.parent)]
    argv = [str(tool), "a b"]
    seen = take(place, "command", {"argv": argv, "exit_code": 3, "output": "^problem$"})
    assert (seen.holds, seen.lines) == (True, [f"$ {tool} a b", f"{place.kubeconfig} a b", "problem"])
    seen = take(place, "command", {"argv": argv, "exit_code": 3, "output": "missing"})
    assert (seen.holds, seen.lines[1]) == (False, "Expected output that matches: missing")
    with pytest.raises(CommandFailed, match=r"Exit code 3, expected 0\n.*\nproblem$"):
        take(place, "command", {"argv": argv})
    assert place.environment["PATH"].startswith(f"{tool.parent}:")


def test_a_command_is_undone_when_the_row_ends(place: Place) -> None:
    ran: list[str] = []

    def command(argv: list[str], _timeout: float, **_more: t.Any) -> Result:
        ran.append(argv[0])
        return Result(1 if argv[0] == "promote" else 0, "")

    place.command = t.cast(Command, command)
    with pytest.raises(CommandFailed, match="Exit code 1"):
        take(place, "command", {"argv": ["promote"], "undo": ["rollback"]})
    assert ran == ["promote", "rollback"]


@pytest.mark.parametrize("kind", ["command", "files"])
def test_an_invalid_pattern_is_named(place: Place, tmp_path: Path, kind: str) -> None:
    (tmp_path / "a").write_text("a")
    given = {
        "command": {"argv": ["true"], "output": "("},
        "files": {"directory": str(tmp_path), "paths": ["a"], "contain": "("},
    }
    with pytest.raises(InvalidInput, match=r"The regular expression '\(' is not valid"):
        take(place, kind, given[kind])


def test_the_end_of_a_long_output_is_shown(place: Place) -> None:
    place.command = lambda *_given, **_more: Result(0, "\n".join(f"line {number}" for number in range(40)))
    seen = take(place, "command", {"argv": ["tell"], "output": "line 1$"})
    assert seen.holds
    assert (seen.lines[0], seen.lines[1], seen.lines[-1]) == ("$ tell", "line 25", "line 39")


def test_a_wait_that_succeeded_is_not_judged_again(place: Place, fake_api: FakeApi) -> None:
    # The next request may reach a replica that does not have the new content yet.
    fake_api.answers["/page"] = (200, "old")
    place.clock = time.monotonic
    threading.Timer(0.5, lambda: fake_api.answers.update({"/page": (200, "new")})).start()
    seen = take(place, "conditions", [{"http": {"url": "/page", "body": "new"}}], timeout=20)
    assert seen.holds
    assert "http /page: 1 of 1 ready after" in seen.lines[0]


def test_a_new_platform_gets_time_for_steps_that_only_look(place: Place, fake_api: FakeApi) -> None:
    fake_api.answers["/prometheus/api/v1/query"] = vector()
    place.sleep = lambda _seconds: fake_api.answers.update({"/prometheus/api/v1/query": vector(({"job": "a"}, "1"))})
    place.patience = 60
    step: Options = {"say": "Ask", "needs": [], "instead": None, "gate": False, "timeout": 0}
    asked = {**step, "query": {"promql": "up", **DEFAULTS["query"]}}
    row = {"id": "F7", "title": "Prometheus", "needs": [], "slow": False, "restored": [], "steps": [asked]}
    found = run_rows(place, [row], available=[], slow=False, parallel=1)
    assert (found[0]["result"], found[0]["steps"][0]["seen"]) == ("holds", ["up", "job=a: 1"])


def test_files_must_exist_and_contain_something(place: Place, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one\ntwo\n")
    (tmp_path / "b").write_text("one\n")
    where = {"directory": str(tmp_path)}
    assert take(place, "files", {**where, "paths": ["a", "b"], "contain": "^one$"}).holds
    seen = take(place, "files", {**where, "paths": ["a", "b", "c"], "contain": "two"})
    assert (seen.holds, seen.lines) == (False, ["a", "b contains nothing that matches two", "c is missing"])


def vector(*values: tuple[dict[str, str], str]) -> tuple[int, t.Any]:
    result = [{"metric": labels, "value": [1000.0, value]} for labels, value in values]
    return 200, {"status": "success", "data": {"resultType": "vector", "result": result}}


def test_prometheus_is_asked_for_the_current_value(place: Place, fake_api: FakeApi) -> None:
    fake_api.answers["/prometheus/api/v1/query"] = vector(({"job": "a"}, "1"), ({"job": "b"}, "NaN"))
    seen = take(place, "query", {"promql": "up", "expect": "length(@) == `1`"})
    assert (seen.holds, seen.lines, seen.series) == (True, ["up", "job=a: 1"], [])


def test_prometheus_is_asked_for_a_curve(place: Place, fake_api: FakeApi) -> None:
    points = [[940.0, "1"], [970.0, "2"], [1000.0, "4"]]
    result = [{"metric": {"__name__": "up"}, "values": points}]
    body = {"status": "success", "data": {"resultType": "matrix", "result": result}}
    fake_api.answers["/prometheus/api/v1/query_range"] = (200, body)
    seen = take(place, "query", {"promql": "up", "minutes": 2, "unit": "pods"})
    assert (seen.holds, seen.unit, seen.lines) == (True, "pods", ["up", "value: 4 pods"])
    assert fake_api.requests[-1].endswith("/query_range?query=up&start=880.0&end=1000.0&step=5")
    assert seen.series[0]["points"] == [[940.0, 1.0], [970.0, 2.0], [1000.0, 4.0]]


def test_no_data_does_not_hold(place: Place, fake_api: FakeApi) -> None:
    fake_api.answers["/prometheus/api/v1/query"] = vector()
    seen = take(place, "query", {"promql": "up", "expect": "[0]"})
    assert (seen.holds, seen.lines) == (False, ["up", "Prometheus has no data for this query.", "Expected: [0]"])


def test_a_refused_query_is_an_error_with_its_reason(place: Place, fake_api: FakeApi) -> None:
    fake_api.answers["/prometheus/api/v1/query"] = (400, {"status": "error", "error": "unclosed ("})
    with pytest.raises(CommandFailed, match=r"Asking Prometheus for up\(: it answered unclosed \("):
        take(place, "query", {"promql": "up("})


def test_a_push_is_taken_back_when_the_row_ends(place: Place, tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.commit({"page": "one\n"})
    options = {"repository": str(server.path), "path": "page", "line": "# drystone-acceptance", "subject": "Try it"}
    with ExitStack() as undo:
        seen = steps.push(place, options, 0, undo)
        assert server.file("page") == "one\n# drystone-acceptance"
        assert seen.lines == [f"{server.path} is at commit {server.head()[:12]}: Try it"]
    assert server.file("page") == "one"


def target(url: str, *secrets: dict[str, str]) -> Options:
    """Return the options of traffic to one URL that stops at once."""
    one = {"name": "hello", "url": url, "headers": {}, "secret_headers": [*secrets]}
    until = [{"http": {"url": "/readyz"}}]
    return {"targets": [one], "rate": 50, "during": [], "until": until, "afterwards": [], "most_failed": 0}


def test_traffic_stops_when_the_conditions_hold(place: Place, fake_api: FakeApi) -> None:
    fake_api.answers["/readyz"] = (200, "ok")
    place.clock = lambda: 1.0
    seen = take(place, "traffic", target(f"{fake_api.url}/readyz"), timeout=20)
    assert seen.holds, seen.lines
    assert (seen.table[0][2], seen.table[1][0], seen.table[1][2]) == ("failed", "hello", "0")
    seen = take(place, "traffic", target(f"{fake_api.url}/missing"), timeout=20)
    assert not seen.holds


def test_commands_run_during_traffic_and_when_the_row_ends(place: Place, fake_api: FakeApi) -> None:
    fake_api.answers["/readyz"] = (200, "ok")
    place.clock = lambda: 1.0
    ran: list[str] = []

    def command(argv: list[str], _timeout: float, **_more: t.Any) -> Result:
        ran.append(argv[-1])
        return Result(1 if argv[-1] == "drain" else 0, stderr="no such node")

    place.command = t.cast(Command, command)
    options = target(f"{fake_api.url}/readyz") | {
        "during": [["kubectl", "get"]],
        "afterwards": [["kubectl", "uncordon"]],
    }
    with ExitStack() as undo:
        seen = steps.traffic(place, options, 20, undo)
        assert (seen.holds, seen.lines, ran) == (True, ["$ kubectl get"], ["get"])
    assert ran == ["get", "uncordon"]
    seen = take(place, "traffic", options | {"during": [["kubectl", "drain"], ["kubectl", "get"]]}, timeout=20)
    assert (seen.holds, ran[2:]) == (False, ["drain", "uncordon"])
    assert "no such node" in seen.lines[-1]


def test_traffic_needs_the_secret(place: Place, fake_api: FakeApi) -> None:
    secret = {"header": "X-Auth-Token", "namespace": "dev", "name": "hello", "key": "token"}
    with pytest.raises(NotReady, match="Secret dev/hello cannot be read"):
        take(place, "traffic", target(f"{fake_api.url}/readyz", secret), timeout=5)


def test_a_picture_is_the_browser_s(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def command(argv: list[str], _timeout: float, **_more: t.Any) -> Result:
        target = next(one for one in argv if one.startswith("--screenshot=")).partition("=")[2]
        Path(target).write_bytes(b"png")
        return Result(0)

    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if name == "chromium" else None)
    place.command, place.pictures = t.cast(Command, command), str(tmp_path / "pictures")
    seen = take(place, "picture", {"url": "http://rokken.localhost:8080/"})
    assert (seen.holds, seen.picture) == (True, str(tmp_path / "pictures/rokken-localhost-8080.png"))
    place.command = lambda *_given, **_more: Result(1, stderr="no display")
    (tmp_path / "pictures/rokken-localhost-8080.png").unlink()
    seen = take(place, "picture", {"url": "http://rokken.localhost:8080/"})
    assert (seen.holds, "no display" in seen.lines[0]) == (False, True)


def test_without_a_browser_there_is_no_picture(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    place.pictures = str(tmp_path)
    seen = take(place, "picture", {"url": "http://rokken.localhost:8080/"})
    assert (seen.holds, seen.picture) == (True, "")
    assert "this host has none of" in seen.lines[0]
