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
  - The Drystone authors (!UNKNOWN)
description:
  - Returns one PrometheusRule for each group of alerts.
  - Copies the steps from the runbook's section about an alert into the alert's annotation C(runbook). Whoever receives
    the alert can read them without opening a page.
  - Fails if an alert has no such section.
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
  pages:
    description:
      - Pages of the runbook in Markdown, by the names of their files. Each alert needs a section on one of them whose
        heading is the alert's name. The steps are everything after C(**Do:**) in that section.
    type: dict
    required: true
  folder:
    description:
      - Path of the pages for people. The annotation C(runbook) ends with it, the page and the section's anchor.
    type: str
    required: true
  url:
    description:
      - Address of the pages' folder for browsers. If it is set, each alert gets the annotation C(runbook_url) with it,
        the page and the anchor of the section.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Create a rule with one alert
  ansible.builtin.debug:
    msg: "{{ alerts | drystone.platform.prometheus_rules('monitoring', pages, 'runbook') }}"
  vars:
    pages:
      monitoring.md: |
        ### TargetDown
        A target does not answer.

        **Do:** Look at its pod.
    alerts:
      platform:
        TargetDown:
          expr: up == 0
          for: 5m
          severity: warning
          summary: A target is down.

- name: Create rules from a file of alerts, with links for browsers
  ansible.builtin.debug:
    msg: >-
      {{ lookup('ansible.builtin.file', 'alerts.yml') | from_yaml
         | drystone.platform.prometheus_rules('monitoring', pages, 'runbook', url='https://example.com/runbook') }}
  vars:
    pages:
      web.md: "{{ lookup('ansible.builtin.file', 'runbook/web.md') }}"

- name: Apply alerts
  drystone.platform.apply_set:
    name: alerts
    namespace: monitoring
    kubeconfig: ~/.kube/config
    objects: "{{ alerts | drystone.platform.prometheus_rules('monitoring', pages, 'runbook') }}"
  vars:
    pages:
      monitoring.md: "{{ lookup('ansible.builtin.file', 'runbook/monitoring.md') }}"
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

import re
import typing as t

from ansible.errors import AnsibleFilterError


def _steps(pages: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Return the page and the steps of each section that has steps, by the section's heading."""
    found = {}
    wrapped = re.compile(r"(?<!\n)\n(?!\n|[-*`]|\d+\. )")  # a line break inside a paragraph
    for page, content in pages.items():
        for section in re.split(r"^#+ ", content, flags=re.MULTILINE)[1:]:
            heading, _newline, text = section.partition("\n")
            if (steps := re.search(r"^\*\*Do:\*\* +(.+)", text, re.MULTILINE | re.DOTALL)) is not None:
                found[heading.strip()] = (page, wrapped.sub(" ", steps[1].strip()))
    return found


def _rule(
    name: str, alert: dict[str, t.Any], steps: dict[str, tuple[str, str]], folder: str, url: str
) -> dict[str, t.Any]:
    if name not in steps:
        raise AnsibleFilterError(
            f"No page in {folder} says what to do about the alert {name}. Add a section '### {name}' with a paragraph"
            " that begins with '**Do:**'."
        )
    page, do = steps[name]
    anchor = name.lower()  # as GitHub derives it from a heading
    # Prometheus renders annotations as templates. The runbook is plain text.
    text = do.replace("{{", '{{ "{{" }}')
    annotations = {"summary": alert["summary"].strip(), "runbook": f"{text}\n\nSee {folder}/{page}#{anchor}"}
    if url:
        annotations["runbook_url"] = f"{url.rstrip('/')}/{page}#{anchor}"
    return {
        "alert": name,
        "expr": alert["expr"].strip(),
        **({"for": alert["for"]} if "for" in alert else {}),
        "labels": {"severity": alert["severity"]},
        "annotations": annotations,
    }


def prometheus_rules(
    groups: dict[str, dict[str, dict[str, t.Any]]], namespace: str, pages: dict[str, str], folder: str, url: str = ""
) -> list[dict[str, t.Any]]:
    """Create a PrometheusRule for each group."""
    steps = _steps(pages)
    return [
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": f"drystone-{group}", "namespace": namespace},
            "spec": {
                "groups": [
                    {
                        "name": f"drystone-{group}",
                        "rules": [_rule(name, alert, steps, folder, url) for name, alert in alerts.items()],
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
