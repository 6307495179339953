# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups with real git: all refs are saved and read back, and refs that exist only in an earlier bundle are kept."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._errors import (
    CommandFailed,
    DrystoneError,
    InvalidInput,
)
from ansible_collections.drystone.platform.plugins.module_utils._git import backup as gb
from ansible_collections.drystone.platform.plugins.module_utils._git.remote import Remote
from ansible_collections.drystone.platform.plugins.module_utils._git.repository import Repository

IDENTITY = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
ENVIRONMENT = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "PATH": os.environ["PATH"]}


class Server:
    """A repository on a server, and its bundle."""

    def __init__(self, root: Path) -> None:
        self.repository = root / "platform.git"
        self.folder = root / "kept"
        self.folder.mkdir()
        self.bundle = self.folder / "platform.bundle"
        subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", self.repository], check=True)

    def git(self, *arguments: str, text: str = "") -> str:
        command = ["git", f"--git-dir={self.repository}", *IDENTITY, *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT, input=text)
        return done.stdout.strip()

    def commit(self, ref: str, text: str, *parents: str) -> str:
        blob = self.git("hash-object", "-w", "--stdin", text=text)
        tree = self.git("mktree", text=f"100644 blob {blob}\ta.txt\n")
        made = self.git("commit-tree", tree, "-m", text, *(word for one in parents for word in ("-p", one)))
        self.git("update-ref", ref, made)
        return made

    def refs(self) -> dict[str, str]:
        listed = self.git("for-each-ref", "--format=%(refname) %(objectname)")
        return dict(line.split(" ", 1) for line in listed.splitlines())

    def back_up(self, *, check: bool = False) -> gb.Backup:
        return gb.back_up(Remote(str(self.repository)), path=str(self.bundle), check=check)

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


def refs_in(bundle: Path) -> dict[str, str]:
    """Return the refs in a clone of a bundle."""
    clone = bundle.parent.parent / f"clone-{bundle.stem}"
    subprocess.run(["git", "clone", "--quiet", "--mirror", bundle, clone], check=True, env=ENVIRONMENT)
    command = ["git", f"--git-dir={clone}", "for-each-ref", "--format=%(refname) %(objectname)"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT).stdout
    return dict(line.split(" ", 1) for line in listed.splitlines())


@pytest.fixture
def server(tmp_path: Path) -> Server:
    made = Server(tmp_path)
    made.commit("refs/heads/main", "one")
    return made


@pytest.fixture
def full(server: Server) -> Server:
    """Return a server with an unrelated branch, both kinds of tags, and a note."""
    server.commit("refs/heads/feature", "feature")
    server.git("tag", "light", "main")
    server.git("tag", "--annotate", "--message", "Two", "v2", "feature")
    server.git("notes", "add", "--message", "Good", "main")
    return server


def test_every_ref_is_kept_for_this_user_alone(full: Server) -> None:
    done = full.back_up()
    assert (done.action, done.changed, done.before, done.after) == ("written", True, {}, full.refs())
    assert set(done.after) == {
        "refs/heads/feature",
        "refs/heads/main",
        "refs/notes/commits",
        "refs/tags/light",
        "refs/tags/v2",
    }
    assert refs_in(full.bundle) == full.refs()
    assert full.bundle.stat().st_mode & 0o777 == 0o600
    assert full.files() == ["platform.bundle"]


def test_a_clone_of_the_bundle_checks_the_branch_out(full: Server, tmp_path: Path) -> None:
    full.back_up()
    subprocess.run(["git", "clone", "--quiet", full.bundle, tmp_path / "clone"], check=True, env=ENVIRONMENT)
    assert (tmp_path / "clone" / "a.txt").read_text() == "one"


def test_what_is_kept_already_is_left_as_it_is(full: Server) -> None:
    full.back_up()
    before = full.bundle.stat()
    again = full.back_up()
    assert (again.action, again.changed, again.earlier) == ("kept", False, None)
    assert os.path.samestat(full.bundle.stat(), before)


