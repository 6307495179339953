# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures shared by all unit tests."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
import typing as t
from pathlib import Path

import pytest

if t.TYPE_CHECKING:
    from tests.unit.fake_api import FakeApi
    from tests.unit.fake_git import FakeGit
    from tests.unit.fake_upstream import FakeUpstream


class ModuleRun(t.NamedTuple):
    """The run of a module: its exit code, its result (empty if there is none) and its output."""

    code: int
    result: dict[str, t.Any]
    output: str


RunModule = t.Callable[..., ModuleRun]


class _ModuleServer:
    """The process of module_server.py."""

    def __init__(self, python_path: str) -> None:
        command = [sys.executable, str(Path(__file__).with_name("module_server.py"))]
        env = {**os.environ, "PYTHONPATH": python_path}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)

    def run(self, name: str, arguments: str, environ: t.Mapping[str, str]) -> tuple[int, str, str]:
        """Return the exit code, the output and the error output of a module."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with tempfile.TemporaryDirectory(prefix="module-") as made:
            files = {kind: Path(made, kind) for kind in ("stdin", "stdout", "stderr")}
            for file in files.values():
                file.write_text(arguments if file.name == "stdin" else "")
            request = {"name": name, "environ": {**environ}, "directory": str(Path.cwd())}
            request |= {kind: str(file) for kind, file in files.items()}
            limit = threading.Timer(120, self.process.kill)
            limit.start()
            try:
                self.process.stdin.write(json.dumps(request) + "\n")
                self.process.stdin.flush()
                code = self.process.stdout.readline()
            finally:
                limit.cancel()
            assert code, f"module {name} did not end within {limit.interval} s"
            return int(code), files["stdout"].read_text(), files["stderr"].read_text()

    def stop(self) -> None:
        self.process.communicate(timeout=10)


@pytest.fixture(scope="session")
def run_module() -> t.Iterator[RunModule]:
    """Return a function that runs a module like Ansible: in a separate process, with arguments on standard input."""
    path = os.pathsep.join(sys.path)
    shared = _ModuleServer(path)

    def run(
        name: str, arguments: t.Mapping[str, t.Any], *, check: bool = False, environ: t.Mapping[str, str] | None = None
    ) -> ModuleRun:
        given = json.dumps({"_ansible_check_mode": check, "_ansible_diff": True, **arguments})
        environment = {**os.environ, "PYTHONPATH": path, **(environ or {})}
        # A process with the shared path has imported libraries that another path hides.
        server = shared if environment["PYTHONPATH"] == path else _ModuleServer(environment["PYTHONPATH"])
        code, stdout, stderr = server.run(name, given, environment)
        if server is not shared:
            server.stop()
        return ModuleRun(code, json.loads(stdout) if stdout else {}, stdout + stderr)

    yield run
    shared.stop()


def _load(name: str) -> t.Any:
    """Import a helper beside this file. ansible-test uses another import path for tests."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture
def fake_api() -> t.Iterator[FakeApi]:
    """Run a Kubernetes API server in memory; see fake_api.py."""
    api: FakeApi = _load("fake_api").FakeApi()
    api.start()
    yield api
    api.stop()


@pytest.fixture
def fake_upstream() -> t.Iterator[FakeUpstream]:
    """Run a server that replaces all hosts of upstream; see fake_upstream.py."""
    upstream: FakeUpstream = _load("fake_upstream").FakeUpstream()
    upstream.start()
    yield upstream
    upstream.stop()


@pytest.fixture
def fake_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[FakeGit]:
    """Serve a Git repository over HTTPS and over a fake ssh on PATH; see fake_git.py."""
    site: FakeGit = _load("fake_git").FakeGit(tmp_path / "git")
    monkeypatch.setenv("PATH", f"{site.bin}{os.pathsep}{os.environ['PATH']}")
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    site.start()
    yield site
    site.stop()


@pytest.fixture
def fault() -> t.Any:
    """Return the class of faults that fake_api can inject."""
    return _load("fake_api").Fault
