"""Where the project lies, and what is read from it more than once."""

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
    """Every version in the role common, by its name without prefix and suffix."""
    defaults = yaml.safe_load((ROOT / "roles/common/defaults/main.yml").read_text())
    return {
        name.removeprefix("drystone_").removesuffix("_version"): str(value)
        for name, value in defaults.items()
        if name.endswith("_version")
    }


@pytest.fixture(scope="session")
def files() -> list[Path]:
    """What Git knows of the project, new files included, relative to its root."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [Path(name) for name in sorted(set(listed.split("\0"))) if name and (ROOT / name).is_file()]
