"""The directory of the project, and values that several tests read from it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def galaxy() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "galaxy.yml").read_text())
    return loaded


@pytest.fixture(scope="session")
def pins() -> dict[str, str]:
    """Return all versions of the role common by name without prefix and suffix."""
    defaults = yaml.safe_load((ROOT / "roles/common/defaults/main.yml").read_text())
    return {
        name.removeprefix("drystone_").removesuffix("_version"): str(value)
        for name, value in defaults.items()
        if name.endswith("_version")
    }


@pytest.fixture(scope="session")
def files() -> list[Path]:
    """Return the files of the project, including new ones that Git does not ignore, relative to its root."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [Path(name) for name in sorted(set(listed.split("\0"))) if name and (ROOT / name).is_file()]
