# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The test plan contains only existing tests, and each of upstream's cases once."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
CASES = 88  # functions e2e::* in test_e2e.sh of the version that the stand-in replaces


def test_every_test_that_is_named_exists() -> None:
    plan = (HERE / "README.md").read_text()
    named = set(re.findall(r"\btest_\w+", plan)) - {"test_e2e", "test_plan"}
    texts = [path.read_text() for path in HERE.glob("test_*.py")]
    there = {name for text in texts for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)}
    assert len(named) > 50
    assert named - there == set()


def test_each_of_upstream_s_cases_is_named_once() -> None:
    plan, _own = (HERE / "README.md").read_text().split("## What upstream does not test")
    rows = re.findall(r"^\| (.*?) \|", plan, re.MULTILINE)
    cases = Counter(name for row in rows for name in row.split(", ") if row != "upstream's case")
    cases.update(re.findall(r"\b(github_https|v3_v4_upgrade_in_place)\b", plan))
    assert [name for name, number in cases.items() if number > 1] == []
    assert len(cases) == CASES
