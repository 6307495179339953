# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The content of the root directory: from an empty one, for each kind of ref, and after repeated syncs."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from tests.unit.standins.git_sync.world import Remote, World, wait_for

# --- the root ---


def test_a_root_that_is_not_there_yet(world: World) -> None:
    assert world.once().status == 0
    assert (world.text(), world.published()) == ("first", world.remote.head())
    assert world.link.readlink() == Path(".worktrees", world.remote.head())
    assert world.worktrees() == {world.remote.head()}


def test_an_empty_root(world: World) -> None:
    world.root.mkdir(parents=True)
    assert world.once().status == 0
    assert world.text() == "first"


def test_a_root_written_in_a_roundabout_way(world: World) -> None:
    assert world.once(f"--root=../../../../../../../..{world.root.parent}/x/../root").status == 0
    assert world.text() == "first"


def test_a_root_that_is_a_link(world: World) -> None:
    (world.root / "real").mkdir(parents=True)
    (world.root / "alias").symlink_to("real")
    assert world.once(f"--root={world.root / 'alias'}").status == 0
    assert (world.root / "real/link/file").read_text() == "first"


def test_a_root_below_another_repository(world: World) -> None:
    outer = Remote(world.root)
    before = outer.head()
    root = world.root / "below" / "root"
    root.mkdir(parents=True)
    (root / "file").write_text("somebody's")
    assert world.once(f"--root={root}").status == 0
    assert (root / "link/file").read_text() == "first"
    assert (outer.head(), (root / "file").read_text()) == (before, "somebody's")


def test_a_root_with_what_is_no_repository(world: World) -> None:
    (world.root / ".git").mkdir(parents=True)
    (world.root / ".git/HEAD").write_text("ref: refs/heads/nonexist")
    (world.root / "other").write_text("somebody's")
    assert world.once().status == 0
    assert (world.text(), (world.root / "other").read_text()) == ("first", "somebody's")


def test_a_root_whose_repository_has_no_such_branch(world: World) -> None:
    Remote(world.root).git("symbolic-ref", "HEAD", "refs/heads/nonexist")
    assert world.once().status == 0
    assert world.text() == "first"


def test_a_root_that_others_use(world: World) -> None:
    """Another container must be able to read Git's files at another path."""
    assert world.once().status == 0
    elsewhere = world.folder / "elsewhere"
    world.root.rename(elsewhere)
    assert world.git(str(elsewhere / "link"), "log", "-1", "--format=%H %s") == f"{world.remote.head()} first"


def test_files_of_others_are_kept_off_the_link(world: World) -> None:
    world.root.mkdir(parents=True)
    world.link.write_text("somebody's")
    done = world.once()
    assert done.status == 1
    assert f"{world.link} exists and is not a link" in done.log
    assert world.link.read_text() == "somebody's"


# --- refs ---


def test_without_a_ref_it_is_the_default_branch(world: World) -> None:
    world.remote.git("checkout", "--quiet", "-b", "other")
    commit = world.remote.commit("of the other")
    del world.usual["--ref"]
    assert world.once().status == 0
    assert (world.text(), world.published()) == ("of the other", commit)
    world.remote.git("checkout", "--quiet", "main")
    assert world.once().status == 0
    assert world.text() == "first"


def test_a_ref_that_is_not_there(world: World) -> None:
    done = world.once("--ref=does-not-exist")
    assert done.status == 1
    assert "couldn't find remote ref does-not-exist" in done.log
    assert not world.link.is_symlink()


def test_a_branch_is_followed_forward_and_back(world: World) -> None:
    first = world.remote.head()
    running = world.synced()
    assert running.metric('git_sync_count_total{status="success"}') == 1
    assert running.metric("git_fetch_count_total") == 1
    second = world.remote.commit("second")
    assert wait_for(lambda: world.published() == second), running.log()
    assert world.text() == "second"
    world.remote.git("reset", "--quiet", "--hard", first)
    assert wait_for(lambda: world.published() == first), running.log()
    assert world.text() == "first"
    assert wait_for(lambda: running.metric('git_sync_count_total{status="success"}') == 3)
    assert running.metric("git_fetch_count_total") == 3
    assert wait_for(lambda: running.metric('git_sync_count_total{status="noop"}') > 0)
    assert running.metric('git_sync_count_total{status="error"}') == 0


