# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The places of the repository that repeat the version of hello, and the change that raises them."""

from __future__ import annotations

import fnmatch
import re
import typing as t

from .plan import Version, with_entry
from .programs import ReleaseError

VERSION_FILE = "app/hello/VERSION"
CHANGELOG = "app/hello/CHANGELOG.md"
# Changes of these files need a new image. The others, such as tests, do not get into it.
IMAGE = (
    "app/hello",
    *(f":(exclude)app/hello/{name}" for name in ("VERSION", "CHANGELOG.md", "README.md", "Makefile", "tests")),
)
# Pattern of the paths, and what stands before the version
PLACES = (
    (VERSION_FILE, r"\A"),
    ("deploy/workloads/hello/chart/Chart.yaml", r"^appVersion: "),
    ("deploy/environments/*/hello/values.yaml", r"^image:\n(?:  .*\n)*?  tag: "),
    ("roles/common/defaults/main.yml", r"^drystone_hello_version: "),
    ("roles/common/meta/argument_specs.yml", r"^ *drystone_hello_version:\n(?: +(?!drystone_).*\n)*? +default: "),
    ("roles/common/README.md", r"^\| `drystone_hello_version` \| str \| `"),
)


def raised(
    paths: t.Iterable[str], read: t.Callable[[str], str], version: Version, date: str, changes: str
) -> dict[str, str]:
    """Return the new content of each file that changes. paths are all files, and read returns the content of one."""
    every = sorted(paths)
    content = {}
    for pattern, before in PLACES:
        found = fnmatch.filter(every, pattern)
        if not found:
            raise ReleaseError(
                f"Cannot raise the version of hello: no file is {pattern}. Correct scripts/release/places.py."
            )
        for path in found:
            place = re.compile(rf"({before})\d+\.\d+\.\d+", re.MULTILINE)
            old = read(path)
            new, count = place.subn(rf"\g<1>{version}", old)
            if count != 1:
                raise ReleaseError(
                    f"Cannot raise the version of hello in {path}: it stands there {count} times, but must stand there "
                    "once. Correct the file or scripts/release/places.py."
                )
            if new != old:
                content[path] = new
    content[CHANGELOG] = with_entry(read(CHANGELOG) if CHANGELOG in every else "", version, date, changes)
    return content
