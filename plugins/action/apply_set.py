# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run modules of this collection in a fork of Ansible, where their host is the one that Ansible runs on.

Ansible packs each module into an archive and starts a new Python for it, which compiles a third of Ansible from that
archive: 0.4 s of a processor for each task, more than most modules need. A fork has all of it at hand. Nothing else
differs: the module reads the same arguments, prints the same result, and ends with its process. What a new Python is
needed for goes the usual way: other hosts, another user, another interpreter, an environment of its own, async.

meta/runtime.yml names the modules that are run like this. It is called direct execution in ansible.netcommon.
"""

from __future__ import annotations

import atexit
import importlib
import io
import json
import os
import signal
import sys
import tempfile
import typing as t

from ansible.plugins.action.normal import ActionModule as NormalAction
from ansible.vars.clean import remove_internal_keys

try:
    from ansible.module_utils._internal._ansiballz._loader import run_module
    from ansible.module_utils.common.json import Direction, get_module_encoder
except ImportError:  # before ansible-core 2.19 a module is run by other means
    HAS_RUNNER = False
else:
    HAS_RUNNER = True

_MODULES = "ansible_collections.drystone.platform.plugins.modules"
_PROFILE = "legacy"

# Ansible loads this file before it forks for a task of this name: what it imports is compiled once, not for each task.
for _name in (
    "apply_set",
    "cluster_ready",
    "generated_secret",
    "git_readers",
    "git_seed",
    "git_sync_secret",
    "policy_probe",
):
    importlib.import_module(f"{_MODULES}.{_name}")


class ActionModule(NormalAction):
    """See the documentation of the module that is run."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return the result of the task's module."""
        if not self._is_at_home(task_vars or {}):
            usual: dict[str, t.Any] = super().run(tmp, task_vars)
            return usual
        result: dict[str, t.Any] = super(NormalAction, self).run(tmp, task_vars)
        arguments = dict(self._task.args)
        self._update_module_args(self._task.action, arguments, task_vars or {})
        encoder = get_module_encoder(_PROFILE, Direction.CONTROLLER_TO_MODULE)
        given = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}, cls=encoder).encode()
        module = f"{_MODULES}.{str(self._task.resolved_action).rpartition('.')[2]}"
        result.update(self._parse_returned_data(run_in_fork(module, given), _PROFILE))
        remove_internal_keys(result)
        return result

    def _is_at_home(self, task_vars: dict[str, t.Any]) -> bool:
        """Tell whether a new Python would be this one, with the same rights and surroundings."""
        return (
            HAS_RUNNER
            and self._connection.transport == "local"
            and self._connection.become is None
            and not self._task.async_val
            and not self._task.delegate_to
            and not self._compute_environment_string()
            and _is_this_python(self._templar.template(task_vars.get("ansible_python_interpreter")))
        )


def _is_this_python(path: t.Any) -> bool:
    """Tell another name of this interpreter, such as python for python3, from that of another environment."""
    return (
        isinstance(path, str)
        and os.path.dirname(path) == os.path.dirname(sys.executable)
        and os.path.realpath(path) == os.path.realpath(sys.executable)
    )


def run_in_fork(module: str, arguments: bytes) -> dict[str, t.Any]:
    """Run a module, named in full, and return what it printed and how it ended as C(stdout), C(stderr) and C(rc)."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        child = os.fork()
        if not child:
            _be_the_module(module, arguments, stdout, stderr)
        _child, status = os.waitpid(child, 0)
        return {
            "rc": os.waitstatus_to_exitcode(status),
            **{name: _read(stream) for name, stream in (("stdout", stdout), ("stderr", stderr))},
        }


def _be_the_module(module: str, arguments: bytes, stdout: t.BinaryIO, stderr: t.BinaryIO) -> t.NoReturn:
    """Run it in this process, which ends with it, whatever happens."""
    status = 1
    try:
        # As in a new process: Ansible's own handlers would end the processes of its worker and remove its files.
        atexit._clear()  # noqa: SLF001  there is no public way to forget all handlers
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        sys.stdout, sys.stderr = (io.TextIOWrapper(stream, "utf-8", "surrogateescape") for stream in (stdout, stderr))
        try:
            run_module(json_params=arguments, profile=_PROFILE, module_fqn=module, modlib_path="", extensions={})
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        atexit._run_exitfuncs()  # noqa: SLF001  os._exit runs none, and nothing public does
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _read(stream: t.BinaryIO) -> str:
    stream.seek(0)
    return stream.read().decode("utf-8", "surrogateescape")
