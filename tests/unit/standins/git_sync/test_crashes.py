# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a kill at any moment, the next start converges, and published content is complete at all times.

The tests kill a process before each of its steps: before each change of a file, a directory or a link, and before each
call of Git. The tests that kill Git itself, or both at once, choose random moments.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bundle.standins.git_sync import __main__ as command
from tests.unit.standins.git_sync.world import Remote, World, copy, wait_for

CHANGES = {
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.symlink",
    "os.utime",
    "shutil.rmtree",
    "subprocess.Popen",
}
WRITING = os.O_WRONLY | os.O_RDWR


def run(world: World, *flags: str, kill_before: int = 0) -> int:
    """Run git-sync once in a separate process, which may be killed before one of its steps. Return its exit status."""
    log = world.folder / "log"
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    try:
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115  until the end of this process
        variables = world.variables()
        os.environ.clear()
        os.environ.update(variables)
        steps = 0

        def count(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal steps
            if event in CHANGES or (event == "open" and arguments[2] and arguments[2] & WRITING):
                steps += 1
                if steps == kill_before:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        os._exit(command.main(world.flags("--one-time", "--max-failures=0", *flags)))
    except BaseException:  # noqa: BLE001  this process must end after any exception
        log.write_text(traceback.format_exc())
        os._exit(99)


def whole(world: World, *commits: str) -> None:
    """Check that the link leads to the complete content of one of these commits."""
    published = world.published()
    assert published in commits
    listed = (line.split() for line in world.remote.git("ls-tree", "-r", published).splitlines())
    assert blobs(world.link) == {name: digest for _mode, _kind, digest, name in listed}


def blobs(folder: Path) -> dict[str, str]:
    """Return the Git hashes of all files in a directory."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and path.name != ".git":
            content = path.read_bytes()
            found[str(path.relative_to(folder))] = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    return found


def clean(world: World, commit: str) -> None:
    """Check that only this commit is left, and that the next sync repairs nothing."""
    whole(world, commit)
    assert world.worktrees() == {commit}
    assert {path.name for path in world.root.iterdir()} == {".git", ".worktrees", "link"}
    assert not list((world.root / ".git").rglob("*.lock"))
    assert [path.name for path in (world.root / ".git/worktrees").iterdir()] == [commit]
    assert world.git(str(world.root), "fsck", "--no-dangling") == ""
    assert world.git(str(world.link), "status", "--porcelain") == ""


def at_each_step(world: World, prepare: Callable[[], None], after: Callable[[], None], *flags: str) -> int:
    """Kill git-sync before its first step, its second step and so on, and restart it. Return the number of steps."""
    for step in range(1, 1000):
        prepare()
        status = run(world, *flags, kill_before=step)
        log = (world.folder / "log").read_text()
        assert status in (0, -signal.SIGKILL), log
        after()
        # All steps are done: this run was not killed.
        assert run(world, *flags) == 0, (world.folder / "log").read_text()
        clean(world, world.remote.head())
        if status == 0:
            return step
    raise AssertionError("it never came to its end")


@pytest.fixture
def content(world: World) -> World:
    for number in range(3):
        (world.remote.path / f"folder-{number}").mkdir()
        (world.remote.path / f"folder-{number}" / "page").write_text(f"page {number}")
    world.remote.commit("with folders")
    return world


def test_killed_at_each_step_of_the_first_sync(content: World) -> None:
    world = content
    commit = world.remote.head()

    def after() -> None:
        if world.link.is_symlink():
            whole(world, commit)

    steps = at_each_step(world, lambda: shutil.rmtree(world.root, ignore_errors=True), after)
    assert steps > 10


def test_killed_at_each_step_of_an_update(content: World) -> None:
    """At each moment one of the two commits is published completely."""
    world = content
    first = world.remote.head()
    assert run(world) == 0
    before = world.folder / "before"
    copy(world.root, before)
    (world.remote.path / "folder-1" / "page").unlink()
    second = world.remote.commit("new", "folder-3/page")
    steps = at_each_step(world, lambda: copy(before, world.root), lambda: whole(world, first, second))
    assert steps > 10


def test_killed_at_each_step_of_mending_a_repository(content: World) -> None:
    """Git's data is lost. Published content stays until the same commit is available again."""
    world = content
    commit = world.remote.head()
    assert run(world) == 0
    shutil.rmtree(world.root / ".git" / "objects")
    before = world.folder / "before"
    copy(world.root, before)
    missing = 0

    def after() -> None:
        nonlocal missing
        # Two names change one after the other. Only between both changes, the link is broken.
        if (world.link / ".git").exists():
            whole(world, commit)
        else:
            missing += 1

    steps = at_each_step(world, lambda: copy(before, world.root), after)
    assert steps > 10
    assert missing <= 1


def test_killed_at_each_step_with_a_sparse_checkout_and_a_stale_worktree(content: World) -> None:
    world = content
    patterns = world.write("sparse", "/folder-1/\n")
    assert run(world, f"--sparse-checkout-file={patterns}") == 0
    before = world.folder / "before"
    copy(world.root, before)
    commit = world.remote.commit("changed", "folder-1/page")
    flags = (f"--sparse-checkout-file={patterns}", "--stale-worktree-timeout=0")
    # Most steps are those of any update, so every third one is enough.
    for step in range(1, 1000, 3):
        copy(before, world.root)
        status = run(world, *flags, kill_before=step)
        shown = [str(path.relative_to(world.link)) for path in world.link.rglob("*") if path.is_file()]
        assert sorted(shown) == [".git", "folder-1/page"]
        assert run(world, *flags) == 0
        assert (world.published(), world.text("folder-1/page")) == (commit, "changed")
        if status == 0:
            break
    assert step > 10


def test_killed_again_and_again_at_any_moment(content: World) -> None:
    """Kill only the process, so that its children continue for a while beside the next process."""
    world = content
    for number in range(300):
        (world.remote.path / f"many-{number}").write_text(f"{number}\n" * 50)
    commits = [world.remote.head(), world.remote.commit("many")]
    chance = random.Random(5)
    for number in range(12):
        running = world.start()
        time.sleep(0.08 + chance.random() * 0.25)
        running.process.kill()
        running.process.wait()
        if world.link.is_symlink():
            whole(world, *commits)
        if number % 3 == 2:
            commits.append(world.remote.commit(f"change {number}", f"folder-{number}/page"))
    running = world.synced()
    assert wait_for(lambda: world.published() == commits[-1]), running.log()
    assert running.stop().status == 143
    assert run(world) == 0
    clean(world, commits[-1])


KILLER = """\
#!/bin/sh
# Runs git and kills it, when its time has come, together with whoever runs it.
number=$(($(cat {folder}/number) + 1))
echo $number >{folder}/number
PATH="{path}" git "$@" &
child=$!
if [ $number = $(cat {folder}/victim) ]; then
  sleep $(cat {folder}/delay)
  kill -9 $child $PPID
fi
wait $child
"""


def test_killed_with_its_git(content: World) -> None:
    """Kill all processes at once, like a container. Git leaves incomplete files and locks."""
    world = content
    for number in range(300):
        (world.remote.path / f"many-{number}").write_text(f"{number}\n" * 50)
    commits = [world.remote.commit("many")]
    world.program("git", KILLER.format(folder=world.folder, path=os.environ["PATH"]))
    chance = random.Random(7)
    for victim in [1, 2, 3, 4, 5, 6, 7, 3, 6, 3, 6]:
        for name, value in (("number", 0), ("victim", victim), ("delay", f"{chance.random() * 0.03:.3f}")):
            (world.folder / name).write_text(f"{value}\n")
        world.once()
        if world.link.is_symlink():
            whole(world, *commits)
        commits.append(world.remote.commit(f"change {victim}", "many-0"))
    (world.folder / "victim").write_text("0\n")
    running = world.synced()
    assert wait_for(lambda: world.published() == commits[-1]), running.log()
    running.stop()
    assert run(world) == 0
    clean(world, commits[-1])


# --- single leftovers ---


@pytest.mark.parametrize(
    "lock",
    [
        "shallow.lock",
        "config.lock",
        "HEAD.lock",
        "packed-refs.lock",
        "refs/heads/git-sync.lock",
        "worktrees/{commit}/index.lock",
        "worktrees/{commit}/HEAD.lock",
        "gc.pid",
        "FETCH_HEAD.lock",
        "objects/info/commit-graph.lock",
    ],
)
def test_a_lock_that_was_left(world: World, lock: str) -> None:
    assert run(world) == 0
    place = world.root / ".git" / lock.format(commit=world.remote.head())
    place.parent.mkdir(exist_ok=True, parents=True)
    place.touch()
    world.remote.commit("second")
    assert run(world) == 0
    assert not place.exists()
    clean(world, world.remote.head())


def test_a_lock_that_was_left_while_it_runs(world: World) -> None:
    """A git that was killed because of time or memory leaves a lock. It is removed at once, without a failure."""
    running = world.synced("--max-failures=0")
    with running.paused():
        (world.root / ".git/shallow.lock").touch()
        commit = world.remote.commit("second")
    assert wait_for(lambda: world.published() == commit), running.log()
    assert "removing the lock of a git that was killed" in running.log()
    assert running.process.poll() is None


def test_what_is_in_use_is_not_taken_for_a_leftover(world: World) -> None:
    """If two processes use one root, the second one waits for the first one."""
    assert run(world) == 0
    running = world.synced()
    second = world.start()
    assert second.said("another git-sync, or a git process that it left, still uses")
    assert not second.ready()
    running.stop()
    assert wait_for(second.ready), second.log()


def spoil_head(world: World) -> None:
    (world.root / ".git/HEAD").write_text("")


def spoil_objects(world: World) -> None:
    for pack in (world.root / ".git/objects").rglob("*"):
        if pack.is_file():
            pack.chmod(0o644)
            pack.write_bytes(pack.read_bytes()[:10])


def spoil_config(world: World) -> None:
    (world.root / ".git/config").write_text("[core\n")


def spoil_index(world: World) -> None:
    (world.root / ".git/worktrees" / world.remote.head() / "index").write_bytes(b"DIRC")


def spoil_record(world: World) -> None:
    shutil.rmtree(world.root / ".git/worktrees" / world.remote.head())


def spoil_worktree(world: World) -> None:
    (world.link / ".git").unlink()


def spoil_refs(world: World) -> None:
    (world.root / ".git/refs/heads/git-sync").write_text("0123")


def spoil_git(world: World) -> None:
    shutil.rmtree(world.root / ".git")
    (world.root / ".git").write_text("no folder")


def leave_half(world: World) -> None:
    half = world.root / ".worktrees/.new" / world.remote.head()
    half.mkdir(parents=True)
    (half / "file").write_text("half")


def leave_replaced(world: World) -> None:
    (world.root / ".worktrees/.old").mkdir()
    (world.root / ".worktrees" / world.remote.head()).rename(world.root / ".worktrees/.old" / world.remote.head())


def leave_link(world: World) -> None:
    (world.root / ".link.partial").symlink_to("nowhere")


def dangle(world: World) -> None:
    world.link.unlink()
    world.link.symlink_to(".worktrees/0123456789")


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_head,
        spoil_objects,
        spoil_config,
        spoil_index,
        spoil_record,
        spoil_worktree,
        spoil_refs,
        spoil_git,
        leave_half,
        leave_replaced,
        leave_link,
        dangle,
    ],
)
@pytest.mark.parametrize("newer", [False, True], ids=["same", "newer"])
def test_what_was_left_or_spoilt(world: World, spoil: Callable[[World], None], newer: bool) -> None:
    assert run(world) == 0
    spoil(world)
    if newer:
        world.remote.commit("second")
    assert run(world) == 0, (world.folder / "log").read_text()
    if spoil is leave_link and not newer:
        (world.root / ".link.partial").unlink()  # harmless until the next link is created
    clean(world, world.remote.head())


