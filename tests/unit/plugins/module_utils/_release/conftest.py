# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository with a workload in three environments, and a renderer that needs no tools."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from tests.unit.bare_repository import Server


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


@pytest.fixture
def first(server: Server) -> str:
    """The first commit of the repository, with the greeter in three environments."""
    base = {"deploy/workloads/greeter/base/kustomization.yaml": "tag: 1.0.0\n"}
    folders: dict[str, str | None] = {
        f"deploy/environments/{environment}/greeter/kustomization.yaml": f"namespace: {environment}\n"
        for environment in ("dev", "staging", "production")
    }
    return server.commit({**base, **folders}, "Seed")


def deployment(image: str = "greeter:1.0.0", **spec: t.Any) -> dict[str, t.Any]:
    """Return a Deployment with one container."""
    container = {"name": "greeter", "image": image, **spec.pop("container", {})}
    pod = {"containers": [container], **spec.pop("pod", {})}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "greeter", "namespace": "staging"},
        "spec": {"selector": {"matchLabels": {"app": "greeter"}}, "template": {"spec": pod}, **spec},
    }
