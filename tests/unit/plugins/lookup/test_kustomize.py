# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleError

from ansible_collections.drystone.platform.plugins.lookup import kustomize


@pytest.fixture
def fake_binary(tmp_path: Path) -> str:
    """Create a fake kustomize that prints its kustomization, or fails for a resource with the name broken."""
    path = tmp_path / "kustomize"
    path.write_text(
        '#!/bin/sh\ntest "$1" = build || exit 64\n'
        'grep -q broken "$2/kustomization.yaml" && { echo "no such base" >&2; exit 1; }\n'
        'echo "# $2"; cat "$2/kustomization.yaml"\n'
    )
    path.chmod(0o755)
    return str(path)


def test_absolute_bases_become_relative_and_patches_become_text(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    ready = kustomize.prepare(
        {
            "resources": [str(base), "local.yaml"],
            "patches": [{"patch": {"kind": "Deployment"}}, {"patch": "kind: Service\n"}],
        },
        str(tmp_path / "overlay"),
    )
    assert ready["resources"] == ["../base", "local.yaml"]
    assert [patch["patch"] for patch in ready["patches"]] == ["kind: Deployment\n", "kind: Service\n"]
    assert ready["kind"] == "Kustomization"


def test_the_given_kustomization_is_not_modified(tmp_path: Path) -> None:
    given = {"resources": [str(tmp_path)], "patches": [{"patch": {"kind": "Deployment"}}]}
    kustomize.prepare(given, "/elsewhere")
    assert given == {"resources": [str(tmp_path)], "patches": [{"patch": {"kind": "Deployment"}}]}


def test_build_leaves_no_directory_behind(fake_binary: str) -> None:
    rendered = kustomize.build({"namespace": "example"}, fake_binary)
    assert yaml.safe_load(rendered)["namespace"] == "example"
    assert not os.path.exists(rendered.splitlines()[0].removeprefix("# "))


def test_failure_names_the_bases_and_what_kustomize_said(fake_binary: str) -> None:
    with pytest.raises(
        AnsibleError, match=r"Rendering the kustomization of broken: .* failed with exit code 1: no such base"
    ):
        kustomize.build({"resources": ["broken"]}, fake_binary)


def test_missing_binary_is_named() -> None:
    with pytest.raises(AnsibleError, match=r"/nowhere/kustomize: not found. The role artifacts provides it"):
        kustomize.build({}, "/nowhere/kustomize")


def test_only_dictionaries_are_kustomizations(fake_binary: str) -> None:
    with pytest.raises(AnsibleError, match="is a str"):
        kustomize.LookupModule().run(["base"], binary_path=fake_binary)
