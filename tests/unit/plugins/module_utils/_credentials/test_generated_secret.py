# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import datetime as dt
import os
import typing as t
from pathlib import Path

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._credentials import generated_secret as gs
from ansible_collections.drystone.platform.plugins.module_utils._errors import ApiError, InvalidInput, Refused

PASSWORD = gs.Entry("auth", "password", length=20)
CERTIFICATE = gs.Entry("server.pem", "tls_certificate", hosts=("localhost",), days=100)


class Cluster:
    """A store of Secrets with optimistic locking, like an API server."""

    def __init__(self) -> None:
        self.secrets: dict[tuple[str, str], dict[str, t.Any]] = {}
        self.writes = 0
        self.meanwhile: t.Callable[[], None] | None = None

    def put(self, name: str, data: dict[str, str], labels: dict[str, str] | None = None) -> None:
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        metadata = {"name": name, "resourceVersion": "1", "labels": labels or {}}
        self.secrets["demo", name] = {"metadata": metadata, "data": encoded}

    def value(self, name: str, key: str) -> str:
        return base64.b64decode(self.secrets["demo", name]["data"][key]).decode()

    def _before_write(self) -> None:
        self.writes += 1
        if self.meanwhile:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()

    def resource_for(self, api_version: str, kind: str) -> str:
        return f"{api_version}/{kind}"

    def get(self, _resource: str, name: str, namespace: str | None = None) -> dict[str, t.Any] | None:
        return self.secrets.get((namespace or "", name))

    def create(self, _resource: str, obj: dict[str, t.Any]) -> dict[str, t.Any]:
        self._before_write()
        where = obj["metadata"]["namespace"], obj["metadata"]["name"]
        if where in self.secrets:
            raise ApiError("exists", status=409)
        obj["metadata"]["resourceVersion"] = "1"
        self.secrets[where] = obj
        return obj

    def patch(
        self, _resource: str, name: str, patch: dict[str, t.Any], namespace: str | None = None
    ) -> dict[str, t.Any]:
        self._before_write()
        found = self.secrets[namespace or "", name]
        if patch["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"]:
            raise ApiError("modified", status=409)
        found["data"] |= patch["data"]
        return found

    def delete(self, _resource: str, name: str, namespace: str | None = None, *, uid: str | None = None) -> bool:
        self._before_write()
        return self.secrets.pop((namespace or "", name), None) is not None


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def ensure(
    cluster: Cluster, *entries: gs.Entry, check: bool = False, rotate: bool = False, days: int = 0
) -> gs.Outcome:
    def write(path: str, value: str) -> None:
        Path(path).write_text(value)
        os.chmod(path, 0o600)

    return gs.ensure(
        cluster,
        namespace="demo",
        name="s",
        entries=list(entries),
        labels={"a": "b"},
        write=write,
        check=check,
        rotate=rotate,
        now=lambda: dt.datetime.now(dt.UTC) + dt.timedelta(days=days),
    )


def test_created_once_and_then_kept(cluster: Cluster) -> None:
    first = ensure(cluster, PASSWORD)
    value = cluster.value("s", "auth")
    second = ensure(cluster, PASSWORD)
    assert (first.action, first.generated, second.action, second.changed) == ("created", ["auth"], "unchanged", False)
    assert len(value) == 20
    assert value.isalnum()
    assert cluster.value("s", "auth") == value
    assert cluster.writes == 1
    assert cluster.secrets["demo", "s"]["metadata"]["labels"] == {"a": "b", "app.kubernetes.io/managed-by": "drystone"}


def test_check_mode_writes_nothing_and_predicts(cluster: Cluster, tmp_path: Path) -> None:
    outcome = ensure(cluster, gs.Entry("key", "ssh_ed25519", path=str(tmp_path / "key")), check=True)
    assert (outcome.action, outcome.written) == ("created", [str(tmp_path / "key")])
    assert cluster.writes == 0
    assert not list(tmp_path.iterdir())


def test_a_given_value_is_used_and_replaces_another_one(cluster: Cluster) -> None:
    ensure(cluster, PASSWORD)
    given = gs.Entry("auth", "password", value="given")
    first, second = ensure(cluster, given), ensure(cluster, given)
    assert (first.action, second.action) == ("configured", "unchanged")
    assert cluster.value("s", "auth") == "given"
    assert first.private == ["given"]
    assert "given" not in repr(given)
    assert ensure(cluster, gs.Entry("auth", "password", value="")).action == "unchanged"
    assert cluster.value("s", "auth") == "given"


def test_a_given_value_does_not_replace_that_of_a_foreign_secret(cluster: Cluster) -> None:
    cluster.put("s", {"auth": "theirs"})
    with pytest.raises(Refused, match="Secret demo/s exists, but Drystone did not create it"):
        ensure(cluster, gs.Entry("auth", "password", value="given"))
    assert ensure(cluster, gs.Entry("auth", "password", value="theirs")).action == "unchanged"
    assert cluster.value("s", "auth") == "theirs"


def test_missing_key_is_added_to_our_own_secret_only(cluster: Cluster) -> None:
    cluster.put("s", {"old": "kept"}, {"app.kubernetes.io/managed-by": "drystone"})
    assert ensure(cluster, PASSWORD).action == "configured"
    assert cluster.value("s", "old") == "kept"


