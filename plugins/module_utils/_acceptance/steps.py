# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of steps of an acceptance test. Each does what a user would do, and returns what it saw.

PRIVATE to the collection.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import tempfile
import typing as t
from collections.abc import Callable
from contextlib import ExitStack
from urllib.parse import urlencode

from ansible_collections.drystone.platform.plugins.module_utils._acceptance.commit import Taken, push_line
from ansible_collections.drystone.platform.plugins.module_utils._acceptance.place import Place
from ansible_collections.drystone.platform.plugins.module_utils._acceptance.seen import Seen, cell
from ansible_collections.drystone.platform.plugins.module_utils._acceptance.traffic import Traffic
from ansible_collections.drystone.platform.plugins.module_utils._command import require
from ansible_collections.drystone.platform.plugins.module_utils._errors import CommandFailed, InvalidInput, NotReady
from ansible_collections.drystone.platform.plugins.module_utils._git.remote import Remote
from ansible_collections.drystone.platform.plugins.module_utils._kube.read import read
from ansible_collections.drystone.platform.plugins.module_utils._ready.conditions import build_conditions
from ansible_collections.drystone.platform.plugins.module_utils._ready.expression import Expression
from ansible_collections.drystone.platform.plugins.module_utils._ready.wait import ClusterReady
from ansible_collections.drystone.platform.plugins.module_utils._ready.world import World

Options = t.Mapping[str, t.Any]
Step = Callable[[Place, t.Any, float, ExitStack], Seen]

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
_PROBE_TIMEOUT = 10.0
_COMMAND_TIMEOUT = 60.0
_POINTS = 120
_OUTPUT_LINES = 15
# Colours in the output of a command
_CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def conditions(place: Place, options: list[Options], timeout: float, _undo: ExitStack) -> Seen:
    """Check conditions of cluster_ready, and wait for them within the timeout."""
    built = build_conditions(options)
    world = World(built)
    world.look(place.api, _PROBE_TIMEOUT)
    lines, holds = [], True
    for condition in built:
        items = condition.judge(world)
        unmet = [item for item in items if not item.status.ready]
        holds = holds and not unmet
        if condition.type == "http" or unmet:
            lines += [f"{item}: {item.status.reason}" for item in unmet or items]
        else:
            lines.append(f"{condition.title}: {len(items)} ready")
    if holds or timeout <= 0:
        return Seen(holds, lines)
    try:
        waited = ClusterReady(place.api, built, timeout, clock=place.clock).wait()
    except NotReady as error:
        return Seen(False, error.msg.splitlines())
    return Seen(True, [f"{one['title']}: {one['reason']} after {one['elapsed']} s" for one in waited["conditions"]])


def objects(place: Place, options: Options, timeout: float, _undo: ExitStack) -> Seen:
    """Read objects, show a part of them, and judge them by an expression over the list."""
    expected = Expression(options["expect"]) if options["expect"] else None
    shown = Expression(options["show"]) if options["show"] else None
    deadline = place.clock() + timeout
    while True:
        found = read(
            place.api,
            options["api_version"],
            options["kind"],
            namespaces=options["namespaces"],
            name=options["name"],
            selector=options["selector"],
        )
        holds = bool(expected.search(found)) if expected else bool(found)
        if holds or place.clock() >= deadline:
            break
        place.sleep(1)
    where = f" in {', '.join(options['namespaces'])}" if options["namespaces"] else ""
    seen = Seen(holds, [f"{len(found)} x {options['kind']}{where}"])
    if shown:
        rows = shown.search(found) or []
        if any(not isinstance(row, dict) for row in rows):
            raise InvalidInput(f"The expression {shown.text!r} does not return a list of objects.")
        seen.table = [[*rows[0]], *([cell(value) for value in row.values()] for row in rows)] if rows else []
    if not holds:
        seen.lines.append(f"Expected: {options['expect'] or 'at least one object'}")
    return seen


