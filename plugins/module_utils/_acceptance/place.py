# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the steps of an acceptance test work with: the cluster, commands and Git. PRIVATE to the collection."""

from __future__ import annotations

import os
import time
import typing as t
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ansible_collections.drystone.platform.plugins.module_utils._command import Result, run
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi


class Command(t.Protocol):
    """Runs a command, as _command.run does."""

    def __call__(
        self,
        argv: list[str],
        timeout: float,
        *,
        env: t.Mapping[str, str] | None = None,
        cwd: str | None = None,
        merged: bool = False,
    ) -> Result:
        """Run argv and return its result."""


@dataclass
class Place:
    """The cluster, the directories and the credentials that the steps use.

    prometheus is the path of Prometheus at the API server. pictures is a directory for pictures of pages; without it no
    picture is taken.
    """

    api: KubeApi
    kubeconfig: str
    tools: Sequence[str] = ()
    prometheus: str = ""
    private_key: str | None = None
    known_hosts: str | None = None
    pictures: str | None = None
    # Seconds to wait at least for a step that only looks. A new platform needs a moment for its first metrics.
    patience: float = 0
    command: Command = run
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    @property
    def environment(self) -> dict[str, str]:
        """The environment of commands: the kubeconfig of this cluster, and its tools first."""
        path = os.pathsep.join([*self.tools, os.environ.get("PATH", os.defpath)])
        # Steps read the output of Ansible, so it must not depend on the user's settings.
        ansible = {"ANSIBLE_STDOUT_CALLBACK": "default", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"}
        return {**os.environ, **ansible, "LC_ALL": "C.UTF-8", "KUBECONFIG": self.kubeconfig, "PATH": path}
