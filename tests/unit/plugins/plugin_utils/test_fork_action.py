# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module in a fork of Ansible behaves and reports like in a new Python process."""

from __future__ import annotations

import functools
import json
import os
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import types
import typing as t
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleActionFail

from ansible_collections.drystone.platform.plugins.action.apply_set import ActionModule
from ansible_collections.drystone.platform.plugins.plugin_utils import _fork_action
from ansible_collections.drystone.platform.plugins.plugin_utils._fork_action import IS_TESTED
from ansible_collections.drystone.platform.plugins.plugin_utils._fork_process import is_tested

if t.TYPE_CHECKING:
    from tests.unit.fake_api import FakeApi

Object = dict[str, t.Any]
ROOT = Path(__file__).resolve().parents[4]
# A busy host needs ten seconds for each new Python process.
LONGEST_WAIT = 600
IN_A_FORK = "in a fork of Ansible"
IN_A_NEW_PYTHON = "in a new Python: drystone_fork_modules is false"
SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "secret", "namespace": "demo"},
    "stringData": {"word": "correct-horse-battery"},
}

needs_forks = pytest.mark.skipif(not IS_TESTED, reason="this ansible-core is not used with forks: both ways are one")


def command(folder: Path, tasks: list[Object], *, fork: bool, **play: t.Any) -> list[str]:
    """Write a play, and return the command that runs it with or without forks."""
    plays = [{"hosts": "localhost", "gather_facts": False, **play, "tasks": tasks}]
    (folder / "play.yml").write_text(yaml.safe_dump(plays))
    given = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    return [
        str(Path(sys.executable).with_name("ansible-playbook")),
        "--inventory=localhost,",
        f"--extra-vars={json.dumps({**given, 'drystone_fork_modules': fork})}",
        str(folder / "play.yml"),
    ]


def surroundings(**more: str) -> dict[str, str]:
    return {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", **more}


run = functools.partial(subprocess.run, cwd=ROOT, capture_output=True, text=True, check=False, timeout=LONGEST_WAIT)


def keep_results(folder: Path, tasks: list[Object]) -> list[Object]:
    """Add a callback that writes the results of all tasks by name to a file."""
    tasks = [{**one, "register": f"seen_{one['name']}"} for one in tasks]
    results = "{{ {" + ", ".join(f"'{one['name']}': seen_{one['name']}" for one in tasks) + "} | to_json }}"
    return [*tasks, {"ansible.builtin.copy": {"dest": str(folder / "results.json"), "content": results}}]


def steady(value: t.Any) -> t.Any:
    """Remove the values that differ between any two runs."""
    if isinstance(value, dict):
        return {key: steady(inner) for key, inner in value.items() if key not in ("elapsed", "output", "exception")}
    return [steady(inner) for inner in value] if isinstance(value, list) else value


# --- Modules of the collection


def settings(value: str) -> Object:
    metadata = {"name": "settings", "namespace": "demo"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"colour": value}}


def task(kubeconfig: str, **options: t.Any) -> Object:
    return {"kubeconfig": kubeconfig, "name": "demo", "namespace": "demo", **options}


