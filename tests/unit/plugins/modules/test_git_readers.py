# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible runs it, in a separate process, against a fake API server."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

if t.TYPE_CHECKING:
    from tests.unit.fake_api import FakeApi

_RUN = """
import json, sys
from ansible.module_utils.testing import patch_module_args
from ansible_collections.drystone.platform.plugins.modules import git_readers
with patch_module_args(json.load(sys.stdin)):
    git_readers.main()
"""
SITE = {"user": "dev.site", "repository": "site-content", "namespace": "dev", "secrets": ["site"]}


class Run(t.NamedTuple):
    code: int
    result: dict[str, t.Any]
    output: str


@pytest.fixture
def run(fake_api: FakeApi, tmp_path: Path) -> t.Callable[..., Run]:
    kubeconfig = fake_api.kubeconfig(tmp_path / "kubeconfig")
    for namespace in ("git", "dev"):
        fake_api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    data = {"password": base64.b64encode(b"canary-t0ken").decode()}
    fake_api.put({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "site", "namespace": "dev"}, "data": data})

    def run_module(*readers: dict[str, t.Any], check: bool = False) -> Run:
        arguments = {
            "kubeconfig": kubeconfig,
            "readers": list(readers),
            "_ansible_check_mode": check,
            "_ansible_diff": True,
            "_ansible_verbosity": 4,
        }
        done = subprocess.run(
            [sys.executable, "-c", _RUN],
            input=json.dumps(arguments),
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert done.stdout, done.stderr
        return Run(done.returncode, json.loads(done.stdout), done.stdout + done.stderr)

    return run_module


def test_check_then_let_in_then_nothing_to_do_then_withdraw(run: t.Callable[..., Run], fake_api: FakeApi) -> None:
    checked = run(SITE, check=True)
    assert fake_api.find("Secret", "git-server-https-readers", "git") is None
    done = run(SITE)
    assert checked.result["changed"]
    assert checked.result["diff"] == done.result["diff"]
    assert [(one["user"], one["repository"], one["auth"]) for one in done.result["added"]] == [
        ("dev.site", "site-content", "https")
    ]
    assert not run(SITE).result["changed"]
    assert run().result["withdrawn"] == done.result["added"]


def test_no_token_is_shown(run: t.Callable[..., Run]) -> None:
    outputs = run(SITE, check=True).output + run(SITE).output + run().output
    assert "canary" not in outputs
    assert base64.b64encode(b"canary-t0ken").decode() not in outputs


def test_a_name_that_cannot_be_is_refused(run: t.Callable[..., Run]) -> None:
    refused = run({**SITE, "repository": "../platform"})
    assert refused.code == 1
    assert "The repository of a reader is '../platform'" in refused.result["msg"]