def command(place: Place, options: Options, timeout: float, undo: ExitStack) -> Seen:
    """Run a command like a user of this cluster, and judge its exit code and its output."""
    argv = [*options["argv"]]
    if options["undo"]:
        undo.callback(_require, place, options["undo"], timeout, options["directory"])
    done = place.command(
        argv, timeout or _COMMAND_TIMEOUT, env=place.environment, cwd=options["directory"], merged=True
    )
    output = [_CONTROL.sub("", line).rstrip() for line in (done.stdout or done.stderr).splitlines()]
    lines = [line for line in output if line]
    if done.rc != options["exit_code"]:
        end = "\n".join(lines[-_OUTPUT_LINES:])
        raise CommandFailed(f"$ {' '.join(argv)}\nExit code {done.rc}, expected {options['exit_code']}\n{end}")
    problems = []
    if options["output"] and not _pattern(options["output"]).search("\n".join(lines)):
        problems.append(f"Expected output that matches: {options['output']}")
    # The end of a long output has the result.
    return Seen(not problems, [f"$ {' '.join(argv)}", *problems, *lines[-_OUTPUT_LINES:]])


def files(_place: Place, options: Options, _timeout: float, _undo: ExitStack) -> Seen:
    """Check that files exist, and that each contains a text."""
    lines, holds = [], True
    pattern = _pattern(options["contain"]) if options["contain"] else None
    for path in options["paths"]:
        whole = os.path.join(options["directory"], path)
        if not os.path.exists(whole):
            problem = "is missing"
        elif pattern and not (os.path.isfile(whole) and pattern.search(_text(whole))):
            problem = f"contains nothing that matches {options['contain']}"
        else:
            problem = ""
        holds = holds and not problem
        lines.append(f"{path} {problem}" if problem else path)
    return Seen(holds, lines)


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.MULTILINE)
    except re.error as error:
        raise InvalidInput(f"The regular expression {text!r} is not valid: {error}") from error


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as stream:
        return stream.read()


def query(place: Place, options: Options, timeout: float, _undo: ExitStack) -> Seen:
    """Ask Prometheus. With minutes, the answer is a curve for each series.

    The format is that of the HTTP API of Prometheus: https://prometheus.io/docs/prometheus/latest/querying/api/.
    """
    if not place.prometheus:
        raise InvalidInput("The option prometheus is empty, so there is no Prometheus to ask.")
    expected = Expression(options["expect"]) if options["expect"] else None
    deadline = place.clock() + timeout
    while True:
        series = _series(place, options)
        holds = bool(expected.search(series)) if expected else bool(series)
        if holds or place.clock() >= deadline:
            break
        place.sleep(2)
    lines = [f"{one['name']}: {one['value']:g} {options['unit']}".rstrip() for one in series]
    if not holds:
        lines = [*(lines or ["Prometheus has no data for this query."]), f"Expected: {options['expect']}"]
    curves = [one for one in series if len(one["points"]) > 1]
    return Seen(holds, [options["promql"], *lines], series=curves, unit=options["unit"])


def _series(place: Place, options: Options) -> list[dict[str, t.Any]]:
    if options["minutes"]:
        end = place.now()
        seconds = options["minutes"] * 60
        step = max(5, math.ceil(seconds / _POINTS))
        asked = {"query": options["promql"], "start": end - seconds, "end": end, "step": step}
        path = f"{place.prometheus}/api/v1/query_range?{urlencode(asked)}"
    else:
        path = f"{place.prometheus}/api/v1/query?{urlencode({'query': options['promql']})}"
    answer = place.api.transport.request("GET", path)
    content = answer.json() if answer.status in (200, 400, 422) else {}
    if (content or {}).get("status") != "success":
        said = (content or {}).get("error") or f"status {answer.status}"
        raise CommandFailed(f"Asking Prometheus for {options['promql']}: it answered {said}. Check the query.")
    found = []
    for one in content["data"]["result"]:
        values = one.get("values") or [one["value"]]
        points = [[float(when), float(value)] for when, value in values if math.isfinite(float(value))]
        if points:
            name = cell({key: value for key, value in one["metric"].items() if key != "__name__"})
            found.append({"name": name or "value", "labels": one["metric"], "value": points[-1][1], "points": points})
    return found


