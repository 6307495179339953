"""A new part, and a copy of the collection that contains it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPIED = (
    "ansible.cfg",
    "collections",
    "deploy",
    "docs",
    "galaxy.yml",
    "inventories",
    "meta",
    "playbooks",
    "plugins",
    "roles",
    "site.yml",
)
LIST = Path("roles/common/defaults/main.yml")


def copy_with_another_part(target: Path) -> Path:
    """Copy the collection, and add the role of the part echo and one line in drystone_parts."""
    target.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, target / name)
    shutil.copytree(Path(__file__).parent / "echo", target / "roles/echo")
    text = (target / LIST).read_text()
    (target / LIST).write_text(re.sub(r"^(drystone_parts:\n)", r"\1  - echo\n", text, flags=re.MULTILINE))
    return target


def remove_it_again(copy: Path) -> None:
    """Remove the part from a copy."""
    shutil.rmtree(copy / "roles/echo")
    text = (copy / LIST).read_text()
    (copy / LIST).write_text(text.replace("  - echo\n", "", 1))
