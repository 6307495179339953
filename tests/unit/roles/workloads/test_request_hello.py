# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The check of hello through the ingress controller: in each environment that has it, and only there."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from app.hello.tests.test_process import hello

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.fake_api import FakeApi

ROOT = Path(__file__).resolve().parents[4]
TOKEN = "T1&eWbYXNWG1w1^YGKDPxAWJ@^et^&kX"
PLAY = """\
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: drystone.platform.workloads
        tasks_from: request_hello
"""
Verify = t.Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def verify(tmp_path: Path, fake_api: FakeApi) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that checks the environments dev and qa, with hello itself in place of the controller."""
    fake_api.serve("networking.k8s.io/v1", "Ingress", "ingresses")
    (tmp_path / "play.yml").write_text(PLAY)

    def check(url: str, **variables: t.Any) -> subprocess.CompletedProcess[str]:
        given = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "workloads_kubeconfig": fake_api.kubeconfig(tmp_path / "kubeconfig"),
            "drystone_environments": ["dev", "qa"],
            "ingress_http_host_port": urlsplit(url).port or 9,
            **variables,
        }
        (tmp_path / "hosts.yml").write_text(json.dumps({"all": {"hosts": {"here": given}}}))
        command = [str(Path(sys.executable).with_name("ansible-playbook")), f"--inventory={tmp_path}/hosts.yml"]
        env = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        return subprocess.run(
            [*command, "-vvv", f"{tmp_path}/play.yml"], cwd=ROOT, env=env, capture_output=True, text=True, check=False
        )

    return check


def put_ingress(fake_api: FakeApi, namespace: str, *hosts: str, name: str = "hello") -> None:
    backend = {"service": {"name": name, "port": {"name": "http"}}}
    path = {"path": "/app", "pathType": "Prefix", "backend": backend}
    metadata = {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/name": name}}
    rules = [{"host": host, "http": {"paths": [path]}} for host in hosts]
    fake_api.put(
        {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": {"rules": rules}}
    )


def put_token(fake_api: FakeApi, namespace: str, token: str = TOKEN) -> None:
    data = {"token": base64.b64encode(token.encode()).decode()}
    metadata = {"name": "hello", "namespace": namespace}
    fake_api.put({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})


def test_each_host_of_each_environment_is_requested_and_no_token_is_shown(verify: Verify, fake_api: FakeApi) -> None:
    put_ingress(fake_api, "dev", "dev.example.com", "*.dev.example.com")
    put_ingress(fake_api, "qa", "qa.example.com")
    put_ingress(fake_api, "qa", "other.example.com", name="other")
    for namespace in ("dev", "qa"):
        put_token(fake_api, namespace)
    with hello(AUTH_TOKEN=TOKEN) as (_process, url):
        done = verify(url)
        assert done.returncode == 0, done.stdout + done.stderr
        for where, host in (
            ("dev", "dev.example.com"),
            ("dev", "any.dev.example.com"),
            ("qa", "qa.example.com"),
        ):
            told = f"hello in {where} answers {url.removesuffix('/app')}/app for the host {host}: 200 with its token"
            assert told in " ".join(done.stdout.split())
    assert "other.example.com" not in done.stdout
    for shown in (TOKEN, base64.b64encode(TOKEN.encode()).decode()):
        assert shown not in done.stdout + done.stderr


@pytest.mark.parametrize("variables", [{}, {"drystone_environments": []}, {"drystone_parts": ["guardrails", "argocd"]}])
def test_without_hello_environments_or_an_ingress_controller_nothing_is_requested(
    verify: Verify, fake_api: FakeApi, variables: dict[str, t.Any]
) -> None:
    if variables:
        put_ingress(fake_api, "dev", "dev.example.com")
    done = verify("http://127.0.0.1:9", **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hello in" not in done.stdout


def test_a_token_that_hello_does_not_accept_is_an_error_that_names_host_and_answer(
    verify: Verify, fake_api: FakeApi
) -> None:
    put_ingress(fake_api, "dev", "dev.example.com")
    put_token(fake_api, "dev", "another-token")
    with hello(AUTH_TOKEN=TOKEN) as (_process, url):
        done = verify(url, drystone_environments=["dev"])
    assert done.returncode != 0
    assert "(host dev.example.com)" in done.stdout
    assert "answered 401, not 200: The header X-Auth-Token is missing or wrong." in done.stdout
    assert "another-token" not in done.stdout + done.stderr
