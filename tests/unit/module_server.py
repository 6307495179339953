# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run modules in forks of a process that has imported Ansible, because the imports take longer than most modules.

The server reads one JSON object per line: name, environ and directory of a module, and the files stdin, stdout and
stderr. It writes the exit code of the module. Each module runs in its own process, which ends as a new interpreter
would end.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys

from ansible.module_utils.testing import patch_module_args

PACKAGE = "ansible_collections.drystone.platform.plugins.modules"


def become(request: dict[str, object]) -> None:
    """Give this process the environment, the directory and the files of the module."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        opened = os.open(str(request[name]), os.O_RDONLY if number == 0 else os.O_WRONLY)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  open as long as the process
    environ = request["environ"]
    assert isinstance(environ, dict)
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(str(request["directory"]))


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        # Whatever prevents the import is reported by the process of the module.
        with contextlib.suppress(Exception):
            importlib.import_module(f"{PACKAGE}.{request['name']}")
        process = os.fork()
        if process == 0:
            become(request)
            module = importlib.import_module(f"{PACKAGE}.{request['name']}")
            with patch_module_args(json.load(sys.stdin)):
                module.main()
            return
        _process, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
