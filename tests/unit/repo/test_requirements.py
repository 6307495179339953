# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/requirements.md defines every cited requirement and names places that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs/requirements.md").read_text()
ROWS = [re.split(r" ?\| ?", line)[1:-1] for line in TEXT.splitlines() if re.match(r"\| [A-Z]\d", line)]
# An id alone, or the ends of a range such as G1-G4
CITED = re.compile(r"(?<![\w%:/.-])[CKGHFRX][1-9]\d?(?:-[CKGHFRX][1-9]\d?)?(?![\w%/-]|\.\w)")


def test_each_id_is_defined_once_with_a_requirement_and_a_place() -> None:
    ids = [row[0] for row in ROWS]
    assert sorted(ids) == sorted(set(ids))
    assert [row for row in ROWS if len(row) != 3 or not all(cell.strip() for cell in row)] == []


def test_every_cited_id_is_defined(files: list[Path]) -> None:
    defined = {row[0] for row in ROWS}
    cited: dict[str, set[str]] = {}
    for path in files:
        if path.suffix == ".md" or (path.suffix == ".py" and "tests" in path.parts):
            for found in CITED.findall((ROOT / path).read_text()):
                for one in found.split("-"):
                    cited.setdefault(one, set()).add(str(path))
    assert {one: paths for one, paths in cited.items() if one not in defined} == {}
    assert "SOLUTION.md" in cited["X3"]


def test_the_named_places_exist() -> None:
    missing = []
    for row in ROWS:
        for place in re.findall(r"`([\w./-]+)`", row[2]):
            module = ROOT / "plugins/modules" / f"{place}.py"
            if not (ROOT / place).exists() and not module.exists():
                missing.append(f"{row[0]}: {place}")
    assert missing == []
