# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import typing as t

from ansible_collections.drystone.platform.plugins.filter.grafana_dashboards import FilterModule

make = FilterModule().filters()["grafana_dashboards"]


def panels(*descriptions: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    filled = [{"title": "p", "queries": {"up": "up"}, **one} for one in descriptions]
    (config_map,) = make({"web": {"title": "Web", "panels": filled}}, "monitoring")
    found: list[dict[str, t.Any]] = json.loads(config_map["data"]["web.json"])["panels"]
    return found


def test_it_is_a_config_map_that_grafana_s_sidecar_finds() -> None:
    (config_map,) = make({"web": {"title": "Web", "panels": []}}, "monitoring")
    assert config_map["metadata"] == {
        "name": "dashboard-web",
        "namespace": "monitoring",
        "labels": {"grafana_dashboard": "1"},
    }
    dashboard = json.loads(config_map["data"]["web.json"])
    assert (dashboard["title"], dashboard["uid"], dashboard["editable"]) == ("Web", "drystone-web", False)


def test_panels_fill_rows_from_left_to_right_and_never_overlap() -> None:
    wide = panels({"width": 12, "type": "stat"}, {"width": 12}, {"width": 16}, {"width": 12, "type": "stat"})
    places = [(place["x"], place["y"]) for place in (panel["gridPos"] for panel in wide)]
    assert places == [(0, 0), (12, 0), (0, 8), (0, 16)]
    assert len({panel["id"] for panel in wide}) == 4


def test_each_query_is_a_target_with_its_legend() -> None:
    (panel,) = panels({"queries": {"{{pod}}": " up \n", "all": "sum(up)"}})
    assert [(one["refId"], one["legendFormat"], one["expr"]) for one in panel["targets"]] == [
        ("A", "{{pod}}", "up"),
        ("B", "all", "sum(up)"),
    ]
    assert [one["range"] for one in panel["targets"]] == [True, True]


def test_single_values_are_asked_for_at_once_not_over_time() -> None:
    (panel,) = panels({"type": "stat", "unit": "s"})
    assert (panel["targets"][0]["instant"], panel["fieldConfig"]["defaults"]["unit"]) == (True, "s")


def test_a_panel_says_why_it_may_show_nothing() -> None:
    full, empty = panels({}, {"empty_when": "nothing runs"})
    assert "description" not in full
    assert empty["description"] == "Empty when nothing runs."
