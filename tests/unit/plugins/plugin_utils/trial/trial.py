#!/usr/bin/python
# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module that can end in all ways: test_fork_action.py adds it to the collection."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.warnings import warn


def warned(module: AnsibleModule) -> None:
    module.warn("The trial is nearly over.")
    module.warn("The trial is nearly over.")
    warn("A library has doubts.")
    module.exit_json(changed=True)


def deprecated(module: AnsibleModule) -> None:
    module.deprecate("Trials are heard elsewhere.", version="9.9.9", collection_name="drystone.platform")
    module.deprecate("Nobody says where.", date="2040-01-01")
    module.exit_json()


def failed(module: AnsibleModule) -> None:
    module.warn("It will fail.")
    module.fail_json(msg="It failed.", stdout="one\ntwo", reason={"deep": [1]})


def failed_for(module: AnsibleModule) -> None:
    try:
        raise LookupError("nothing found")
    except LookupError as error:
        module.fail_json(msg="It failed for a reason.", exception=error)


def raised(_module: AnsibleModule) -> None:
    raise ValueError("as never seen")


def printed(module: AnsibleModule) -> None:
    print("a line before the result")
    print("a line on the other stream", file=sys.stderr)
    sys.stdout.flush()
    subprocess.run(["/bin/echo", "a line of another process"], check=True)
    module.exit_json(arguments=sys.argv[1:])


def said_nothing(_module: AnsibleModule) -> None:
    return


def left(_module: AnsibleModule) -> None:
    sys.exit("I leave.")


def interrupted(_module: AnsibleModule) -> None:
    os.kill(os.getpid(), signal.SIGINT)
    signal.pause()


def terminated(_module: AnsibleModule) -> None:
    print("said too early")
    os.kill(os.getpid(), signal.SIGTERM)
    signal.pause()


def finished(module: AnsibleModule) -> None:
    """Start a thread that continues after the main thread."""

    def finish() -> None:
        threading.main_thread().join()
        Path(module.params["path"]).write_text("finished")

    threading.Thread(target=finish).start()
    module.exit_json()


def wrote(module: AnsibleModule) -> None:
    module.warn("It will write much.")
    with Path(module.params["path"]).open("wb") as file:
        file.write(b"x" * 1024 * 1024)
    module.exit_json(changed=True)


def waited(module: AnsibleModule) -> None:
    """Report the process id, and keep the pipe open until the end."""
    with Path(module.params["path"]).open("w") as pipe:
        print(os.getpid(), file=pipe, flush=True)
        signal.pause()


WAYS: tuple[t.Callable[[AnsibleModule], None], ...] = (
    warned,
    deprecated,
    failed,
    failed_for,
    raised,
    printed,
    said_nothing,
    left,
    interrupted,
    terminated,
    finished,
    wrote,
    waited,
)


def main() -> None:
    ways = {way.__name__: way for way in WAYS}
    module = AnsibleModule({"way": {"required": True, "choices": list(ways)}, "path": {"type": "path"}})
    ways[module.params["way"]](module)


if __name__ == "__main__":
    main()
