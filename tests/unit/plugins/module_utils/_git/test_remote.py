# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ssh command, as the real ssh reads it."""

from __future__ import annotations

import subprocess

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._git.remote import Remote


@pytest.mark.parametrize("folder", ["/plain", "/with a space", "/100%/of it", '/"quoted"', "/back\\slash"])
def test_ssh_reads_the_host_keys_of_any_directory(folder: str) -> None:
    known_hosts = f"{folder}/known_hosts"
    command = Remote("ssh://git@h/x.git", known_hosts=known_hosts).ssh_command()
    read = subprocess.run([*command, "-G", "h"], check=True, capture_output=True, text=True).stdout.splitlines()
    assert f"userknownhostsfile {known_hosts}" in read
    assert "globalknownhostsfile /dev/null" in read
