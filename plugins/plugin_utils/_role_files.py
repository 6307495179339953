# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change without notice.

"""Read what the roles of this collection say of themselves."""

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
    """Read a file whose values may be templates; a file that is not there is empty.

    The result is shared, so nobody may change it: Ansible's own cache copies each value each time, which takes longer
    than parsing.
    """
    try:
        key = (str(path), path.stat().st_mtime_ns)
    except FileNotFoundError:
        return {}
    if key not in _READ:
        # Templates are rendered by ansible-core 2.19 and newer only from files that they were told to trust.
        load = loader.load_from_file
        trusts = "trusted_as_template" in inspect.signature(load).parameters
        _READ[key] = (load(str(path), trusted_as_template=True) if trusts else load(str(path))) or {}
    return _READ[key]


def all_defaults(loader: t.Any, roles: Path) -> dict[str, t.Any]:
    """Return the defaults of all roles: a value of one may refer to those of any other."""
    return {
        name: value
        for role in role_names(roles)
        for name, value in read_yaml(loader, roles / role / "defaults" / "main.yml").items()
    }
