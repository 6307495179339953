# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The meaning of flags, and the refusal of unknown ones."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from bundle.standins.git_sync.flags import Options, Wrong, duration, git_config, parse
from tests.unit.standins.git_sync.world import PROJECT, World

NEEDED = ["--repo=https://git.example/team/site.git", "--root=/git/repo", "--submodules=off"]


def options(*flags: str) -> Options:
    return parse([*NEEDED, *flags], {})


def test_the_defaults_are_upstream_s() -> None:
    found = options()
    assert (found.ref, found.link, found.depth) == ("HEAD", "site.git", 1)
    assert (found.period, found.init_period, found.sync_timeout) == (10, 10, 120)
    assert (found.max_failures, found.init_max_failures, found.stale_worktree_timeout) == (0, 0, 0)
    assert (found.webhook_method, found.webhook_success_status) == ("POST", 200)
    assert (found.webhook_timeout, found.webhook_backoff) == (1, 3)
    assert (found.exechook_timeout, found.exechook_backoff) == (30, 3)
    assert found.ssh_key_file == ("/etc/git-secret/ssh",)
    assert (found.ssh_known_hosts, found.ssh_known_hosts_file) == (True, "/etc/git-secret/known_hosts")
    assert (found.one_time, found.group_write, found.http_metrics, found.http_bind) == (False, False, False, None)


def test_what_follows_from_other_flags() -> None:
    found = options("--period=2s", "--max-failures=3")
    assert (found.init_period, found.init_max_failures) == (2, 3)
    found = options("--period=2s", "--max-failures=3", "--init-period=1s", "--init-max-failures=-1")
    assert (found.init_period, found.init_max_failures) == (1, -1)
    assert options("--webhook-success-status=-1").webhook_success_status == 0


def test_forms_of_flags() -> None:
    found = options("--one-time", "--ssh-known-hosts=false", "--http-bind=:2020", "-v", "3", "--ref", "v1")
    assert (found.one_time, found.ssh_known_hosts, found.http_bind) == (True, False, ("", 2020))
    assert (found.verbose, found.ref) == (3, "v1")
    assert options("--ssh-key-file=/a", "--ssh-key-file=/b").ssh_key_file == ("/a", "/b")
    assert options("--one-time=false").one_time is False


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("10s", 10), ("20ms", 0.02), ("1m30s", 90), ("1.5h", 5400), ("100us", 0.0001), (".5s", 0.5)],
)
def test_times(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "10", "s", "1x", "-1s", "1s 2s", "1m30"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a duration"):
        duration(text)


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--branch=main"], "unrecognized arguments: --branch=main"),
        (["--rep=x"], "unrecognized arguments: --rep=x"),
        (["--git=/bin/git"], "unrecognized arguments: --git=/bin/git"),
        (["--sync-on-signal=HUP"], "unrecognized arguments"),
        (["--add-user"], "unrecognized arguments: --add-user"),
        (["more"], "unrecognized arguments: more"),
        (["--one-time", "false"], "unrecognized arguments: false"),
        (["--one-time=perhaps"], "neither true nor false"),
        (["--repo="], "--repo must be given"),
        (["--root="], "--root must be given"),
        (["--ref="], "--ref must be given"),
        (["--repo=--upload-pack=evil"], "--repo begins with -"),
        (["--repo=https://user:secret@git.example/x"], "--repo holds a user or a password"),
        (["--repo=ssh://user:secret@git.example/x"], "--repo holds a user or a password"),
        (["--ref=$(GIT_CONTENT_COMMIT)"], "is no name of a branch or tag and no commit"),
        (["--ref=--upload-pack=evil"], "is no name of a branch or tag and no commit"),
        (["--ref=a:b"], "is no name of a branch or tag and no commit"),
        (["--ref=a b"], "is no name of a branch or tag and no commit"),
        (["--submodules=recursive"], "--submodules is 'recursive', here it must be off"),
        (["--depth=-1"], "--depth must be 0 or more"),
        (["--depth=x"], "invalid int value: 'x'"),
        (["--period=9ms"], "--period must be at least 0.01s"),
        (["--init-period=9ms"], "--init-period must be at least 0.01s"),
        (["--sync-timeout=1ms"], "--sync-timeout must be at least 0.01s"),
        (["--period=10"], "is not a duration"),
        (["--webhook-url=http://x/", "--webhook-timeout=900ms"], "--webhook-timeout must be at least 1s"),
        (["--webhook-url=http://x/", "--webhook-backoff=900ms"], "--webhook-backoff must be at least 1s"),
        (["--webhook-url=x"], "--webhook-url must begin with http"),
        (["--exechook-command=/x", "--exechook-timeout=900ms"], "--exechook-timeout must be at least 1s"),
        (["--exechook-command=/x", "--exechook-backoff=900ms"], "--exechook-backoff must be at least 1s"),
        (["--http-metrics"], "--http-metrics needs --http-bind"),
        (["--http-bind=2020"], "is not an address with a port"),
        (["--http-bind=:70000"], "is not an address with a port"),
        (["--username=x"], "--username and --password-file go together"),
        (["--password-file=/x"], "--username and --password-file go together"),
        (
            ["--repo=ssh://x/y", "--username=x", "--password-file=/x"],
            "--username is for repositories at http and https",
        ),
    ],
)
def test_what_is_refused(flags: list[str], why: str) -> None:
    with pytest.raises(Wrong, match=re.escape(why)) as refused:
        options(*flags)
    assert "secret" not in str(refused.value)


