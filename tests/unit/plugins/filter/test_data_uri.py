# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.drystone.platform.plugins.filter.data_uri import FilterModule


def test_the_uri_contains_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    assert FilterModule().filters()["data_uri"](str(tmp_path / "a.png")) == "data:image/png;base64,iVBORw=="


def test_a_missing_picture_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AnsibleFilterError, match=r"Reading the picture .*a\.png: No such file"):
        FilterModule().filters()["data_uri"](str(tmp_path / "a.png"))
