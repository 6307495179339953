# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Create Grafana dashboards from short descriptions."""

from __future__ import annotations

DOCUMENTATION = r"""
name: grafana_dashboards
short_description: Create ConfigMaps with Grafana dashboards from short descriptions
version_added: 1.0.0
author:
  - The Drystone authors (!UNKNOWN)
description:
  - Returns one ConfigMap for each dashboard, with the label that Grafana's sidecar selects.
  - Places panels from left to right and top to bottom in 24 columns.
options:
  _input:
    description:
      - Dashboards by name. Each has C(title) and C(panels).
      - Each panel has C(title) and C(queries), which maps legends to PromQL. It may have C(type) (V(timeseries) by
        default), C(unit), C(width) in columns (V(8) by default) and C(empty_when), the reason why it may be empty.
    type: dict
    required: true
  namespace:
    description: Namespace of the ConfigMaps.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Create a dashboard with one panel
  ansible.builtin.debug:
    msg: "{{ dashboards | drystone.platform.grafana_dashboards('monitoring') }}"
  vars:
    dashboards:
      up:
        title: What is up
        panels:
          - title: Targets
            type: stat
            queries:
              up: sum(up)

- name: Explain why a panel may be empty
  ansible.builtin.debug:
    msg: "{{ dashboards | drystone.platform.grafana_dashboards('monitoring') }}"
  vars:
    dashboards:
      alerts:
        title: Alerts
        panels:
          - title: Firing
            empty_when: no alert fires
            queries:
              "{{ '{{alertname}}' }}": ALERTS{alertstate="firing"}

- name: Apply dashboards
  drystone.platform.apply_set:
    name: dashboards
    namespace: monitoring
    kubeconfig: ~/.kube/config
    objects: "{{ dashboards | drystone.platform.grafana_dashboards('monitoring') }}"
  vars:
    dashboards: "{{ lookup('ansible.builtin.file', 'dashboards.yml') | from_yaml }}"
"""

RETURN = r"""
_value:
  description: The ConfigMaps, in the order of the dashboards.
  type: list
  elements: dict
"""

import json
import typing as t

_DATASOURCE = {"type": "prometheus", "uid": "prometheus"}
_COLUMNS = 24
_HEIGHTS = {"stat": 4, "table": 8, "timeseries": 8}


def _panel(number: int, panel: dict[str, t.Any], place: dict[str, int]) -> dict[str, t.Any]:
    kind = panel.get("type", "timeseries")
    instant = kind != "timeseries"
    targets = [
        {
            "datasource": _DATASOURCE,
            "expr": expression.strip(),
            "legendFormat": legend,
            "refId": chr(ord("A") + position),
            "instant": instant,
            "range": not instant,
            **({"format": "table"} if kind == "table" else {}),
        }
        for position, (legend, expression) in enumerate(panel["queries"].items())
    ]
    empty_when = panel.get("empty_when")
    return {
        "id": number,
        "title": panel["title"],
        "type": kind,
        **({"description": f"Empty when {empty_when}."} if empty_when else {}),
        "datasource": _DATASOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.get("unit", "short"), "min": 0}, "overrides": []},
        "targets": targets,
    }


def dashboard(name: str, description: dict[str, t.Any]) -> dict[str, t.Any]:
    """Create the dashboard in Grafana's JSON model."""
    panels: list[dict[str, t.Any]] = []
    x = y = row = 0
    for number, panel in enumerate(description["panels"], 1):
        width, height = panel.get("width", 8), _HEIGHTS[panel.get("type", "timeseries")]
        if x + width > _COLUMNS:
            x, y, row = 0, y + row, 0
        panels.append(_panel(number, panel, {"x": x, "y": y, "w": width, "h": height}))
        x, row = x + width, max(row, height)
    return {
        "uid": f"drystone-{name}",
        "title": description["title"],
        "tags": ["drystone"],
        "editable": False,
        "refresh": "30s",
        "schemaVersion": 39,
        "time": {"from": "now-1h", "to": "now"},
        "panels": panels,
    }


def grafana_dashboards(dashboards: dict[str, dict[str, t.Any]], namespace: str) -> list[dict[str, t.Any]]:
    """Create a ConfigMap for each dashboard."""
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": f"dashboard-{name}",
                "namespace": namespace,
                "labels": {"grafana_dashboard": "1"},
            },
            "data": {f"{name}.json": json.dumps(dashboard(name, description), indent=2, sort_keys=True) + "\n"},
        }
        for name, description in dashboards.items()
    ]


class FilterModule:
    """The filter under its name."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"grafana_dashboards": grafana_dashboards}
