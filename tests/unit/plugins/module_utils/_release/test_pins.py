# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that name the commit of a workload."""

from __future__ import annotations

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput
from ansible_collections.drystone.platform.plugins.module_utils._release.pins import Target, read, revision_of
from tests.unit.bare_repository import Server

COMMIT = "5b3d2b0ce1b2f1d6c5a4f0b0f3a1e2d3c4b5a697"


def test_the_content_is_read_back() -> None:
    target = Target("staging", "greeter")
    assert target.path == "releases/staging/greeter.yaml"
    assert revision_of(target.text(COMMIT), target.path) == COMMIT


@pytest.mark.parametrize("name", ["", "../dev", "Dev", "a/b", "-a", "a b", "."])
def test_names_that_could_leave_the_folder_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="lowercase"):
        Target(name, "greeter")
    with pytest.raises(InvalidInput, match="lowercase"):
        Target("dev", name)


@pytest.mark.parametrize("revision", ["main", "5b3d2b0", COMMIT.upper(), f"{COMMIT}\nkey: value"])
def test_only_a_full_hash_is_written(revision: str) -> None:
    with pytest.raises(InvalidInput, match="full hash"):
        Target("staging", "greeter").text(revision)


def test_a_file_without_a_commit_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"releases/staging/greeter\.yaml names no commit"):
        revision_of("revision: main\n", "releases/staging/greeter.yaml")


@pytest.mark.parametrize("line", [f"revision: {COMMIT}", f'revision: "{COMMIT}"', f"revision: '{COMMIT}'  "])
def test_a_file_written_by_hand_is_read(line: str) -> None:
    assert revision_of(f"# mine\n{line}\nother: 1\n", "file") == COMMIT


def test_releases_of_a_commit_are_read_and_other_files_ignored(server: Server) -> None:
    target = Target("staging", "greeter")
    head = server.commit({target.path: target.text(COMMIT), "releases/README.md": "x", "releases/a/b/c.yaml": "x"})
    clone = server.clone()
    clone.fetch()
    assert read(clone, head) == {target: COMMIT}
