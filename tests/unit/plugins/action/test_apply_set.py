# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module that is run in a fork of Ansible does and says what it does and says in a new Python."""

from __future__ import annotations

import atexit
import json
import os
import re
import subprocess
import sys
import textwrap
import types
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.drystone.platform.plugins.action.apply_set import HAS_RUNNER, ActionModule, run_in_fork

if t.TYPE_CHECKING:
    from tests.unit.fake_api import FakeApi

Object = dict[str, t.Any]
ROOT = Path(__file__).resolve().parents[4]
SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "secret", "namespace": "demo"},
    "stringData": {"word": "correct-horse-battery"},
}


def settings(value: str) -> Object:
    metadata = {"name": "settings", "namespace": "demo"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"colour": value}}


def task(kubeconfig: str, **options: t.Any) -> Object:
    return {"kubeconfig": kubeconfig, "name": "demo", "namespace": "demo", **options}


def play(folder: Path, api: FakeApi, *, fork: bool) -> Object:
    """Run tasks of many sorts, in a fork or not; return their results by name, and all that was printed."""
    api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo"}})
    kubeconfig = api.kubeconfig(folder / "kubeconfig")
    name, ready = "drystone.platform.apply_set", "drystone.platform.cluster_ready"
    missing = {"timeout": 0, "conditions": [{"crds": {"names": ["nothing.example.com"]}}]}
    tasks: list[Object] = [
        {"name": "made", name: task(kubeconfig, objects=[settings("blue"), SECRET])},
        {"name": "again", name: task(kubeconfig, objects=[settings("blue"), SECRET])},
        {"name": "looped", name: task(kubeconfig, objects=[settings("{{ item }}"), SECRET]), "loop": ["red", "green"]},
        {"name": "hidden", name: task(kubeconfig, objects=[settings("grey")]), "no_log": True},
        {"name": "looked", name: task(kubeconfig, objects=[settings("white")]), "check_mode": True},
        {"name": "wrong", name: task(kubeconfig, objects=[{"kind": "Nothing"}]), "ignore_errors": True},
        {"name": "unknown", name: task(kubeconfig, bogus=1), "ignore_errors": True},
        {"name": "late", ready: missing, "ignore_errors": True},
        {"name": "gone", name: {"name": "demo", "namespace": "demo", "state": "absent"}},
    ]
    tasks = [{**one, "register": f"seen_{one['name']}"} for one in tasks]
    results = "{{ {" + ", ".join(f"'{one['name']}': seen_{one['name']}" for one in tasks) + "} | to_json }}"
    tasks.append({"ansible.builtin.copy": {"dest": str(folder / "results.json"), "content": results}})
    plays = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "module_defaults": {"group/drystone.platform.platform": {"kubeconfig": kubeconfig}},
            "environment": {} if fork else {"OTHER": "1"},
            "tasks": tasks,
        }
    ]
    (folder / "play.yml").write_text(yaml.safe_dump(plays))
    given = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "--inventory=localhost,",
            f"--extra-vars={json.dumps(given)}",
            "-vvv",
            "--diff",
            str(folder / "play.yml"),
        ],
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    output = done.stdout + done.stderr
    assert bool(re.search("Using module file .*/plugins/modules/apply_set.py", output)) == (not fork)
    return {**json.loads((folder / "results.json").read_text()), "output": output}


def steady(value: t.Any) -> t.Any:
    """Leave out what differs between any two runs."""
    if isinstance(value, dict):
        return {key: steady(inner) for key, inner in value.items() if key not in ("elapsed", "output", "exception")}
    return [steady(inner) for inner in value] if isinstance(value, list) else value


def test_every_result_is_the_same_either_way(tmp_path: Path, fake_api: FakeApi) -> None:
    forked = play(tmp_path, fake_api, fork=True)
    usual = play(tmp_path, fake_api, fork=False)
    assert steady(forked) == steady(usual)
    assert [forked[name]["changed"] for name in ("made", "again", "looped", "looked", "gone")] == [
        True,
        False,
        True,
        True,
        True,
    ]
    assert "an object without apiVersion" in forked["wrong"]["msg"]
    assert "bogus" in forked["unknown"]["msg"]
    assert forked["late"]["failed"]
    assert fake_api.names("ConfigMap") == []
    for output in (forked["output"], usual["output"]):
        assert "correct-horse-battery" not in output
        hidden = " ".join(re.findall(r"TASK \[hidden\].*?TASK \[", output, re.DOTALL)[0].split())
        assert "the output has been hidden" in hidden
        assert "grey" not in hidden


