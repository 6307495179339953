# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""scripts/evidence.py writes a page, graphs and pictures from a report, and refuses a report with a failure."""

from __future__ import annotations

import json
import subprocess
import sys
import typing as t
import xml.etree.ElementTree as ET
from pathlib import Path

from scripts.evidence import SECTIONS

ROOT = Path(__file__).resolve().parents[3]
SHOWN = {one for ids in SECTIONS.values() for one in ids}


def step(**more: t.Any) -> dict[str, t.Any]:
    return {"say": "Look", "seen": ["seen"], "table": [], "series": [], "unit": "", "picture": "", **more}


def write(tmp_path: Path, *rows: dict[str, t.Any], holding: bool = True) -> subprocess.CompletedProcess[str]:
    """Write evidence of these rows, and of all others that it shows."""
    given = {one["id"] for one in rows}
    others = [row(name, step()) for name in SHOWN - given] if holding else []
    told = {"cluster": "drystone-dev", "written": "2026-12-01 03:00 UTC", "rows": [*rows, *others]}
    (tmp_path / "report.json").write_text(json.dumps(told))
    command = [sys.executable, str(ROOT / "scripts/evidence.py"), str(tmp_path / "report.json")]
    return subprocess.run(
        [*command, f"--target={tmp_path}/evidence"], capture_output=True, text=True, check=False, cwd=tmp_path
    )


def row(name: str, *steps: dict[str, t.Any], result: str = "holds") -> dict[str, t.Any]:
    return {"id": name, "title": f"Title of {name}", "result": result, "seconds": 1.5, "steps": steps}


def test_tables_graphs_and_pictures_are_written(tmp_path: Path) -> None:
    (tmp_path / "page.png").write_bytes(b"png")
    points = [[1000.0, 1.0], [1060.0, 2.0]]
    done = write(
        tmp_path,
        row("C3", step(table=[["node", "pool"], ["one", "a|b"]])),
        row("F10", step(), step(series=[{"name": "dev", "value": 2.0, "points": points}], unit="pods")),
        row("R1", step(picture=str(tmp_path / "page.png"))),
        row("C8", step(seen=["not shown"])),
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "evidence/README.md").read_text()
    assert "| node | pool |\n| --- | --- |\n| one | a\\|b |" in page
    assert "![Look](f10-2.svg)" in page
    assert "![Look](r1-1.png)" in page
    assert "not shown" not in page
    assert (tmp_path / "evidence/r1-1.png").read_bytes() == b"png"
    assert ET.parse(tmp_path / "evidence/f10-2.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_paths_of_this_host_are_not_shown(tmp_path: Path) -> None:
    seen = [f"{ROOT}/deploy: valid", f"{Path.home()}/.cache"]
    assert write(tmp_path, row("F6", step(seen=seen))).returncode == 0
    page = (tmp_path / "evidence/README.md").read_text()
    assert "\ndeploy: valid\n~/.cache\n" in page


def test_a_failed_report_is_refused_and_earlier_evidence_stays(tmp_path: Path) -> None:
    assert write(tmp_path, row("F6", step(seen=["first"]))).returncode == 0
    for result in ("fails", "skipped", "absent"):
        done = write(tmp_path, row("F6", step(), result=result))
        assert done.returncode != 0
        assert "the rows F6 do not hold" in done.stderr
    assert "do not hold" in write(tmp_path, row("F6", step()), holding=False).stderr
    assert "first" in (tmp_path / "evidence/README.md").read_text()
    assert write(tmp_path, row("F6", step(seen=["second"]))).returncode == 0
    assert "second" in (tmp_path / "evidence/README.md").read_text()


def test_another_directory_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence/mine.txt").write_text("mine")
    done = write(tmp_path)
    assert done.returncode != 0
    assert "is not a directory of evidence" in done.stderr
    assert (tmp_path / "evidence/mine.txt").read_text() == "mine"