def test_new_commits_and_refs_replace_the_bundle(full: Server) -> None:
    full.back_up()
    full.commit("refs/heads/main", "two", full.refs()["refs/heads/main"])
    full.git("tag", "v3", "main")
    done = full.back_up()
    assert (done.action, done.earlier) == ("written", None)
    assert refs_in(full.bundle) == full.refs()
    assert full.files() == ["platform.bundle"]


@pytest.mark.parametrize(
    "change",
    [
        ("update-ref", "-d", "refs/heads/feature"),
        ("update-ref", "-d", "refs/tags/light"),
        ("update-ref", "refs/notes/commits", "refs/heads/main"),
        ("update-ref", "refs/tags/v2", "refs/heads/feature"),
    ],
    ids=["branch deleted", "tag deleted", "notes rewritten", "annotated tag replaced"],
)
def test_what_only_the_earlier_bundle_has_is_kept_beside_the_new_one(full: Server, change: tuple[str, ...]) -> None:
    full.back_up()
    before = full.refs()
    os.utime(full.bundle, (0, 0))
    full.git(*change)
    predicted = full.back_up(check=True)
    done = full.back_up()
    earlier = full.folder / "platform-19700101T000000Z.bundle"
    assert predicted == done
    assert done.earlier == str(earlier)
    assert f"The earlier bundle is kept as {earlier}" in done.msg
    assert (refs_in(full.bundle), refs_in(earlier)) == (full.refs(), before)
    assert full.back_up().action == "kept"
    assert full.files() == ["platform-19700101T000000Z.bundle", "platform.bundle"]


def test_an_earlier_bundle_never_takes_the_name_of_another(server: Server) -> None:
    for text in ("two", "three", "four"):
        server.back_up()
        os.utime(server.bundle, (0, 0))
        server.commit("refs/heads/main", text)
    server.back_up()
    first = "platform-19700101T000000Z"
    assert server.files() == [f"{first}-2.bundle", f"{first}-3.bundle", f"{first}.bundle", "platform.bundle"]


def test_a_damaged_bundle_is_not_believed_and_not_removed(full: Server) -> None:
    full.back_up()
    content = full.bundle.read_bytes()
    full.bundle.write_bytes(content[:-40] + bytes(40))
    done = full.back_up()
    assert (done.action, "it cannot be read" in done.msg) == ("written", True)
    assert refs_in(full.bundle) == full.refs()
    assert Path(done.earlier or "").read_bytes() == content[:-40] + bytes(40)


def test_an_emptied_repository_leaves_the_bundle_alone(full: Server) -> None:
    full.back_up()
    kept = full.bundle.read_bytes()
    for ref in full.refs():
        full.git("update-ref", "-d", ref)
    done = full.back_up()
    assert (done.action, done.changed, "is kept" in done.msg) == ("empty", False, True)
    assert full.bundle.read_bytes() == kept


def test_a_repository_without_the_branch_is_kept_too(server: Server) -> None:
    server.git("update-ref", "refs/heads/other", "refs/heads/main")
    server.git("update-ref", "-d", "refs/heads/main")
    assert server.back_up().action == "written"
    assert refs_in(server.bundle) == server.refs()


def test_check_mode_writes_nothing_and_predicts_the_same(full: Server) -> None:
    predicted = full.back_up(check=True)
    assert full.files() == []
    assert predicted == full.back_up()


def test_a_missing_directory_is_named(server: Server) -> None:
    server.folder.rmdir()
    with pytest.raises(
        InvalidInput, match=r"Saving .*platform\.git in .*platform\.bundle: the directory .* does not exist"
    ):
        server.back_up()


def test_a_server_that_is_gone_is_named_and_the_bundle_stays(full: Server) -> None:
    full.back_up()
    kept = full.bundle.read_bytes()
    full.repository.rename(full.repository.with_name("gone"))
    with pytest.raises(CommandFailed, match=r"Listing the refs of .*platform\.git"):
        full.back_up()
    assert full.bundle.read_bytes() == kept


