# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Readers of Git repositories against a fake API server. Only sleeping advances the clock."""

from __future__ import annotations

import base64
import hashlib
import typing as t
from pathlib import Path

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._credentials.git_readers import Outcome, Reader, Readers
from ansible_collections.drystone.platform.plugins.module_utils._credentials.ssh_key import (
    key_fingerprint,
    new_key,
    public_line,
)
from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput, NotReady, Refused
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi

if t.TYPE_CHECKING:
    from tests.unit.fake_api import FakeApi

OURS = {"app.kubernetes.io/managed-by": "drystone"}
SYNCERS = "drystone.dev/git-content=site,app.kubernetes.io/component=git-syncer"
SITE = Reader("dev.site", "site-content", "dev", ("site", "site-staged"), SYNCERS)
KEYS = {name: new_key() for name in ("old", "new")}
OLD, NEW = (key_fingerprint(public_line(KEYS[name]).split()[1]) for name in ("old", "new"))


class Cluster:
    """A cluster with a Git server and one syncer."""

    def __init__(self, api: FakeApi, folder: Path) -> None:
        self.api = api
        self.client = KubeApi.from_kubeconfig(api.kubeconfig(folder / "kubeconfig"))
        self.slept = 0.0
        self.on_sleep: t.Callable[[], None] = lambda: None
        for namespace in ("git", "dev"):
            api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        self.pod("git", "git-server-1", {"app.kubernetes.io/name": "git-server"}, "10.0.0.1")
        self.pod("dev", "site-git-syncer-1", dict(one.split("=") for one in SYNCERS.split(",")), "10.0.0.7")
        self.log("")

    def pod(self, namespace: str, name: str, labels: dict[str, str], address: str) -> None:
        metadata = {"name": name, "namespace": namespace, "labels": labels}
        status = {"phase": "Running", "podIP": address}
        self.api.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status})

    def secret(self, name: str, **data: str) -> None:
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        metadata = {"name": name, "namespace": "dev"}
        self.api.put({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": encoded})

    def log(self, text: str) -> None:
        self.api.answers["/api/v1/namespaces/git/pods/git-server-1/log"] = (200, text)

    def accepted(self, fingerprint: str, address: str = "10.0.0.7") -> str:
        return f"Accepted publickey for git from {address} port 4711 ssh2: ED25519 {fingerprint}\n"

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.on_sleep()

    def ensure(self, *readers: Reader, check: bool = False) -> Outcome:
        return Readers(self.client, readers, timeout=10, clock=lambda: self.slept, sleep=self.sleep).ensure(check)

    @property
    def authorized_keys(self) -> str:
        found = self.api.find("ConfigMap", "git-server-readers", "git")
        return str(found["data"]["authorized_keys"]) if found else ""

    @property
    def https_readers(self) -> str:
        found = self.api.find("Secret", "git-server-https-readers", "git")
        return base64.b64decode(found["data"]["readers"]).decode() if found else ""

    def refreshed(self, namespace: str, name: str) -> str | None:
        found = self.api.find("Pod", name, namespace)
        assert found
        value: str | None = found["metadata"].get("annotations", {}).get("drystone.dev/refreshed")
        return value


@pytest.fixture
def cluster(fake_api: FakeApi, tmp_path: Path) -> Cluster:
    return Cluster(fake_api, tmp_path)


def line(name: str, repository: str = "site-content", user: str = "dev.site") -> str:
    return f'restrict,command="read-only {repository}" {public_line(KEYS[name])} {user}\n'


def test_a_key_opens_one_repository_for_reading_and_the_server_is_told_at_once(cluster: Cluster) -> None:
    cluster.secret("site", ssh=KEYS["old"])
    assert [one.fingerprint for one in cluster.ensure(SITE).added] == [OLD]
    assert cluster.authorized_keys == line("old")
    assert cluster.refreshed("git", "git-server-1")
    assert cluster.refreshed("dev", "site-git-syncer-1") is None
    assert "PRIVATE" not in str(cluster.api.find("ConfigMap", "git-server-readers", "git"))


def test_a_second_run_writes_nothing(cluster: Cluster) -> None:
    cluster.secret("site", ssh=KEYS["old"])
    cluster.secret("site-staged", password="t0ken")
    cluster.ensure(SITE)
    before = cluster.api.versions_of_all()
    outcome = cluster.ensure(SITE)
    assert outcome.before == outcome.after
    assert cluster.api.versions_of_all() == before


def test_of_a_token_the_server_gets_a_hash(cluster: Cluster) -> None:
    cluster.secret("site", username="dev.site", password="t0ken")
    cluster.ensure(SITE)
    digest = hashlib.sha256(b"t0ken").hexdigest()
    assert cluster.https_readers == f"dev.site site-content {digest}\n"
    assert cluster.authorized_keys == ""


def test_a_password_of_somebody_else_s_server_lets_nobody_in(cluster: Cluster) -> None:
    cluster.secret("site", username="octocat", password="theirs")
    assert cluster.ensure(SITE).after == []


def test_check_mode_predicts_and_writes_nothing(cluster: Cluster) -> None:
    cluster.secret("site", ssh=KEYS["old"])
    before = cluster.api.versions_of_all()
    assert [one.fingerprint for one in cluster.ensure(SITE, check=True).added] == [OLD]
    assert cluster.api.versions_of_all() == before


def test_a_staged_key_works_beside_the_current_one(cluster: Cluster) -> None:
    cluster.secret("site", ssh=KEYS["old"])
    cluster.ensure(SITE)
    cluster.secret("site-staged", ssh=KEYS["new"])
    assert cluster.ensure(SITE).withdrawn == []
    assert set(cluster.authorized_keys.splitlines(keepends=True)) == {line("old"), line("new")}


def test_a_replaced_key_goes_only_once_the_new_one_is_in_use(cluster: Cluster) -> None:
    cluster.secret("site", ssh=KEYS["old"])
    cluster.ensure(SITE)
    cluster.secret("site", ssh=KEYS["new"])
    during: list[str] = []

    def later() -> None:
        during.append(cluster.authorized_keys)
        # First this host uses the key, which proves nothing about the syncer. Then the syncer uses it.
        cluster.log(cluster.accepted(NEW, "172.18.0.1") + (cluster.accepted(NEW) if cluster.slept >= 4 else ""))

    cluster.log(cluster.accepted(OLD))
    cluster.on_sleep = later
    assert [one.fingerprint for one in cluster.ensure(SITE).withdrawn] == [OLD]
    assert [set(one.splitlines(keepends=True)) for one in during] == [{line("old"), line("new")}] * 2
    assert cluster.authorized_keys == line("new")
    assert cluster.refreshed("dev", "site-git-syncer-1")


def test_a_replaced_token_goes_only_once_the_new_one_is_in_use(cluster: Cluster) -> None:
    cluster.secret("site", username="dev.site", password="old")
    cluster.ensure(SITE)
    cluster.secret("site", username="dev.site", password="new")
    digest = hashlib.sha256(b"new").hexdigest()
    cluster.on_sleep = lambda: cluster.log(f"dev.site reads site-content from 10.0.0.7 with sha256:{digest[:12]}\n")
    assert len(cluster.ensure(SITE).withdrawn) == 1
    assert cluster.slept == 2
    assert cluster.https_readers == f"dev.site site-content {digest}\n"


def test_a_syncer_that_does_not_follow_is_named_and_keeps_its_key(cluster: Cluster) -> None:
    cluster.secret("site", ssh=KEYS["old"])
    cluster.ensure(SITE)
    cluster.secret("site", ssh=KEYS["new"])
    with pytest.raises(NotReady, match=r"dev/site-git-syncer-1 did not use the new ones within 10 s"):
        cluster.ensure(SITE)
    assert set(cluster.authorized_keys.splitlines(keepends=True)) == {line("old"), line("new")}


def test_without_a_syncer_nothing_is_waited_for(cluster: Cluster) -> None:
    cluster.api.drop("Pod", "site-git-syncer-1", "dev")
    cluster.secret("site", ssh=KEYS["old"])
    cluster.ensure(SITE)
    cluster.secret("site", ssh=KEYS["new"])
    cluster.ensure(SITE)
    assert (cluster.authorized_keys, cluster.slept) == (line("new"), 0)


def test_a_reader_that_is_not_listed_any_more_is_out_at_once(cluster: Cluster) -> None:
    cluster.secret("site", ssh=KEYS["old"])
    cluster.ensure(SITE)
    assert [one.user for one in cluster.ensure().withdrawn] == ["dev.site"]
    assert (cluster.authorized_keys, cluster.slept) == ("", 0)


def test_nobody_to_let_in_makes_no_object(cluster: Cluster) -> None:
    assert cluster.ensure().after == []
    assert cluster.api.find("ConfigMap", "git-server-readers", "git") is None


def test_a_list_of_somebody_else_s_is_left_alone(cluster: Cluster) -> None:
    metadata = {"name": "git-server-readers", "namespace": "git"}
    cluster.api.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"authorized_keys": "x"}})
    with pytest.raises(Refused, match=r"ConfigMap git/git-server-readers exists, but Drystone did not create it"):
        cluster.ensure(SITE)


def test_a_line_written_by_hand_goes(cluster: Cluster) -> None:
    metadata = {"name": "git-server-readers", "namespace": "git", "labels": OURS}
    data = {"authorized_keys": f"{line('old')}{public_line(KEYS['new'])} backdoor\n"}
    cluster.api.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}, "drystone", "Apply")
    cluster.secret("site", ssh=KEYS["old"])
    assert cluster.ensure(SITE, check=True).changed
    assert cluster.ensure(SITE).changed
    assert cluster.authorized_keys == line("old")


@pytest.mark.parametrize("name", ["a b", 'x"', "", "../platform", "-x"])
def test_names_that_would_break_out_of_their_line_are_refused(cluster: Cluster, name: str) -> None:
    with pytest.raises(InvalidInput, match="may contain only letters"):
        cluster.ensure(Reader("dev.site", name, "dev", ("site",)))


def test_a_value_that_is_no_key_is_named_and_not_shown(cluster: Cluster) -> None:
    cluster.secret("site", ssh="canary")
    with pytest.raises(InvalidInput, match="Key ssh of Secret dev/site is not an SSH private key") as caught:
        cluster.ensure(SITE)
    assert "canary" not in str(caught.value)