def test_without_submodules_off_it_is_refused() -> None:
    with pytest.raises(Wrong, match="--submodules is 'recursive', here it must be off"):
        parse(NEEDED[:2], {})


@pytest.mark.parametrize("name", ["GITSYNC_REPO", "GIT_SYNC_BRANCH", "GIT_SSH_COMMAND", "GITSYNC_PASSWORD"])
def test_variables_are_refused(name: str) -> None:
    with pytest.raises(Wrong, match=f"the environment sets {name}: this stand-in takes flags alone"):
        parse(NEEDED, {name: "x", "PATH": "/bin"})


@pytest.mark.parametrize(
    "name",
    [
        "GITSYNC_SERVICE_HOST",
        "GITSYNC_SERVICE_PORT",
        "GITSYNC_SERVICE_PORT_HTTP",
        "GIT_SYNC_PORT",
        "GIT_SYNC_PORT_80_TCP",
        "GIT_SYNC_PORT_80_TCP_ADDR",
        "GIT_CONTENT_COMMIT",
    ],
)
def test_variables_that_kubernetes_or_the_component_sets_are_not(name: str) -> None:
    assert parse(NEEDED, {name: "tcp://10.0.0.1:80"}).ref == "HEAD"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("a.b:c", {"a.b": "c"}),
        ('"a.b":c', {"a.b": "c"}),
        ('a.b:"c"', {"a.b": "c"}),
        ('a.b:1,"c.d":2, e.f:"3"', {"a.b": "1", "c.d": "2", "e.f": "3"}),
        ('"url.git@x:.insteadOf":"https://x/, y"', {"url.git@x:.insteadOf": "https://x/, y"}),
        ("http.sslCAInfo:/etc/git-secret/ca.crt", {"http.sslCAInfo": "/etc/git-secret/ca.crt"}),
        (r"a.b:one\,two\n", {"a.b": "one,two\n"}),
        (r'"a.\"b\"":"c\\d\t"', {'a."b"': "c\\d\t"}),
        ("a.b:", {"a.b": ""}),
        ("a.b:with spaces ", {"a.b": "with spaces "}),
    ],
)
def test_git_s_settings(text: str, found: dict[str, str]) -> None:
    assert git_config(text) == found


@pytest.mark.parametrize("text", ["a.b", ":c", 'a.b:"c', 'a.b:"c"d', r'"a\xb":c', r"a.b:c\x", 'a.b:"c" d:e'])
def test_what_are_no_settings(text: str) -> None:
    with pytest.raises(Wrong, match=r"^--git-config: "):
        git_config(text)


def test_one_clear_line_and_status_1(world: World) -> None:
    done = world.once("--branch=main")
    assert done.status == 1
    (line,) = done.lines()
    assert (line["level"], line["error"]) == ("error", "unrecognized arguments: --branch=main")
    done = world.once(GITSYNC_REF="main")
    assert done.status == 1
    assert "the environment sets GITSYNC_REF" in done.lines()[0]["error"]
    assert not world.root.exists()


def test_it_knows_each_flag_that_the_component_sets() -> None:
    known = {f"--{name.replace('_', '-')}" for name in vars(options())} | {"--submodules"}
    files = (PROJECT / "deploy/components").glob("git-content*/**/*.yaml")
    texts = [file.read_text() for file in files]
    flags = {flag for text in texts for flag in re.findall(r"^\s*(?:- |value: )(--[a-z-]+)", text, re.MULTILINE)}
    assert flags - known == set()


def test_paths_are_absolute_or_below_the_root(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "alias").symlink_to("real")
    found = options(f"--root={tmp_path}/x/../alias")
    assert found.root == (tmp_path / "real").resolve()
    assert found.path("a/b") == found.root / "a/b"
    assert found.path("/a") == Path("/a")
