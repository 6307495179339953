# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible runs it, in a separate process, with real git and a fake API server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._credentials import git_sync_secret as gss
from ansible_collections.drystone.platform.plugins.module_utils._credentials.git_sync_request import Request
from ansible_collections.drystone.platform.plugins.module_utils._credentials.ssh_key import new_key, public_line
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi

if t.TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.fake_api import FakeApi
    from tests.unit.fake_git import FakeGit

_RUN = """
import json, sys
from ansible.module_utils.testing import patch_module_args
from ansible_collections.drystone.platform.plugins.modules import git_sync_secret_info
with patch_module_args(json.load(sys.stdin)):
    git_sync_secret_info.main()
"""
NAME = "site-git-credentials"
Runner = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def kubeconfig(fake_api: FakeApi, tmp_path: Path) -> str:
    fake_api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "dev"}})
    return fake_api.kubeconfig(tmp_path / "kubeconfig")


@pytest.fixture
def run(kubeconfig: str, fake_git: FakeGit) -> Runner:
    def run_module(**options: t.Any) -> dict[str, t.Any]:
        arguments = {"kubeconfig": kubeconfig, "namespace": "dev", "name": NAME, **options}
        done = subprocess.run(
            [sys.executable, "-c", _RUN],
            input=json.dumps(arguments),
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert done.stdout, done.stderr
        result: dict[str, t.Any] = json.loads(done.stdout)
        return result

    return run_module


@pytest.fixture
def stored(kubeconfig: str, fake_git: FakeGit) -> str:
    """Create a Secret with a key that can read, and return the public key."""
    key = new_key()
    fake_git.authorize(public_line(key))
    request = Request("dev", NAME, repository=fake_git.ssh_url, private_key=key, known_hosts=fake_git.known_hosts)
    gss.ensure(KubeApi.from_kubeconfig(kubeconfig), request, check=False, hide=lambda _secrets: None)
    return public_line(key)


def test_nothing_there_is_a_result(run: Runner) -> None:
    result = run()
    assert (result["changed"], result["exists"], result["ours"], result["public_key"]) == (False, False, False, None)
    assert "readable" not in result


def test_what_is_there_is_shown_without_what_is_secret(run: Runner, fake_git: FakeGit, stored: str) -> None:
    result = run()
    assert (result["exists"], result["ours"], result["auth"], result["ref"]) == (True, True, "ssh", "main")
    assert result["public_key"] == f"{stored} dev/{NAME}"
    assert result["fingerprint"].startswith("SHA256:")
    assert result["host_key_fingerprints"] == [f"ssh-ed25519 {fake_git.state['host_key_fingerprint']}"]
    assert result["repository"] == fake_git.ssh_url


def test_the_credential_is_tried_on_request_and_its_failure_is_a_result(
    run: Runner, fake_git: FakeGit, stored: str
) -> None:
    works = run(check=True)
    assert (works["readable"], works["commit"], works["reason"]) == (True, fake_git.commit, None)
    fake_git.withdraw(stored)
    broken = run(check=True)
    assert "failed" not in broken
    assert (broken["readable"], broken["commit"], broken["reason"]) == (False, None, "permission_denied")
    fake_git.change_host_key()
    assert run(check=True)["reason"] == "host_key_changed"


def test_the_repository_may_be_reached_another_way_from_here(run: Runner, fake_git: FakeGit, stored: str) -> None:
    assert run(check=True, check_repository="ssh://git@127.0.0.1:2322/srv/git/site-content.git")["readable"]
    assert "git@127.0.0.1" in fake_git.ssh_calls()[-1]["argv"]
    assert run(check=True, ref="nope")["reason"] == "ref_not_found"
    assert run(check=True, check_repository=fake_git.https_url)["reason"] == "auth_differs"
