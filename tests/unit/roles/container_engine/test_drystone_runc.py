# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runtime shim with files of the engine, and as a program with a fake runc that prints its input."""

from __future__ import annotations

import copy
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SHIM = Path(__file__).resolve().parents[4] / "roles/container_engine/files/drystone_runc.py"
INFINITY = 2**64 - 1


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("drystone_runc", SHIM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


shim = load()
ALL = (1 << len(shim.CAPABILITIES)) - 1
RESTRICTED = ALL & ~(1 << shim.CAPABILITIES.index("CAP_SYS_RESOURCE")) & ~(1 << shim.CAPABILITIES.index("CAP_BPF"))
LIMITS = {"RLIMIT_NOFILE": 20000}


def process() -> dict[str, Any]:
    """Return the process that docker 20.10 requests with --privileged."""
    return {
        "terminal": False,
        "user": {"uid": 0, "gid": 0},
        "args": ["/usr/local/bin/entrypoint", "/sbin/init"],
        "env": ["PATH=/usr/bin", "NAME=Zoë <&>"],
        "cwd": "/",
        "capabilities": {
            kind: list(shim.CAPABILITIES) for kind in ("bounding", "effective", "permitted", "inheritable")
        },
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1048576, "soft": 1048576}],
        "oomScoreAdj": -500,
    }


def config() -> dict[str, Any]:
    return {
        "ociVersion": "1.0.2",
        "process": process(),
        "root": {"path": "/var/lib/docker/overlay2/x/merged"},
        "linux": {
            "resources": {"memory": {"limit": 9223372036854771712}, "devices": [{"allow": True, "access": "rwm"}]}
        },
    }


@pytest.mark.parametrize("wrap", [lambda inner: inner, lambda inner: {"ociVersion": "1.0.2", "process": inner}])
def test_what_the_host_withholds_goes_from_a_config_and_from_a_bare_process(wrap: Any) -> None:
    inner = process()
    shim.fit(wrap(inner), RESTRICTED, LIMITS, -17)
    for names in inner["capabilities"].values():
        assert set(shim.CAPABILITIES) - set(names) == {"CAP_SYS_RESOURCE", "CAP_BPF"}
    assert inner["rlimits"] == [{"type": "RLIMIT_NOFILE", "hard": 20000, "soft": 20000}]
    assert inner["oomScoreAdj"] == -17


def test_nothing_else_changes() -> None:
    before, after = config(), config()
    shim.fit(after, RESTRICTED, LIMITS, -17)
    for changed in ("capabilities", "rlimits", "oomScoreAdj"):
        del before["process"][changed], after["process"][changed]
    assert json.dumps(after) == json.dumps(before)


def test_a_host_that_withholds_nothing_changes_nothing() -> None:
    after = config()
    shim.fit(after, ALL, LIMITS, 900)
    assert after == config()


def test_limits_stay_as_they_are_where_they_may_be_raised() -> None:
    inner = process()
    shim.fit(inner, ALL & ~(1 << shim.CAPABILITIES.index("CAP_BPF")), LIMITS, 900)
    assert "CAP_BPF" not in inner["capabilities"]["bounding"]
    assert inner["rlimits"] == process()["rlimits"]
    assert inner["oomScoreAdj"] == -500


