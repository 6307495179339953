# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Git with fixed settings: no configuration of a user or the system, no agent, no password prompt."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from .children import Children, Deadline, Failed
from .flags import Options

_SETTINGS = {
    "core.hooksPath": "/dev/null",
    "gc.autoDetach": "false",
    "gc.pruneExpire": "now",
    # Kubernetes creates the volume with another owner than this process.
    "safe.directory": "*",
}
# Git calls this helper each time it needs a password. Therefore it uses a new password at once, and no password is in
# an environment or on a disk.
_HELPER = (
    '!f() { test "$1" = get || return 0; '
    'printf "username=%s\\npassword=%s\\n" "$STANDIN_USERNAME" "$(cat "$STANDIN_PASSWORD_FILE")"; }; f'
)


def environment(options: Options, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of Git and of a hook, which may use Git too."""
    made = {name: value for name, value in inherited.items() if not name.startswith(("GIT_", "SSH_"))}
    settings = dict(_SETTINGS)
    if options.username:
        made |= {"STANDIN_USERNAME": options.username, "STANDIN_PASSWORD_FILE": options.password_file}
        where = urlsplit(options.repo)
        settings[f"credential.{where.scheme}://{where.netloc}.helper"] = _HELPER
    settings |= options.git_config
    made |= {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (key, value) in enumerate(settings.items()):
        made |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return made | {
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_SSH_COMMAND": _ssh(options),
        "GIT_SSH_VARIANT": "ssh",
        "GIT_TERMINAL_PROMPT": "0",
    }


def _ssh(options: Options) -> str:
    settings = ["BatchMode=yes", "IdentitiesOnly=yes", "GlobalKnownHostsFile=/dev/null"]
    if options.ssh_known_hosts:
        settings += ["StrictHostKeyChecking=yes", f"UserKnownHostsFile={options.ssh_known_hosts_file}"]
    else:
        settings += ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"]
    command = ["ssh", "-F", "none"]
    for key in options.ssh_key_file:
        command += ["-i", key]
    for setting in settings:
        command += ["-o", setting]
    return shlex.join(command)


class Git:
    """Run Git on the repository of a root."""

    def __init__(self, options: Options, children: Children, made: Mapping[str, str]) -> None:
        self.directory = options.root / ".git"
        # Files that every Git holds open: see Repository.lock.
        self.keep_open: tuple[int, ...] = ()
        self._children = children
        self._environment = made
        self._password_file = options.password_file
        self._password = ""  # nosec B105  # there is none yet

    def read_password(self) -> None:
        """Check that there is a password before Git needs it, and keep it to redact it in errors."""
        if not self._password_file:
            return
        try:
            lines = Path(self._password_file).read_text().splitlines()
        except (OSError, ValueError) as error:
            raise Failed(f"can't read the password file: {error}") from error
        if len(lines) != 1 or not lines[0]:
            raise Failed(
                f"the password file {self._password_file} must have exactly one line, which is not empty; "
                f"it has {len(lines)}"
            )
        self._password = lines[0]

    def __call__(
        self, deadline: Deadline, *arguments: str, directory: Path | None = None, worktree: Path | None = None
    ) -> str:
        """Run a Git command and return its output.

        Always set the directory: for a broken repository Git would otherwise use another repository above it.
        """
        where = [f"--git-dir={directory or self.directory}", *([f"--work-tree={worktree}"] if worktree else [])]
        try:
            return self._children.run(
                ["git", *where, *arguments], deadline, self._environment, cwd=worktree, keep_open=self.keep_open
            )
        except Failed as error:
            text = str(error).replace(self._password, "REDACTED") if self._password else str(error)
            raise type(error)(f"git {arguments[0]}: {text}") from None
