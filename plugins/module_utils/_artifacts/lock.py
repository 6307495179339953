# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change without notice.

"""What was recorded of each download: a checksum that no publisher can change afterwards."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible.module_utils.common.yaml import yaml_load

from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput


@dataclass(frozen=True)
class Lock:
    """SHA-256 of files by their path at the publisher, digests of images by their name and tag there."""

    path: str
    files: t.Mapping[str, str]
    images: t.Mapping[str, str]

    def file(self, path: str) -> str:
        """Give the SHA-256 of a file. What is not in a lock must not slip past it."""
        return self._get("file", self.files, path)

    def image(self, name: str) -> str:
        """Give the digest of an image."""
        return self._get("image", self.images, name)

    def _get(self, what: str, recorded: t.Mapping[str, str], name: str) -> str:
        if name not in recorded:
            raise InvalidInput(
                f"Looking up the {what} {name} in the lock {self.path}: it is not there. The lock was recorded for"
                " other versions; record it again, or remove it to go by the publishers' own checksums.",
                lock=self.path,
                missing=name,
            )
        return recorded[name]


def read_lock(path: str | None) -> Lock | None:
    """Read a lock; None where there is none."""
    if not path:
        return None
    try:
        with open(path, encoding="utf-8") as file:
            content = yaml_load(file)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InvalidInput(f"Reading the lock {path}: {error}", lock=path) from error
    except Exception as error:  # which class it is depends on the YAML parser that Ansible found
        raise InvalidInput(f"Reading the lock {path}: it is no YAML: {error}", lock=path) from error
    tables = content if isinstance(content, dict) else {}
    files, images = tables.get("files"), tables.get("images")
    if not isinstance(files, dict) or not isinstance(images, dict):
        raise InvalidInput(f"Reading the lock {path}: it must have the two tables files and images.", lock=path)
    return Lock(path, files, images)


def base_of(publisher: str, bases: t.Mapping[str, t.Any]) -> str:
    """Give the address below which a publisher's things lie."""
    if publisher not in bases:
        raise InvalidInput(f"Looking up the publisher {publisher}: bases names only {', '.join(sorted(bases))}.")
    return str(bases[publisher])


def summary(verb: str, changed: t.Sequence[str], unlocked: t.Sequence[str]) -> str:
    """Say what was done, and what nobody but its publisher vouches for."""
    done = f"{verb} {', '.join(changed)}" if changed else "everything is there"
    return f"{done}; unlocked: {', '.join(unlocked)}" if unlocked else done
