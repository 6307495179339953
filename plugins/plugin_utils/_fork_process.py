# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change without notice.

"""Run a module in a fork of this process that behaves like a new Python.

The module gets the signals, streams, arguments and warnings of a new process. The result is what a connection returns
for a command that it runs in a shell: stdout, stderr and the exit code.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import re
import selectors
import signal
import sys
import threading
import traceback
import typing as t

try:
    from ansible.module_utils import _internal
    from ansible.module_utils._internal import _traceback
    from ansible.module_utils._internal._ansiballz._loader import run_module
except ImportError:  # ansible-core before 2.19
    HAS_RUNNER = False
else:
    HAS_RUNNER = True

# Forks use internals of ansible-core. The tests in tests/unit/plugins/plugin_utils passed with these releases of
# ansible-core and with all releases between them.
FIRST_TESTED = (2, 19, 0)
LAST_TESTED = (2, 19, 14)

PROFILE = "legacy"
_FROM_ANSIBLE = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)

Mask = t.Iterable[int | signal.Signals]


def is_tested(version: str) -> bool:
    """Return whether forks were tested with this version of ansible-core. Pre-releases were not."""
    numbers = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)", version)
    return HAS_RUNNER and numbers is not None and FIRST_TESTED <= tuple(map(int, numbers.groups())) <= LAST_TESTED


def run_in_fork(module: str, arguments: bytes) -> dict[str, t.Any]:
    """Run a module, given by its full Python name, and return its output and its exit code."""
    stdout, stderr = os.pipe(), os.pipe()
    reading, writing = (stdout[0], stderr[0]), (stdout[1], stderr[1])
    child = 0
    try:
        # Block signals until the child has its own handlers. Otherwise it would run those of Ansible's worker.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _FROM_ANSIBLE)
        try:
            child = os.fork()
            if not child:
                _close(reading)
                _be_the_module(module, arguments, writing, mask)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            _close(writing)
        printed = _read(reading)
        _child, status = os.waitpid(child, 0)
    except BaseException:
        # The task ends here, for example because of its timeout. Its child must not continue in the background.
        if child:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM)
        raise
    finally:
        _close(reading)
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return {"rc": code, "stdout": printed[0], "stderr": printed[1]}
    # Report the signal like the shell in which Ansible usually runs a module. A shell does not report an interrupt.
    told = b"" if -code == signal.SIGINT else f"{signal.strsignal(-code)}\n".encode()
    return {"rc": 128 - code, "stdout": printed[0], "stderr": printed[1] + told}


def _close(descriptors: t.Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _read(pipes: tuple[int, ...]) -> list[bytes]:
    """Read all pipes until they are closed."""
    printed = dict.fromkeys(pipes, b"")
    with selectors.DefaultSelector() as waiting:
        for pipe in pipes:
            waiting.register(pipe, selectors.EVENT_READ)
        while waiting.get_map():
            for key, _events in waiting.select():
                chunk = os.read(key.fd, 65536)
                printed[key.fd] += chunk
                if not chunk:
                    waiting.unregister(key.fd)
    return list(printed.values())


def _be_the_module(module: str, arguments: bytes, streams: tuple[int, int], mask: Mask) -> t.NoReturn:
    """Run the module in this process, then end the process."""
    ending: BaseException | None = None
    status = 1
    try:
        _start_afresh(module, streams, mask)
        try:
            run_module(json_params=arguments, profile=PROFILE, module_fqn=module, modlib_path="", extensions={})
        except SystemExit as error:
            status = _exit_status(error)
        except BaseException as error:  # noqa: BLE001  Python prints any exception and exits with 1
            ending = error
            traceback.print_exc()
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001  os._exit does not wait for threads
        atexit._run_exitfuncs()  # noqa: SLF001  os._exit runs no exit handlers, and there is no public function
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:  # noqa: BLE001  show errors of this file and an interrupt at the very end
        os.write(streams[1], traceback.format_exc().encode("utf-8", "backslashreplace"))
        status = 1
    finally:
        if isinstance(ending, KeyboardInterrupt):
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        os._exit(status)


def _start_afresh(module: str, streams: tuple[int, int], mask: Mask) -> None:
    """Reset this process to the state of a new one."""
    # The exit handlers of Ansible would end processes of its worker and remove its files.
    atexit._clear()  # noqa: SLF001  there is no public function that removes all handlers
    for number in _FROM_ANSIBLE:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    os.dup2(streams[0], 1)
    os.dup2(streams[1], 2)
    sys.stdout, sys.stderr = _text(1, "surrogateescape"), _text(2, "backslashreplace", line_buffering=True)
    sys.argv = sys.argv[:1]
    sys.modules.pop(module, None)  # the module runs as __main__, so it must not be imported already
    # Put warnings and tracebacks into the result, as in a module. On the controller, Ansible sends them to a display
    # and a task, which this process does not have, so they would be lost.
    _internal.is_controller = False
    _traceback._is_traceback_enabled = _traceback._is_module_traceback_enabled  # noqa: SLF001  as in a module


def _text(stream: int, errors: str, *, line_buffering: bool = False) -> t.TextIO:
    """Open a text stream as Python does at its start. Respect PYTHONUNBUFFERED."""
    at_once = bool(os.environ.get("PYTHONUNBUFFERED"))
    binary = os.fdopen(stream, "wb", buffering=0 if at_once else -1, closefd=False)
    return io.TextIOWrapper(binary, "utf-8", errors, line_buffering=line_buffering, write_through=at_once)


def _exit_status(error: SystemExit) -> int:
    """Return the exit status for the argument of sys.exit, and print it like Python if it is not a number."""
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    print(error.code, file=sys.stderr)
    return 1
