# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change without notice.

"""The action of this collection's modules: it runs them in a fork of Ansible where a new Python would do the same.

Ansible packs each module into an archive and starts a new Python for it, which compiles a third of Ansible from that
archive: 0.4 s of a processor for each task, more than most modules need. A fork has all of it at hand. The module reads
the same arguments, returns the same result and ends with its process. A task that needs a new Python gets one: on other
hosts, as another user, with another interpreter, with an environment of its own, with async. So does every task when
drystone_fork_modules is false, or with an ansible-core that forks were not tested with.

meta/runtime.yml names the modules that are run like this. ansible.netcommon calls it direct execution.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import typing as t

from ansible import constants as C  # noqa: N812  so it is called throughout Ansible
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

    # Ansible loads this file before it forks for a task: what is imported here is compiled once, not for each task.
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
    """See the documentation of the module that is run."""

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
        """Say why a fork is not the same as a new Python here; say nothing where it is."""
        reasons = {
            f"{SWITCH} is false": not self._is_switched_on(task_vars),
            f"ansible-core {core_version} was not tested with forks": not IS_TESTED,
            f"the connection is {self._connection.transport}": self._connection.transport != "local",
            "it becomes another user": self._connection.become is not None,
            "it is asynchronous": bool(self._task.async_val),
            "it is delegated": bool(self._task.delegate_to),
            "it has an environment of its own": bool(self._compute_environment_string()),
            "its files are kept for debugging": bool(C.config.get_config_value("DEFAULT_KEEP_REMOTE_FILES")),
            "its number of open files is set": bool(
                C.config.get_config_value("PYTHON_MODULE_RLIMIT_NOFILE", variables=task_vars)
            ),
            "its interpreter is not the one of Ansible": not _is_this_python(
                self._templar.template(task_vars.get("ansible_python_interpreter"))
            ),
        }
        return ", ".join(reason for reason, applies in reasons.items() if applies)

    def _is_switched_on(self, task_vars: dict[str, t.Any]) -> bool:
        """Read the switch, which is on where the role common was not loaded and nobody set it."""
        value = self._templar.template(task_vars.get(SWITCH, True))
        try:
            return bool(boolean(value))
        except TypeError:
            raise AnsibleActionFail(f"{SWITCH} is {value!r}. Set it to true or false.") from None


def _is_this_python(path: t.Any) -> bool:
    """Tell another name of this interpreter, such as python for python3, from that of another environment."""
    return (
        isinstance(path, str)
        and os.path.realpath(os.path.dirname(path)) == os.path.realpath(os.path.dirname(sys.executable))
        and os.path.realpath(path) == os.path.realpath(sys.executable)
    )
