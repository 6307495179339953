# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change without notice.

"""The lock: recorded checksums of downloads, so that a later change at the publisher is detected."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible.module_utils.common.yaml import yaml_load

from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput


@dataclass(frozen=True)
class Lock:
    """SHA-256 of files by their path at the publisher, and digests of images by their name and tag."""

    path: str
    files: t.Mapping[str, str]
    images: t.Mapping[str, str]

    def file(self, path: str) -> str:
        """Return the SHA-256 of a file. Raise InvalidInput for a file that the lock does not contain."""
        return self._get("file", self.files, path)

    def image(self, name: str) -> str:
        """Return the digest of an image."""
        return self._get("image", self.images, name)

    def _get(self, what: str, recorded: t.Mapping[str, str], name: str) -> str:
        if name not in recorded:
            raise InvalidInput(
                f"Looking up the {what} {name} in the lock {self.path}: there is no entry. The lock was recorded for"
                " other versions. Record it again, or remove it to use the publishers' checksums.",
                lock=self.path,
                missing=name,
            )
        return recorded[name]


def read_lock(path: str | None) -> Lock | None:
    """Read a lock. Return None if the file does not exist."""
    if not path:
        return None
    try:
        with open(path, encoding="utf-8") as file:
            content = yaml_load(file)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InvalidInput(f"Reading the lock {path}: {error}", lock=path) from error
    except Exception as error:  # its class depends on the YAML parser that Ansible uses
        raise InvalidInput(f"Reading the lock {path}: the file is not valid YAML: {error}", lock=path) from error
    tables = content if isinstance(content, dict) else {}
    files, images = tables.get("files"), tables.get("images")
    if not isinstance(files, dict) or not isinstance(images, dict):
        raise InvalidInput(
            f"Reading the lock {path}: it must contain the two mappings files and images. Record it again.", lock=path
        )
    return Lock(path, files, images)


def base_of(publisher: str, bases: t.Mapping[str, t.Any]) -> str:
    """Return the base URL of a publisher."""
    if publisher not in bases:
        raise InvalidInput(f"Looking up the publisher {publisher}: bases only contains {', '.join(sorted(bases))}.")
    return str(bases[publisher])


def summary(verb: str, changed: t.Sequence[str], unlocked: t.Sequence[str]) -> str:
    """Describe the changes, and name what is not in a lock."""
    done = f"{verb} {', '.join(changed)}" if changed else "everything is present"
    return f"{done}; unlocked: {', '.join(unlocked)}" if unlocked else done