def module(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> str:
    (folder / "a_module.py").write_text("import json, os, signal, sys\n" + textwrap.dedent(text))
    monkeypatch.syspath_prepend(str(folder))
    return "a_module"


def test_a_module_has_a_process_with_the_signals_of_a_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = module(
        tmp_path,
        monkeypatch,
        """
        os.environ["LEFT_BEHIND"] = "yes"
        usual = [signal.getsignal(signal.SIGTERM) is signal.SIG_DFL,
                 signal.getsignal(signal.SIGINT) is signal.default_int_handler]
        print(json.dumps([os.getpid(), __name__, usual]))
        print("a warning", file=sys.stderr)
        sys.exit(3)
        """,
    )
    done = run_in_fork(name, b"{}")
    process, called, usual = json.loads(done["stdout"])
    assert (done["rc"], called, usual, done["stderr"]) == (3, "__main__", [True, True], "a warning\n")
    assert process != os.getpid()
    assert "LEFT_BEHIND" not in os.environ


@pytest.mark.parametrize(
    ("text", "code", "printed"),
    [
        ("sys.exit()", 0, ""),
        ("sys.exit('no')", 1, ""),
        ("raise ValueError('as never seen')", 1, "as never seen"),
        ("os.kill(os.getpid(), signal.SIGKILL)", -9, ""),
        ("raise KeyboardInterrupt", 1, ""),
    ],
)
def test_however_it_ends_it_ends_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, code: int, printed: str
) -> None:
    done = run_in_fork(module(tmp_path, monkeypatch, text), b"{}")
    assert done["rc"] == code
    assert printed in done["stdout"]


def test_what_a_module_leaves_to_its_exit_is_done_and_nothing_of_ansible_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = module(tmp_path, monkeypatch, "import atexit; atexit.register(print, 'cleaned up'); print('done')")
    not_ours = tmp_path / "not_ours"
    atexit.register(not_ours.touch)
    try:
        done = run_in_fork(name, b"{}")
    finally:
        atexit.unregister(not_ours.touch)
    assert done["stdout"].splitlines()[-1] == "cleaned up"
    assert not not_ours.exists()


def action(**differs: t.Any) -> ActionModule:
    """Give an action whose task is like any of this collection's, but for what differs."""
    made: t.Any = object.__new__(ActionModule)
    made._connection = types.SimpleNamespace(transport=differs.get("transport", "local"), become=differs.get("become"))
    made._task = types.SimpleNamespace(async_val=differs.get("async_val", 0), delegate_to=differs.get("delegate_to"))
    made._templar = types.SimpleNamespace(template=lambda value: value)
    made._compute_environment_string = lambda: differs.get("environment", "")
    return t.cast("ActionModule", made)


@pytest.mark.parametrize(
    "differs",
    [
        {"transport": "ssh"},
        {"become": "sudo"},
        {"async_val": 10},
        {"delegate_to": "other"},
        {"environment": "OTHER=1"},
        {"interpreter": "/usr/bin/another-python"},
        {"interpreter": None},
    ],
    ids=str,
)
def test_what_needs_a_new_python_gets_one(differs: Object) -> None:
    assert action()._is_at_home({"ansible_python_interpreter": sys.executable}) == HAS_RUNNER
    interpreter = differs.get("interpreter", sys.executable)
    assert not action(**differs)._is_at_home({"ansible_python_interpreter": interpreter})


def test_this_python_is_known_by_its_other_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for environment in ("one", "two"):
        (tmp_path / environment).mkdir()
        for name in ("python", "python3"):
            (tmp_path / environment / name).symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "one/python3"))
    found = {
        path: action()._is_at_home({"ansible_python_interpreter": str(tmp_path / path)})
        for path in ("one/python", "one/python3", "two/python3", "one/none")
    }
    assert found == {"one/python": HAS_RUNNER, "one/python3": HAS_RUNNER, "two/python3": False, "one/none": False}


def test_every_module_with_work_of_its_own_is_run_like_this() -> None:
    routed = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())["plugin_routing"]["modules"]
    own_action = {path.stem for path in (ROOT / "plugins/action").glob("*.py")} - {"apply_set"}
    modules = {path.stem for path in (ROOT / "plugins/modules").glob("*.py")}
    assert set(routed) == modules - own_action
    assert {entry["action_plugin"] for entry in routed.values()} == {"drystone.platform.apply_set"}
