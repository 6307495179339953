# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An inventory without a host for Drystone is an error for every playbook."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
CHECK = ROOT / "playbooks/shared/require_host.yml"
LOCAL = {"ansible_connection": "local"}
OTHER = {"all": {"hosts": {"other": LOCAL}}}
BOTH = {**OTHER, "drystone": {"hosts": {"ours": LOCAL}}}


def first_play(playbook: Path) -> Path | None:
    """Return the playbook in which the first play is, or None if it is in this one."""
    (first, *_more) = yaml.safe_load(playbook.read_text())
    if name := first.get("ansible.builtin.import_playbook"):
        imported = playbook.parent / str(name)
        return first_play(imported) or imported
    return None


def is_entry(playbook: Path) -> bool:
    """Whether users run this playbook, in contrast to files with tasks, variables and shared plays."""
    content = yaml.safe_load(playbook.read_text())
    plays = isinstance(content, list) and {"hosts", "ansible.builtin.import_playbook"} & content[0].keys()
    return bool(plays) and playbook != CHECK


@pytest.mark.parametrize(
    "playbook", ["site.yml", *(str(one.relative_to(ROOT)) for one in ROOT.glob("playbooks/**/*.yml") if is_entry(one))]
)
def test_every_playbook_checks_the_inventory_first(playbook: str) -> None:
    first = first_play(ROOT / playbook)
    assert first is not None
    assert first.resolve() == CHECK


def run(inventory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        str(Path(sys.executable).with_name("ansible-playbook")),
        f"--inventory={inventory}",
        str(CHECK),
        *options,
    ]
    env = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("inventory", "options", "reason"),
    [
        pytest.param({}, (), "has no host in the group `drystone`", id="empty"),
        pytest.param(OTHER, (), "has no host in the group `drystone`", id="other hosts"),
        pytest.param(
            BOTH, ("--limit=other",), "--limit excludes every host of the group `drystone` (ours)", id="limit"
        ),
    ],
)
def test_an_inventory_without_a_host_of_the_group_is_an_error(
    inventory: dict[str, Any], options: tuple[str, ...], reason: str, tmp_path: Path
) -> None:
    hosts = tmp_path / "hosts.yml"
    hosts.write_text(yaml.safe_dump(inventory))
    done = run(hosts, *options)
    assert done.returncode == 2, done.stdout + done.stderr
    assert reason in " ".join((done.stdout + done.stderr).split())


def test_a_host_of_the_group_is_enough_and_others_are_no_error(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts.yml"
    hosts.write_text(yaml.safe_dump(BOTH))
    done = run(hosts)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout + done.stderr
