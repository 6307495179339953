# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds with a real make and a small build graph of the same structure."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from ansible_collections.drystone.platform.plugins.action import bundle_build as action
from ansible_collections.drystone.platform.plugins.modules import bundle_build
from ansible_collections.drystone.platform.plugins.plugin_utils._build_progress import read_learned

GRAPH = """\
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
$(if $(VERSION),,$(error VERSION is not set: give the pins))
STAMPS := $(CACHE)/build/stamps
$(shell mkdir -p $(STAMPS))
say = @printf '%(%H:%M:%S)T %s\\n' -1 '$(1)'

all: $(STAMPS)/image-$(VERSION)
$(STAMPS)/tool-$(VERSION):
\t$(call say,compile tool)
\t@echo tool >> $(CACHE)/done && touch $@
$(STAMPS)/image-$(VERSION): $(STAMPS)/tool-$(VERSION)
\t$(call say,image tool)
\t@$(IMAGE) && echo image >> $(CACHE)/done && touch $@
"""


class Graph:
    def __init__(self, root: Path) -> None:
        self.cache = root / "cache"
        self.cache.mkdir()
        (root / "Makefile").write_text(GRAPH)
        self.make = ["make", "--no-print-directory", "--directory", str(root), f"CACHE={self.cache}", "VERSION=1"]

    def build(self, image: str = "true", *, check: bool = False, timeout: float = 300) -> dict[str, object]:
        return action.build([*self.make, f"IMAGE={image}"], str(self.cache), 2, check=check, timeout=timeout)

    @property
    def done(self) -> list[str]:
        done = self.cache / "done"
        return done.read_text().split() if done.exists() else []


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(action, "show", lambda text: lines.append(text) if text else None)
    return lines


@pytest.fixture
def graph(tmp_path: Path, shown: list[str]) -> Graph:
    assert shown == []
    return Graph(tmp_path)


def test_check_mode_names_the_steps_and_does_none(graph: Graph) -> None:
    result = graph.build(check=True)
    assert (result["changed"], result["steps"]) == (True, ["compile tool", "image tool"])
    assert result["msg"] == "would build: compile tool, image tool"
    assert graph.done == []


def test_a_build_shows_its_steps_keeps_its_log_and_learns(graph: Graph, shown: list[str]) -> None:
    result = graph.build("echo inside")
    assert (result["changed"], result["steps"]) == (True, ["compile tool", "image tool"])
    assert "failed" not in result
    assert shown == ["[1/2] compile tool", "[2/2] image tool"]
    assert graph.done == ["tool", "image"]
    log = Path(str(result["log"])).read_text()
    assert re.search(r"^\d\d:\d\d:\d\d image tool\ninside$", log, re.MULTILINE)
    assert sorted(read_learned(str(graph.cache / "durations.json"))) == ["compile tool", "image tool"]


def test_a_second_run_does_nothing(graph: Graph, shown: list[str]) -> None:
    graph.build()
    shown.clear()
    for check in (False, True):
        assert graph.build(check=check) == {"changed": False, "steps": [], "msg": "everything is already built"}
    assert graph.done == ["tool", "image"]
    assert shown == []


def test_a_failure_says_what_was_printed_and_the_next_run_goes_on_there(graph: Graph) -> None:
    failed = graph.build("{ echo the disk is full >&2; exit 7; }")
    assert failed["failed"]
    assert "Finished steps are kept. Fix the cause, then run the task again" in str(failed["msg"])
    assert "the disk is full" in str(failed["msg"])
    assert str(failed["log"]) in str(failed["msg"])
    assert graph.build()["steps"] == ["image tool"]
    assert graph.done == ["tool", "image"]


def test_a_build_that_takes_too_long_is_stopped_and_goes_on_later(graph: Graph) -> None:
    stopped = graph.build("sleep 600", timeout=0)
    assert stopped["failed"]
    assert "stopped, because it was not finished after 0 s (timeout). Finished steps are kept" in str(stopped["msg"])
    assert "failed" not in graph.build()
    assert graph.done == ["tool", "image"]


def test_only_the_end_of_a_long_log_is_in_the_message(graph: Graph) -> None:
    message = str(graph.build("{ seq 1000; false; }")["msg"])
    assert "\n1000\n" in message
    assert "\n900\n" not in message


def test_a_graph_that_cannot_be_read_is_told(graph: Graph) -> None:
    graph.make[-1] = "VERSION="
    result = graph.build()
    assert result["failed"]
    assert "make cannot read the build graph" in str(result["msg"])
    assert "VERSION is not set: give the pins" in str(result["msg"])


def test_a_killed_build_goes_on_where_it_was(graph: Graph) -> None:
    stamp = graph.cache / "build" / "stamps" / "tool-1"
    with subprocess.Popen(
        [*graph.make, "IMAGE=sleep 600"], start_new_session=True, stdout=subprocess.DEVNULL, env=action.surroundings()
    ) as killed:
        deadline = time.monotonic() + 120
        while not stamp.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.killpg(killed.pid, signal.SIGKILL)
    assert stamp.exists()
    assert killed.returncode == -signal.SIGKILL
    assert graph.build(check=True)["steps"] == ["image tool"]
    assert graph.build()["steps"] == ["image tool"]
    assert graph.done == ["tool", "image"]


def test_silence_is_broken_while_a_step_runs(graph: Graph, shown: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(action, "HEARTBEAT", 0.1)
    assert "failed" not in graph.build("sleep 1")
    assert any(line.startswith("still running image tool after ") for line in shown)


def test_a_make_around_it_changes_nothing(graph: Graph, shown: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAKEFLAGS", " -n --output-sync=target")
    monkeypatch.setattr(action, "HEARTBEAT", 0.1)
    assert graph.build("sleep 0.5")["steps"] == ["compile tool", "image tool"]
    assert any(line.startswith("still running image tool after ") for line in shown)
    assert graph.done == ["tool", "image"]


def test_steps_that_begin_together_are_shown_at_once(
    graph: Graph, shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both lines arrive in one read. The first one must be shown without waiting for further output."""
    monkeypatch.setattr(action, "HEARTBEAT", 0.1)
    both = r"printf '10:00:00 compile one\n10:00:00 compile two\n'; sleep 1"
    assert "failed" not in graph.build(f"{{ {both}; }}")
    began = shown.index(next(line for line in shown if "compile two" in line))
    assert shown[began + 1].startswith("still running compile two after ")


def test_a_step_that_talks_is_still_told_to_run(
    graph: Graph, shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(action, "HEARTBEAT", 0.3)
    assert "failed" not in graph.build("for i in {1..20}; do echo $i; sleep 0.05; done")
    assert any(line.startswith("still running image tool after ") for line in shown)


def test_the_documented_options_are_those_that_are_taken() -> None:
    documented = yaml.safe_load(bundle_build.DOCUMENTATION)["options"]
    source = Path(action.__file__).read_text()
    assert sorted(documented) == sorted(re.findall(r'^ {16}"(\w+)": {"type"', source, re.MULTILINE))
    for name in ("jobs", "timeout"):
        assert f'"{name}": {{"type": "int", "default": {documented[name]["default"]}}}' in source