def test_head_is_followed(world: World) -> None:
    running = world.synced("--ref=HEAD")
    commit = world.remote.commit("second")
    assert wait_for(lambda: world.published() == commit), running.log()


def test_another_branch_is_followed(world: World) -> None:
    world.remote.git("branch", "other")
    running = world.synced("--ref=other")
    world.remote.commit("on main")
    world.remote.git("checkout", "--quiet", "other")
    commit = world.remote.commit("on the other")
    assert wait_for(lambda: world.published() == commit), running.log()
    assert world.text() == "on the other"


def test_a_restart_with_another_branch(world: World) -> None:
    assert world.once().status == 0
    world.remote.git("checkout", "--quiet", "-b", "other")
    world.remote.commit("on the other")
    assert world.once("--ref=other").status == 0
    assert world.text() == "on the other"


@pytest.mark.parametrize("how", [[], ["--annotate", "--message", "release"]], ids=["light", "annotated"])
def test_a_tag_is_followed_wherever_it_goes(world: World, how: list[str]) -> None:
    first = world.remote.head()
    world.remote.git("tag", "--force", *how, "v1")
    running = world.synced("--ref=v1")
    second = world.remote.commit("second")
    world.remote.git("tag", "--force", *how, "v1")
    assert wait_for(lambda: world.published() == second), running.log()
    world.remote.git("tag", "--force", *how, "v1", first)
    assert wait_for(lambda: world.published() == first), running.log()
    assert world.text() == "first"


def test_a_full_commit_is_synced_once_and_then_no_more(world: World) -> None:
    first = world.remote.head()
    running = world.synced(f"--ref={first}")
    assert running.said("no further sync needed")
    world.remote.commit("second")
    time.sleep(0.3)  # 15 periods
    assert (world.published(), world.text()) == (first, "first")
    assert running.metric('git_sync_count_total{status="success"}') == 1
    assert running.metric('git_sync_count_total{status="noop"}') == 0
    assert running.ready()
    assert running.stop().status == 143


def test_a_full_commit_once(world: World) -> None:
    assert world.once(f"--ref={world.remote.head()}").status == 0
    assert world.text() == "first"


@pytest.mark.parametrize("depth", ["--depth=1", "--depth=0"])
def test_one_full_commit_after_another(world: World, depth: str) -> None:
    """No branch points to these commits, so each must be fetched by its hash."""
    commits = [world.remote.commit(f"change {number}") for number in range(4)]
    for number in (1, 2, 0):
        assert world.once(f"--ref={commits[number]}", depth).status == 0
        assert (world.text(), world.published()) == (f"change {number}", commits[number])
        assert world.worktrees() == {commits[number]}
        history = world.git(str(world.link), "rev-list", "--count", "HEAD")
        assert history == ("1" if depth == "--depth=1" else str(number + 2))


def test_a_full_commit_that_no_branch_has_any_more(world: World) -> None:
    gone = world.remote.commit("rewritten")
    world.remote.git("reset", "--quiet", "--hard", "HEAD^")
    world.remote.commit("instead of it")
    assert world.once(f"--ref={gone}").status == 0
    assert world.text() == "rewritten"


def test_a_full_commit_that_is_not_there_is_awaited(world: World) -> None:
    gone = "0123456789" * 4
    running = world.start(f"--ref={gone}")
    assert running.said("error syncing repo, will retry")
    assert running.get("/") == (503, "repo is not ready\n")
    assert not world.link.is_symlink()


def test_a_file_named_like_the_commit(world: World) -> None:
    assert world.once().status == 0
    commit = world.remote.commit("second")
    (world.root / commit).write_text("somebody's")
    (world.root / ".worktrees" / commit).write_text("in the way")
    assert world.once(f"--ref={commit}").status == 0
    assert (world.text(), (world.root / commit).read_text()) == ("second", "somebody's")


def test_a_rewritten_history(world: World) -> None:
    """The new history has no common commit."""
    running = world.synced()
    for number in range(3):
        world.remote.git("checkout", "--quiet", "--orphan", f"new-{number}")
        world.remote.commit(f"history {number}")
        world.remote.git("branch", "--force", "main")
        assert wait_for(lambda: world.published() == world.remote.head()), running.log()
        assert world.text() == f"history {number}"
    assert running.metric('git_sync_count_total{status="error"}') == 0


