# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The choice of the source with a real make and a real server."""

from __future__ import annotations

import json
import time
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.drystone.platform.plugins.module_utils._artifacts.source import Answer, decide, is_built, probe
from ansible_collections.drystone.platform.plugins.module_utils._command import run
from ansible_collections.drystone.platform.plugins.modules import artifact_source

if t.TYPE_CHECKING:
    from tests.unit.fake_upstream import FakeUpstream

GRAPH = """\
$(shell mkdir -p $(CACHE)/build/stamps)
all: $(CACHE)/build/stamps/tool-$(VERSION)
$(CACHE)/build/stamps/tool-$(VERSION):
\t@touch $@
"""


def never() -> t.Any:
    raise AssertionError("it must not be looked at")


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle/Makefile").write_text(GRAPH)
    return tmp_path


def built(graph: Path, version: str) -> bool:
    return is_built(run, str(graph / "bundle"), str(graph / "cache"), {"VERSION": version})


@pytest.mark.parametrize("requested", ["upstream", "source"])
def test_what_is_asked_for_is_taken_without_a_look(requested: str) -> None:
    decision = decide(requested, built=never, downloaded=never, answers=never, within=3)
    assert (decision.source, decision.msg) == (requested, f"{requested}: set by the user")
    assert not decision.complete


def test_a_finished_build_is_taken_without_asking_the_network() -> None:
    decision = decide("auto", built=lambda: True, downloaded=never, answers=never, within=3)
    assert (decision.source, decision.complete) == ("source", True)
    assert "already built on this host" in decision.msg


def test_a_finished_download_is_taken_without_asking_the_network() -> None:
    decision = decide("auto", built=lambda: False, downloaded=lambda: True, answers=never, within=3)
    assert (decision.source, decision.complete) == ("upstream", True)
    assert "are already downloaded" in decision.msg


def test_upstream_is_taken_if_all_of_it_answers() -> None:
    answers = [Answer("https://a.example/x"), Answer("https://b.example/v2/")]
    decision = decide("auto", built=lambda: False, downloaded=lambda: False, answers=lambda: answers, within=3)
    assert (decision.source, decision.complete) == ("upstream", False)
    assert "all 2 upstream endpoints answered within 3 s" in decision.msg


def test_a_build_is_taken_if_one_is_silent_and_the_message_groups_them_by_reason() -> None:
    answers = [
        Answer("https://a.example/x"),
        Answer("https://b.example/v2/", "did not answer (no route)"),
        Answer("https://c.example/y", "answered 403 Forbidden"),
        Answer("https://d.example/y", "did not answer (no route)"),
        Answer("https://d.example/z", "did not answer (no route)"),
    ]
    decision = decide("auto", built=lambda: False, downloaded=lambda: False, answers=lambda: answers, within=3)
    assert decision.source == "source"
    assert "4 of 5 upstream endpoints cannot be used" in decision.msg
    assert "b.example, d.example did not answer (no route); c.example answered 403 Forbidden" in decision.msg


def test_a_graph_that_was_never_built_is_not_even_read(graph: Path) -> None:
    assert not built(graph, "1")
    assert not (graph / "cache").exists()


def test_a_build_counts_for_its_own_pins_only(graph: Path) -> None:
    stamps = graph / "cache/build/stamps"
    stamps.mkdir(parents=True)
    assert not built(graph, "1")
    (stamps / "tool-1").touch()
    assert built(graph, "1")
    assert not built(graph, "2")


def test_a_graph_that_cannot_be_read_counts_as_not_built(graph: Path) -> None:
    (graph / "cache/build/stamps").mkdir(parents=True)
    (graph / "bundle/Makefile").write_text("$(error pins are missing)")
    assert not built(graph, "1")


def test_answers_and_refusals_are_told_apart(fake_upstream: FakeUpstream) -> None:
    fake_upstream.files["/there"] = b"yes"
    fake_upstream.faults = {"/v2/": 401, "/forbidden": 403}
    paths = ["/there", "/v2/", "/forbidden", "/missing"]
    answers = probe([f"{fake_upstream.url}{path}" for path in paths], 3)
    assert [answer.error for answer in answers] == ["", "", "answered 403 Forbidden", "answered 404 Not Found"]


def test_nobody_there_is_told_at_once(fake_upstream: FakeUpstream) -> None:
    fake_upstream.stop()
    [answer] = probe([f"{fake_upstream.url}/x"], 3)
    assert "Connection refused" in answer.error


def test_all_together_take_no_longer_than_one_may(fake_upstream: FakeUpstream) -> None:
    paths = [f"/slow-{number}" for number in range(5)]
    fake_upstream.faults = dict.fromkeys(paths, "hang")
    began = time.monotonic()
    answers = probe([f"{fake_upstream.url}{path}" for path in paths], 0.3)
    assert time.monotonic() - began < 0.6
    assert all("did not answer" in answer.error for answer in answers)


def run_module(graph: Path, capsys: pytest.CaptureFixture[str], **more: t.Any) -> dict[str, t.Any]:
    arguments = {
        "directory": str(graph / "bundle"),
        "cache": str(graph / "cache"),
        "pins": {"VERSION": "1"},
        "_ansible_check_mode": True,
        **more,
    }
    with patch_module_args(arguments), pytest.raises(SystemExit):
        artifact_source.main()
    result: dict[str, t.Any] = json.loads(capsys.readouterr().out)
    return result


def test_the_module_says_which_and_why(
    graph: Path, fake_upstream: FakeUpstream, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run_module(graph, capsys, endpoints=[f"{fake_upstream.url}/missing"])
    assert (result["changed"], result["source"], result["complete"]) == (False, "source", False)
    assert "answered 404 Not Found" in result["msg"]
    assert result["endpoints"] == [{"url": f"{fake_upstream.url}/missing", "error": "answered 404 Not Found"}]


@pytest.mark.parametrize(("machine", "arch"), [("x86_64", "amd64"), ("aarch64", "arm64")])
def test_the_processor_is_told_and_asked_for(
    graph: Path,
    fake_upstream: FakeUpstream,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    machine: str,
    arch: str,
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    fake_upstream.files[f"/tool-linux-{arch}"] = b"yes"
    result = run_module(graph, capsys, endpoints=[f"{fake_upstream.url}/tool-linux-{{arch}}"])
    assert (result["arch"], result["source"], result["complete"]) == (arch, "upstream", False)


def test_a_processor_for_which_nothing_is_published_is_refused(
    graph: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    result = run_module(graph, capsys)
    assert result["failed"]
    assert (
        "this host's processor architecture is riscv64, but upstream only publishes for x86_64 and aarch64"
        in result["msg"]
    )
