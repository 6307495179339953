# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A StatefulSet with a version that cannot start must be repaired by the next version.

With the default policy, Kubernetes waits for ever for the pod that cannot start instead of replacing it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
FILES = sorted(
    path
    for pattern in ("deploy/workloads/*/base/**/*.yaml", "roles/*/files/**/*.yaml")
    for path in ROOT.glob(pattern)
    if "kind: StatefulSet" in path.read_text().splitlines()
)


def test_the_stateful_sets_are_found() -> None:
    assert [path.name for path in FILES] == ["stateful-set.yaml", "application-controller.yaml"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_pod_that_cannot_start_is_replaced(path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text()):
        if document["kind"] == "StatefulSet":
            assert document["spec"].get("podManagementPolicy") == "Parallel"