def test_a_branch_that_goes_and_comes_back(world: World) -> None:
    running = world.synced()
    world.remote.git("branch", "--move", "main", "gone")
    assert wait_for(lambda: running.metric('git_sync_count_total{status="error"}') > 1)
    assert (world.text(), running.ready()) == ("first", True)
    world.remote.git("branch", "--move", "gone", "main")
    commit = world.remote.commit("second")
    assert wait_for(lambda: world.published() == commit), running.log()


def test_an_empty_repository(world: World) -> None:
    world.remote.git("update-ref", "-d", "refs/heads/main")
    running = world.start()
    assert running.said("couldn't find remote ref main")
    commit = world.remote.commit("at last")
    assert wait_for(lambda: world.published() == commit), running.log()


def test_another_repository_in_the_same_root(world: World) -> None:
    assert world.once().status == 0
    other = Remote(world.folder / "other")
    other.commit("of the other")
    assert world.once(f"--repo={other.url}").status == 0
    assert (world.text(), world.published()) == ("of the other", other.head())


# --- the link ---


def test_an_absolute_link_elsewhere(world: World) -> None:
    link = world.folder / "volume" / "other" / "place"
    running = world.synced(f"--link={link}")
    assert (link / "file").read_text() == "first"
    assert not link.readlink().is_absolute()
    commit = world.remote.commit("second")
    assert wait_for(lambda: link.readlink().name == commit), running.log()
    assert (link / "file").read_text() == "second"


def test_a_link_in_a_folder(world: World) -> None:
    running = world.synced("--link=some/folder/link")
    link = world.root / "some/folder/link"
    assert link.readlink() == Path("../../.worktrees", world.remote.head())
    commit = world.remote.commit("second")
    assert wait_for(lambda: link.readlink().name == commit), running.log()
    assert (link / "file").read_text() == "second"


def test_without_a_link_it_has_the_repository_s_name(world: World) -> None:
    del world.usual["--link"]
    assert world.once().status == 0
    assert (world.root / "remote/file").read_text() == "first"


# --- worktrees ---


def test_replaced_worktrees_go_at_once_and_their_objects_with_them(world: World) -> None:
    running = world.synced()
    first = world.remote.head()
    second = world.remote.commit("second")
    assert wait_for(lambda: world.worktrees() == {second}), running.log()
    assert world.published() == second
    assert wait_for(lambda: first not in world.git(str(world.root), "rev-list", "--all", "--reflog")), running.log()
    assert wait_for(lambda: running.metric('git_sync_count_total{status="noop"}') > 2)
    assert running.stop().status == 143
    objects = world.git(str(world.root), "cat-file", "--batch-all-objects", "--batch-check=%(objectname)").split()
    assert second in objects
    assert first not in objects


def test_replaced_worktrees_stay_for_their_time(world: World) -> None:
    running = world.synced("--stale-worktree-timeout=1h")
    commits = [world.remote.head()]
    for number in (2, 3):
        commits.append(world.remote.commit(f"change {number}", f"file-{number}"))
        assert wait_for(lambda: world.published() == commits[-1]), running.log()
    assert world.worktrees() == set(commits)
    assert not (world.root / ".worktrees" / commits[0] / "file-2").exists()
    # The first one was replaced long ago. The second one and the published one are kept, regardless of age.
    for commit, age in ((commits[0], 4000), (commits[1], 3000), (commits[2], 9000)):
        then = time.time() - age
        os.utime(world.root / ".worktrees" / commit, (then, then))
    assert wait_for(lambda: world.worktrees() == set(commits[1:])), running.log()


def test_their_time_goes_on_over_a_restart(world: World) -> None:
    first = world.remote.head()
    assert world.once("--stale-worktree-timeout=1h").status == 0
    old = time.time() - 9000
    os.utime(world.root / ".worktrees" / first, (old, old))
    # The time starts when it is replaced, not when it is created.
    second = world.remote.commit("second")
    assert world.once("--stale-worktree-timeout=1h").status == 0
    assert world.worktrees() == {first, second}
    then = time.time() - 4000
    os.utime(world.root / ".worktrees" / first, (then, then))
    assert world.once("--stale-worktree-timeout=1h").status == 0
    assert world.worktrees() == {second}


