# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.drystone.platform.plugins.filter.prometheus_rules import FilterModule

make = FilterModule().filters()["prometheus_rules"]

ALERTS = {
    "platform": {
        "TargetDown": {
            "expr": "up == 0\n",
            "for": "3m",
            "severity": "warning",
            "summary": "{{ $labels.job }} is down.",
        },
        "Watchdog": {"expr": "vector(1)", "severity": "none", "summary": "Always fires."},
    },
    "web": {},
}


PAGES = {
    "targets.md": """# Targets

## How it looks

### TargetDown
A target does not answer.

**Do:** Look at `{{ its }}` pod,
then at its log.

- Two things may be wrong.

## Rotate
Text without steps.
""",
    "watchdog.md": "### Watchdog\nFires always.\n\n**Do:** Nothing.\n",
}


def test_each_group_is_a_rule_of_its_own() -> None:
    rules = make(ALERTS, "monitoring", PAGES, "docs/runbook")
    assert [rule["metadata"] for rule in rules] == [
        {"name": "drystone-platform", "namespace": "monitoring"},
        {"name": "drystone-web", "namespace": "monitoring"},
    ]


def test_an_alert_carries_what_its_section_of_the_runbook_says_to_do() -> None:
    rule, _ = make(ALERTS, "monitoring", PAGES, "docs/runbook")
    down, watchdog = rule["spec"]["groups"][0]["rules"]
    steps = 'Look at `{{ "{{" }} its }}` pod, then at its log.\n\n- Two things may be wrong.'
    assert down == {
        "alert": "TargetDown",
        "expr": "up == 0",
        "for": "3m",
        "labels": {"severity": "warning"},
        "annotations": {
            "summary": "{{ $labels.job }} is down.",
            "runbook": f"{steps}\n\nSee docs/runbook/targets.md#targetdown",
        },
    }
    assert "for" not in watchdog
    assert watchdog["annotations"]["runbook"] == "Nothing.\n\nSee docs/runbook/watchdog.md#watchdog"


@pytest.mark.parametrize("url", ["https://example.com/runbook", "https://example.com/runbook/"])
def test_an_alert_links_to_its_section_where_the_runbook_has_an_address(url: str) -> None:
    rule, _ = make(ALERTS, "monitoring", PAGES, "docs/runbook", url=url)
    down, _watchdog = rule["spec"]["groups"][0]["rules"]
    assert down["annotations"]["runbook_url"] == "https://example.com/runbook/targets.md#targetdown"


@pytest.mark.parametrize("runbook", ["", "### Watchdog\n**Do:** Nothing.\n", "### TargetDown\nNo steps.\n"])
def test_an_alert_that_nobody_knows_what_to_do_about_is_an_error(runbook: str) -> None:
    with pytest.raises(
        AnsibleFilterError, match=r"what to do about the alert TargetDown\. Add a section '### TargetDown'"
    ):
        make(ALERTS, "monitoring", {"page.md": runbook}, "docs/runbook")
