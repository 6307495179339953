# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory like that of a user is valid, and so is its deploy/."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deploy.validate import Structure
from tests.inventories import foreign

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "an inventory"
    foreign.make(made)
    return made


def test_what_it_deploys_is_well_formed(folder: Path) -> None:
    structure = Structure((folder / "deploy").resolve())
    assert structure.check() == []
    names = {str(one.relative_to(folder / "deploy/environments")) for one in structure.environments}
    assert names == {"qa/greeter", "qa/site", "preview/site"}


def test_every_input_of_every_role_is_valid_and_its_deploy_is_not_read_as_an_inventory(
    folder: Path, tmp_path: Path
) -> None:
    play = tmp_path / "play.yml"
    task = {"name": "Check", "drystone.platform.validate_inputs": None}
    play.write_text(yaml.safe_dump([{"hosts": "drystone", "gather_facts": False, "tasks": [task]}]))
    command = [str(Path(sys.executable).with_name("ansible-playbook")), f"--inventory={folder}", str(play)]
    env = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout + done.stderr