def test_what_is_published_stays_while_nothing_can_be_fetched(world: World) -> None:
    """Git's data is broken and the remote is unavailable. The last good content is still served."""
    assert run(world) == 0
    spoil_objects(world)
    away = world.folder / "away"
    world.remote.path.rename(away)
    running = world.start()
    assert wait_for(lambda: running.log().count("will retry") > 1)
    assert (world.text(), running.ready()) == ("first", False)
    away.rename(world.remote.path)
    assert wait_for(running.ready), running.log()
    running.stop()
    assert run(world) == 0
    clean(world, world.remote.head())


def test_a_full_disk_leaves_what_is_published(world: World, tmp_path: Path) -> None:
    """There is no space for the new commit. The old one stays, and the used space is freed."""
    limited = tmp_path / "limited"
    limited.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(limited)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a file system of limited size takes the right to mount")
    flag = f"--root={limited}"
    try:
        assert run(world, flag) == 0
        big = Remote(world.folder / "big")
        for number in range(8):
            (big.path / f"big-{number}").write_bytes(random.Random(number).randbytes(1 << 19))
        big.commit("too much")
        assert run(world, flag, f"--repo={big.url}") == 1
        assert (limited / "link/file").read_text() == "first"
        assert not (limited / ".worktrees/.new").exists()
        world.remote.commit("small again")
        assert run(world, flag) == 0
        assert (limited / "link/file").read_text() == "small again"
    finally:
        subprocess.run(["umount", str(limited)], check=True)
