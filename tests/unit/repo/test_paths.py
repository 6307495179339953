# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The paths of a checkout and an inventory may contain a space."""

from __future__ import annotations

import re
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
