# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the tests of credentials."""

from __future__ import annotations

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._credentials import access_check


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give git more time than it has in use: a busy host must not look like a server that is down."""
    monkeypatch.setattr(access_check, "_COMMAND_TIMEOUT", 600)
