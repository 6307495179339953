# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Seeding with real git and real repositories. Only the ssh command is a fake."""

from __future__ import annotations

import os
import subprocess
import typing as t
from pathlib import Path

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._errors import CommandFailed, InvalidInput
from ansible_collections.drystone.platform.plugins.module_utils._git import seed as gs
from ansible_collections.drystone.platform.plugins.module_utils._git.backup import back_up
from ansible_collections.drystone.platform.plugins.module_utils._git.remote import Git, Remote


class Site:
    """A repository on a server, and the directory of a checkout that seeds it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.server = root / "platform.git"
        self.source = root / "deploy"
        self.bundle = root / "platform.bundle"
        self.make_server()
        (self.source / "environments" / "dev").mkdir(parents=True)
        self.edit("environments/dev/a.yaml", "a: 1\n")

    def make_server(self) -> None:
        subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", self.server], check=True)

    def edit(self, name: str, text: str) -> None:
        (self.source / name).write_text(text)

    def seed(self, *, check: bool = False, prefix: str = "deploy", restore_only: bool = False) -> gs.Outcome:
        return gs.seed(
            Remote(str(self.server)),
            source=None if restore_only else str(self.source),
            prefix=prefix,
            subject="Seed",
            bundle=str(self.bundle),
            check=check,
        )

    def git(self, *arguments: str) -> str:
        environment = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "PATH": os.environ["PATH"]}
        command = ["git", f"--git-dir={self.server}", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.strip()

    def head(self) -> str:
        return self.git("rev-parse", "main")

    def commit_by_somebody_else(self, name: str, text: str) -> str:
        clone = self.root / "clone"
        subprocess.run(["git", "clone", "--quiet", self.server, clone], check=True)
        (clone / name).write_text(text)
        identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
        subprocess.run(["git", "-C", clone, "add", "."], check=True)
        subprocess.run(["git", "-C", clone, *identity, "commit", "--quiet", "-m", "Change it"], check=True)
        subprocess.run(["git", "-C", clone, "push", "--quiet", "origin", "HEAD:main"], check=True)
        subprocess.run(["rm", "-r", clone], check=True)
        return self.head()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_empty_repository_gets_the_content_under_the_prefix(site: Site) -> None:
    outcome = site.seed()
    assert (outcome.action, outcome.changed, outcome.before) == ("seeded", True, None)
    assert outcome.paths == ["A deploy/environments/dev/a.yaml"]
    assert outcome.revision == site.head()
    assert site.git("show", "main:deploy/environments/dev/a.yaml") == "a: 1"


def test_same_content_makes_no_commit(site: Site) -> None:
    first = site.seed()
    second = site.seed()
    assert (second.action, second.changed, second.revision) == ("unchanged", False, first.revision)
    assert site.head() == first.revision


def test_changed_content_becomes_one_commit_on_top(site: Site) -> None:
    first = site.seed()
    site.edit("environments/dev/a.yaml", "a: 2\n")
    site.edit("environments/dev/b.yaml", "b: 1\n")
    second = site.seed()
    assert (second.action, second.before) == ("pushed", first.revision)
    assert second.paths == ["M deploy/environments/dev/a.yaml", "A deploy/environments/dev/b.yaml"]
    assert site.git("rev-parse", "main^") == first.revision


@pytest.mark.parametrize("seeded", [False, True])
def test_check_mode_predicts_and_pushes_nothing(site: Site, seeded: bool) -> None:
    before = site.seed().revision if seeded else None
    site.edit("environments/dev/a.yaml", "a: 3\n")
    predicted = site.seed(check=True)
    assert site.git("for-each-ref", "--format=%(objectname)") == (before or "")
    done = site.seed()
    assert (predicted.action, predicted.paths, predicted.revision) == (done.action, done.paths, None)


def test_commits_made_there_stay_when_nothing_changed_here(site: Site) -> None:
    own = site.seed().revision
    theirs = site.commit_by_somebody_else("deploy/environments/dev/a.yaml", "a: theirs\n")
    outcome = site.seed()
    assert (outcome.action, outcome.revision, outcome.own, outcome.ahead) == ("unchanged", theirs, own, 1)
    assert "1 commits ahead" in outcome.msg
    assert site.head() == theirs


def test_commits_made_there_stay_when_something_changed_here_and_both_are_named(site: Site) -> None:
    own = site.seed().revision
    theirs = site.commit_by_somebody_else("deploy/environments/dev/a.yaml", "a: theirs\n")
    site.edit("environments/dev/a.yaml", "a: ours\n")
    outcome = site.seed()
    assert (outcome.action, outcome.changed, outcome.revision) == ("diverged", False, theirs)
    assert own
    assert own in outcome.msg
    assert theirs in outcome.msg
    assert site.head() == theirs


def test_the_same_change_made_there_is_no_difference(site: Site) -> None:
    site.seed()
    theirs = site.commit_by_somebody_else("deploy/environments/dev/a.yaml", "a: same\n")
    site.edit("environments/dev/a.yaml", "a: same\n")
    outcome = site.seed()
    assert (outcome.action, outcome.revision) == ("unchanged", theirs)


def test_commits_outside_the_prefix_are_no_obstacle_and_stay(site: Site) -> None:
    site.seed()
    theirs = site.commit_by_somebody_else("README.md", "theirs\n")
    site.edit("environments/dev/a.yaml", "a: 4\n")
    assert site.seed().action == "pushed"
    assert site.git("rev-parse", "main^") == theirs
    assert site.git("show", "main:README.md") == "theirs"


def test_a_change_that_was_taken_back_there_is_no_obstacle(site: Site) -> None:
    site.seed()
    site.commit_by_somebody_else("deploy/environments/dev/a.yaml", "a: theirs\n")
    theirs = site.commit_by_somebody_else("deploy/environments/dev/a.yaml", "a: 1\n")
    site.edit("environments/dev/a.yaml", "a: 4\n")
    assert site.seed().action == "pushed"
    assert site.git("rev-parse", "main^") == theirs


def test_a_commit_of_ours_that_was_taken_back_there_stays_taken_back(site: Site) -> None:
    site.seed()
    site.edit("environments/dev/a.yaml", "a: bad\n")
    site.seed()
    theirs = site.commit_by_somebody_else("deploy/environments/dev/a.yaml", "a: 1\n")
    assert (site.seed().action, site.head()) == ("unchanged", theirs)


def test_a_repository_with_foreign_history_only_is_left_alone(site: Site) -> None:
    theirs = site.commit_by_somebody_else("a.txt", "theirs\n")
    outcome = site.seed()
    assert (outcome.action, outcome.own) == ("diverged", None)
    assert site.head() == theirs


def test_history_survives_through_the_bundle(site: Site) -> None:
    site.seed()
    theirs = site.commit_by_somebody_else("deploy/environments/dev/a.yaml", "a: theirs\n")
    assert back_up(Remote(str(site.server)), path=str(site.bundle), check=False).action == "written"
    assert back_up(Remote(str(site.server)), path=str(site.bundle), check=False).action == "kept"
    subprocess.run(["rm", "-r", site.server], check=True)
    site.make_server()
    predicted = site.seed(check=True)
    outcome = site.seed()
    assert (predicted.action, outcome.action, outcome.revision) == ("restored", "restored", theirs)
    assert site.head() == theirs
    assert site.git("show", "main:deploy/environments/dev/a.yaml") == "a: theirs"


def test_every_ref_comes_back_and_none_that_is_there_is_touched(site: Site) -> None:
    head = site.seed().revision or ""
    site.git("branch", "feature", head)
    site.git("-c", "user.name=Ada", "-c", "user.email=ada@example.com", "tag", "--annotate", "-m", "One", "v1", head)
    site.git("update-ref", "refs/notes/review", head)
    refs = site.git("for-each-ref")
    back_up(Remote(str(site.server)), path=str(site.bundle), check=False)
    subprocess.run(["rm", "-r", site.server], check=True)
    site.make_server()
    outcome = site.seed()
    assert (outcome.action, site.git("for-each-ref")) == ("restored", refs)
    assert "4 branches, tags and other refs" in outcome.msg
    site.git("update-ref", "-d", "refs/heads/main")
    site.git("update-ref", "refs/heads/feature", "v1^{commit}")
    site.git("update-ref", "-d", "refs/tags/v1")
    site.seed(restore_only=True)
    assert site.git("for-each-ref") == refs


def test_a_bundle_that_cannot_be_read_stops_the_seeding_and_says_what_to_do(site: Site) -> None:
    site.seed()
    back_up(Remote(str(site.server)), path=str(site.bundle), check=False)
    subprocess.run(["rm", "-r", site.server], check=True)
    site.make_server()
    site.bundle.write_bytes(site.bundle.read_bytes()[:-30])
    with pytest.raises(CommandFailed, match=r"platform\.bundle.*move it away to start without that history"):
        site.seed()
    assert site.git("for-each-ref") == ""


def test_restored_history_of_ours_takes_the_change_made_meanwhile(site: Site) -> None:
    first = site.seed()
    back_up(Remote(str(site.server)), path=str(site.bundle), check=False)
    subprocess.run(["rm", "-r", site.server], check=True)
    site.make_server()
    site.edit("environments/dev/a.yaml", "a: 5\n")
    outcome = site.seed()
    assert outcome.action == "restored"
    assert site.git("rev-parse", "main^") == first.revision
    assert site.git("show", "main:deploy/environments/dev/a.yaml") == "a: 5"


def test_the_users_git_is_kept_out(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[user]\n  name = Ada\n[commit]\n  gpgSign = true\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Ada")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    outcome = site.seed()
    assert outcome.action == "seeded"
    assert site.git("log", "-1", "--format=%an <%ae>", outcome.revision or "") == "Drystone <drystone@localhost>"


def test_missing_and_empty_sources_are_named(site: Site) -> None:
    subprocess.run(["rm", "-r", site.source], check=True)
    with pytest.raises(InvalidInput, match="is not a directory"):
        site.seed()
    site.source.mkdir()
    with pytest.raises(InvalidInput, match="is empty"):
        site.seed()


def test_missing_repository_is_named(site: Site) -> None:
    subprocess.run(["rm", "-r", site.server], check=True)
    with pytest.raises(CommandFailed, match=r"Reading branch main of .*platform\.git.*Check the path"):
        site.seed()


@pytest.fixture
def fake_ssh(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Path]:
    """Create a fake ssh that records its arguments and runs the command locally, or prints the file `refuse`."""
    directory = tmp_path / "bin"
    directory.mkdir()
    script = directory / "ssh"
    script.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/ssh.log\n'
        f"test -e {tmp_path}/refuse && {{ cat {tmp_path}/refuse >&2; exit 255; }}\n"
        'for last; do :; done\nexec sh -c "$last"\n'
    )
    script.chmod(0o755)
    (tmp_path / "work").mkdir()
    for name in ("key", "known_hosts"):
        (tmp_path / name).write_text("x\n")
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    yield tmp_path
    assert site.server.exists()


def _over_ssh(site: Site) -> gs.Outcome:
    remote = Remote(
        f"ssh://git@127.0.0.1:2222{site.server}",
        private_key=str(site.root / "key"),
        known_hosts=str(site.root / "known_hosts"),
    )
    return gs.seed(remote, source=str(site.source), prefix="deploy", subject="Seed", bundle=None, check=False)


def test_ssh_gets_only_our_key_and_host_keys(site: Site, fake_ssh: Path) -> None:
    assert _over_ssh(site).action == "seeded"
    used = (fake_ssh / "ssh.log").read_text()
    for option in (
        "-F /dev/null",
        "BatchMode=yes",
        "IdentityAgent=none",
        "IdentitiesOnly=yes",
        "StrictHostKeyChecking=yes",
        f'UserKnownHostsFile="{site.root}/known_hosts"',
        f'IdentityFile="{site.root}/key"',
        "-p 2222",
    ):
        assert option in used


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("Host key verification failed.", "host key is not in"),
        ("git@127.0.0.1: Permission denied (publickey).", "does not accept the key"),
        ("connect to host 127.0.0.1 port 2222: Connection refused", "Check that the Git server runs"),
    ],
)
def test_ssh_failures_say_what_to_do(site: Site, fake_ssh: Path, said: str, hint: str) -> None:
    (fake_ssh / "refuse").write_text(said + "\n")
    with pytest.raises(CommandFailed, match=hint):
        _over_ssh(site)


def test_a_server_that_comes_up_late_is_waited_for(site: Site, fake_ssh: Path) -> None:
    (fake_ssh / "refuse").write_text("ssh: connect to host 127.0.0.1 port 2222: Connection refused\n")
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds
        if now[0] >= 5:
            (fake_ssh / "refuse").unlink(missing_ok=True)

    remote = Remote(f"ssh://git@127.0.0.1:2222{site.server}", connect_timeout=10)
    git = Git(remote, str(fake_ssh / "work"), clock=lambda: now[0], sleep=sleep)
    assert git.fetch() is None
    assert now[0] == 5


def test_a_server_that_stays_away_is_given_up_at_the_deadline(site: Site, fake_ssh: Path) -> None:
    (fake_ssh / "refuse").write_text("ssh: connect to host 127.0.0.1 port 2222: Connection refused\n")
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    remote = Remote(f"ssh://git@127.0.0.1:2222{site.server}", connect_timeout=3)
    git = Git(remote, str(fake_ssh / "work"), clock=lambda: now[0], sleep=sleep)
    with pytest.raises(CommandFailed, match="Check that the Git server runs"):
        git.fetch()
    assert now[0] == 3


def test_a_refused_key_is_not_tried_again(site: Site, fake_ssh: Path) -> None:
    (fake_ssh / "refuse").write_text("git@127.0.0.1: Permission denied (publickey).\n")
    remote = Remote(f"ssh://git@127.0.0.1:2222{site.server}", connect_timeout=3600)
    with pytest.raises(CommandFailed, match="does not accept the key"):
        Git(remote, str(fake_ssh / "work")).fetch()


def test_missing_key_file_is_named(site: Site, fake_ssh: Path) -> None:
    (fake_ssh / "key").unlink()
    with pytest.raises(InvalidInput, match=r"private key .*/key for ssh://.* does not exist"):
        _over_ssh(site)


def test_without_a_prefix_the_content_is_the_whole_repository(site: Site) -> None:
    assert site.seed(prefix="").paths == ["A environments/dev/a.yaml"]
    assert site.git("ls-tree", "-r", "--name-only", "main") == "environments/dev/a.yaml"
    assert site.seed(prefix="").action == "unchanged"
    site.edit("b.yaml", "b: 1\n")
    (site.source / "environments/dev/a.yaml").unlink()
    outcome = site.seed(prefix="")
    assert (outcome.action, sorted(outcome.paths)) == ("pushed", ["A b.yaml", "D environments/dev/a.yaml"])
    assert site.git("ls-tree", "-r", "--name-only", "main") == "b.yaml"
    theirs = site.commit_by_somebody_else("theirs.txt", "theirs")
    site.edit("c.yaml", "c: 1\n")
    assert (site.seed(prefix="").action, site.head()) == ("diverged", theirs)


def test_without_a_source_an_empty_repository_gets_its_history_back_and_no_other_is_touched(site: Site) -> None:
    assert site.seed(restore_only=True).action == "unchanged"
    head = site.seed().revision
    assert (site.seed(restore_only=True).action, site.head()) == ("unchanged", head)
    assert back_up(Remote(str(site.server)), path=str(site.bundle), check=False).action == "written"
    subprocess.run(["rm", "-r", site.server], check=True)
    site.make_server()
    assert site.seed(restore_only=True, check=True).action == "restored"
    assert site.git("for-each-ref") == ""
    assert (site.seed(restore_only=True).action, site.head()) == ("restored", head)
