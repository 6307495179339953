# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible runs it, with real git and a small program instead of kustomize."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

Runner = t.Callable[..., dict[str, t.Any]]
OBJECT = """apiVersion: apps/v1
kind: Deployment
metadata:
  name: greeter
spec:
  template:
    spec:
      containers:
        - name: greeter
          image: greeter:{}
"""


@pytest.fixture
def difference(git_module: Runner, tmp_path: Path) -> Runner:
    tool = tmp_path / "kustomize"
    tool.write_text('#!/bin/sh\ncat "$2/kustomization.yaml"\n')
    tool.chmod(0o755)
    for tag in ("1.0.0", "1.1.0"):
        for environment in ("dev", "staging"):
            folder = tmp_path / "deploy/environments" / environment / "greeter"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "kustomization.yaml").write_text(OBJECT.format(tag))
        git_module("git_seed", source=str(tmp_path / "deploy"), prefix="deploy")

    def run(**params: t.Any) -> dict[str, t.Any]:
        tools = {"kustomize_binary": str(tool), "helm_binary": "helm", "kube_version": "1.36"}
        return git_module("release_diff", environment="staging", workload="greeter", **tools, **params)

    return run


def test_a_version_is_compared_with_the_current_commit(difference: Runner) -> None:
    found = difference(version="1.0.0", same_images_as="dev")
    assert (found["changed"], found["impacts"], found["images"]) == (False, ["image"], ["greeter:1.0.0"])
    assert "+      - image: greeter:1.0.0" in found["diff_text"]
    assert (found["current"], len(found["revision"])) == ("", 40)
    assert found["diff"][0]["before_header"] == "Deployment greeter"


def test_an_unknown_commit_fails(difference: Runner) -> None:
    assert "not in the history" in difference(revision="abcdef0")["msg"]
