# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a step saw, as text for a report."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._acceptance.seen import Seen, cell, shorten


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "yes"),
        (False, "no"),
        (3, "3"),
        (["a", None, "b"], "a, , b"),
        ({"memory": "64Mi", "cpu": "50m"}, "cpu=50m, memory=64Mi"),
    ],
)
def test_values_become_the_text_of_a_cell(value: t.Any, text: str) -> None:
    assert cell(value) == text


def test_long_output_is_shortened() -> None:
    found = shorten(["x" * 400, *["y"] * 30])
    assert len(found) == 21
    assert found[0] == "x" * 297 + "..."
    assert found[-1] == "... and 11 more lines"


def test_the_facts_contain_everything() -> None:
    facts = Seen(True, ["a"], [["b"], ["c"]], [{"name": "d"}], "s", "/e.png").facts()
    assert facts == {
        "holds": True,
        "seen": ["a"],
        "table": [["b"], ["c"]],
        "series": [{"name": "d"}],
        "unit": "s",
        "picture": "/e.png",
    }
