# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change without notice.
"""The settings and the result of a run on a kind cluster."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.drystone.platform.plugins.module_utils._kind.plan import Action
from ansible_collections.drystone.platform.plugins.module_utils._kind.prefetch import Pulled


@dataclass(frozen=True)
class Settings:
    """The settings of a run."""

    kubeconfig: Path
    recreate: bool = False
    create_timeout: float = 600
    api_timeout: float = 120
    lock_timeout: float = 60
    prefetch_timeout: float = 30


@dataclass
class Outcome:
    """The changes that a run made or would make."""

    plan: list[Action]
    before: dict[str, t.Any] = field(default_factory=dict)
    after: dict[str, t.Any] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    prefetch: list[Pulled] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return bool(self.plan)