def test_back_to_a_worktree_that_is_still_there(world: World) -> None:
    running = world.synced("--stale-worktree-timeout=1h")
    first = world.remote.head()
    place = (world.root / ".worktrees" / first / "file").stat().st_ino
    second = world.remote.commit("second")
    assert wait_for(lambda: world.published() == second), running.log()
    world.remote.git("reset", "--quiet", "--hard", first)
    assert wait_for(lambda: world.published() == first), running.log()
    assert (world.link / "file").stat().st_ino == place


def test_a_worktree_that_somebody_removed(world: World) -> None:
    running = world.synced()
    with running.paused():
        for path in (world.root / ".worktrees" / world.remote.head()).iterdir():
            path.unlink()
        (world.root / ".worktrees" / world.remote.head()).rmdir()
    assert wait_for((world.link / "file").exists), running.log()
    assert world.text() == "first"
    assert wait_for(lambda: running.metric("git_fetch_count_total") == 2)
    assert running.metric('git_sync_count_total{status="success"}') == 2


def test_a_worktree_at_another_commit(world: World) -> None:
    running = world.synced()
    commit = world.remote.head()
    with running.paused():
        (world.link / "file").write_text("unexpected")
        who = ("-c", "user.name=x", "-c", "user.email=x@example.com")
        world.git(str(world.link), *who, "commit", "--quiet", "--all", "--message=corrupt")
    assert wait_for(lambda: world.text() == "first"), running.log()
    assert world.git(str(world.link), "rev-parse", "HEAD") == commit
    assert world.git(str(world.link), "status", "--porcelain") == ""
    assert wait_for(lambda: running.metric('git_sync_count_total{status="success"}') == 2)


def test_changed_files_are_put_right_at_the_next_start(world: World) -> None:
    assert world.once().status == 0
    (world.link / "file").write_text("unexpected")
    assert world.once().status == 0
    assert world.text() == "first"


def test_a_link_that_somebody_removed(world: World) -> None:
    assert world.once().status == 0
    world.link.unlink()
    assert world.once().status == 0
    assert world.text() == "first"


def test_worktrees_that_somebody_removed(world: World) -> None:
    assert world.once().status == 0
    (world.root / ".worktrees").rename(world.folder / "removed")
    assert world.once().status == 0
    assert (world.text(), world.worktrees()) == ("first", {world.remote.head()})


def test_a_link_out_of_the_root_removes_nothing_there(world: World) -> None:
    precious = world.folder / "precious"
    precious.mkdir()
    (precious / "file").write_text("somebody's")
    world.root.mkdir(parents=True)
    world.link.symlink_to(precious)
    assert world.once().status == 0
    assert (world.text(), (precious / "file").read_text()) == ("first", "somebody's")


# --- depth and sparse checkout ---


def test_one_commit_of_history_by_default(world: World) -> None:
    world.remote.commit("second")
    assert world.once().status == 0
    assert world.git(str(world.link), "rev-list", "--count", "HEAD") == "1"


def test_depth_stays_over_updates(world: World) -> None:
    for number in range(4):
        world.remote.commit(f"change {number}")
    running = world.synced("--depth=3")
    assert world.git(str(world.link), "rev-list", "--count", "HEAD") == "3"
    commit = world.remote.commit("another one")
    assert wait_for(lambda: world.published() == commit), running.log()
    assert wait_for(lambda: running.metric('git_sync_count_total{status="noop"}') > 1)
    assert world.git(str(world.link), "rev-list", "--count", "HEAD") == "3"


def test_another_depth_after_a_restart(world: World) -> None:
    for number in range(4):
        world.remote.commit(f"change {number}")
    for depth, expected in (("1", "1"), ("2", "2"), ("0", "5"), ("1", "1"), ("0", "5"), ("0", "5")):
        assert world.once(f"--depth={depth}").status == 0
        assert world.git(str(world.link), "rev-list", "--count", "HEAD") == expected


