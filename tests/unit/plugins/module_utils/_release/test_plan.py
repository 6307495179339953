# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which commit is released, and what that changes. A renderer without tools reads the tag of the greeter."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput
from ansible_collections.drystone.platform.plugins.module_utils._git.remote import Git
from ansible_collections.drystone.platform.plugins.module_utils._release.pins import Target
from ansible_collections.drystone.platform.plugins.module_utils._release.plan import Plan, plan
from ansible_collections.drystone.platform.plugins.module_utils._release.render import Renderer
from tests.unit.bare_repository import Server
from tests.unit.plugins.module_utils._release.conftest import deployment

STAGING = Target("staging", "greeter")
BASE = "deploy/workloads/greeter/base/kustomization.yaml"


class Plain(Renderer):
    """Renders one Deployment with the tag in the base."""

    def __init__(self, git: Git) -> None:
        self.git = git

    def render(self, target: Target, commit: str) -> list[dict[str, t.Any]]:
        text = self.git.run("cat-file", "blob", f"{commit}:{BASE}", doing="Rendering")
        if "broken" in text:
            raise InvalidInput("broken")
        # An environment may set another tag.
        words = text.split()
        return [
            deployment(f"greeter:{words[words.index(target.environment) + 1 if target.environment in words else 1]}")
        ]


def planned(
    server: Server,
    revision: str | None = None,
    version: str | None = None,
    target: Target = STAGING,
    same_images_as: str | None = None,
) -> Plan:
    git = server.clone(f"clone for {target}")
    return plan(git, Plain(git), target, revision=revision, version=version, same_images_as=same_images_as)


def test_by_default_the_head_is_compared_with_the_release(server: Server, first: str) -> None:
    server.commit({STAGING.path: STAGING.text(first)})
    second = server.commit({BASE: "tag: 1.1.0\n"})
    found = planned(server).facts()
    assert (found["revision"], found["current"], found["impacts"]) == (second, first, ["image"])
    assert found["changes"] == [{"action": "changed", "kind": "Deployment", "name": "greeter", "impacts": ["image"]}]
    assert found["images"] == ["greeter:1.1.0"]
    assert "-      - image: greeter:1.0.0\n+      - image: greeter:1.1.0\n" in found["diff_text"]


def test_without_a_release_the_head_is_what_is_deployed(server: Server, first: str) -> None:
    server.commit({BASE: "tag: 1.1.0\n"})
    found = planned(server, revision=first[:7])
    assert (found.revision, found.current) == (first, "")
    assert [change.impacts for change in found.changes] == [("image",)]


def test_an_environment_gets_a_new_workload(server: Server, first: str) -> None:
    found = planned(server, target=Target("qa", "greeter"))
    assert [(change.action, change.kind) for change in found.changes] == [("added", "Deployment")]


def test_the_newest_commit_with_a_version_is_chosen(server: Server, first: str) -> None:
    server.commit({BASE: "tag: 1.1.0\n"})
    newest = server.commit({"deploy/other": "x"})
    server.commit({BASE: "tag: broken\n"})
    server.commit({BASE: "tag: 1.2.0\n"})
    assert planned(server, version="1.1.0").revision == newest


def test_an_unknown_version_is_an_error_with_those_that_exist(server: Server, first: str) -> None:
    server.commit({BASE: "tag: 1.1.0\n"})
    with pytest.raises(InvalidInput, match=r"tag 3\.0\. Seen: greeter:1\.1\.0, greeter:1\.0\.0"):
        planned(server, version="3.0")


@pytest.mark.parametrize("revision", ["0" * 40, "abcdef1", "main", "--all"])
def test_an_unknown_commit_is_an_error(server: Server, first: str, revision: str) -> None:
    with pytest.raises(InvalidInput, match="Planning a release of greeter in staging"):
        planned(server, revision=revision)


def test_a_commit_of_another_branch_is_an_error(server: Server, first: str) -> None:
    other = server.commit({"deploy/a": "a"}, branch="other")
    with pytest.raises(InvalidInput, match="not in the history"):
        planned(server, revision=other)


def test_an_empty_repository_is_an_error(server: Server) -> None:
    with pytest.raises(InvalidInput, match="is empty"):
        planned(server)


def test_an_environment_that_sets_another_tag_would_not_get_the_version(server: Server, first: str) -> None:
    server.commit({BASE: "tag: 1.1.0 production 1.0.0\n"})
    assert planned(server, same_images_as="dev").images == ["greeter:1.1.0"]
    with pytest.raises(InvalidInput, match=r"dev has greeter:1\.1\.0, but the files of production say greeter:1\.0\.0"):
        planned(server, target=Target("production", "greeter"), same_images_as="dev")
