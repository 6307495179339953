# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows fit the module for every platform, cover every requirement, and the report shows them safely."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.drystone.platform.plugins.module_utils._acceptance.argspec import argument_spec

ROOT = Path(__file__).resolve().parents[4]
ALL = [
    "dev/greeter",
    "dev/hello",
    "dev/rokken",
    "dev/site",
    "production/greeter",
    "production/hello",
    "staging/greeter",
]
PLATFORMS: dict[str, dict[str, t.Any]] = {
    "everything": {"drystone_environments": ["dev", "staging", "production"], "acceptance_folders": ALL},
    "no environment": {"drystone_environments": [], "acceptance_folders": []},
    "an unknown repository": {"drystone_environments": ["qa"], "acceptance_folders": []},
    "only the greeter": {"drystone_environments": ["qa"], "acceptance_folders": ["qa/greeter"]},
    # The repository has folders for the environments of other clusters as well.
    "staging": {"drystone_environments": ["staging"], "acceptance_folders": ALL},
    "production": {"drystone_environments": ["production"], "acceptance_folders": ALL},
    "few parts": {
        "drystone_environments": ["qa"],
        "acceptance_folders": [],
        "drystone_parts": ["guardrails", "argocd", "git_server"],
    },
}
REPORT = """- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.import_role:
        name: drystone.platform.acceptance
        tasks_from: report
    - ansible.builtin.copy:
        dest: "{{ acceptance_report_dir }}/asked.json"
        content: "{{ asked | to_json }}"
        mode: "0600"
"""


def play(tmp_path: Path, asked: str = "", **variables: t.Any) -> t.Any:
    """Write a report, and return the value of the expression asked, in which the variables of the role can be used."""
    (tmp_path / "play.yml").write_text(REPORT)
    given = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "acceptance_report_dir": str(tmp_path / "report"),
        "acceptance_git_dir": str(tmp_path),
        "acceptance_project_dir": str(ROOT),
        "acceptance_checked": {"rows": [], "failed_rows": []},
        "asked": asked,
        **variables,
    }
    (tmp_path / "hosts.yml").write_text(json.dumps({"all": {"hosts": {"here": given}}}))
    command = [str(Path(sys.executable).with_name("ansible-playbook")), f"--inventory={tmp_path}/hosts.yml"]
    env = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(
        [*command, f"{tmp_path}/play.yml"], cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((tmp_path / "report/asked.json").read_text())


def rows_of(tmp_path: Path, platform: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    rows = play(tmp_path, "{{ __acceptance_rows }}", **platform)
    assert isinstance(rows, list)
    return rows


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_rows_fit_the_module(tmp_path: Path, platform: str) -> None:
    rows = rows_of(tmp_path, PLATFORMS[platform])
    found = ArgumentSpecValidator(argument_spec()).validate({"rows": rows})
    assert found.error_messages == []
    assert len({row["id"] for row in rows}) == len(rows)
    # A row without steps proves nothing, so it must need something that is missing.
    available = {*play(tmp_path, "{{ __acceptance_available }}", **PLATFORMS[platform])}
    runs = [row for row in rows if available.issuperset(row.get("needs", []))]
    assert [row["id"] for row in runs if not row["steps"]] == []
    others = {"dev", "staging", "production", "qa"} - {*PLATFORMS[platform]["drystone_environments"]}
    wrong = [
        row["id"]
        for row in runs
        for name in others
        if re.search(rf"(namespaces?.: .{name}|namespaces/{name}/)", json.dumps(row))
    ]
    assert wrong == []


def test_only_the_workloads_of_this_cluster_are_checked(tmp_path: Path) -> None:
    # The repository has folders for the environments of other clusters as well.
    available = play(
        tmp_path, "{{ __acceptance_available }}", drystone_environments=["production"], acceptance_folders=ALL
    )
    assert {"greeter", "hello", "argocd"} <= {*available}
    assert {"rokken", "site", "promotion", "git"} & {*available} == set()


def test_every_requirement_of_the_documents_has_a_row(tmp_path: Path) -> None:
    text = (ROOT / "docs/requirements.md").read_text()
    ids = re.findall(r"^\| ([CKGHFR]\d+) \|", text, re.MULTILINE)
    rows = {row["id"] for row in rows_of(tmp_path, PLATFORMS["everything"])}
    assert len(ids) > 40
    assert sorted(set(ids) - rows) == []
    assert sorted({row.partition("-")[0] for row in rows} - {*ids, "X9"}) == []


def test_the_report_shows_what_was_seen_and_no_markup_of_others(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    points = [[1764555000.0, 1.0], [1764555060.0, 3.0]]
    step = {
        "say": f"Request it {evil}",
        "result": "fails",
        "holds": False,
        "seen": [f"answered 500: {evil}"],
        "table": [[f"name {evil}"], [f"cell {evil}"]],
        "series": [{"name": evil, "value": 3.0, "points": points}],
        "unit": evil,
        "picture": "",
    }
    base = {"title": evil, "seconds": 1.5, "missing": []}
    rows = [
        {**base, "id": "H6", "result": "fails", "steps": [step]},
        {**base, "id": "R1", "result": "absent", "missing": ["rokken"], "steps": []},
    ]
    play(tmp_path, acceptance_checked={"rows": rows, "failed_rows": ["H6"]}, acceptance_cluster=evil)
    page = (tmp_path / "report/report.html").read_text()
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 8
    assert "rows that fail: 1" in page
    assert "0 of 2 rows hold, 0 of them in part. 1 fail. 1 need what" in page
    assert "This platform does not have: rokken." in page
    assert "<polyline" in page
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