def test_sparse_checkout(world: World) -> None:
    world.remote.commit("wanted", "docs/wanted")
    world.remote.commit("not wanted", "src/other")
    patterns = world.write("sparse", "/docs/\n!/docs/not\n")
    running = world.synced(f"--sparse-checkout-file={patterns}")
    assert {path.name for path in world.link.iterdir()} == {".git", "docs"}
    commit = world.remote.commit("not wanted either", "docs/not")
    assert wait_for(lambda: world.published() == commit), running.log()
    assert [path.name for path in (world.link / "docs").iterdir()] == ["wanted"]
    assert running.stop().status == 143
    # Other files, and then all files again, at the next start
    patterns.write_text("/src/\n")
    assert world.once(f"--sparse-checkout-file={patterns}").status == 0
    assert {path.name for path in world.link.iterdir()} == {".git", "src"}
    assert world.once().status == 0
    assert {path.name for path in world.link.iterdir()} == {".git", "docs", "src", "file"}


def test_a_sparse_checkout_file_that_is_not_there(world: World) -> None:
    done = world.once("--sparse-checkout-file=/nonexistent")
    assert done.status == 1
    assert "can't read the sparse checkout file" in done.log


# --- failures and time ---


SLOW = """\
#!/bin/sh
for argument; do if [ "$argument" = fetch ]; then sleep {seconds}; fi; done
PATH="{path}" exec git "$@"
"""


def test_a_slow_git_and_a_short_timeout(world: World) -> None:
    world.program("git", SLOW.format(seconds=60, path=os.environ["PATH"]))
    started = time.monotonic()
    done = world.once("--sync-timeout=500ms")
    assert done.status == 1
    assert "git fetch: not done within --sync-timeout 0.5s" in done.log
    assert time.monotonic() - started < 30
    assert not world.link.is_symlink()


def test_a_slow_git_and_a_long_timeout(world: World) -> None:
    world.program("git", SLOW.format(seconds=0.5, path=os.environ["PATH"]))
    running = world.synced("--sync-timeout=1m")
    commit = world.remote.commit("second")
    assert wait_for(lambda: world.published() == commit), running.log()


def test_by_default_the_first_failure_ends_it(world: World) -> None:
    running = world.synced("--max-failures=0")
    world.remote.path.rename(world.folder / "away")
    done = running.wait()
    assert done.status == 1
    assert done.lines()[-1]["msg"] == "too many failures, aborting"
    assert world.text() == "first"


def test_failures_in_a_row_are_counted(world: World) -> None:
    running = world.synced("--max-failures=1000000", "--init-max-failures=0")
    away = world.folder / "away"
    world.remote.path.rename(away)
    assert wait_for(lambda: running.metric('git_sync_count_total{status="error"}') >= 2)
    away.rename(world.remote.path)
    commit = world.remote.commit("second")
    assert wait_for(lambda: world.published() == commit), running.log()
    assert '"failCount": 2' in running.log()
    with running.paused():
        seen = len(running.log())
        world.remote.path.rename(away)
    assert wait_for(lambda: '"failCount": 1,' in running.log()[seen:] or '"failCount": 1}' in running.log()[seen:])


def test_max_failures_ends_it_at_that_many(world: World) -> None:
    done = world.start("--max-failures=3", "--repo=file:///nonexistent").wait()
    assert done.status == 1
    failures = [line["failCount"] for line in done.lines() if "failCount" in line]
    assert failures == [1, 2, 3]


def test_init_max_failures_counts_before_the_first_sync_alone(world: World) -> None:
    done = world.start("--init-max-failures=2", "--repo=file:///nonexistent").wait()
    assert done.status == 1
    assert [line["failCount"] for line in done.lines() if "failCount" in line] == [1, 2]
    running = world.synced("--init-max-failures=1", "--max-failures=-1")
    world.remote.path.rename(world.folder / "away")
    assert wait_for(lambda: running.metric('git_sync_count_total{status="error"}') >= 3)
    assert running.process.poll() is None


def test_init_period_until_the_first_sync(world: World) -> None:
    away = world.folder / "away"
    world.remote.path.rename(away)
    running = world.start("--init-period=20ms", "--period=1h")
    assert running.said("will retry")
    away.rename(world.remote.path)
    assert wait_for(running.ready), running.log()
    world.remote.commit("second")
    time.sleep(0.2)
    assert world.text() == "first"


