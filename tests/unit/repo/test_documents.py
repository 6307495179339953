# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Markdown documents: links and anchors resolve, and mentioned make targets exist."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
# A command in a code span or at the start of a line in a code block
TARGET = re.compile(r"(?:`|^(?:\$ )?|\(|&& )make (?:-[a-z]+ )*(?:-C ([\w/]+) )?([a-z][a-z-]*)", re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """Return the anchors of a document's headings, formed as GitHub forms them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_links_and_anchors_resolve(files: list[Path]) -> None:
    broken = []
    for document in (path for path in files if path.suffix == ".md"):
        text = CODE.sub("", FENCE.sub("", (ROOT / document).read_text()))
        for link in LINK.findall(text):
            if "://" in link:
                continue
            target, _, anchor = link.partition("#")
            path = (ROOT / document.parent / target).resolve() if target else ROOT / document
            if not path.exists() or (anchor and anchor not in anchors(path)):
                broken.append(f"{document}: {link}")
    assert broken == []


def test_mentioned_make_targets_exist(files: list[Path]) -> None:
    unknown = []
    for document in (path for path in files if path.suffix == ".md"):
        for folder, target in TARGET.findall((ROOT / document).read_text()):
            makefile = (ROOT / folder / "Makefile").read_text()
            if target not in re.findall(r"^([a-z-]+):", makefile, re.MULTILINE):
                unknown.append(f"{document}: make {target}")
    assert unknown == []


def test_the_examples_of_make_help_can_be_pasted() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    targets = set(re.findall(r"^  make ([a-z-]+) ", shown.partition("\nExamples")[0], re.MULTILINE))
    examples = re.findall(r"\bmake ([^\n)]+)", shown.partition("\nExamples")[2])
    assert len(examples) >= 4
    for words in map(shlex.split, examples):
        assert [word for word in words if "=" not in word and not word.startswith("-") and word not in targets] == []
        for name, _, value in (word.partition("=") for word in words):
            assert name != "INVENTORY" or (ROOT / value / "hosts.yml").is_file()
            assert name != "SCENARIO" or (ROOT / "molecule" / value).is_dir()
