# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hooks are called at least once for each commit, and last for the newest one. Probes and metrics show the state."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.unit.standins.git_sync.world import Listener, World, wait_for


def hook(world: World, text: str) -> str:
    return f"--exechook-command={world.program('hook', '#!/bin/sh' + chr(10) + text + chr(10))}"


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


# --- webhook ---


def test_a_webhook_is_called_for_each_commit(world: World, listener: Listener) -> None:
    first = world.remote.head()
    running = world.synced(f"--webhook-url={listener.url}")
    assert wait_for(lambda: listener.calls == [("POST", first, 0)]), running.log()
    second = world.remote.commit("second")
    assert wait_for(lambda: listener.told() == [first, second]), running.log()
    assert wait_for(lambda: running.metric('git_sync_hook_run_count_total{name="webhook",status="success"}') == 2)
    noops = running.metric('git_sync_count_total{status="noop"}')
    assert wait_for(lambda: running.metric('git_sync_count_total{status="noop"}') > noops + 2)
    assert listener.told() == [first, second]
    # Called again at the next start, although nothing has changed
    running.stop()
    again = world.synced(f"--webhook-url={listener.url}")
    assert wait_for(lambda: listener.told() == [first, second, second]), again.log()


def test_a_webhook_that_fails_is_called_again_with_the_newest_commit(world: World, listener: Listener) -> None:
    first = world.remote.head()
    listener.status = 503
    running = world.synced(f"--webhook-url={listener.url}", "--webhook-backoff=1s")
    assert wait_for(lambda: listener.told() == [first]), running.log()
    assert running.said("status 503, expected 200")
    world.remote.commit("skipped")
    newest = world.remote.commit("newest")
    assert wait_for(lambda: world.published() == newest), running.log()
    listener.status = 200
    assert wait_for(lambda: listener.told()[-1] == newest), running.log()
    assert wait_for(lambda: running.metric('git_sync_hook_run_count_total{name="webhook",status="success"}') == 1)
    assert running.metric('git_sync_hook_run_count_total{name="webhook",status="error"}') >= 1
    assert set(listener.told()) == {first, newest}
    assert listener.told().count(newest) == 1


def test_a_webhook_s_method_and_status(world: World, listener: Listener) -> None:
    listener.status = 204
    flags = (f"--webhook-url={listener.url}", "--webhook-method=PUT", "--webhook-success-status=204")
    assert world.once(*flags).status == 0
    assert listener.calls == [("PUT", world.remote.head(), 0)]


@pytest.mark.parametrize(("status", "expected"), [(200, 0), (500, 1)])
def test_a_webhook_once(world: World, listener: Listener, status: int, expected: int) -> None:
    listener.status = status
    assert world.once(f"--webhook-url={listener.url}").status == expected
    assert listener.told() == [world.remote.head()]
    assert world.text() == "first"


@pytest.mark.parametrize("any_status", ["0", "-1"])
def test_a_webhook_whose_answer_does_not_count(world: World, listener: Listener, any_status: str) -> None:
    listener.status = 404
    done = world.once(f"--webhook-url={listener.url}", f"--webhook-success-status={any_status}")
    assert done.status == 0
    assert listener.told() == [world.remote.head()]


def test_a_webhook_that_nobody_answers(world: World, listener: Listener) -> None:
    listener.end()
    done = world.once(f"--webhook-url={listener.url}", http_proxy="http://127.0.0.1:9")
    assert done.status == 1
    assert f"POST {listener.url}: " in done.log
    assert "refused" in done.log


def test_a_webhook_goes_through_no_proxy(world: World, listener: Listener) -> None:
    assert world.once(f"--webhook-url={listener.url}", http_proxy="http://127.0.0.1:9").status == 0
    assert listener.told() == [world.remote.head()]


# --- exechook ---


