"""The Git server enforces the rights of each key and keeps its history and its host key."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import requests

from drystone_testing import ROOT, Git, Kubectl, Playbook, run, wait_until


@pytest.fixture(scope="module")
def operator(variables: dict[str, Any]) -> Git:
    return Git(variables, "operator_key")


@pytest.fixture(scope="module")
def deploy(variables: dict[str, Any]) -> Git:
    return Git(variables, "deploy_key")


@pytest.fixture
def clone(operator: Git, tmp_path: Path) -> Path:
    done = operator("clone", "--quiet", operator.url, str(tmp_path / "clone"))
    assert done.returncode == 0, done.stderr
    return tmp_path / "clone"


def commit(git: Git, clone: Path, name: str) -> None:
    (clone / name).write_text("test\n")
    assert git("-C", str(clone), "add", ".").returncode == 0
    assert git("-C", str(clone), "commit", "--quiet", "--message=Test").returncode == 0


def test_the_seeded_tree_is_this_checkout_s(clone: Path) -> None:
    for path in (ROOT / "deploy").rglob("kustomization.yaml"):
        assert (clone / path.relative_to(ROOT)).read_text() == path.read_text()


def test_argo_cd_s_key_reads_and_cannot_write(deploy: Git, tmp_path: Path) -> None:
    path = tmp_path / "clone"
    assert deploy("clone", "--quiet", deploy.url, str(path)).returncode == 0
    commit(deploy, path, "test.txt")
    done = deploy("-C", str(path), "push", "origin", "HEAD:main")
    assert done.returncode != 0
    assert "This key may only read" in done.stderr


def test_history_cannot_be_rewritten_or_deleted(operator: Git, clone: Path) -> None:
    before = operator.head()
    assert operator("-C", str(clone), "commit", "--quiet", "--amend", "--message=Rewritten").returncode == 0
    assert operator("-C", str(clone), "push", "--force", "origin", "HEAD:main").returncode != 0
    assert operator("-C", str(clone), "push", "origin", ":main").returncode != 0
    assert operator.head() == before


@pytest.mark.parametrize("command", ["id", "sh", "git-upload-archive '/srv/git/platform.git'", ""])
def test_a_key_gets_no_shell(operator: Git, command: str) -> None:
    done = run(*operator.ssh, "-p", operator.port, "git@127.0.0.1", *([command] if command else []), stdin="id\n")
    assert done.returncode == 128
    assert "uid=" not in done.stdout


def test_an_unknown_key_is_refused(operator: Git, variables: dict[str, Any], tmp_path: Path) -> None:
    key = str(tmp_path / "key")
    assert run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).returncode == 0
    done = run(*operator.ssh[:-1], key, "-p", operator.port, "git@127.0.0.1")
    assert done.returncode == 255
    assert "Permission denied" in done.stderr


def test_the_pod_is_restricted(kubectl: Kubectl) -> None:
    assert (
        kubectl.json("get", "namespace", "git")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        == "restricted"
    )
    pod = kubectl.items("pods", "--namespace=git", "--selector=app.kubernetes.io/name=git-server")[0]
    assert pod["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"]
    assert pod["spec"]["automountServiceAccountToken"] is False


def test_private_files_are_for_their_owner_only(variables: dict[str, Any]) -> None:
    files = [path for path in Path(variables["git_dir"]).iterdir() if path.is_file()]
    assert {"deploy_key", "operator_key", "known_hosts"} <= {path.name for path in files}
    assert [path.name for path in files if path.stat().st_mode & 0o077] == []


def test_a_replaced_pod_keeps_history_and_host_key(kubectl: Kubectl, operator: Git) -> None:
    before = operator.head()
    kubectl("delete", "pod", "--namespace=git", "--selector=app.kubernetes.io/name=git-server")
    kubectl("rollout", "status", "deployment/git-server", "--namespace=git", "--timeout=120s")
    assert wait_until(lambda: before in operator("ls-remote", operator.url).stdout)


def test_commits_of_others_survive_the_next_run(operator: Git, clone: Path) -> None:
    commit(operator, clone, "deploy/test.txt")
    assert operator("-C", str(clone), "push", "--quiet", "origin", "HEAD:main").returncode == 0
    theirs = operator.head()
    try:
        done = Playbook("playbooks/deploy_platform.yml", {}, "--tags=git_server")
        assert done.code == 0, done.output
        assert operator.head() == theirs
    finally:
        operator("-C", str(clone), "revert", "--no-edit", "HEAD")
        assert operator("-C", str(clone), "push", "--quiet", "origin", "HEAD:main").returncode == 0


def test_no_private_key_is_shown(variables: dict[str, Any]) -> None:
    keys = [Path(variables["git_dir"], name).read_text() for name in ("deploy_key", "operator_key")]
    done = Playbook("playbooks/deploy_platform.yml", {}, "--tags=git_server", "--diff", "-vvvv")
    assert done.code == 0
    assert [line for key in keys for line in key.splitlines()[1:-1] if line in done.output] == []


def test_each_repository_is_seeded_from_its_directory(operator: Git, variables: dict[str, Any], tmp_path: Path) -> None:
    url = variables["git_host_url"].replace("platform", "site-content")
    done = operator("clone", "--quiet", url, str(tmp_path / "content"))
    assert done.returncode == 0, done.stderr
    source = ROOT / "app/site/content"
    for path in source.rglob("*.html"):
        assert (tmp_path / "content" / path.relative_to(source)).read_text() == path.read_text()


def test_argo_cd_s_key_is_for_its_own_repository(deploy: Git, variables: dict[str, Any]) -> None:
    done = deploy("ls-remote", variables["git_host_url"].replace("platform", "site-content"))
    assert done.returncode != 0
    assert "may only read the repository /srv/git/platform.git" in done.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_https_wants_a_token_and_shows_the_certificate_that_was_written_down(
    variables: dict[str, Any], host: str
) -> None:
    url = f"https://{host}:{variables['git_https_port']}"
    session = requests.Session()
    session.trust_env = False
    session.verify = f"{variables['git_dir']}/https.crt"
    assert session.get(f"{url}/healthz", timeout=10).status_code == 200
    for service in ("git-upload-pack", "git-receive-pack"):
        answer = session.get(f"{url}/platform.git/info/refs", params={"service": service}, timeout=10)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Basic realm="git"')


def test_https_cannot_write_the_repositories(kubectl: Kubectl) -> None:
    pod = kubectl.items("pods", "--namespace=git", "--selector=app.kubernetes.io/name=git-server")[0]
    (https,) = [one for one in pod["spec"]["containers"] if one["name"] == "https"]
    assert https["securityContext"]["readOnlyRootFilesystem"]
    (mount,) = [one for one in https["volumeMounts"] if one["mountPath"] == "/srv/git"]
    assert mount["readOnly"]


def test_what_cannot_be_deployed_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    source = tmp_path / "deploy"
    shutil.copytree(ROOT / "deploy", source)
    (source / "environments/dev/greeter/stray.yaml").write_text("kind: Nothing\n")
    done = Playbook("playbooks/site.yml", {"git_server_source": str(source)})
    assert done.code != 0
    assert "stray.yaml: no kustomization refers to it" in " ".join(done.output.split())
    assert "git_server : validate |" in done.output
    assert "registry : run |" not in done.output
    assert "git_server : seed |" not in done.output
