# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Only environments that follow the branch have no release."""

from __future__ import annotations

from ansible_collections.drystone.platform.plugins.filter.releases_to_pin import FilterModule

to_pin = FilterModule().filters()["releases_to_pin"]


def test_workloads_of_environments_that_do_not_follow_get_a_release() -> None:
    expected = [{"environment": "staging", "workload": "greeter", "revision": "abc"}]
    assert to_pin(["dev/greeter", "staging/greeter"], ["dev"], "abc") == expected


def test_without_folders_or_with_all_environments_following_there_is_none() -> None:
    assert to_pin([], [], "abc") == []
    assert to_pin(["dev/greeter"], ["dev", "staging"], "abc") == []
