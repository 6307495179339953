# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every Application must run its own commit."""

from __future__ import annotations

from ansible_collections.drystone.platform.plugins.filter.release_conditions import FilterModule

conditions = FilterModule().filters()["release_conditions"]


def test_without_releases_all_run_the_head() -> None:
    (one,) = conditions(["dev/greeter", "staging/greeter"], {}, "head", "argocd")
    expected = {"namespace": "argocd", "names": ["greeter-dev", "greeter-staging"], "revision": "head"}
    assert one == {"applications": expected}


def test_each_release_is_a_condition_of_its_own() -> None:
    found = conditions(
        ["dev/greeter", "production/greeter", "staging/greeter"],
        {"staging/greeter": "b", "production/greeter": "a", "dev/gone": "c"},
        "head",
        "gitops",
    )
    shown = [(one["applications"]["revision"], one["applications"]["names"]) for one in found]
    assert shown == [("head", ["greeter-dev"]), ("a", ["greeter-production"]), ("b", ["greeter-staging"])]


def test_without_folders_there_is_no_condition() -> None:
    assert conditions([], {}, "head", "argocd") == []
