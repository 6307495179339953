# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Docker engine by its command-line client, for all that asks it or changes it. PRIVATE to the collection."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.drystone.platform.plugins.module_utils._command import Result, Run, require, run
from ansible_collections.drystone.platform.plugins.module_utils._errors import CommandFailed

_TIMEOUT = 120.0
_IF_MISSING = "Run the role container_engine first, or put the docker client on PATH."
_IF_SLOW = "Does the engine hang? Try `docker info`, and restart the engine."


class DockerClient:
    """The docker commands; each is one process with a time limit, and none goes through a shell."""

    def __init__(self, run_command: Run = run, *, binary: str = "docker", timeout: float = _TIMEOUT) -> None:
        self._run_command = run_command
        self._binary = binary
        self._timeout = timeout

    def ask(self, *arguments: str, timeout: float | None = None) -> Result:
        """Run a docker command; the caller judges how it ended."""
        return self._run_command([self._binary, *arguments], timeout or self._timeout)

    def do(self, *arguments: str, doing: str, timeout: float | None = None) -> str:
        """Run a docker command and return what it printed; CommandFailed says what was being done."""
        done = self.ask(*arguments, timeout=timeout)
        return require(done, [self._binary, *arguments], doing=doing, if_missing=_IF_MISSING, if_slow=_IF_SLOW)

    # --- containers ---

    def containers(self, *filters: str, doing: str) -> list[str]:
        """List the ids of the containers that match every filter, in any state."""
        options = [part for one in filters for part in ("--filter", one)]
        return self.do("ps", "--all", "--no-trunc", "--quiet", *options, doing=doing).split()

    def running(self, timeout: float | None = None) -> list[dict[str, t.Any]]:
        """Describe the running containers as `docker ps` does; none if the engine does not answer."""
        listed = self.ask("ps", "--no-trunc", "--format", "{{json .}}", timeout=timeout)
        return [json.loads(line) for line in listed.stdout.splitlines()] if listed.rc == 0 else []

    def inspect(self, ids: t.Sequence[str], *, doing: str) -> list[dict[str, t.Any]]:
        """Describe these containers in full."""
        found: list[dict[str, t.Any]] = json.loads(self.do("container", "inspect", *ids, doing=doing)) if ids else []
        return found

    def remove(self, ids: t.Sequence[str], *, doing: str) -> None:
        """Remove exactly these containers with their anonymous volumes."""
        if ids:
            self.do("container", "rm", "--force", "--volumes", *ids, doing=doing)

    # --- images ---

    def image_id(self, reference: str) -> str | None:
        """Return the id of an image of the engine; None if it has none of that name."""
        doing = f"Looking for image {reference}"
        try:
            return self.do("image", "inspect", "--format", "{{.Id}}", reference, doing=doing).strip()
        except CommandFailed as error:
            if "no such image" in str(error.facts.get("stderr", "")).lower():
                return None
            raise
