# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decisions of the role for lists of workloads, rendered by Ansible."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[4]
Object = dict[str, Any]
WORKLOADS = [
    {"name": "site", "namespace": "dev", "repository": "site-content"},
    {"name": "docs", "namespace": "staging", "repository": "site-content", "auth": "https"},
    {
        "name": "models",
        "namespace": "dev",
        "repository": "git@git.example.org:team/models.git",
        "private_key": "canary-key",
        "known_hosts": "git.example.org ssh-ed25519 AAAA",
    },
    {
        "name": "rules",
        "namespace": "dev",
        "repository": "https://git.example.org:4443/team/rules.git",
        "username": "token",
        "password": "canary-password",
        "cidr": "192.0.2.0/24",
    },
    {"name": "open", "namespace": "somewhere-open", "repository": "site-content"},
]


class Rendered:
    def __init__(self, folder: Path, variables: Object) -> None:
        folder.mkdir()
        env = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        given = {
            "out": str(folder),
            "ansible_python_interpreter": sys.executable,
            "drystone_environments": ["dev", "staging"],
            **variables,
        }
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "--inventory=localhost,"]
        command += [f"--extra-vars={json.dumps(given)}", str(Path(__file__).with_name("render.yml"))]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        documents = yaml.safe_load_all((folder / "policies.yml").read_text())
        self.policies = {
            f"{one['metadata']['namespace']}/{one['metadata']['name']}": one["spec"] for one in documents if one
        }
        self.decided: Object = json.loads((folder / "decided.json").read_text())


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    return Rendered(tmp_path_factory.mktemp("git_sync") / "all", {"workloads": WORKLOADS})


def out(rendered: Rendered, name: str) -> tuple[Object, list[int]]:
    (rule,) = rendered.policies[name]["egress"]
    (peer,) = rule["to"]
    return peer, [one["port"] for one in rule["ports"]]


@pytest.mark.parametrize(("name", "port"), [("dev/site-git-sync", 2222), ("staging/docs-git-sync", 8443)])
def test_git_sync_gets_to_the_git_server_s_port_and_no_further(rendered: Rendered, name: str, port: int) -> None:
    peer, ports = out(rendered, name)
    assert peer == {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "git"}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "git-server"}},
    }
    assert ports == [port]


def test_git_sync_gets_to_servers_elsewhere_and_to_no_pod(rendered: Rendered) -> None:
    assert out(rendered, "dev/models-git-sync") == (
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.244.0.0/16"]}},
        [22],
    )
    assert out(rendered, "dev/rules-git-sync") == ({"ipBlock": {"cidr": "192.0.2.0/24"}}, [4443])


def test_a_policy_is_about_the_pods_of_its_workload_and_for_the_api_about_the_syncer_alone(rendered: Rendered) -> None:
    label = "drystone.dev/git-content"
    for name, spec in rendered.policies.items():
        labels = spec["podSelector"]["matchLabels"]
        assert name.split("/")[1].startswith(f"{labels[label]}-git-sync")
        assert (labels.get("app.kubernetes.io/component") == "git-syncer") == name.endswith("-git-syncer")
        assert spec["policyTypes"] == ["Egress"]
    assert out(rendered, "dev/site-git-syncer")[1] == [6443, 443]


def test_a_namespace_that_is_open_is_not_closed_by_a_policy(rendered: Rendered) -> None:
    assert [name for name in rendered.policies if name.startswith("somewhere-open/")] == []


def test_readers_are_those_of_the_cluster_s_own_server_each_with_its_repository(rendered: Rendered) -> None:
    readers = {one["user"]: one for one in rendered.decided["readers"]}
    assert set(readers) == {"dev.site", "staging.docs", "somewhere-open.open"}
    assert readers["staging.docs"] == {
        "user": "staging.docs",
        "repository": "site-content",
        "namespace": "staging",
        "secrets": ["docs-git-credentials", "docs-git-credentials-staged", "docs-git-token"],
        "syncers": "drystone.dev/git-content=docs,app.kubernetes.io/component=git-syncer",
    }


def test_what_is_kept_is_named_and_nothing_secret_is_planned(rendered: Rendered) -> None:
    names = {"dev/site", "staging/docs", "dev/models", "dev/rules", "somewhere-open/open"}
    assert set(rendered.decided["secrets"]) == {f"{name}-git-credentials" for name in names}
    assert rendered.decided["tokens"] == ["staging/docs-git-token"]
    assert "canary" not in json.dumps(rendered.decided)


def test_by_default_all_on_the_own_server_are_rotated_and_by_name_those_alone(
    rendered: Rendered, tmp_path: Path
) -> None:
    assert rendered.decided["chosen"] == ["dev/site", "staging/docs", "somewhere-open/open"]
    only = {"workloads": WORKLOADS, "git_sync_only": ["staging/docs", "docs"]}
    assert Rendered(tmp_path / "only", only).decided["chosen"] == ["staging/docs"]


def test_by_default_the_site_in_dev_gets_its_content(tmp_path: Path) -> None:
    assert Rendered(tmp_path / "default", {}).decided["secrets"] == ["dev/site-git-credentials"]
    own = Rendered(tmp_path / "own", {"workloads_repo_url": "https://git.example.org/platform.git"})
    assert (own.decided["secrets"], own.policies) == ([], {})
