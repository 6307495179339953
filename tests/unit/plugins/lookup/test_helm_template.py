# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

import pytest
from ansible.errors import AnsibleError

from ansible_collections.drystone.platform.plugins.lookup import helm_template


@pytest.fixture
def chart(tmp_path: Path) -> str:
    folder = tmp_path / "chart"
    folder.mkdir()
    (folder / "Chart.yaml").write_text("name: example\n")
    (folder / "values.yaml").write_text("replicas: 1\ntoken: ''\n")
    return str(folder)


@pytest.fixture
def fake_binary(tmp_path: Path) -> str:
    """Create a fake helm that prints its arguments and fails for three replicas."""
    path = tmp_path / "helm"
    path.write_text(
        "#!/bin/sh\n"
        'for word; do case "$word" in --values=*) file=${word#--values=};; esac; done\n'
        'grep -q "\\"replicas\\": 3" "$file" && { echo "parse error" >&2; exit 1; }\n'
        'printf \'{"arguments": "%s", "values": %s, "home": "%s", "kubeconfig": "%s"}\' "$*" "$(cat "$file")"'
        ' "$HELM_CONFIG_HOME" "$KUBECONFIG"\n'
    )
    path.chmod(0o755)
    return str(path)


def look_up(chart: str, binary: str, **more: t.Any) -> t.Any:
    options: dict[str, t.Any] = {
        "binary_path": binary,
        "release": "web",
        "namespace": "shop",
        "kube_version": "1.36.3",
        "values": {},
        "api_versions": [],
    }
    return helm_template.render(chart, {**options, **more})


def test_helm_is_told_everything_and_sees_nothing_of_the_user_s(
    chart: str, fake_binary: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/home/user/.kube/config")
    monkeypatch.setenv("HELM_CONFIG_HOME", "/home/user/.config/helm")
    told = json.loads(look_up(chart, fake_binary, values={"replicas": 2}, api_versions=["example.com/v1"]))
    arguments = told["arguments"].split()
    assert arguments[:3] == ["template", "web", chart]
    assert {"--namespace=shop", "--kube-version=1.36.3", "--api-versions=example.com/v1", "--no-hooks"} <= set(
        arguments
    )
    assert told["values"] == {"replicas": 2}
    assert told["kubeconfig"] == ""
    assert not told["home"].startswith("/home/user")


def test_values_are_private_and_gone_afterwards(chart: str, fake_binary: str) -> None:
    arguments = json.loads(look_up(chart, fake_binary, values={"token": "s3cret"}))["arguments"]
    assert "s3cret" not in arguments
    path = next(word for word in arguments.split() if word.startswith("--values=")).removeprefix("--values=")
    assert not os.path.exists(path)
    assert not os.path.exists(os.path.dirname(path))


def test_a_value_that_helm_would_ignore_is_refused_before_helm_is_called(chart: str) -> None:
    with pytest.raises(AnsibleError, match=r"Helm would ignore .*: replica: .* the most similar key is replicas"):
        look_up(chart, "/nowhere/helm", values={"replica": 2})


def test_a_failure_of_helm_is_told(chart: str, fake_binary: str) -> None:
    with pytest.raises(AnsibleError, match=r"Rendering the chart .* failed with exit code 1: parse error"):
        look_up(chart, fake_binary, values={"replicas": 3})


def test_a_missing_binary_is_named(chart: str) -> None:
    with pytest.raises(AnsibleError, match=r"/nowhere/helm: not found. The role artifacts provides it"):
        look_up(chart, "/nowhere/helm")


def test_a_missing_chart_is_named(tmp_path: Path) -> None:
    with pytest.raises(AnsibleError, match=r"Reading the Helm chart .*role artifacts"):
        look_up(str(tmp_path / "none"), "/nowhere/helm")