def play(folder: Path, api: FakeApi, *, fork: bool) -> Object:
    """Run various tasks with or without forks. Return their results by name, and the output."""
    api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo"}})
    kubeconfig = api.kubeconfig(folder / "kubeconfig")
    name, ready = "drystone.platform.apply_set", "drystone.platform.cluster_ready"
    missing = {"timeout": 0, "conditions": [{"crds": {"names": ["nothing.example.com"]}}]}
    elsewhere = {**settings("white"), "metadata": {"name": "settings", "namespace": "not-there"}}
    tasks: list[Object] = [
        {"name": "made", name: task(kubeconfig, objects=[settings("blue"), SECRET])},
        {"name": "again", name: task(kubeconfig, objects=[settings("blue"), SECRET])},
        {"name": "looped", name: task(kubeconfig, objects=[settings("{{ item }}"), SECRET]), "loop": ["red", "green"]},
        {"name": "hidden", name: task(kubeconfig, objects=[settings("grey")]), "no_log": True},
        {"name": "looked", name: task(kubeconfig, objects=[settings("white")]), "check_mode": True},
        {"name": "wrong", name: task(kubeconfig, objects=[{"kind": "Nothing"}]), "ignore_errors": True},
        {"name": "unknown", name: task(kubeconfig, bogus=1), "ignore_errors": True},
        {"name": "late", ready: missing, "ignore_errors": True},
        {"name": "warned", name: task(kubeconfig, objects=[elsewhere]), "check_mode": True},
        {"name": "gone", name: {"name": "demo", "namespace": "demo", "state": "absent"}},
    ]
    defaults = {"group/drystone.platform.platform": {"kubeconfig": kubeconfig}}
    called = command(folder, keep_results(folder, tasks), fork=fork, module_defaults=defaults)
    done = run([*called, "-vvv", "--diff"], env=surroundings())
    assert done.returncode == 0, done.stdout + done.stderr
    output = done.stdout + done.stderr
    assert (IN_A_FORK in output, IN_A_NEW_PYTHON in output) == (fork, not fork)
    return {**json.loads((folder / "results.json").read_text()), "output": output}


@needs_forks
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
        assert "[WARNING]: Namespace not-there does not exist yet" in output


# --- A module with all kinds of endings