# --- files beside it ---


@pytest.mark.parametrize("name", ["error.json", "some/folder/error.json", "{folder}/elsewhere/error.json"])
def test_the_error_file_is_there_while_there_is_an_error(world: World, name: str) -> None:
    file = world.root / name.format(folder=world.folder)
    away = world.folder / "away"
    world.remote.path.rename(away)
    running = world.start(f"--error-file={name.format(folder=world.folder)}")
    assert wait_for(file.exists), running.log()
    error = json.loads(file.read_text())
    assert error["Msg"] == "error syncing repo, will retry"
    assert "git fetch" in error["Err"]
    assert error["Args"]["failCount"] >= 1
    away.rename(world.remote.path)
    assert wait_for(lambda: world.link.is_symlink() and not file.exists()), running.log()


@pytest.mark.parametrize("name", ["touched", "{folder}/elsewhere/touched"])
def test_the_touch_file_is_touched_for_each_change(world: World, name: str) -> None:
    file = world.root / name.format(folder=world.folder)
    running = world.synced(f"--touch-file={name.format(folder=world.folder)}")
    assert wait_for(file.exists), running.log()
    file.unlink()
    noops = running.metric('git_sync_count_total{status="noop"}')
    assert wait_for(lambda: running.metric('git_sync_count_total{status="noop"}') > noops + 2)
    assert not file.exists()
    world.remote.commit("second")
    assert wait_for(file.exists), running.log()
    os.utime(file, (0, 0))
    world.remote.commit("third")
    assert wait_for(lambda: file.stat().st_mtime > 0), running.log()


@pytest.mark.parametrize(("flag", "mode"), [("--group-write=false", "755"), ("--group-write", "775")])
def test_whether_the_group_may_write(world: World, flag: str, mode: str) -> None:
    world.remote.commit("below", "folder/below")
    assert world.once(flag).status == 0
    folders = [world.root, world.root / ".git", world.root / ".worktrees", world.link / "folder"]
    assert {oct(path.stat().st_mode)[-3:] for path in folders} == {mode}


def test_git_s_own_settings(world: World) -> None:
    world.remote.path.rename(world.folder / "real")
    setting = f'"url.file://{world.folder}/real.insteadOf":"{world.remote.url}"'
    assert world.once(f"--git-config={setting},http.sslVerify:true").status == 0
    assert world.text() == "first"


def test_nobody_s_settings_but_those(world: World) -> None:
    """Git uses neither the user's settings, nor hooks, templates or another repository in the environment."""
    hook = world.program("hook", f"#!/bin/sh\ntouch {world.folder}/hooked\n")
    world.write(".gitconfig", f"[core]\nhooksPath = {world.bin}\n[url 'file:///nonexistent/']\ninsteadOf = file:///\n")
    hook.rename(world.bin / "post-checkout")
    (world.folder / "templates").mkdir()
    assert world.once(GIT_DIR="/nonexistent", GIT_TEMPLATE_DIR=str(world.folder / "templates")).status == 0
    assert world.text() == "first"
    assert not (world.folder / "hooked").exists()


def test_submodules_stay_empty(world: World) -> None:
    other = Remote(world.folder / "other")
    world.remote.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", other.url, "sub")
    world.remote.commit("with a submodule")
    assert world.once().status == 0
    assert list((world.link / "sub").iterdir()) == []


def test_hostile_content_stays_in_its_worktree(world: World) -> None:
    outside = world.write("outside", "untouched")
    os.symlink(outside, world.remote.path / "to-a-file")
    os.symlink(world.folder, world.remote.path / "to-a-folder")
    world.remote.commit("links that lead out")
    assert world.once().status == 0
    # The same names are now a directory with files, which must not be written through the old links.
    for name in ("to-a-file", "to-a-folder"):
        (world.remote.path / name).unlink()
    world.remote.commit("overwritten", "to-a-folder/outside")
    world.remote.commit("overwritten", "to-a-file")
    assert world.once().status == 0
    assert (outside.read_text(), world.text("to-a-folder/outside")) == ("untouched", "overwritten")
