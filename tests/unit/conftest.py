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
import typing as t
from pathlib import Path

import pytest

if t.TYPE_CHECKING:
    from tests.unit.fake_api import FakeApi
    from tests.unit.fake_git import FakeGit
    from tests.unit.fake_upstream import FakeUpstream


_MODULE = """
import importlib, json, sys
from ansible.module_utils.testing import patch_module_args
module = importlib.import_module("ansible_collections.drystone.platform.plugins.modules." + sys.argv[1])
with patch_module_args(json.load(sys.stdin)):
    module.main()
"""


class ModuleRun(t.NamedTuple):
    """The run of a module: its exit code, its result (empty if there is none) and its output."""

    code: int
    result: dict[str, t.Any]
    output: str


RunModule = t.Callable[..., ModuleRun]


@pytest.fixture(scope="session")
def run_module() -> RunModule:
    """Return a function that runs a module like Ansible: in a separate process, with arguments on standard input."""

    def run(
        name: str, arguments: t.Mapping[str, t.Any], *, check: bool = False, environ: t.Mapping[str, str] | None = None
    ) -> ModuleRun:
        done = subprocess.run(
            [sys.executable, "-c", _MODULE, name],
            input=json.dumps({"_ansible_check_mode": check, "_ansible_diff": True, **arguments}),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **(environ or {})},
        )
        output = done.stdout + done.stderr
        return ModuleRun(done.returncode, json.loads(done.stdout) if done.stdout else {}, output)

    return run


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
