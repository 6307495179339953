# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run programs, and fail with messages that contain no secret."""

from __future__ import annotations

import os
import subprocess
import typing as t


class ReleaseError(Exception):
    """The release cannot continue. The message says why and what to do."""


class Runner:
    """Runs programs without the secrets in their environment, and removes the secrets from what they print."""

    # What only the release itself needs
    WITHHELD = ("DOCKER_PASS", "CI_GITHUB_TOKEN")

    def __init__(self, directory: str, secrets: t.Iterable[str] = ()) -> None:
        self.directory = directory
        self._secrets = [secret for secret in secrets if secret]

    def __call__(
        self, purpose: str, *command: str, given: str = "", environment: t.Mapping[str, str] | None = None
    ) -> str:
        """Return what the command prints. Fail with the purpose and the command's errors if it fails."""
        code, output, errors = self.attempt(*command, given=given, environment=environment)
        if code != 0:
            said = errors.strip() or output.strip() or "it printed nothing"
            raise ReleaseError(f"Cannot {purpose}: {command[0]} ended with code {code}. It says:\n{said}")
        return output

    def attempt(
        self, *command: str, given: str = "", environment: t.Mapping[str, str] | None = None
    ) -> tuple[int, str, str]:
        """Return the exit code, the output and the errors of a command."""
        inherited = {name: value for name, value in os.environ.items() if name not in self.WITHHELD}
        try:
            done = subprocess.run(
                command,
                cwd=self.directory,
                env={**inherited, **(environment or {})},
                input=given,
                capture_output=True,
                text=True,
                check=False,
            )
        except FileNotFoundError:
            raise ReleaseError(f"Cannot run {command[0]}: it is not on PATH. Install it, then run again.") from None
        return done.returncode, self._redact(done.stdout), self._redact(done.stderr)

    def _redact(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text