def test_an_exechook_is_run_for_each_commit(world: World) -> None:
    seen = world.folder / "seen"
    running = world.synced(hook(world, f'echo "$# $GITSYNC_HASH $(pwd) $(cat file)" >>{seen}'))
    first = world.remote.head()
    assert wait_for(lambda: len(lines(seen)) == 1), running.log()
    second = world.remote.commit("second")
    assert wait_for(lambda: len(lines(seen)) == 2), running.log()
    assert lines(seen) == [
        f"0 {first} {world.root}/.worktrees/{first} first",
        f"0 {second} {world.root}/.worktrees/{second} second",
    ]
    assert wait_for(lambda: running.metric('git_sync_hook_run_count_total{name="exechook",status="success"}') == 2)


def test_an_exechook_that_fails_is_run_again(world: World) -> None:
    seen = world.folder / "seen"
    text = f'echo "$GITSYNC_HASH" >>{seen}; echo why >&2; test $(wc -l <{seen}) -ge 2'
    running = world.synced(hook(world, text), "--exechook-backoff=1s")
    commit = world.remote.head()
    assert wait_for(lambda: lines(seen) == [commit, commit]), running.log()
    assert running.said('"hook succeeded"')
    assert "exit status 1: why" in running.log()
    assert running.metric('git_sync_hook_run_count_total{name="exechook",status="error"}') == 1


@pytest.mark.parametrize(("text", "expected"), [("exit 0", 0), ("exit 3", 1)])
def test_an_exechook_once(world: World, text: str, expected: int) -> None:
    seen = world.folder / "seen"
    assert world.once(hook(world, f"echo ran >>{seen}; {text}")).status == expected
    assert lines(seen) == ["ran"]


def test_both_hooks_once(world: World, listener: Listener) -> None:
    """A failing hook does not prevent waiting for the other one."""
    listener.status = 500
    seen = world.folder / "seen"
    done = world.once(hook(world, f"sleep 0.3; echo ran >>{seen}"), f"--webhook-url={listener.url}")
    assert (done.status, lines(seen)) == (1, ["ran"])


def test_an_exechook_is_run_at_the_start_for_what_is_there(world: World) -> None:
    """A process that was killed between publishing and the hook calls the hook at its next start."""
    assert world.once().status == 0
    seen = world.folder / "seen"
    assert world.once(hook(world, f'echo "$GITSYNC_HASH" >>{seen}')).status == 0
    assert lines(seen) == [world.remote.head()]


def test_an_exechook_that_takes_too_long(world: World) -> None:
    pids = world.folder / "pids"
    done = world.once(hook(world, f"sleep 600 & echo $! $$ >{pids}; wait"), "--exechook-timeout=1s")
    assert done.status == 1
    assert "not done within --exechook-timeout 1s" in done.log
    assert all(gone(int(pid)) for pid in pids.read_text().split())


def test_an_exechook_that_is_not_there(world: World) -> None:
    done = world.once("--exechook-command=/nonexistent")
    assert done.status == 1
    assert "can't run /nonexistent" in done.log


def test_an_exechook_may_use_git(world: World) -> None:
    archive = world.folder / "archive.tar"
    text = f'git archive --format=tar "$GITSYNC_HASH" >{archive}'
    assert world.once(hook(world, text), CONTENT="kept").status == 0
    assert archive.stat().st_size > 0


def test_hooks_of_a_full_commit_go_on_while_it_sleeps(world: World, listener: Listener) -> None:
    listener.status = 503
    running = world.synced(f"--ref={world.remote.head()}", f"--webhook-url={listener.url}", "--webhook-backoff=1s")
    assert running.said("no further sync needed")
    listener.status = 200
    assert running.said('"hook succeeded"')


def test_a_failing_hook_leaves_the_error_file_to_syncs(world: World, listener: Listener) -> None:
    listener.status = 500
    error = world.folder / "error.json"
    assert world.once(f"--webhook-url={listener.url}", f"--error-file={error}").status == 1
    assert not error.exists()


# --- probes ---


