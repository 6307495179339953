# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change without notice.

"""The action plugin of this collection's modules: it runs a module in a fork of Ansible if the result is the same.

Usually, Ansible packs each module into an archive and starts a new Python process, which compiles a third of Ansible
from that archive. This takes 0.4 s of CPU time for each task, more than most modules need. A fork has all of this in
memory. The module reads the same arguments, returns the same result and ends with its process. A task that needs a new
Python process gets one: on other hosts, as another user, with another interpreter, with its own environment, with
async. All tasks get one if drystone_fork_modules is false, or if forks were not tested with this ansible-core.

meta/runtime.yml lists the modules that use this plugin. ansible.netcommon calls the technique direct execution.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import typing as t

from ansible import constants as C  # noqa: N812  the usual name throughout Ansible
from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.text.converters import to_text
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action.normal import ActionModule as NormalAction
from ansible.release import __version__ as core_version
from ansible.utils.display import Display
from ansible.vars.clean import remove_internal_keys

from ansible_collections.drystone.platform.plugins.plugin_utils._fork_process import PROFILE, is_tested, run_in_fork

IS_TESTED = is_tested(core_version)
SWITCH = "drystone_fork_modules"
_MODULES = "ansible_collections.drystone.platform.plugins.modules"

if IS_TESTED:
    from ansible.module_utils.common.json import Direction, get_module_encoder

    # Ansible loads this file before it forks for a task. Modules that are imported here are compiled only once.
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

display = Display()


class ForkAction(NormalAction):
    """Run the task's module. Its documentation applies."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return the result of the task's module."""
        needs = self._needs_a_new_python(task_vars or {})
        name = str(self._task.resolved_action).rpartition(".")[2]
        if needs:
            display.vvv(f"Running module {name} in a new Python: {needs}")
            usual: dict[str, t.Any] = super().run(tmp, task_vars)
            return usual
        display.vvv(f"Running module {name} in a fork of Ansible")
        result: dict[str, t.Any] = super(NormalAction, self).run(tmp, task_vars)
        arguments = dict(self._task.args)
        self._update_module_args(self._task.action, arguments, task_vars or {})
        encoder = get_module_encoder(PROFILE, Direction.CONTROLLER_TO_MODULE)
        given = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}, cls=encoder).encode()
        done = run_in_fork(f"{_MODULES}.{name}", given)
        for stream in ("stdout", "stderr"):
            done[stream] = to_text(done[stream], errors="surrogate_then_replace")
        result.update(self._parse_returned_data(done, PROFILE))
        remove_internal_keys(result)
        for stream in ("stdout", "stderr"):
            if stream in result and f"{stream}_lines" not in result:
                result[f"{stream}_lines"] = (result[stream] or "").splitlines()
        return result

    def _needs_a_new_python(self, task_vars: dict[str, t.Any]) -> str:
        """Return why a fork is not equivalent to a new Python process for this task, or an empty string."""
        reasons = {
            f"{SWITCH} is false": not self._is_switched_on(task_vars),
            f"ansible-core {core_version} was not tested with forks": not IS_TESTED,
            f"the connection is {self._connection.transport}": self._connection.transport != "local",
            "the task becomes another user": self._connection.become is not None,
            "the task is asynchronous": bool(self._task.async_val),
            "the task is delegated": bool(self._task.delegate_to),
            "the task sets an environment": bool(self._compute_environment_string()),
            "Ansible keeps module files for debugging": bool(C.config.get_config_value("DEFAULT_KEEP_REMOTE_FILES")),
            "Ansible limits the number of open files": bool(
                C.config.get_config_value("PYTHON_MODULE_RLIMIT_NOFILE", variables=task_vars)
            ),
            "the interpreter is not Ansible's": not _is_this_python(
                self._templar.template(task_vars.get("ansible_python_interpreter"))
            ),
        }
        return ", ".join(reason for reason, applies in reasons.items() if applies)

    def _is_switched_on(self, task_vars: dict[str, t.Any]) -> bool:
        """Read the switch. It is on if nobody set it, even without the defaults of the role common."""
        value = self._templar.template(task_vars.get(SWITCH, True))
        try:
            return bool(boolean(value))
        except TypeError:
            raise AnsibleActionFail(f"{SWITCH} is {value!r}. Set it to true or false.") from None


def _is_this_python(path: t.Any) -> bool:
    """Return whether the path is this interpreter, possibly by another name in the same environment (python3)."""
    return (
        isinstance(path, str)
        and os.path.realpath(os.path.dirname(path)) == os.path.realpath(os.path.dirname(sys.executable))
        and os.path.realpath(path) == os.path.realpath(sys.executable)
    )