@pytest.fixture(scope="module")
def collections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a collections path with this collection and the module trial in it."""
    path = tmp_path_factory.mktemp("collections")
    made = path / "ansible_collections/drystone/platform"
    shutil.copytree(ROOT / "plugins", made / "plugins", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(Path(__file__).parent / "trial/trial.py", made / "plugins/modules")
    runtime = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())
    runtime["plugin_routing"]["modules"]["trial"] = {"action_plugin": "drystone.platform.apply_set"}
    (made / "meta").mkdir()
    (made / "meta/runtime.yml").write_text(yaml.safe_dump(runtime))
    return path


def trial(way: str, **more: t.Any) -> Object:
    options = {"way": way, **{key: str(value) for key, value in more.items()}}
    return {"name": way, "drystone.platform.trial": options, "ignore_errors": True}


def tried(folder: Path, collections: Path, tasks: list[Object], *, fork: bool, **options: t.Any) -> tuple[Object, str]:
    """Run trials with or without forks. Return their results by name, and the output for the user."""
    done = run(
        command(folder, keep_results(folder, tasks), fork=fork),
        env=surroundings(ANSIBLE_COLLECTIONS_PATH=str(collections), ANSIBLE_DEPRECATION_WARNINGS="1"),
        **options,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "results.json").read_text()), done.stdout + done.stderr


def of_the_module(text: str) -> str:
    """Remove the callers of the module from tracebacks, because their files differ."""
    without_source = re.sub(r'(\n( +)File "[^\n]*)(?:\n\2 +[^\n]+)*', r"\1", text)
    ours = re.sub(r'\n +File "(?![^"\n]*/trial\.py")[^\n]*', "", without_source)
    return re.sub(r'File "[^"\n]*/trial\.py"', 'File "trial.py"', ours)


@needs_forks
def test_warnings_deprecations_failures_and_signals_are_the_same_either_way(tmp_path: Path, collections: Path) -> None:
    ways = ["warned", "deprecated", "failed", "failed_for", "raised", "printed", "said_nothing", "left"]
    ways += ["interrupted", "terminated"]
    finished = tmp_path / "finished"
    seen = {}
    for fork in (True, False):
        tasks = [*map(trial, ways), trial("finished", path=finished)]
        results, output = tried(tmp_path, collections, tasks, fork=fork)
        for result in results.values():
            result["module_stderr"] = of_the_module(result.get("module_stderr", ""))
        seen[fork] = results, of_the_module(output)
        assert finished.read_text() == "finished"
        finished.unlink()
    (results, output), (usual_results, usual_output) = seen[True], seen[False]
    assert results == usual_results
    assert output == usual_output
    assert results["warned"]["warnings"] == ["The trial is nearly over.", "A library has doubts."]
    assert "[WARNING]: The trial is nearly over." in output
    assert "[DEPRECATION WARNING]: Trials are heard elsewhere." in output
    assert "from module 'trial' in collection 'drystone.platform'" in output
    assert results["failed"]["stdout_lines"] == ["one", "two"]
    assert "KeyboardInterrupt" in results["interrupted"]["module_stderr"]
    codes = {name: results[name]["rc"] for name in ("left", "interrupted", "terminated")}
    assert codes == {"left": 1, "interrupted": 130, "terminated": 143}


@needs_forks
def test_tracebacks_are_shown_to_who_asks_for_them(tmp_path: Path, collections: Path) -> None:
    seen = {}
    for fork in (True, False):
        done = run(
            command(tmp_path, [trial("warned"), trial("raised")], fork=fork),
            env=surroundings(ANSIBLE_COLLECTIONS_PATH=str(collections), ANSIBLE_DISPLAY_TRACEBACK="always"),
        )
        seen[fork] = of_the_module(done.stdout + done.stderr)
    assert 'File "trial.py"' in seen[True]
    assert seen[True] == seen[False]


@needs_forks
def test_a_full_disk_is_told_either_way(tmp_path: Path, collections: Path) -> None:
    # A limit of the file size simulates a full disk without root: the same calls fail.
    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100 * 1024, 100 * 1024))

    def output(fork: bool) -> str:
        done = run(
            command(tmp_path, [trial("warned"), trial("wrote", path=tmp_path / "much")], fork=fork),
            env=surroundings(ANSIBLE_COLLECTIONS_PATH=str(collections)),
            preexec_fn=fill,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    # Ansible cannot even create the archive for a new Python process. A fork needs no archive. This is the only case in
    # which more works: a module that writes nothing succeeds, and one that writes reports the error itself.
    forked, usual = output(True), output(False)
    assert re.search(r"ok=2 .*changed=1 .*failed=0 .*ignored=1 ", forked)
    assert "[WARNING]: The trial is nearly over." in forked
    assert "[WARNING]: It will write much." not in forked
    assert "Task failed: Module failed: [Errno 27] File too large" in forked
    assert re.search(r"ok=2 .*changed=0 .*failed=0 .*ignored=2 ", usual)
    assert usual.count("[ERROR]: Task failed: [Errno 27] File too large") == 2


@needs_forks
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_stops_ansible_stops_the_module_either_way(
    tmp_path: Path, collections: Path, number: signal.Signals
) -> None:
    seen = {}
    for fork in (True, False):
        pipe = tmp_path / f"pipe-{fork}"
        os.mkfifo(pipe)
        reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        process = subprocess.Popen(
            command(tmp_path, [trial("waited", path=pipe)], fork=fork),
            cwd=ROOT,
            env=surroundings(ANSIBLE_COLLECTIONS_PATH=str(collections)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            module = int(read_within(LONGEST_WAIT, reading))
            process.send_signal(number)
            output, _nothing = process.communicate(timeout=LONGEST_WAIT)
            # The module keeps the pipe open, so the pipe ends with the module.
            assert read_within(LONGEST_WAIT, reading) == b"", f"module {module} outlives the Ansible that started it"
        finally:
            process.terminate()
            process.communicate()
            os.close(reading)
        seen[fork] = process.returncode, output
    assert seen[True] == seen[False]
    assert seen[True][0] != 0


def read_within(seconds: float, pipe: int) -> bytes:
    """Read from a pipe, or return nothing at its end."""
    ready, _, _ = select.select([pipe], [], [], seconds)
    assert ready, f"nothing came within {seconds} s"
    return os.read(pipe, 100)


# --- Conditions for a fork


def action(**differs: t.Any) -> ActionModule:
    """Return an action for a usual task of this collection with some differences."""
    made: t.Any = object.__new__(ActionModule)
    made._connection = types.SimpleNamespace(transport=differs.get("transport", "local"), become=differs.get("become"))
    made._task = types.SimpleNamespace(async_val=differs.get("async_val", 0), delegate_to=differs.get("delegate_to"))
    made._templar = types.SimpleNamespace(template=lambda value: value)
    made._compute_environment_string = lambda: differs.get("environment", "")
    return t.cast("ActionModule", made)


def needs(made: ActionModule, **variables: t.Any) -> str:
    return made._needs_a_new_python({"ansible_python_interpreter": sys.executable, **variables})


@needs_forks
@pytest.mark.parametrize(
    ("differs", "variables", "reason"),
    [
        ({}, {}, ""),
        ({}, {"drystone_fork_modules": True}, ""),
        ({}, {"drystone_fork_modules": "yes"}, ""),
        ({}, {"drystone_fork_modules": False}, "drystone_fork_modules is false"),
        ({}, {"drystone_fork_modules": "false"}, "drystone_fork_modules is false"),
        ({"transport": "ssh"}, {}, "the connection is ssh"),
        ({"become": "sudo"}, {}, "the task becomes another user"),
        ({"async_val": 10}, {}, "the task is asynchronous"),
        ({"delegate_to": "other"}, {}, "the task is delegated"),
        ({"environment": "OTHER=1"}, {}, "the task sets an environment"),
        (
            {},
            {"ansible_python_interpreter": "/usr/bin/another-python"},
            "the interpreter is not Ansible's",
        ),
        ({}, {"ansible_python_interpreter": None}, "the interpreter is not Ansible's"),
        ({}, {"ansible_python_module_rlimit_nofile": 100}, "Ansible limits the number of open files"),
    ],
    ids=str,
)
def test_what_needs_a_new_python_gets_one(differs: Object, variables: Object, reason: str) -> None:
    assert needs(action(**differs), **variables) == reason


def test_a_switch_that_is_neither_on_nor_off_is_refused() -> None:
    with pytest.raises(AnsibleActionFail, match=r"drystone_fork_modules is 'maybe'\. Set it to true or false\."):
        needs(action(), drystone_fork_modules="maybe")


def test_an_untested_ansible_runs_modules_the_usual_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_fork_action, "IS_TESTED", False)
    monkeypatch.setattr(_fork_action, "core_version", "2.99.0")
    assert needs(action()) == "ansible-core 2.99.0 was not tested with forks"


def test_the_ansible_of_the_requirements_is_a_tested_one() -> None:
    # requirements.txt pins the version that everything else is tested with. After an update, run these tests with the
    # new version, then raise LAST_TESTED in _fork_process.py.
    pinned = dict(re.findall(r"^([\w-]+)==(.+)$", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
    if version("ansible") != pinned["ansible"]:
        pytest.skip("these are not the versions of requirements.txt")
    assert is_tested(version("ansible-core"))


@needs_forks
def test_this_python_is_known_by_its_other_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for environment in ("one", "two"):
        (tmp_path / environment).mkdir()
        for name in ("python", "python3"):
            (tmp_path / environment / name).symlink_to(sys.executable)
    (tmp_path / "link").symlink_to("one")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "one/python3"))
    found = {
        path: not needs(action(), ansible_python_interpreter=str(tmp_path / path))
        for path in ("one/python", "one/python3", "link/python", "two/python3", "one/none")
    }
    assert found == {
        "one/python": True,
        "one/python3": True,
        "link/python": True,
        "two/python3": False,
        "one/none": False,
    }


def test_every_module_with_work_of_its_own_is_run_like_this() -> None:
    routed = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())["plugin_routing"]["modules"]
    own_action = {path.stem for path in (ROOT / "plugins/action").glob("*.py")} - {"apply_set"}
    modules = {path.stem for path in (ROOT / "plugins/modules").glob("*.py")}
    assert set(routed) == modules - own_action
    assert {entry["action_plugin"] for entry in routed.values()} == {"drystone.platform.apply_set"}
