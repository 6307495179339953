# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendering from any commit. Small programs replace kustomize and helm."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._errors import CommandFailed, InvalidInput
from ansible_collections.drystone.platform.plugins.module_utils._release.pins import Target
from ansible_collections.drystone.platform.plugins.module_utils._release.render import Renderer
from tests.unit.bare_repository import Server

STAGING = Target("staging", "greeter")
OBJECT = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {}\n"


class Tools:
    """A renderer whose programs print a file of the folder, and note their arguments."""

    def __init__(self, server: Server, directory: Path) -> None:
        self.log = directory / "log"
        programs = {"kustomize": 'cat "$2/kustomization.yaml"', "helm": "env >&2; cat ${5#--values=}"}
        for name, script in programs.items():
            (directory / name).write_text(f'#!/bin/sh\necho "$*" >>{self.log}\n{script}\n')
            (directory / name).chmod(0o755)
        self.git = server.clone()
        self.git.fetch()
        (directory / "work").mkdir()
        self.renderer = Renderer(
            self.git,
            str(directory / "work"),
            kustomize=str(directory / "kustomize"),
            helm=str(directory / "helm"),
            kube_version="1.36",
        )

    def names(self, target: Target, commit: str) -> list[t.Any]:
        return [one["metadata"]["name"] for one in self.renderer.render(target, commit)]


def test_each_commit_renders_its_own_content(server: Server, tmp_path: Path) -> None:
    path = "deploy/environments/staging/greeter/kustomization.yaml"
    first = server.commit({path: OBJECT.format("first"), "outside/deploy": "a file that nobody needs"})
    second = server.commit({path: OBJECT.format("second")})
    tools = Tools(server, tmp_path)
    assert tools.names(STAGING, first) == ["first"]
    assert tools.names(STAGING, second) == ["second"]
    assert tools.names(STAGING, first) == ["first"]
    assert not (tmp_path / "work" / first / "outside").exists()


def test_a_workload_with_a_chart_is_rendered_by_helm_with_the_values_of_the_environment(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELM_REPOSITORY_CONFIG", "/the/users/file")
    commit = server.commit(
        {
            "deploy/workloads/hello/chart/Chart.yaml": "name: hello\n",
            "deploy/environments/production/hello/values.yaml": OBJECT.format("hello"),
        }
    )
    tools = Tools(server, tmp_path)
    assert tools.names(Target("production", "hello"), commit) == ["hello"]
    called = tools.log.read_text()
    assert called.startswith("template hello ")
    assert "--namespace=production" in called
    assert "--kube-version=1.36" in called


def test_a_commit_without_the_workload_is_an_error(server: Server, first: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no folder deploy/environments/staging/other\. Choose a commit"):
        Tools(server, tmp_path).renderer.render(Target("staging", "other"), first)


def test_content_that_cannot_be_rendered_is_an_error(server: Server, tmp_path: Path) -> None:
    commit = server.commit({"deploy/environments/staging/greeter/README.md": "no kustomization"})
    with pytest.raises(CommandFailed, match=f"Rendering greeter in staging at commit {commit[:12]}"):
        Tools(server, tmp_path).renderer.render(STAGING, commit)
