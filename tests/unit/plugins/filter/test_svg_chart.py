# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import xml.etree.ElementTree as ET

from ansible_collections.drystone.platform.plugins.filter.svg_chart import FilterModule, svg_chart


def curve(name: str, *values: float) -> dict[str, object]:
    return {"name": name, "value": values[-1], "points": [[1000.0 + 60 * at, value] for at, value in enumerate(values)]}


def test_each_series_is_a_curve_with_a_legend() -> None:
    picture = ET.fromstring(svg_chart([curve("dev", 0, 1, 2), curve("production", 3, 2, 4)], "pods"))
    lines = [one.attrib["points"].split() for one in picture.iter("polyline")]
    assert [len(one) for one in lines] == [3, 3]
    texts = [one.text for one in picture.iter("text")]
    assert {"dev: 2 pods", "production: 4 pods", "0", "2.5", "5", "00:16:40", "00:18:40"} <= {*texts}


def test_higher_values_are_drawn_higher() -> None:
    picture = ET.fromstring(svg_chart([curve("dev", 0, 10)]))
    first, last = next(picture.iter("polyline")).attrib["points"].split()
    assert float(last.partition(",")[2]) < float(first.partition(",")[2])


def test_names_are_text() -> None:
    assert "<b>" not in svg_chart([curve("<b>", 1, 2)], "<b>")


def test_there_is_no_picture_without_points() -> None:
    assert svg_chart([]) == ""
    assert svg_chart([{"name": "a", "value": 0.0, "points": []}]) == ""


def test_zero_is_a_value() -> None:
    assert "polyline" in svg_chart([curve("dev", 0, 0)])


def test_the_filter_has_its_name() -> None:
    assert [*FilterModule().filters()] == ["svg_chart"]
