# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change without notice.

"""Read metadata and defaults of the roles of this collection."""

from __future__ import annotations

import inspect
import typing as t
from pathlib import Path

ROLES = Path(__file__).resolve().parents[2] / "roles"


def role_names(roles: Path) -> list[str]:
    """Return the names of all roles in a directory."""
    return sorted(
        entry.name for entry in roles.iterdir() if (entry / "tasks").is_dir() or (entry / "defaults").is_dir()
    )


_READ: dict[tuple[str, int], t.Any] = {}


def read_yaml(loader: t.Any, path: Path) -> t.Any:
    """Read a file whose values may be templates. Return an empty dict if the file does not exist.

    All callers share the result and must not change it. The cache of Ansible copies the values at each access, which
    takes longer than parsing.
    """
    try:
        key = (str(path), path.stat().st_mtime_ns)
    except FileNotFoundError:
        return {}
    if key not in _READ:
        # ansible-core 2.19 and newer only render templates from files that are marked as trusted.
        load = loader.load_from_file
        trusts = "trusted_as_template" in inspect.signature(load).parameters
        _READ[key] = (load(str(path), trusted_as_template=True) if trusts else load(str(path))) or {}
    return _READ[key]


def all_defaults(loader: t.Any, roles: Path) -> dict[str, t.Any]:
    """Return the defaults of all roles. A default may refer to the defaults of any other role."""
    return {
        name: value
        for role in role_names(roles)
        for name, value in read_yaml(loader, roles / role / "defaults" / "main.yml").items()
    }
