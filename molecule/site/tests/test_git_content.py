"""A push updates content, ConfigMap, annotation, metric and header, restarts each replica once and causes no error."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from drystone_testing import Git, Http, Kubectl, Playbook, refresh_applications, wait_until
from git_content import PUBLISHED, WORKLOAD, Client, Content, Site

SOAK = bool(os.environ.get("DRYSTONE_SOAK"))
PUSHES = 30 if SOAK else 2
EDITS = 100 if SOAK else 5
# Seconds in which a test checks that nothing happens: longer than the interval at which the branch is checked
WATCHED_SECONDS = 30 if SOAK else 12
NAMESPACE = "dev"
WHERE = f"--namespace={NAMESPACE}"


@pytest.fixture(scope="module")
def content(variables: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Content:
    url = variables["git_host_url"].replace("/platform.git", "/site-content.git")
    return Content(Git(variables, "operator_key"), url, tmp_path_factory.mktemp("content"))


@pytest.fixture
def site(kubectl: Kubectl, http: Http) -> Site:
    made = Site(kubectl, http)
    assert made.settles(timeout=120)
    return made


@pytest.fixture
def client(kubectl: Kubectl, variables: dict[str, Any]) -> Iterator[Client]:
    made = Client(kubectl, variables["images"]["greeter"])
    yield made
    kubectl.run("delete", "pod", made.name, WHERE, "--ignore-not-found", "--wait=false")


@pytest.fixture
def no_git_server(kubectl: Kubectl) -> Iterator[None]:
    kubectl("scale", "deployment/git-server", "--namespace=git", "--replicas=0")
    kubectl("wait", "--for=delete", "pods", "--all", "--namespace=git", "--timeout=90s")
    yield
    kubectl("scale", "deployment/git-server", "--namespace=git", "--replicas=1")
    kubectl("rollout", "status", "deployment/git-server", "--namespace=git", "--timeout=120s")


OVER_HTTPS = {
    "kustomization.yaml": """\
resources: [../../../workloads/site/base]
components: [from, ../../../components/git-content-https]
namespace: staging
replicas: [{name: site, count: 2}]
patches:
  - target: {kind: Deployment, name: site}
    patch: |-
      - op: add
        path: /spec/template/spec/containers/0/resources
        value: {requests: {cpu: 10m, memory: 16Mi}, limits: {cpu: 250m, memory: 64Mi}}
""",
    "from/kustomization.yaml": """\
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
patches:
  - patch: |-
      apiVersion: v1
      kind: ConfigMap
      metadata: {name: git-content-settings}
      data:
        repository: https://git-server.git.svc:8443/site-content.git
        ca_file: /etc/git-secret/ca.crt
