# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Create PrometheusRules from short descriptions of alerts."""

from __future__ import annotations

DOCUMENTATION = r"""
name: prometheus_rules
short_description: Create PrometheusRules from short descriptions of alerts
version_added: 1.0.0
author:
  - The Drystone authors (@drystone)
description:
  - Returns one PrometheusRule for each group of alerts.
  - Links each alert to the section of the runbook whose heading is the alert's name.
options:
  _input:
    description:
      - Alerts by name, by group. Each has C(expr), C(severity) and C(summary), and may have C(for).
    type: dict
    required: true
  namespace:
    description: Namespace of the PrometheusRules.
    type: str
    required: true
  runbook_url:
    description: Address of the runbook.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Create a rule with one alert
  ansible.builtin.debug:
    msg: "{{ alerts | drystone.platform.prometheus_rules('monitoring', 'https://example.com/runbook.md') }}"
  vars:
    alerts:
      platform:
        TargetDown:
          expr: up == 0
          for: 5m
          severity: warning
          summary: A target is down.

- name: Create rules from a file of alerts
  ansible.builtin.debug:
    msg: >-
      {{ lookup('ansible.builtin.file', 'alerts.yml') | from_yaml
         | drystone.platform.prometheus_rules('monitoring', 'https://example.com/runbook.md') }}

- name: Apply alerts
  drystone.platform.apply_set:
    name: alerts
    namespace: monitoring
    kubeconfig: ~/.kube/config
    objects: "{{ alerts | drystone.platform.prometheus_rules('monitoring', 'https://example.com/runbook.md') }}"
  vars:
    alerts:
      watchdog:
        Watchdog:
          expr: vector(1)
          severity: none
          summary: Always fires.
"""

RETURN = r"""
_value:
  description: The PrometheusRules, in the order of the groups.
  type: list
  elements: dict
"""

import typing as t


def _rule(name: str, alert: dict[str, t.Any], runbook_url: str) -> dict[str, t.Any]:
    return {
        "alert": name,
        "expr": alert["expr"].strip(),
        **({"for": alert["for"]} if "for" in alert else {}),
        "labels": {"severity": alert["severity"]},
        # Headings become anchors in lower case.
        "annotations": {"summary": alert["summary"].strip(), "runbook_url": f"{runbook_url}#{name.lower()}"},
    }


def prometheus_rules(
    groups: dict[str, dict[str, dict[str, t.Any]]], namespace: str, runbook_url: str
) -> list[dict[str, t.Any]]:
    """Create a PrometheusRule for each group."""
    return [
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": f"drystone-{group}", "namespace": namespace},
            "spec": {
                "groups": [
                    {
                        "name": f"drystone-{group}",
                        "rules": [_rule(name, alert, runbook_url) for name, alert in alerts.items()],
                    }
                ]
            },
        }
        for group, alerts in groups.items()
    ]


class FilterModule:
    """The filter under its name."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"prometheus_rules": prometheus_rules}
