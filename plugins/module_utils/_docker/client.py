# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of the Docker engine that runs the docker command. PRIVATE to the collection."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.drystone.platform.plugins.module_utils._command import Result, Run, require, run
from ansible_collections.drystone.platform.plugins.module_utils._errors import CommandFailed

_TIMEOUT = 120.0
_IF_MISSING = "Run the role container_engine first, or put the docker client on PATH."
_IF_SLOW = "Check whether the engine answers to `docker info`, and restart it if it does not."


class DockerClient:
    """The docker commands. Each runs in one process with a timeout and without a shell."""

    def __init__(self, run_command: Run = run, *, binary: str = "docker", timeout: float = _TIMEOUT) -> None:
        self._run_command = run_command
        self._binary = binary
        self._timeout = timeout

    def ask(self, *arguments: str, timeout: float | None = None) -> Result:
        """Run a docker command and return its result without checking it."""
        return self._run_command([self._binary, *arguments], timeout or self._timeout)

    def do(self, *arguments: str, doing: str, timeout: float | None = None) -> str:
        """Run a docker command and return its output. Raise CommandFailed with the operation in the message."""
        done = self.ask(*arguments, timeout=timeout)
        return require(done, [self._binary, *arguments], doing=doing, if_missing=_IF_MISSING, if_slow=_IF_SLOW)

    # --- containers ---

    def containers(self, *filters: str, doing: str) -> list[str]:
        """Return the ids of the containers in any state that match all filters."""
        options = [part for one in filters for part in ("--filter", one)]
        return self.do("ps", "--all", "--no-trunc", "--quiet", *options, doing=doing).split()

    def running(self, timeout: float | None = None) -> list[dict[str, t.Any]]:
        """Return the running containers like `docker ps`, or none if the engine does not answer."""
        listed = self.ask("ps", "--no-trunc", "--format", "{{json .}}", timeout=timeout)
        return [json.loads(line) for line in listed.stdout.splitlines()] if listed.rc == 0 else []

    def inspect(self, ids: t.Sequence[str], *, doing: str) -> list[dict[str, t.Any]]:
        """Return the details of these containers."""
        found: list[dict[str, t.Any]] = json.loads(self.do("container", "inspect", *ids, doing=doing)) if ids else []
        return found

    def remove(self, ids: t.Sequence[str], *, doing: str) -> None:
        """Remove these containers with their anonymous volumes."""
        if ids:
            self.do("container", "rm", "--force", "--volumes", *ids, doing=doing)

    # --- images ---

    def image_id(self, reference: str) -> str | None:
        """Return the id of an image, or None if the engine does not have it."""
        doing = f"Looking for image {reference}"
        try:
            return self.do("image", "inspect", "--format", "{{.Id}}", reference, doing=doing).strip()
        except CommandFailed as error:
            if "no such image" in str(error.facts.get("stderr", "")).lower():
                return None
            raise