@pytest.mark.parametrize(
    ("limit", "fitted"),
    [
        ({"type": "RLIMIT_NOFILE", "hard": INFINITY, "soft": INFINITY}, {"hard": 20000, "soft": 20000}),
        ({"type": "RLIMIT_NOFILE", "hard": INFINITY, "soft": 1024}, {"hard": 20000, "soft": 1024}),
        ({"type": "RLIMIT_NOFILE", "hard": 512, "soft": 256}, {"hard": 512, "soft": 256}),
        ({"type": "RLIMIT_CORE", "hard": INFINITY, "soft": INFINITY}, {"hard": INFINITY, "soft": INFINITY}),
        ({"type": "RLIMIT_FUTURE", "hard": 7, "soft": 7}, {"hard": 7, "soft": 7}),
    ],
)
def test_limits_fit_under_the_hard_limits(limit: dict[str, Any], fitted: dict[str, int]) -> None:
    inner = {"rlimits": [copy.deepcopy(limit)]}
    shim.fit(inner, RESTRICTED, LIMITS, 0)
    assert inner["rlimits"] == [{"type": limit["type"], **fitted}]


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"process": None},
        {"process": {"args": ["sh"]}},
        {"process": {"capabilities": None, "rlimits": None, "oomScoreAdj": None}},
        {"process": {"capabilities": {"bounding": None}}},
        {"process": {"capabilities": {"bounding": ["CAP_FUTURE", "cap_chown"]}}},
        {"process": {"oomScoreAdj": 1000}},
    ],
)
def test_what_is_absent_or_unknown_stays(spec: dict[str, Any]) -> None:
    after = copy.deepcopy(spec)
    shim.fit(after, RESTRICTED, LIMITS, 100)
    assert after == spec


ENGINE = ["--root", "/run/runc/moby", "--log", "/run/log.json", "--log-format", "json", "--systemd-cgroup"]


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ([*ENGINE, "create", "--bundle", "/b", "--pid-file", "/b/init.pid", "id"], "/b/config.json"),
        (["create", "--bundle=/b", "id"], "/b/config.json"),
        (["create", "-b", "/b", "id"], "/b/config.json"),
        (["create", "-b=/b", "id"], "/b/config.json"),
        (["create", "-bundle", "/b", "id"], "/b/config.json"),
        (["create", "--no-pivot", "--console-socket", "/s", "--bundle", "/b", "id"], "/b/config.json"),
        (["run", "id"], "./config.json"),
        (["run", "--detach", "--keep", "-b", "/b", "id"], "/b/config.json"),
        (["restore", "--image-path", "/i", "--work-path", "/w", "-b", "/b", "id"], "/b/config.json"),
        ([*ENGINE, "exec", "--process", "/tmp/p", "--detach", "--pid-file", "/x", "id"], "/tmp/p"),
        (["exec", "--process=/tmp/p", "id"], "/tmp/p"),
        (["exec", "-t", "-p", "/tmp/p", "id"], "/tmp/p"),
        (["exec", "-p=/tmp/p", "id"], "/tmp/p"),
        (["exec", "-e", "A=b", "-u", "0", "id", "cmd", "--process", "/not/ours"], None),
        (["exec", "id", "create", "--bundle", "/not/ours"], None),
        (["exec", "--", "create", "-p", "/not/ours"], None),
        (["--root", "create", "state", "id"], None),
        (["kill", "create", "9"], None),
        (["delete", "--force", "run"], None),
        (["--version"], None),
        ([], None),
    ],
)
def test_the_file_is_found_as_runc_finds_it(arguments: list[str], path: str | None) -> None:
    _options, rest = shim.parse(arguments, shim.GLOBAL_VALUES)
    found = shim.target(rest[0], shim.parse(rest[1:], shim.COMMAND_VALUES)[0]) if rest else None
    assert found == path


RUNC = """#!/bin/sh
printf '%s\n' "$@" > "$TOLD"
grep -E '^Sig(Ign|Blk)' /proc/self/status >> "$TOLD"
exit 42
"""
DRIVER = (
    "import runpy, sys; m = runpy.run_path(sys.argv[1]); m['main'].__globals__['RUNC'] = (sys.argv[2],)"
    "; sys.exit(m['main'](sys.argv[3:]))"
)


@pytest.fixture
def runc(tmp_path: Path) -> Path:
    path = tmp_path / "runc"
    path.write_text(RUNC)
    path.chmod(0o755)
    return path


