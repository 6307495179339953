# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin in a play: origins of variables, templates, and its duration."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[4]
SPECS = {
    "web": {
        "web_port": {"type": "int"},
        "web_password": {"type": "str"},
        "web_url": {"type": "str"},
        "web_wait": {"type": "bool"},
    },
    "common": {"drystone_name": {"type": "str"}},
}
DEFAULTS = {"web": {"web_port": "{{ drystone_base | int + 1 }}"}, "common": {"drystone_name": "x", "drystone_base": 80}}
PLAY: list[dict[str, Any]] = [
    {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [{"drystone.platform.validate_inputs": {"roles_path": "{{ playbook_dir }}/roles"}}],
    }
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for role, options in SPECS.items():
        for path, content in (
            ("meta/argument_specs.yml", {"argument_specs": {"main": {"options": options}}}),
            ("defaults/main.yml", DEFAULTS[role]),
        ):
            file = tmp_path / "roles" / role / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(content))
    (tmp_path / "play.yml").write_text(json.dumps(PLAY))
    (tmp_path / "hosts").write_text("localhost ansible_connection=local\n")
    (tmp_path / "group_vars").mkdir()
    return tmp_path


def play(project: Path, text: str, *arguments: str) -> tuple[int, dict[str, Any], str]:
    (project / "group_vars/all.yml").write_text(text)
    argv = [sys.executable, "-m", "ansible", "playbook", "-i", "hosts", "play.yml", "-vvv", *arguments]
    environ = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        "ANSIBLE_LOCALHOST_WARNING": "false",
    }
    environ.pop("ANSIBLE_CONFIG", None)
    done = subprocess.run(argv, cwd=project, env=environ, capture_output=True, text=True, check=False)
    output = done.stdout[done.stdout.index("{\n") :]
    tasks = json.JSONDecoder().raw_decode(output)[0]["plays"][0]["tasks"]
    return done.returncode, tasks[-1]["hosts"]["localhost"], done.stdout + done.stderr


def test_what_fits_passes_with_templates_of_other_roles_defaults(project: Path) -> None:
    text = 'web_port: "{{ drystone_base + 5 }}"\nweb_url: "http://{{ drystone_name }}:{{ web_port }}"\nweb_wait: no\n'
    rc, result, _output = play(project, text, "--check")
    assert (rc, result["problems"], result["changed"]) == (0, [], False)


def test_every_problem_is_told_with_its_place(project: Path) -> None:
    text = "web_prot: 80\nweb_wait: perhaps\nweb_url: {a: 1}\ndrystone_name: no\n"
    rc, result, _output = play(project, text, "-e", "web_port=abc")
    assert rc != 0
    found = {problem["variable"]: (problem["problem"], problem["where"]) for problem in result["problems"]}
    assert set(found) == {"web_prot", "web_wait", "web_url", "drystone_name", "web_port"}
    assert found["web_prot"][0].endswith("did you mean web_port?")
    assert found["web_wait"] == ("seen str 'perhaps', expected bool", "group_vars/all.yml:2:11")
    assert found["drystone_name"][1] == "group_vars/all.yml:4:1"
    assert "-e" in found["web_port"][1]
    assert result["msg"].startswith("5 variables are invalid. Nothing was created or changed.\n- ")


def test_a_value_is_data_and_never_run(project: Path) -> None:
    marker = project / "run"
    text = f"web_url: !unsafe \"{{{{ lookup('pipe', 'touch {marker}') }}}}\"\n"
    rc, _result, _output = play(
        project, text, "-e", f"web_port=\"{{% raw %}}{{{{ lookup('pipe', 'touch {marker}') }}}}{{% endraw %}}\""
    )
    assert rc != 0
    assert not marker.exists()


def test_a_secret_is_nowhere_at_any_verbosity(project: Path) -> None:
    rc, result, output = play(project, "web_password: [canary-7f3a]\nweb_pasword: canary-7f3a\n")
    assert rc != 0
    assert {problem["variable"] for problem in result["problems"]} == {"web_password", "web_pasword"}
    assert "canary" not in output


def test_a_role_that_is_not_there_is_refused(project: Path) -> None:
    task: dict[str, Any] = PLAY[0]["tasks"][0]["drystone.platform.validate_inputs"]
    (project / "play.yml").write_text(
        json.dumps(PLAY).replace(json.dumps(task), json.dumps({**task, "roles": ["wbe"]}))
    )
    rc, result, _output = play(project, "{}")
    assert rc != 0
    assert "does not contain wbe" in result["msg"]


def test_the_roles_of_this_collection_pass_with_each_inventory(project: Path) -> None:
    (project / "play.yml").write_text(json.dumps(PLAY).replace('{"roles_path": "{{ playbook_dir }}/roles"}', "{}"))
    rc, result, _output = play(project, "drystone_cluster_name: drystone-dev\n")
    assert (rc, result.get("problems")) == (0, [])
