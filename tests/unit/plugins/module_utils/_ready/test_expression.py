# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Expressions are validated before their use, and described in one line if they are false."""

from __future__ import annotations

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput
from ansible_collections.drystone.platform.plugins.module_utils._ready import expression
from ansible_collections.drystone.platform.plugins.module_utils._ready.expression import Expression

CLAIM = {"status": {"phase": "Bound", "size": 0, "hosts": ["a", "b"], "note": ""}}


@pytest.mark.parametrize(
    "text",
    [
        "status.phase == 'Bound'",
        "status.hosts",
        "length(status.hosts) == `2`",
        "status.hosts[?@ == 'b'] | [0]",
        "not_null(status.gone, status.note, status.phase) == ''",
        "sort_by([{n: `2`}, {n: `1`}], &n)[0].n == `1`",
    ],
)
def test_what_is_true_is_ready(text: str) -> None:
    status = Expression(text).judge(CLAIM)
    assert (status.ready, status.reason) == (True, f"expression {text} is true")


@pytest.mark.parametrize(
    ("text", "gives"),
    [
        ("status.phase == 'Lost'", "False"),
        ("status.gone", "null"),
        ("status.size", "0"),
        ("status.note", "''"),
        ("status.hosts[?@ == 'c']", "[]"),
    ],
)
def test_what_is_false_null_zero_or_empty_is_told(text: str, gives: str) -> None:
    status = Expression(text).judge(CLAIM)
    assert (status.ready, status.terminal) == (False, False)
    assert status.reason == f"expression {text} returned {gives}"


def test_what_it_gives_can_be_kept_back() -> None:
    assert Expression("note").judge({"note": []}, show=False).reason == "expression note returned a false value"


def test_a_field_that_is_not_there_yet_is_no_error() -> None:
    status = Expression("length(status.hosts) > `0`").judge({"status": {}})
    assert not status.ready
    assert status.reason.startswith("expression length(status.hosts) > `0` cannot be evaluated: In function length()")
    assert "\n" not in status.reason


def test_a_long_reason_is_cut() -> None:
    status = Expression("to_number(@)").judge({"a": "long " * 100})
    assert status.reason == "expression to_number(@) returned null"
    status = Expression("abs(@)").judge({"a": "long " * 100})
    assert status.reason.endswith("...")
    assert len(status.reason) < 300


@pytest.mark.parametrize("text", ["status.phase = 'Bound'", "status.", "length(", ""])
def test_what_is_no_jmespath_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not valid JMESPath") as caught:
        Expression(text)
    assert caught.value.facts == {"expression": text}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("size(status.hosts)", r"calls size\(\), which JMESPath does not provide. It provides abs, avg, "),
        ("status.phase == 'Bound' && count(@)", r"calls count\(\)"),
        ("status.hosts[?begins_with(@, 'a')]", r"calls begins_with\(\)"),
        ("sort_by(hosts, &lower(name))", r"calls lower\(\)"),
        ("length()", r"calls length\(\) with 0 arguments; it takes 1\."),
        ("contains(status.hosts)", r"calls contains\(\) with 1 arguments; it takes 2\."),
        ("length(a, b)", r"calls length\(\) with 2 arguments; it takes 1\."),
        ("not_null()", r"calls not_null\(\) with 0 arguments; it takes 1 or more\."),
    ],
)
def test_a_call_that_could_never_work_is_refused_at_once(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        Expression(text)


def test_a_missing_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expression, "HAS_JMESPATH", False)
    with pytest.raises(InvalidInput, match=r"jmespath.*to evaluate expressions"):
        Expression("a")
