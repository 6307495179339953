# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draw curves as an SVG picture."""

from __future__ import annotations

DOCUMENTATION = r"""
name: svg_chart
short_description: Draw curves as an SVG picture
version_added: 1.0.0
author:
  - The Drystone authors (!UNKNOWN)
description:
  - Returns an C(svg) element with one curve for each series, a legend, and axes of time (UTC) and value. It needs
    neither scripts nor other files. Its colours are the CSS variables C(--curve-1) to C(--curve-6),
    C(--text) and C(--grid).
options:
  _input:
    description: The series, as M(drystone.platform.acceptance_check) returns them.
    type: list
    elements: dict
    required: true
  unit:
    description: The unit of the values.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Write the graph of a step
  ansible.builtin.copy:
    dest: /tmp/graph.svg
    content: "{{ step.series | drystone.platform.svg_chart(step.unit) }}"
    mode: "0644"
"""

RETURN = r"""
_value:
  description: The picture, or an empty string without points.
  type: str
"""

import html
import math
import typing as t
from datetime import UTC, datetime

_WIDTH = 640
_HEIGHT = 200
_LEFT = 56
_RIGHT = 12
_TOP = 12
_BOTTOM = 24
_COLOURS = 6
_MOST_CURVES = 12


def _scale(highest: float) -> float:
    """Return the next number of the form 1, 2 or 5 times a power of ten."""
    if highest <= 0:
        return 1.0
    power = math.pow(10, math.floor(math.log10(highest)))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= highest * 0.999)


def svg_chart(series: list[dict[str, t.Any]], unit: str = "") -> str:
    """Return the picture of the series."""
    curves = [one for one in series if one["points"]][:_MOST_CURVES]
    if not curves:
        return ""
    times = [point[0] for one in curves for point in one["points"]]
    start: float = min(times)
    end: float = max(*times, start + 1)
    top = _scale(max(point[1] for one in curves for point in one["points"]))

    def x(when: float) -> float:
        return _LEFT + (when - start) / (end - start) * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - max(0.0, value) / top * (_HEIGHT - _TOP - _BOTTOM)

    parts = []
    for share in (0.0, 0.5, 1.0):
        at = y(share * top)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}" stroke="var(--grid)"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{share * top:g}</text>')
    for when, anchor in ((start, "start"), ((start + end) / 2, "middle"), (end, "end")):
        shown = datetime.fromtimestamp(when, UTC).strftime("%H:%M:%S")
        parts.append(f'<text x="{x(when):.1f}" y="{_HEIGHT - 6}" text-anchor="{anchor}">{shown}</text>')
    for number, one in enumerate(curves):
        points = " ".join(f"{x(when):.1f},{y(value):.1f}" for when, value in one["points"])
        colour = f"var(--curve-{number % _COLOURS + 1})"
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
    legend = []
    for number, one in enumerate(curves):
        row = _HEIGHT + 16 + number * 17
        colour = f"var(--curve-{number % _COLOURS + 1})"
        said = html.escape(f"{one['name']}: {one['value']:g} {unit}".rstrip())
        legend.append(f'<rect x="{_LEFT}" y="{row - 9}" width="12" height="10" fill="{colour}"/>')
        legend.append(f'<text x="{_LEFT + 18}" y="{row}">{said}</text>')
    height = _HEIGHT + 8 + 17 * len(curves)
    title = html.escape(", ".join(str(one["name"]) for one in curves))
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{title}" fill="var(--text)" font-size="12">'
        f"{''.join(parts)}{''.join(legend)}</svg>"
    )


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"svg_chart": svg_chart}
