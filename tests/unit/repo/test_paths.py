# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The paths of a checkout and an inventory may contain a space."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
OF_THE_USER = re.compile(r"\$\((?:CURDIR|INVENTORY|VENV|MOLECULE_EPHEMERAL_DIRECTORY)\)")


@pytest.mark.parametrize("name", ["Makefile", "bundle/Makefile"])
def test_recipes_quote_paths_that_the_user_chooses(name: str) -> None:
    wrong = []
    for number, line in enumerate((ROOT / name).read_text().splitlines(), 1):
        if line.startswith(("\t", "PLAYBOOK")):
            bare = re.sub(r'"[^"]*"', '""', line)
            wrong += [f"{name}:{number}: {line.strip()}"] if OF_THE_USER.search(bare) else []
    assert wrong == []


def test_inventories_leave_the_quoting_of_the_interpreter_to_ansible() -> None:
    for path in sorted(ROOT.glob("inventories/*/hosts.yml")):
        assert 'ansible_python_interpreter: "{{ ansible_playbook_python }}"' in path.read_text()


@pytest.mark.parametrize("name", ["state of ours", '100%h "quoted" back\\slash'])
def test_a_shell_of_make_env_finds_keys_and_host_keys_in_any_directory(name: str, tmp_path: Path) -> None:
    state = tmp_path / name
    folder = state / "drystone/drystone-dev"
    (folder / "git").mkdir(parents=True)
    (folder / "git/operator_key").touch()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "XDG_STATE_HOME": str(state), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    command = ["scripts/env.sh", "inventories/dev"]
    shown = subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, text=True).stdout
    script = f'{shown}\nset -eu\nprintf "%s\\n" "$KUBECONFIG"\nsh -c "$DRYSTONE_GIT_SSH -F /dev/null -G h"'
    kubeconfig, *read = subprocess.run(
        ["bash", "-c", script], env=env, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert kubeconfig == str(folder / "kubeconfig")
    assert f"userknownhostsfile {folder}/git/known_hosts" in read
    # ssh -G shows a key's path before it replaces % tokens.
    assert f"identityfile {folder}/git/operator_key".replace("%", "%%") in read