def test_probes_before_and_after_the_first_sync(world: World) -> None:
    away = world.folder / "away"
    world.remote.path.rename(away)
    running = world.start()
    assert running.said("will retry")
    assert running.get("/") == (503, "repo is not ready\n")
    assert running.get("/", "HEAD")[0] == 503
    away.rename(world.remote.path)
    assert wait_for(running.ready), running.log()
    assert world.text() == "first"
    # The probe stays successful: a Pod that serves its content must not be removed because there is no newer content.
    world.remote.path.rename(away)
    assert wait_for(lambda: running.metric('git_sync_count_total{status="error"}') > 2)
    assert running.get("/") == (200, "")


def test_probes_after_a_restart(world: World) -> None:
    running = world.synced()
    running.stop()
    again = world.synced()
    assert again.metric('git_sync_count_total{status="success"}') == 1
    assert again.metric("git_fetch_count_total") == 1


def test_metrics(world: World) -> None:
    running = world.synced()
    assert wait_for(lambda: running.metric('git_sync_count_total{status="noop"}') > 0)
    status, text = running.get("/metrics")
    assert status == 200
    assert "# TYPE git_sync_duration_seconds summary\n" in text
    assert running.metric('git_sync_duration_seconds_count{status="success"}') == 1
    assert running.metric('git_sync_duration_seconds_sum{status="success"}') > 0
    assert running.metric('git_sync_count_total{status="error"}') == 0
    assert "# TYPE git_sync_hook_run_count_total counter\n" in text


def test_no_metrics_unless_they_are_wanted(world: World) -> None:
    running = world.synced("--http-metrics=false")
    assert running.get("/metrics") == (200, "")


def test_a_port_that_is_taken(world: World, listener: Listener) -> None:
    port = listener.url.rsplit(":", 1)[1].strip("/")
    done = world.once(f"--http-bind=127.0.0.1:{port}")
    assert done.status == 1
    assert "can't answer probes, aborting" in done.log


# --- the end ---


def gone(pid: int) -> bool:
    """Return whether the process does not exist any more, not even as a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_it_ends_when_it_is_told_to(world: World, number: signal.Signals, status: int) -> None:
    running = world.synced("--period=1h")
    started = time.monotonic()
    assert running.stop(number).status == status
    assert time.monotonic() - started < 10
    assert world.text() == "first"


def test_it_ends_in_the_middle_of_a_sync_and_of_a_hook(world: World) -> None:
    """Its children end with it, and no error is counted."""
    pids = world.folder / "pids"
    running = world.synced(hook(world, f"sleep 600 & echo $! $$ >>{pids}; wait"))
    assert wait_for(lambda: lines(pids)), running.log()
    world.program("git", f"#!/bin/sh\nsleep 600 & echo $! $$ >>{pids}; trap '' TERM; wait; sleep 600\n")
    assert wait_for(lambda: len(lines(pids)) == 2), running.log()
    started = time.monotonic()
    done = running.stop()
    assert done.status == 143
    assert time.monotonic() - started < 10
    assert wait_for(lambda: all(gone(int(pid)) for pid in pids.read_text().split()))
    assert "error" not in done.log
    assert world.text() == "first"
    (world.bin / "git").unlink()
    assert world.once().status == 0


def test_it_ends_as_the_first_process_of_a_container(world: World) -> None:
    """As process 1 it only receives signals for which it has handlers."""
    running = world.start()
    assert wait_for(running.ready), running.log()
    caught = next(
        line for line in Path(f"/proc/{running.process.pid}/status").read_text().splitlines() if "SigCgt" in line
    )
    mask = int(caught.split()[1], 16)
    assert mask & (1 << (signal.SIGTERM - 1))
    assert mask & (1 << (signal.SIGINT - 1))


def test_each_event_is_one_line_of_json(world: World, listener: Listener) -> None:
    listener.status = 500
    error = hook(world, "echo one; echo two >&2; exit 1")
    done = world.once(error, f"--webhook-url={listener.url}", "--verbose=9")
    for line in done.lines():
        assert {"ts", "level", "msg"} <= line.keys()
    assert [line["hook"] for line in done.lines() if line["msg"] == "hook failed"]