@pytest.mark.parametrize("check", [False, True])
def test_foreign_secret_is_never_extended(cluster: Cluster, check: bool) -> None:
    cluster.put("s", {"old": "kept"})
    with pytest.raises(Refused, match=r"Secret demo/s exists, but Drystone did not create it .* has no valid auth"):
        ensure(cluster, PASSWORD, check=check)
    assert cluster.writes == 0


def test_foreign_secret_with_every_key_is_used(cluster: Cluster) -> None:
    cluster.put("s", {"auth": "theirs"})
    outcome = ensure(cluster, PASSWORD)
    assert not outcome.changed
    assert outcome.fingerprints == {"auth": gs.fingerprint("theirs")}


def test_the_quicker_one_wins(cluster: Cluster) -> None:
    cluster.meanwhile = lambda: cluster.put("s", {"auth": "theirs"})
    outcome = ensure(cluster, PASSWORD)
    assert outcome.action == "unchanged"
    assert outcome.fingerprints == {"auth": gs.fingerprint("theirs")}


def test_public_key_is_derived_and_the_private_one_is_not_shown(cluster: Cluster) -> None:
    entry = gs.Entry("key", "ssh_ed25519", comment="argocd")
    first, second = ensure(cluster, entry), ensure(cluster, entry)
    assert first.public_keys["key"].startswith("ssh-ed25519 AAAA")
    assert first.public_keys["key"].endswith(" argocd")
    assert first.public_keys == second.public_keys
    private = cluster.value("s", "key")
    assert private.startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    assert private not in repr(second)
    assert second.private == [private]


def test_mirror_file_is_put_right(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "key"
    entry = gs.Entry("key", "ssh_ed25519", path=str(path))
    assert ensure(cluster, entry).written == [str(path)]
    assert ensure(cluster, entry).written == []
    path.chmod(0o644)
    assert ensure(cluster, entry).written == [str(path)]
    path.write_text("damaged")
    assert ensure(cluster, entry).written == [str(path)]
    assert path.read_text() == cluster.value("s", "key")


def test_value_that_is_no_key_is_named(cluster: Cluster) -> None:
    cluster.put("s", {"key": "secret-canary"})
    with pytest.raises(InvalidInput, match="Key key of Secret demo/s is not an SSH private key") as caught:
        ensure(cluster, gs.Entry("key", "ssh_ed25519"))
    assert "secret-canary" not in str(caught.value)


def test_certificate_is_made_anew_when_it_is_about_to_expire(cluster: Cluster) -> None:
    first = ensure(cluster, CERTIFICATE)
    assert not ensure(cluster, CERTIFICATE, days=69).changed
    assert ensure(cluster, CERTIFICATE, days=71, check=True).action == "configured"
    second = ensure(cluster, CERTIFICATE, days=71)
    assert (second.action, second.generated, cluster.writes) == ("configured", ["server.pem"], 2)
    assert second.before == first.fingerprints
    assert second.certificates != first.certificates
    assert not ensure(cluster, CERTIFICATE, days=71).changed


def test_certificate_of_somebody_else_is_used_and_never_renewed(cluster: Cluster) -> None:
    ensure(cluster, CERTIFICATE)
    cluster.secrets["demo", "s"]["metadata"]["labels"] = {}
    outcome = ensure(cluster, CERTIFICATE, days=99)
    assert (outcome.changed, cluster.writes) == (False, 1)
    assert outcome.certificates["server.pem"].startswith("-----BEGIN CERTIFICATE-----")


def test_value_that_is_no_certificate_is_named(cluster: Cluster) -> None:
    cluster.put("s", {"server.pem": "secret-canary"}, {"app.kubernetes.io/managed-by": "drystone"})
    with pytest.raises(InvalidInput, match=r"Key server.pem of Secret demo/s is not a private key with its") as caught:
        ensure(cluster, CERTIFICATE)
    assert "secret-canary" not in str(caught.value)


def test_values_are_made_anew_on_request_and_in_our_own_secret_only(cluster: Cluster) -> None:
    ensure(cluster, PASSWORD)
    before = cluster.value("s", "auth")
    assert ensure(cluster, PASSWORD, rotate=True, check=True).action == "configured"
    assert cluster.value("s", "auth") == before
    assert ensure(cluster, PASSWORD, rotate=True).generated == ["auth"]
    assert cluster.value("s", "auth") != before
    cluster.secrets["demo", "s"]["metadata"]["labels"] = {}
    with pytest.raises(Refused):
        ensure(cluster, PASSWORD, rotate=True)


def test_only_our_own_secret_is_deleted(cluster: Cluster) -> None:
    ensure(cluster, PASSWORD)
    assert gs.remove(cluster, namespace="demo", name="s", check=True).changed
    assert ("demo", "s") in cluster.secrets
    assert gs.remove(cluster, namespace="demo", name="s", check=False).action == "deleted"
    assert not gs.remove(cluster, namespace="demo", name="s", check=False).changed
    cluster.put("s", {"auth": "theirs"})
    with pytest.raises(Refused, match="Drystone did not create it"):
        gs.remove(cluster, namespace="demo", name="s", check=False)
