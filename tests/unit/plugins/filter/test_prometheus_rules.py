# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

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


def test_each_group_is_a_rule_of_its_own() -> None:
    rules = make(ALERTS, "monitoring", "https://example.com/runbook.md")
    assert [rule["metadata"] for rule in rules] == [
        {"name": "drystone-platform", "namespace": "monitoring"},
        {"name": "drystone-web", "namespace": "monitoring"},
    ]


def test_an_alert_links_to_its_section_of_the_runbook() -> None:
    rule, _ = make(ALERTS, "monitoring", "https://example.com/runbook.md")
    down, watchdog = rule["spec"]["groups"][0]["rules"]
    assert down == {
        "alert": "TargetDown",
        "expr": "up == 0",
        "for": "3m",
        "labels": {"severity": "warning"},
        "annotations": {
            "summary": "{{ $labels.job }} is down.",
            "runbook_url": "https://example.com/runbook.md#targetdown",
        },
    }
    assert "for" not in watchdog
