# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a module: success and failure."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.drystone.platform.plugins.module_utils._errors import Refused
from ansible_collections.drystone.platform.plugins.module_utils._module import failing, succeed

Result = dict[str, t.Any]


def ended(capsys: pytest.CaptureFixture[str], work: t.Callable[[AnsibleModule], None], *, diff: bool = False) -> Result:
    with patch_module_args({"_ansible_diff": diff}), pytest.raises(SystemExit):
        work(AnsibleModule(argument_spec={}))
    result: Result = json.loads(capsys.readouterr().out)
    return result


@pytest.mark.parametrize("diff", [False, True])
def test_a_diff_is_told_where_it_was_asked_for(capsys: pytest.CaptureFixture[str], diff: bool) -> None:
    shown = {"before": {"head": None}, "after": {"head": "abc"}}
    result = ended(capsys, lambda module: succeed(module, changed=True, head="abc", diff=shown), diff=diff)
    assert (result["changed"], result["head"]) == (True, "abc")
    assert result.get("diff") == (shown if diff else None)


def test_an_error_becomes_a_failure_with_its_facts(capsys: pytest.CaptureFixture[str]) -> None:
    def work(module: AnsibleModule) -> None:
        with failing(module):
            raise Refused("Secret dev/site is not ours.", reason="not_ours")

    result = ended(capsys, work)
    assert (result["failed"], result["msg"], result["reason"]) == (True, "Secret dev/site is not ours.", "not_ours")


def test_what_must_not_be_shown_is_hidden_in_message_and_facts(capsys: pytest.CaptureFixture[str]) -> None:
    def hidden(value: t.Any) -> t.Any:
        return json.loads(json.dumps(value).replace("canary", "***"))

    def work(module: AnsibleModule) -> None:
        with failing(module, hidden):
            raise Refused("The server said canary.", stderr="canary")

    assert "canary" not in json.dumps(ended(capsys, work))


def test_a_mistake_of_ours_keeps_its_traceback() -> None:
    def work(module: AnsibleModule) -> None:
        with failing(module):
            raise ZeroDivisionError

    with patch_module_args({}), pytest.raises(ZeroDivisionError):
        work(AnsibleModule(argument_spec={}))