def test_it_is_on_the_disk_before_it_takes_the_place_of_the_earlier_one(
    full: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    sync, replace, read = gb._sync, os.replace, gb._read

    def noted_sync(path: str) -> None:
        steps.append("sync the file" if path.endswith("bundle") else "sync the directory")
        sync(path)

    def noted_read(remote: Remote, path: str) -> tuple[dict[str, str], str]:
        steps.append("read")
        return read(remote, path)

    def noted_replace(source: str, target: str) -> None:
        steps.append("replace")
        replace(source, target)

    monkeypatch.setattr(gb, "_sync", noted_sync)
    monkeypatch.setattr(gb, "_read", noted_read)
    monkeypatch.setattr(os, "replace", noted_replace)
    full.back_up()
    assert steps == ["read", "sync the file", "read", "replace", "sync the directory"]


@pytest.mark.parametrize("failing", ["_sync", "chmod"])
def test_a_full_disk_changes_nothing_and_is_named(full: Server, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    full.back_up()
    kept = full.bundle.read_bytes()
    full.git("tag", "v3", "main")

    def no_space(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(gb if failing == "_sync" else os, failing, no_space)
    with pytest.raises(DrystoneError, match=r"Saving .* in .*platform\.bundle: No space left on device\. Free space"):
        full.back_up()
    assert full.bundle.read_bytes() == kept
    assert full.files() == ["platform.bundle"]


def test_git_that_runs_out_of_space_changes_nothing(full: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    full.back_up()
    kept = full.bundle.read_bytes()
    full.git("tag", "v3", "main")

    def cut_short(_git: Repository, path: str) -> None:
        Path(path).write_bytes(kept[:-50])

    monkeypatch.setattr(Repository, "bundle", cut_short)
    with pytest.raises(DrystoneError, match=r"read back, but has 0 of 6 refs: it cannot be read\. Check the disk"):
        full.back_up()
    assert full.bundle.read_bytes() == kept
    assert full.files() == ["platform.bundle"]


def test_a_push_meanwhile_is_kept_too(full: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = Repository.bundle
    pushed: list[str] = []

    def push_and_bundle(git: Repository, path: str) -> None:
        bundle(git, path)
        if not pushed:
            pushed.append(full.commit("refs/heads/main", "late", full.refs()["refs/heads/main"]))

    monkeypatch.setattr(Repository, "bundle", push_and_bundle)
    done = full.back_up()
    assert done.after["refs/heads/main"] == pushed[0]
    assert refs_in(full.bundle) == full.refs()


def test_somebody_who_pushes_all_the_time_is_named(full: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = Repository.mirror

    def push_and_mirror(git: Repository) -> dict[str, str]:
        full.commit("refs/heads/main", "late", full.refs()["refs/heads/main"])
        return mirror(git)

    monkeypatch.setattr(Repository, "mirror", push_and_mirror)
    with pytest.raises(DrystoneError, match="changed 3 times while they were read, because somebody pushes to it"):
        full.back_up()
    assert full.files() == []


_KILLED = """
import os, signal, sys
from ansible_collections.drystone.platform.plugins.module_utils._git import backup as gb
from ansible_collections.drystone.platform.plugins.module_utils._git.remote import Remote
gb._sync = lambda path: os.kill(os.getpid(), signal.SIGKILL)
gb.back_up(Remote(sys.argv[1]), path=sys.argv[2], check=False)
"""


def test_a_killed_run_leaves_the_earlier_bundle_and_the_next_one_cleans_up(full: Server) -> None:
    full.back_up()
    kept = full.bundle.read_bytes()
    full.git("tag", "v3", "main")
    command = [sys.executable, "-c", _KILLED, str(full.repository), str(full.bundle)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert full.bundle.read_bytes() == kept
    assert len(full.files()) == 2
    assert full.back_up().action == "written"
    assert full.files() == ["platform.bundle"]
    assert refs_in(full.bundle) == full.refs()
