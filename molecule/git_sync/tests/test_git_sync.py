"""Each workload has a credential that can only read its own repository and is rotated without interruption."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drystone_testing import Git, Kubectl, Playbook, run

Reader = Callable[..., subprocess.CompletedProcess[str]]
SITE = {"name": "site", "namespace": "dev", "repository": "site-content"}


def secret(kubectl: Kubectl, namespace: str, name: str) -> dict[str, str]:
    data = kubectl.json("get", "secret", name, f"--namespace={namespace}")["data"]
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def over_ssh(variables: dict[str, Any], key: str, folder: Path) -> Reader:
    """Run Git with one key on a repository of the server."""
    path = folder / "key"
    path.write_text(key)
    path.chmod(0o600)
    git = Git(variables, "operator_key")
    git.env["GIT_SSH_COMMAND"] = " ".join([*git.ssh[:-1], str(path)])
    base = variables["git_host_url"].rpartition("/")[0]
    return lambda command, name, *more, where=".": git("-C", str(where), command, f"{base}/{name}.git", *more)


def over_https(variables: dict[str, Any], password: str, name: str = "staging.site") -> Reader:
    """Run Git with one token on a repository of the server."""
    env = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "GIT_SSL_CAINFO": f"{variables['git_dir']}/https.crt",
    }
    base = f"https://{name}:{password}@127.0.0.1:{variables['git_https_port']}"
    return lambda command, repository, *more, where=".": run(
        "git", "-C", str(where), command, f"{base}/{repository}.git", *more, env=env
    )


@pytest.fixture
def readers(kubectl: Kubectl, variables: dict[str, Any], tmp_path: Path) -> dict[str, Reader]:
    return {
        "ssh": over_ssh(variables, secret(kubectl, "dev", "site-git-credentials")["ssh"], tmp_path),
        "https": over_https(variables, secret(kubectl, "staging", "site-git-credentials")["password"]),
    }


def test_the_secrets_have_the_shape_that_git_sync_mounts(kubectl: Kubectl) -> None:
    ssh = secret(kubectl, "dev", "site-git-credentials")
    assert set(ssh) == {"ssh", "known_hosts"}
    assert ssh["known_hosts"].startswith("[git-server.git.svc]:2222 ssh-ed25519 ")
    https = secret(kubectl, "staging", "site-git-credentials")
    assert set(https) == {"username", "password", "ca.crt"}
    assert https["username"] == "staging.site"
    assert "PRIVATE" not in https["ca.crt"]


@pytest.mark.parametrize("auth", ["ssh", "https"])
def test_a_credential_reads_its_repository(readers: dict[str, Reader], auth: str) -> None:
    done = readers[auth]("ls-remote", "site-content", "refs/heads/main")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("refs/heads/main\n")


@pytest.mark.parametrize("auth", ["ssh", "https"])
def test_a_credential_reads_no_other_repository(readers: dict[str, Reader], auth: str) -> None:
    done = readers[auth]("ls-remote", "platform")
    assert done.returncode != 0
    assert {"ssh": "may only read the repository /srv/git/site-content.git", "https": "403"}[auth] in done.stderr


@pytest.mark.parametrize(("auth", "refusal"), [("ssh", "This key may only read"), ("https", "403")])
def test_a_credential_cannot_push(readers: dict[str, Reader], auth: str, refusal: str, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    assert readers[auth]("clone", "site-content", str(clone)).returncode == 0
    pushed = readers[auth]("push", "site-content", "HEAD:refs/heads/test", where=clone)
    assert pushed.returncode != 0
    assert refusal in pushed.stderr


def test_a_commit_is_fetched_by_its_hash(readers: dict[str, Reader], tmp_path: Path) -> None:
    head = readers["ssh"]("ls-remote", "site-content", "refs/heads/main").stdout.split()[0]
    for auth, reader in readers.items():
        folder = tmp_path / auth
        assert run("git", "init", "--quiet", str(folder)).returncode == 0
        done = reader("fetch", "site-content", head, where=folder)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("password", ["wrong", ""])
def test_a_wrong_token_is_refused(variables: dict[str, Any], password: str) -> None:
    done = over_https(variables, password)("ls-remote", "site-content")
    assert done.returncode != 0
    assert "Authentication failed" in done.stderr or "401" in done.stderr


def test_the_server_has_nothing_that_opens_anything(kubectl: Kubectl) -> None:
    keys = kubectl.json("get", "configmap", "git-server-readers", "--namespace=git")["data"]["authorized_keys"]
    assert 'command="read-only site-content" ssh-ed25519 ' in keys
    assert "PRIVATE" not in keys
    lines = secret(kubectl, "git", "git-server-https-readers")["readers"]
    assert secret(kubectl, "staging", "site-git-credentials")["password"] not in lines


def test_only_pods_with_content_from_git_are_let_out_of_their_environment(kubectl: Kubectl) -> None:
    spec = kubectl.json("get", "networkpolicy", "site-git-sync", "--namespace=dev")["spec"]
    assert spec["podSelector"] == {"matchLabels": {"drystone.dev/git-content": "site"}}
    assert spec["policyTypes"] == ["Egress"]


def test_nothing_secret_is_shown_also_by_a_rotation_and_the_old_credentials_are_refused(
    kubectl: Kubectl, variables: dict[str, Any], readers: dict[str, Reader], tmp_path: Path
) -> None:
    names = (("dev", "site-git-credentials", "ssh"), ("staging", "site-git-credentials", "password"))
    before = [secret(kubectl, namespace, name)[key] for namespace, name, key in names]
    done = Playbook("playbooks/rotate_git_credentials.yml", {}, "--diff", "-vvvv")
    assert done.code == 0, done.output
    after = [secret(kubectl, namespace, name)[key] for namespace, name, key in names]
    assert [old for old, new in zip(before, after, strict=True) if old == new] == []
    kept = kubectl.json("get", "secrets", "--all-namespaces", "--selector=app.kubernetes.io/part-of=git-sync")["items"]
    assert [one for one in kept if one["metadata"]["name"].endswith(("-staged", "-previous"))] == []
    secrets = [line for value in before + after for line in value.splitlines() if not line.startswith("-----")]
    secrets += [base64.b64encode(value.encode()).decode() for value in before + after]
    assert [one for one in secrets if one in done.output] == []
    assert [auth for auth, reader in readers.items() if reader("ls-remote", "site-content").returncode == 0] == []
    new = tmp_path / "new"
    new.mkdir()
    for reader in (over_ssh(variables, after[0], new), over_https(variables, after[1])):
        assert reader("ls-remote", "site-content").returncode == 0
    again = Playbook("playbooks/deploy_workloads.yml", {}, "--tags=git_sync")
    assert again.code == 0, again.output
    assert "changed=0" in again.output, again.output


def test_one_workload_is_rotated_by_its_name(kubectl: Kubectl) -> None:
    before = [secret(kubectl, "dev", "site-git-credentials"), secret(kubectl, "staging", "site-git-credentials")]
    done = Playbook("playbooks/rotate_git_credentials.yml", {"git_sync_only": ["staging/site"]})
    assert done.code == 0, done.output
    assert secret(kubectl, "dev", "site-git-credentials") == before[0]
    assert secret(kubectl, "staging", "site-git-credentials") != before[1]
    refused = Playbook("playbooks/rotate_git_credentials.yml", {"git_sync_only": ["nobody"]})
    assert refused.code != 0
    assert "git_sync_only contains nobody" in refused.output


def test_who_is_not_listed_any_more_loses_right_and_secrets(kubectl: Kubectl, readers: dict[str, Reader]) -> None:
    arguments = ("playbooks/deploy_workloads.yml", {"git_sync_workloads": [SITE]}, "--tags=git_sync")
    checked = Playbook(*arguments, "--check")
    assert checked.code == 0, checked.output
    assert readers["https"]("ls-remote", "site-content").returncode == 0
    try:
        done = Playbook(*arguments)
        assert done.code == 0, done.output
        assert kubectl("get", "secrets", "--namespace=staging", "--selector=app.kubernetes.io/part-of=git-sync") == ""
        assert secret(kubectl, "git", "git-server-https-readers")["readers"] == ""
        assert readers["ssh"]("ls-remote", "site-content").returncode == 0
    finally:
        assert Playbook("playbooks/deploy_workloads.yml", {}, "--tags=git_sync").code == 0
