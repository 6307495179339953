# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nginx is told. What it then does is tested in a Pod: molecule/git_sync/tests/test_site_image.py."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

SITE = Path(__file__).parent.parent
DEPLOY = SITE.parents[1] / "deploy"
CONFIG = re.sub(r"^\s*#.*$", "", (SITE / "nginx.conf").read_text("utf-8"), flags=re.MULTILINE)
DOCKERFILE = (SITE / "Dockerfile").read_text("utf-8")


def values(directive: str) -> list[str]:
    return re.findall(rf"^\s*{re.escape(directive)}\s+(.*?);", CONFIG, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def pod() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "workloads/site/base/deployment.yaml").read_text("utf-8"))["spec"]
    template: dict[str, Any] = loaded["template"]["spec"]
    return template


def test_only_memory_is_written_to() -> None:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = values("pid") + [place for kind in kinds for place in values(f"{kind}_temp_path")]
    assert len(places) == 1 + len(kinds)
    assert all(place.startswith("/dev/shm/") for place in places)
    assert values("error_log") == ["stderr warn"]
    assert [log.split()[0] for log in values("access_log")] == ["/dev/stdout"]


def test_what_is_served_is_where_the_component_has_it() -> None:
    component = yaml.safe_load((DEPLOY / "components/git-content/workload/deployment.yaml").read_text("utf-8"))
    (sidecar,) = component["spec"]["template"]["spec"]["initContainers"]
    flags = dict(flag.split("=", 1) for flag in sidecar["args"] if "=" in flag)
    assert values("root") == [f"{flags['--root']}/{flags['--link']}"]
    (mount,) = [mount for mount in sidecar["volumeMounts"] if mount["name"] == "git-content"]
    assert flags["--root"].startswith(f"{mount['mountPath']}/")


def test_no_link_is_followed_beyond_the_root() -> None:
    assert values("disable_symlinks") == ["on from=$document_root"]
    assert values("autoindex") == values("alias") == []


@pytest.mark.parametrize(
    ("worktree", "commit"),
    [
        ("/git/repo/.worktrees/" + "a0" * 20, "a0" * 20),
        ("/git/repo/.worktrees/" + "a0" * 32, "a0" * 32),
        ("/git/repo/.worktrees/" + "a0" * 25, ""),
        ("/git/repo/content", ""),
    ],
)
def test_the_commit_is_the_name_of_the_worktree(worktree: str, commit: str) -> None:
    found = re.search(r'map \$realpath_root \$git_commit \{\s*"~(\S+)" \$name;', CONFIG)
    assert found
    match = re.search(found[1].replace("?<", "?P<"), worktree)
    assert (match["name"] if match else "") == commit


@pytest.mark.parametrize(
    ("path", "hidden"),
    [("/.git", True), ("/a/.git/config", True), ("/.env", True), ("/.well-known/x", False), ("/a.b/c.html", False)],
)
def test_hidden_files_are_not_served(path: str, hidden: bool) -> None:
    (pattern,) = re.findall(r"location ~ (\S+) \{\s*return 404;", CONFIG)
    assert bool(re.search(pattern, path)) is hidden


def test_the_commit_is_in_the_header_of_every_answer_and_in_the_sample_page() -> None:
    assert "Git-Commit $git_commit always" in values("add_header")
    # add_header in a location would take all of these away from it.
    assert len(values("add_header")) == len(re.findall(r"^ {8}add_header", CONFIG, re.MULTILINE))
    ((marker, replaced),) = re.findall(r'sub_filter "(.*)" (\S+);', CONFIG)
    assert replaced == "$git_commit"
    assert marker in (SITE / "content/index.html").read_text("utf-8")


def test_the_image_runs_as_nobody_special_and_ends_gracefully(pod: dict[str, Any]) -> None:
    assert "\nUSER 101:101\n" in DOCKERFILE
    assert "\nSTOPSIGNAL SIGQUIT\n" in DOCKERFILE
    assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsGroup"]) == (101, 101)
    (container,) = pod["containers"]
    (graceful,) = values("worker_shutdown_timeout")
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pause + int(graceful.removesuffix("s")) < pod["terminationGracePeriodSeconds"]


def test_the_pod_asks_for_what_the_server_has(pod: dict[str, Any]) -> None:
    (container,) = pod["containers"]
    assert values("listen") == [str(container["ports"][0]["containerPort"])] == ["8080"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert f"location = {container[probe]['httpGet']['path']} {{" in CONFIG
