# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of the role reach the ConfigMaps of Argo CD."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]


def test_a_sync_has_a_time_limit_that_is_a_setting(tmp_path: Path) -> None:
    cases = [{"variables": given, "names": ["__argocd_params"]} for given in ({}, {"argocd_sync_timeout": 90})]
    command = [sys.executable, str(ROOT / "tests/parts/read.py"), str(ROOT), str(tmp_path)]
    done = subprocess.run(command, input=json.dumps(cases), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = [case["__argocd_params"]["controller.sync.timeout.seconds"] for case in json.loads(done.stdout)]
    # The API server accepts only text in a ConfigMap.
    assert found == ["300", "90"]
