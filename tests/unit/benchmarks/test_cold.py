# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of the rounds, which use the same ports, and the checks at the end of each round."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from benchmarks.cold import bench

FIGURES = {"command": 1.0, "ready": 2.0}


class Host:
    """A host on which only one cluster at a time can use the ports."""

    def __init__(self) -> None:
        self.up = {"ours"}
        self.steps: list[str] = []

    def down(self) -> None:
        self.up.discard("ours")
        self.steps.append("down")

    def clean(self) -> None:
        self.up.discard("plain")
        self.steps.append("clean")

    def make(self, name: str) -> dict[str, float]:
        assert not self.up, f"the ports of {name} are taken by {self.up}"
        self.up.add(name)
        self.steps.append(name)
        return FIGURES


def test_each_round_begins_without_a_cluster_and_ends_with_ours() -> None:
    host = Host()
    turns = bench.take_turns(
        3, down=host.down, script=lambda: host.make("plain"), clean=host.clean, ours=lambda: host.make("ours")
    )
    assert [*turns] == [(FIGURES, FIGURES)] * 3
    assert host.steps == ["down", "plain", "clean", "ours"] * 3
    assert host.up == {"ours"}


def test_the_script_s_cluster_goes_and_its_message_stays() -> None:
    host = Host()

    def fail() -> dict[str, float]:
        raise SystemExit("plain.sh ended with 1: port is already allocated")

    turns = bench.take_turns(2, down=host.down, script=fail, clean=host.clean, ours=lambda: FIGURES)
    with pytest.raises(SystemExit, match="port is already allocated"):
        next(turns)
    assert host.steps == ["down", "clean"]


def test_kind_s_message_is_not_silenced(tmp_path: Path) -> None:
    for name, text in (("kubectl", "exit 0"), ("kind", '[ "$3" = --quiet ] || echo "ERROR: port taken" >&2; exit 1')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "cluster.txt").write_text("plain")
    env = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    script = [str(bench.HERE / "plain.sh"), str(tmp_path)]
    done = subprocess.run(script, env=env, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "ERROR: port taken" in done.stderr


def test_a_removal_that_fails_hides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kind").write_text("#!/bin/sh\necho no engine >&2\nexit 1\n")
    (tmp_path / "kind").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    bench.remove_plain({"PATH": os.environ["PATH"]})
    assert "ended with 1: no engine" in capsys.readouterr().err


def test_services_are_asked_what_they_say() -> None:
    said = {"drystone.dev/check-paths": "/healthz /metrics"}
    services = [
        {"metadata": {"name": "greeter", "namespace": "qa", "annotations": said}, "spec": {"ports": [{"port": 8000}]}},
        {"metadata": {"name": "silent", "namespace": "qa"}, "spec": {"ports": [{"port": 1}]}},
    ]
    base = "/api/v1/namespaces/qa/services/greeter:8000/proxy"
    assert bench.checks(services) == [f"{base}/healthz", f"{base}/metrics"]