def run(runc: Path, *arguments: str, driver: str = DRIVER) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "TOLD": str(runc.with_name("told"))}
    argv = [sys.executable, "-c", driver, str(SHIM), str(runc), *arguments]
    return subprocess.run(argv, env=environ, capture_output=True, text=True, check=False, cwd=runc.parent)


def restricted() -> str:
    """Return a function that runs the program as on a restricted host."""
    status = f"CapBnd:\\t{RESTRICTED:016x}\\n"
    return DRIVER.replace(
        "; sys.exit",
        f"; g = m['main'].__globals__; real = g['read_text']; g['own_hard_limits'] = lambda: {LIMITS!r}"
        f"; g['read_text'] = lambda path: '{status}' if path.endswith('status') else real(path); sys.exit",
    )


def test_it_becomes_runc_with_the_same_arguments_and_signals(runc: Path) -> None:
    done = run(runc, *ENGINE, "state", "id")
    told = (runc.parent / "told").read_text().splitlines()
    assert done.returncode == 42, done.stderr
    assert told[: len(ENGINE) + 2] == [*ENGINE, "state", "id"]
    ignored = int(next(line for line in told if line.startswith("SigIgn")).split()[1], 16)
    assert ignored >> 12 & 1 == 0, "SIGPIPE is ignored in the container"


def test_the_config_is_swapped_in_one_step_with_its_mode(runc: Path) -> None:
    bundle = runc.parent / "bundle"
    bundle.mkdir()
    path = bundle / "config.json"
    path.write_text(json.dumps(config()))
    path.chmod(0o640)
    inode = path.stat().st_ino
    assert run(runc, "create", "--bundle", str(bundle), "id", driver=restricted()).returncode == 42
    after = json.loads(path.read_text())
    assert "CAP_SYS_RESOURCE" not in after["process"]["capabilities"]["bounding"]
    assert after["linux"] == config()["linux"]
    assert after["process"]["env"] == config()["process"]["env"]
    assert path.stat().st_mode & 0o7777 == 0o640
    assert path.stat().st_ino != inode
    assert os.listdir(bundle) == ["config.json"]


def test_a_config_that_fits_is_not_written(runc: Path) -> None:
    path = runc.parent / "config.json"
    path.write_text('{ "process": {"args": ["sh"]},\n"x": 1.50 }')
    before = path.stat()
    assert run(runc, "create", "id", driver=restricted()).returncode == 42
    assert path.read_text() == '{ "process": {"args": ["sh"]},\n"x": 1.50 }'
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"process": {"rlimits": [{"type": "RLIMIT_NOFILE"}]}}'])
def test_what_runc_would_refuse_is_left_to_runc(runc: Path, text: str) -> None:
    path = runc.parent / "process.json"
    path.write_text(text)
    assert run(runc, "exec", "--process", str(path), "id", driver=restricted()).returncode == 42
    assert path.read_text() == text


def test_a_missing_file_is_left_to_runc(runc: Path) -> None:
    assert run(runc, "create", "--bundle", "/nowhere", "id", driver=restricted()).returncode == 42


@pytest.mark.parametrize(("form", "start"), [("json", '{"level":"error","msg":"'), ("text", 'level=error msg="')])
def test_a_failure_says_why_on_stderr_and_in_the_engine_s_log(runc: Path, form: str, start: str) -> None:
    log = runc.parent / "log"
    done = run(runc.parent / "missing", "--log", str(log), "--log-format", form, "state", "id")
    assert done.returncode == 1
    assert "drystone-runc: runc was not found at" in done.stderr
    assert log.read_text().startswith(start + "drystone-runc: runc was not found at")
    if form == "json":
        assert json.loads(log.read_text())["level"] == "error"


def test_a_start_loads_nothing_that_takes_long() -> None:
    heavy = ("typing", "json", "re", "resource", "signal", "subprocess", "argparse")
    start = f"import sys; exec(open({str(SHIM)!r}).read(), {{'__name__': 'shim'}})"
    code = f"{start}; print([name for name in {heavy!r} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-IS", "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