def push(place: Place, options: Options, _timeout: float, undo: ExitStack) -> Seen:
    """Append a line to a file of a Git repository by a commit. Another commit removes it when the row has ended."""
    remote = Remote(
        options["repository"], private_key=place.private_key, known_hosts=place.known_hosts, connect_timeout=30
    )
    try:
        commit = push_line(remote, options["path"], options["line"], options["subject"], undo)
    except Taken as error:
        return Seen(False, [error.msg])
    return Seen(True, [f"{options['repository']} is at commit {commit[:12]}: {options['subject']}"])


def traffic(place: Place, options: Options, timeout: float, undo: ExitStack) -> Seen:
    """Send requests to each target at a constant rate, run commands, wait for conditions, and count the answers.

    The commands of afterwards run when the row ends, whatever happened.
    """
    until = build_conditions(options["until"])
    clients = [Traffic.from_options(target, options["rate"], place.api.transport) for target in options["targets"]]
    for argv in options["afterwards"]:
        undo.callback(_require, place, argv, timeout)
    lines: list[str] = []
    holds = True
    with ExitStack() as sending:
        for client in clients:
            sending.enter_context(client)
        try:
            for argv in options["during"]:
                lines.append(f"$ {' '.join(argv)}")
                _require(place, argv, timeout)
            ClusterReady(place.api, until, timeout, clock=place.clock).wait()
        except (CommandFailed, NotReady) as error:
            holds = False
            lines += error.msg.splitlines()
    for client in clients:
        holds = holds and client.sent > 0 and client.failed <= options["most_failed"]
    table = [["target", "requests", "failed", "95 % within", "answers"], *(client.cells() for client in clients)]
    return Seen(holds, lines, table)


def _require(place: Place, argv: list[str], timeout: float, directory: str | None = None) -> None:
    arguments = [str(argument) for argument in argv]
    done = place.command(arguments, timeout or _COMMAND_TIMEOUT, env=place.environment, cwd=directory)
    require(done, arguments, doing="Running a command of the acceptance test")


def picture(place: Place, options: Options, timeout: float, _undo: ExitStack) -> Seen:
    """Take a picture of a page with a browser of this host. Without a browser there is no picture."""
    if not place.pictures:
        return Seen(True, [f"{options['url']}: no picture was requested"])
    browser = next((found for found in map(shutil.which, BROWSERS) if found), None)
    if browser is None:
        return Seen(True, [f"{options['url']}: no picture, because this host has none of {', '.join(BROWSERS)}"])
    os.makedirs(place.pictures, exist_ok=True)
    name = re.sub(r"[^a-z0-9]+", "-", options["url"].lower().partition("://")[2]).strip("-")
    target = os.path.join(place.pictures, f"{name}.png")
    # A picture of an earlier run must not count as a new one.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(target)
    with tempfile.TemporaryDirectory(prefix="drystone-browser-") as profile:
        argv = [browser, "--headless", "--disable-gpu", "--no-first-run", "--hide-scrollbars", "--window-size=1024,640"]
        # Chromium refuses its sandbox for root.
        argv += ["--no-sandbox"] if os.geteuid() == 0 else []
        argv += [f"--user-data-dir={profile}", "--virtual-time-budget=8000", f"--screenshot={target}", options["url"]]
        done = place.command(argv, timeout or _COMMAND_TIMEOUT, env=place.environment, merged=True)
    if done.rc != 0 or not os.path.exists(target):
        return Seen(False, [f"{options['url']}: {browser} took no picture: {done.reason[:200]}"])
    return Seen(True, [options["url"]], picture=target)


KINDS: dict[str, Step] = {
    "conditions": conditions,
    "objects": objects,
    "command": command,
    "files": files,
    "query": query,
    "push": push,
    "traffic": traffic,
    "picture": picture,
}

# The kinds that change nothing and may be repeated until they hold
LOOKING = ("conditions", "objects", "query")