""",
}


@pytest.fixture
def over_https(kubectl: Kubectl, http: Http, variables: dict[str, Any], tmp_path: Path) -> Iterator[Site]:
    """The same workload in another environment. Git configures it to use HTTPS."""
    git = Git(variables, "operator_key")
    platform, made = tmp_path / "platform", Site(kubectl, http, "staging")
    folder = platform / "deploy/environments/staging/site"

    def push(message: str) -> None:
        for arguments in (["add", "--all"], ["commit", "--quiet", f"--message={message}"], ["push", "--quiet"]):
            done = git("-C", str(platform), *arguments)
            assert done.returncode == 0, done.stderr
        refresh_applications(kubectl)

    def there() -> bool:
        return kubectl.run("get", "application", "site-staging", "--namespace=argocd").returncode == 0

    assert git("clone", "--quiet", git.url, str(platform)).returncode == 0
    for name, text in OVER_HTTPS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    push("Serve the site in staging, over HTTPS")
    try:
        assert made.settles(timeout=180)
        yield made
    finally:
        shutil.rmtree(folder)
        push("Take the site out of staging")
        assert wait_until(lambda: not there(), timeout=180)


def bring_back(kubectl: Kubectl) -> None:
    kubectl("scale", "deployment/git-server", "--namespace=git", "--replicas=1")
    kubectl("rollout", "status", "deployment/git-server", "--namespace=git", "--timeout=120s")


def test_each_push_reaches_everyone_restarts_each_replica_once_and_costs_no_request(
    site: Site, content: Content, client: Client
) -> None:
    pushed = []
    for number in range(PUSHES):
        before, revision = {pod["metadata"]["uid"] for pod in site.pods()}, site.revisions()
        pushed.append(content.commit(f"push {number} {os.urandom(4).hex()}"))
        assert site.reaches(pushed[-1]), (site.config(), site.served())
        config = site.config()
        assert config["metadata"]["annotations"]["drystone.dev/git-commit"] == pushed[-1]
        assert config["data"]["ref"] == "main"
        committed = datetime.fromisoformat(content("show", "--no-patch", "--format=%cI", "HEAD"))
        assert datetime.fromisoformat(config["data"]["commit_time"]) == committed
        (info,) = site.metric("git_content_info{")
        assert f'commit="{pushed[-1]}"' in info
        after = site.pods()
        assert before.isdisjoint(pod["metadata"]["uid"] for pod in after)
        assert [status["restartCount"] for pod in after for status in pod["status"]["containerStatuses"]] == [0, 0]
        assert not wait_until(lambda: not site.settled(), timeout=3)
        assert site.revisions() == revision + 1
    told = client.stop()
    assert told["total"] > 100
    assert (told["errors"], told["failed"]) == (0, [])
    assert list(told["seen"])[1:] == pushed


def test_an_outage_of_the_remote_is_not_one_of_the_site(
    site: Site, content: Content, client: Client, kubectl: Kubectl, no_git_server: None
) -> None:
    commit = site.published()
    assert not wait_until(lambda: site.served() != {commit}, timeout=WATCHED_SECONDS)
    # A new Pod waits for its content; the other Pods continue to serve.
    lost = site.pods()[0]["metadata"]["name"]
    kubectl("delete", "pod", lost, WHERE)
    assert not wait_until(site.settled, timeout=5)
    waiting = [pod for pod in site.pods() if pod["status"]["phase"] == "Pending"]
    assert len(waiting) == 1
    bring_back(kubectl)
    assert site.settles(timeout=60)
    assert site.served() == {commit}
    assert site.reaches(content.commit("after the outage"))
    assert client.stop()["errors"] == 0


def test_over_https_it_is_the_same(over_https: Site, content: Content) -> None:
    assert over_https.config()["data"]["repository"] == "https://git-server.git.svc:8443/site-content.git"
    revisions = over_https.revisions()
    assert over_https.reaches(content.commit(f"over HTTPS {os.urandom(4).hex()}"))
    assert over_https.revisions() == revisions + 1


def test_rewritten_history_is_published_like_any_other(site: Site, content: Content) -> None:
    content.commit("to be taken back")
    content("reset", "--quiet", "--hard", "HEAD~1")
    commit = content.commit("instead", push=False)
    content("push", "--quiet", "--force", "origin", "HEAD:main")
    assert site.reaches(commit)


def test_keys_are_rotated_under_load_and_the_old_one_is_refused(
    site: Site, content: Content, client: Client, kubectl: Kubectl
) -> None:
    name = f"{WORKLOAD}-git-credentials"
    before = kubectl.json("get", "secret", name, WHERE)["data"]["ssh"]
    revisions = site.revisions()
    done = Playbook("playbooks/rotate_git_credentials.yml", {}, "-vvvv", "--diff")
    assert done.code == 0, done.output
    after = kubectl.json("get", "secret", name, WHERE)["data"]["ssh"]
    assert before != after
    assert site.revisions() == revisions
    for secret in (before, after):
        assert secret not in done.output
    assert "PRIVATE KEY-----" not in done.output
    assert site.reaches(content.commit("with the new key"))
    assert client.stop()["errors"] == 0


def test_a_revoked_key_keeps_the_last_good_content(site: Site, content: Content, kubectl: Kubectl) -> None:
    commit = site.published()
    readers = kubectl.json("get", "configmap", "git-server-readers", "--namespace=git")["data"]
    kubectl("patch", "configmap", "git-server-readers", "--namespace=git", '--patch={"data": {"authorized_keys": ""}}')
    kubectl("annotate", "pods", "--all", "--namespace=git", "--overwrite", f"test={os.urandom(3).hex()}")
    try:
        withheld = content.commit("while nobody may read")
        assert not wait_until(lambda: site.published() != commit, timeout=WATCHED_SECONDS)
        assert site.served() == {commit}
        assert site.settled()
    finally:
        patch = json.dumps({"data": readers})
        kubectl("patch", "configmap", "git-server-readers", "--namespace=git", f"--patch={patch}")
        kubectl("annotate", "pods", "--all", "--namespace=git", "--overwrite", f"test={os.urandom(3).hex()}")
    assert site.reaches(withheld)


def test_only_the_publisher_may_write_and_only_that_one_object(kubectl: Kubectl, site: Site) -> None:
    table = {
        f"get configmaps {NAMESPACE}": False,
        f"create configmaps {NAMESPACE}": False,
        f"get secrets {NAMESPACE}": False,
        f"list pods {NAMESPACE}": False,
    }
    account = f"{NAMESPACE}/{WORKLOAD}-git-syncer"
    assert dict(zip(table, kubectl.may(account, *table), strict=True)) == table
    user = f"--as=system:serviceaccount:{account.replace('/', ':')}"
    asked = kubectl.run("auth", "can-i", "patch", f"configmap/{PUBLISHED}", WHERE, user)
    assert asked.stdout.strip() == "yes"
    for pod in site.pods():
        assert not [volume for volume in pod["spec"]["volumes"] if "projected" in volume]


def test_a_storm_of_edits_ends_with_what_is_in_git_and_no_edit_costs_two_rollouts(site: Site, kubectl: Kubectl) -> None:
    commit = site.published()
    site.kubectl("annotate", "configmap", PUBLISHED, WHERE, "--overwrite", "test=no-op")
    revisions = site.revisions()
    assert not wait_until(lambda: site.revisions() != revisions, timeout=5)
    for number in range(EDITS):
        patch = json.dumps({"data": {"note": str(number)}})
        kubectl("patch", "configmap", PUBLISHED, WHERE, f"--patch={patch}")
    assert site.settles(timeout=240)
    assert site.published() == commit
    assert site.served() == {commit}
    # The publisher repairs the ConfigMap every 30 s, which is an edit as well.
    assert site.revisions() - revisions <= EDITS + 3


@pytest.mark.soak
def test_a_branch_that_is_gone_takes_nothing_with_it(site: Site, content: Content) -> None:
    commit = site.published()
    content("push", "--quiet", "origin", "--delete", "main")
    try:
        assert not wait_until(lambda: site.published() != commit or site.served() != {commit}, timeout=WATCHED_SECONDS)
        assert site.settled()
    finally:
        back = content.commit("the branch is back")
    assert site.reaches(back)


@pytest.mark.soak
def test_content_above_the_limit_costs_the_syncer_its_pod_and_the_site_nothing(
    site: Site, content: Content, client: Client
) -> None:
    commit, syncer = site.published(), site.syncer()["metadata"]
    # Random data cannot be compressed, and trying would take minutes.
    content("config", "core.compression", "0")
    content("config", "core.bigFileThreshold", "1m")
    (content.clone / "large").mkdir()
    for number in range(40):
        (content.clone / "large" / str(number)).write_bytes(os.urandom(5 << 20))
    content.commit("too large")
    chosen = f"--field-selector=reason=Evicted,involvedObject.name={syncer['name']}"
    try:
        assert wait_until(
            lambda: bool(site.kubectl("get", "events", WHERE, chosen, "--output=name").strip()), timeout=240, every=2
        )
        # This commit is not published. Otherwise Pods with it would replace working ones and then be evicted.
        assert site.published() == commit
        assert site.served() == {commit}
    finally:
        content("rm", "-r", "--quiet", "large")
        back = content.commit("small again")
    assert wait_until(lambda: site.published() == back, timeout=300, every=2)
    assert site.syncer()["metadata"]["uid"] != syncer["uid"]
    assert site.reaches(back, timeout=300)
    assert client.stop()["errors"] == 0


@pytest.mark.soak
def test_another_host_key_is_never_accepted(site: Site, content: Content, kubectl: Kubectl) -> None:
    commit, name = site.published(), f"{WORKLOAD}-git-credentials"
    known = base64.b64decode(kubectl.json("get", "secret", name, WHERE)["data"]["known_hosts"]).decode()
    host, kind, _key = known.split()[:3]
    other = "AAAAC3NzaC1lZDI1NTE5AAAAIE5vYm9keSBoYXMgdGhlIG90aGVyIGhhbGYgb2YgdGhpcyBr"

    def pin(text: str) -> None:
        kubectl("patch", "secret", name, WHERE, f"--patch={json.dumps({'stringData': {'known_hosts': text}})}")
        # The change makes the kubelet update the mounts of the Pod at once.
        kubectl(
            "annotate", "pod", site.syncer()["metadata"]["name"], WHERE, "--overwrite", f"test={os.urandom(3).hex()}"
        )

    def refused() -> bool:
        logs = kubectl("logs", f"deployment/{WORKLOAD}-git-syncer", WHERE, "--container=git-sync", "--since=20s")
        return "Host key verification failed" in logs or "REMOTE HOST IDENTIFICATION HAS CHANGED" in logs

    pin(f"{host} {kind} {other}\n")
    try:
        withheld = content.commit("from a server that is not known")
        assert wait_until(refused, timeout=120)
        assert (site.published(), site.served()) == (commit, {commit})
    finally:
        pin(known)
    assert site.reaches(withheld)


@pytest.mark.soak
def test_neither_a_restart_of_reloader_nor_our_own_run_restarts_the_workload(site: Site, kubectl: Kubectl) -> None:
    before = {pod["metadata"]["uid"] for pod in site.pods()}
    kubectl("delete", "pods", "--all", "--namespace=reloader")
    kubectl("rollout", "status", "deployment/reloader", "--namespace=reloader", "--timeout=120s")
    assert Playbook("site.yml", {}).code == 0
    assert {pod["metadata"]["uid"] for pod in site.pods()} == before
