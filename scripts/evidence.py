#!/usr/bin/env python3
"""Write docs/evidence from the report of `make verify`: a page with what was seen, graphs, and pictures.

The page names the row of the report for each section, so `make evidence` makes all of it again.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "collections")]

from ansible_collections.drystone.platform.plugins.filter.svg_chart import svg_chart  # noqa: E402  needs the path above
from scripts.readme_tables import table  # noqa: E402  needs the path above

# The sections of the page, and the rows of the report that each of them shows
SECTIONS = {
    "Nodes with labels and taints": ["C3", "F1"],
    "Endpoints": ["K1", "H6"],
    "Applications of Argo CD": ["C5", "K4"],
    "Environments side by side": ["F6"],
    "Policies": ["F2", "F4"],
    "Metrics across namespaces": ["F5"],
    "Prometheus": ["F7", "F10"],
    "An autoscaler under load": ["F10-autoscaler"],
    "A canary": ["H5", "H5-canary"],
    "Content from Git": ["G4", "G2"],
    "Promotion and rollback": ["F9"],
    "Rokken": ["R1", "R3"],
}
HEADING = "# Evidence"
# The largest size of all files together, in bytes
MOST = 1_500_000
CURVES = {
    "light": ("#1f6feb", "#c2410c", "#15803d", "#7e22ce", "#0e7490", "#be185d"),
    "dark": ("#6ea8fe", "#fb923c", "#4ade80", "#c084fc", "#22d3ee", "#f472b6"),
}


def colours(theme: str, text: str, grid: str, back: str) -> str:
    """Return the CSS variables of a theme."""
    curves = " ".join(f"--curve-{number}: {colour};" for number, colour in enumerate(CURVES[theme], 1))
    return f":root {{ --text: {text}; --grid: {grid}; --back: {back}; {curves} }}"


def picture(series: list[dict[str, Any]], unit: str) -> str:
    """Return a graph as a file of its own, with its colours."""
    drawn = svg_chart(series, unit).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    head, end, rest = drawn.partition(">")
    light = colours("light", "#1c2530", "#d7dde5", "#ffffff")
    dark = colours("dark", "#e4e9f0", "#323c4a", "#12171e")
    style = (
        f"<style>text {{ font-family: sans-serif }} {light} @media (prefers-color-scheme: dark) {{ {dark} }}</style>"
    )
    return f'{head}{end}{style}<rect width="100%" height="100%" fill="var(--back)"/>{rest}\n'


def step_of(row: str, number: int, step: dict[str, Any], target: Path) -> list[str]:
    """Return the paragraphs of a step, and write its files."""
    # Neither the directory of the checkout nor that of the user says anything to a reader.
    seen = "\n".join(step["seen"]).replace(f"{ROOT}/", "").replace(str(Path.home()), "~")
    parts = [f"{step['say']}:", f"```text\n{seen}\n```"]
    name = f"{row.lower()}-{number}"
    if step["table"]:
        parts.append(table(step["table"][0], step["table"][1:]).rstrip("\n"))
    if step["series"]:
        (target / f"{name}.svg").write_text(picture(step["series"], step["unit"]))
        parts.append(f"![{step['say']}]({name}.svg)")
    if step["picture"]:
        shutil.copyfile(step["picture"], target / f"{name}.png")
        parts.append(f"![{step['say']}]({name}.png)")
    return parts


def write(report: dict[str, Any], target: Path) -> None:
    """Write the page and its files, and then replace the directory."""
    page = target / "README.md"
    if target.exists() and not (page.is_file() and page.read_text().startswith(HEADING)):
        sys.exit(f"Writing {target}: it is not a directory of evidence. Choose another one.")
    rows = {row["id"]: row for row in report["rows"]}
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".evidence-") as made:
        new = Path(made, "new")
        new.mkdir()
        parts = [
            HEADING,
            f"`make evidence` writes this page from the report of `make verify`. The run was on {report['written']}.",
            "To repeat one row, run `make verify ROWS=F6` with its id.",
        ]
        for heading, ids in SECTIONS.items():
            parts.append(f"## {heading}")
            for row in (rows[one] for one in ids):
                parts.append(f"Row {row['id']}: {row['title']}. Result: {row['result']}, after {row['seconds']} s.")
                for number, step in enumerate(row["steps"], 1):
                    parts += step_of(row["id"], number, step, new)
        (new / "README.md").write_text(re.sub(r"[ \t]+\n", "\n", "\n\n".join(parts)) + "\n")
        size = sum(path.stat().st_size for path in new.iterdir())
        if size > MOST:
            sys.exit(f"Writing {target}: its files have {size} bytes, which is more than {MOST}. Show fewer rows.")
        if target.exists():
            shutil.move(target, Path(made, "old"))
        shutil.move(new, target)


def main() -> None:
    """Write the evidence of the report that is the argument."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", type=Path, help="the file report.json of make verify")
    parser.add_argument("--target", type=Path, default=ROOT / "docs/evidence", help="the directory to replace")
    given = parser.parse_args()
    try:
        report = json.loads(given.report.read_text())
    except (OSError, ValueError) as error:
        sys.exit(f"Reading {given.report}: {error}. Run make verify first.")
    held = {row["id"] for row in report["rows"] if row["result"] in ("holds", "partly")}
    missing = [one for ids in SECTIONS.values() for one in ids if one not in held]
    if missing:
        sys.exit(f"Reading {given.report}: the rows {', '.join(missing)} do not hold. Repair them and run make verify.")
    write(report, given.target)


if __name__ == "__main__":
    main()
