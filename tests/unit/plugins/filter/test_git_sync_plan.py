# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.drystone.platform.plugins.filter.git_sync_plan import FilterModule

plan = FilterModule().filters()["git_sync_plan"]
SERVER = {
    "ssh": "ssh://git@git-server.git.svc:2222/srv/git",
    "ssh_here": "ssh://git@127.0.0.1:2322/srv/git",
    "https": "https://git-server.git.svc:8443",
    "https_here": "https://127.0.0.1:2543",
}


def one(repository: str, **more: t.Any) -> dict[str, t.Any]:
    (entry,) = plan([{"name": "site", "namespace": "dev", "repository": repository, **more}], SERVER)
    assert isinstance(entry, dict)
    return entry


@pytest.mark.parametrize(
    ("auth", "repository", "here", "port"),
    [
        (None, "ssh://git@git-server.git.svc:2222/srv/git/a.git", "ssh://git@127.0.0.1:2322/srv/git/a.git", 2222),
        ("https", "https://git-server.git.svc:8443/a.git", "https://127.0.0.1:2543/a.git", 8443),
    ],
)
def test_a_name_is_a_repository_of_the_cluster_s_server(
    auth: str | None, repository: str, here: str, port: int
) -> None:
    assert one("a", **({"auth": auth} if auth else {})) == {
        "index": 0,
        "id": "dev/site",
        "name": "site",
        "namespace": "dev",
        "secret": "site-git-credentials",
        "own": True,
        "ref": "main",
        "auth": auth or "ssh",
        "repository": repository,
        "check_repository": here,
        "repository_name": "a",
        "user": "dev.site",
        "port": port,
    }


@pytest.mark.parametrize(
    ("repository", "auth", "port"),
    [
        ("git@git.example.org:team/a.git", "ssh", 22),
        ("ssh://git@git.example.org/team/a.git", "ssh", 22),
        ("ssh://git@git.example.org:7999/team/a.git", "ssh", 7999),
        ("https://git.example.org/team/a.git", "https", 443),
        ("https://git.example.org:8443/a.git", "https", 8443),
    ],
)
def test_a_url_is_a_repository_elsewhere(repository: str, auth: str, port: int) -> None:
    entry = one(repository, ref="v1", password="canary")
    assert (entry["own"], entry["auth"], entry["port"], entry["ref"]) == (False, auth, port, "v1")
    assert entry["repository"] == entry["check_repository"] == repository
    assert "canary" not in str(entry)


@pytest.mark.parametrize(
    ("repository", "more", "problem"),
    [
        ("a b", {}, "neither a URL nor the name"),
        ("-x", {}, "neither a URL nor the name"),
        ("", {}, "neither a URL nor the name"),
        ("http://git.example.org/a.git", {}, "begins with http://"),
        ("file:///srv/a.git", {}, "begins with file://"),
        ("ssh://git.example.org:no/a.git", {}, "the port in repository is not a number"),
        (
            "https://git.example.org/a.git",
            {"auth": "ssh"},
            "auth is ssh, but the scheme of .* is https",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_the_workload_s_name(
    repository: str, more: dict[str, t.Any], problem: str
) -> None:
    with pytest.raises(AnsibleFilterError, match=rf"git_sync_workloads, dev/site: .*{problem}"):
        one(repository, **more)


def test_a_workload_is_there_once() -> None:
    twice = {"name": "site", "namespace": "dev", "repository": "a"}
    with pytest.raises(AnsibleFilterError, match="dev/site: it is listed twice"):
        plan([twice, {**twice, "repository": "b"}], SERVER)
