# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import json
import socket
import ssl
import threading
import time
import typing as t
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ansible_collections.drystone.platform.plugins.module_utils._errors import (
    ApiError,
    ApiUnavailable,
    InvalidInput,
    UnknownKind,
)
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi
from ansible_collections.drystone.platform.plugins.module_utils._kube.config import load_kubeconfig
from ansible_collections.drystone.platform.plugins.module_utils._kube.types import (
    ApplyConflict,
    Resource,
    read_conflicts,
)

if t.TYPE_CHECKING:
    from tests.unit.fake_api import FakeApi

CONFIG_MAPS = Resource("", "v1", "ConfigMap", "configmaps", namespaced=True)


class Clock:
    """A clock that only advances while the code sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def api(fake_api: FakeApi, tmp_path: Path, clock: Clock) -> KubeApi:
    return KubeApi.from_kubeconfig(
        fake_api.kubeconfig(tmp_path / "kubeconfig"), timeout=5, clock=clock, sleep=clock.sleep
    )


def config(name: str, **data: str) -> dict[str, t.Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default"},
        "data": data,
    }


# Discovery, reads and writes


def test_kinds_are_looked_up_once_an_api_version(api: KubeApi, fake_api: FakeApi) -> None:
    assert api.resource_for("apps/v1", "Deployment") == Resource("apps", "v1", "Deployment", "deployments", True)
    assert api.resource_for("apps/v1", "DaemonSet").path("a", "b") == "/apis/apps/v1/namespaces/a/daemonsets/b"
    assert api.resource_for("v1", "Namespace").path(None, "x") == "/api/v1/namespaces/x"
    assert fake_api.requests == ["GET /apis/apps/v1", "GET /api/v1"]


def test_an_unknown_kind_is_named_with_what_there_is(api: KubeApi) -> None:
    with pytest.raises(UnknownKind, match="serves no batch/v1 Jobb; of this apiVersion it serves CronJob, Job"):
        api.resource_for("batch/v1", "Jobb")
    with pytest.raises(UnknownKind, match="of this apiVersion it serves nothing"):
        api.resource_for("nowhere.example/v1", "X")


def test_a_kind_is_found_in_whichever_version_serves_it(api: KubeApi) -> None:
    found = api.preferred("apps", "Deployment")
    assert found is not None
    assert found.api_version == "apps/v1"
    assert api.preferred("apps", "Nothing") is None
    assert api.preferred("nowhere.example", "X") is None


def test_write_read_and_delete(api: KubeApi) -> None:
    assert api.get(CONFIG_MAPS, "a", "default") is None
    api.create(CONFIG_MAPS, config("a", k="1"))
    with pytest.raises(ApiError) as caught:
        api.create(CONFIG_MAPS, config("a"))
    assert (caught.value.status, caught.value.reason) == (409, "AlreadyExists")
    assert caught.value.msg.startswith("Creating ConfigMap default/a: the API server answered 409 AlreadyExists")
    api.patch(CONFIG_MAPS, "a", {"data": {"k": None, "l": "2"}}, "default")
    found = api.get(CONFIG_MAPS, "a", "default")
    assert found is not None
    assert found["data"] == {"l": "2"}
    assert api.delete(CONFIG_MAPS, "a", "default", uid=found["metadata"]["uid"])
    assert not api.delete(CONFIG_MAPS, "a", "default")


def test_apply_tells_created_from_configured_and_names_who_conflicts(api: KubeApi, fake_api: FakeApi) -> None:
    assert api.apply(CONFIG_MAPS, config("a", k="1"), dry_run=True).created
    assert fake_api.find("ConfigMap", "a", "default") is None
    assert api.apply(CONFIG_MAPS, config("a", k="1")).created
    assert not api.apply(CONFIG_MAPS, config("a", k="2")).created
    fake_api.edit("ConfigMap", "a", "default", "data/k", "theirs")
    with pytest.raises(ApplyConflict) as caught:
        api.apply(CONFIG_MAPS, config("a", k="3"))
    assert [conflict.as_dict() for conflict in caught.value.conflicts] == [
        {"field": ".data.k", "manager": "kubectl-edit", "subresource": "", "operation": "Update"}
    ]
    assert api.apply(CONFIG_MAPS, config("a", k="3"), force=True).object["data"] == {"k": "3"}


@pytest.mark.parametrize(
    ("message", "manager", "subresource", "operation"),
    [
        ('conflict with "helm"', "helm", "", "Apply"),
        ('conflict with "kubectl-edit" using apps/v1', "kubectl-edit", "", "Update"),
        (
            'conflict with "kubectl" with subresource "scale" using apps/v1 at 2026-01-01T00:00:00Z',
            "kubectl",
            "scale",
            "Update",
        ),
        ("something new", "something new", "", "Apply"),
    ],
)
def test_conflicts_as_api_servers_word_them(message: str, manager: str, subresource: str, operation: str) -> None:
    cause = {"reason": "FieldManagerConflict", "field": ".spec.replicas", "message": message}
    (found,) = read_conflicts({"details": {"causes": [cause, {"reason": "Other"}]}})
    assert (found.manager, found.subresource, found.operation) == (manager, subresource, operation)


def test_a_list_comes_in_pages_and_says_what_its_items_are(api: KubeApi, fake_api: FakeApi, fault: t.Any) -> None:
    for number in range(7):
        fake_api.put(config(f"c{number}"))
    fake_api.page = 3
    fake_api.faults.append(fault("continue=6", status=410))
    found = api.list(CONFIG_MAPS, "default")
    assert [item["metadata"]["name"] for item in found.items] == [f"c{number}" for number in range(7)]
    assert {(item["apiVersion"], item["kind"]) for item in found.items} == {("v1", "ConfigMap")}
    assert found.resource_version == str(fake_api.version)


def test_warnings_of_the_server_are_kept(api: KubeApi, fake_api: FakeApi, fault: t.Any) -> None:
    fake_api.faults.append(fault("GET", status=404, headers={"Warning": '299 - "v1 Things is deprecated"'}))
    assert api.get(CONFIG_MAPS, "a", "default") is None
    assert api.warnings == ["v1 Things is deprecated"]


# Busy or unavailable servers


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(api: KubeApi, fake_api: FakeApi, fault: t.Any, clock: Clock, status: int) -> None:
    fake_api.faults.append(fault("GET", status=status, times=2))
    assert api.list(CONFIG_MAPS).items == []
    assert clock.slept == [0.1, 0.2]


def test_retry_after_is_kept_to(api: KubeApi, fake_api: FakeApi, fault: t.Any, clock: Clock) -> None:
    fake_api.faults.append(fault("GET", status=429, headers={"Retry-After": "3"}, times=2))
    assert api.list(CONFIG_MAPS).items == []
    assert clock.slept == [3, 3]


def test_retries_end_at_the_deadline_with_the_answer(
    api: KubeApi, fake_api: FakeApi, fault: t.Any, clock: Clock
) -> None:
    fake_api.faults.append(fault("GET", status=503, times=1000, message="overloaded"))
    with pytest.raises(ApiError, match="Listing ConfigMap: the API server answered 503: overloaded"):
        api.list(CONFIG_MAPS)
    assert 20 < clock.now <= 30


def test_an_internal_error_that_stays_is_told_soon(api: KubeApi, fake_api: FakeApi, fault: t.Any, clock: Clock) -> None:
    fake_api.faults.append(fault("PATCH", status=500, times=1000, message="failed to create typed patch object"))
    with pytest.raises(ApiError, match=r"Applying ConfigMap default/a: .* failed to create typed patch object"):
        api.apply(CONFIG_MAPS, config("a"))
    assert clock.now < 1


def test_a_dropped_connection_is_made_again(api: KubeApi, fake_api: FakeApi, fault: t.Any) -> None:
    api.apply(CONFIG_MAPS, config("a"))
    fake_api.faults += [fault("PATCH", drop_before=True), fault("DELETE", drop_after=True)]
    assert not api.apply(CONFIG_MAPS, config("a", k="1")).created
    # The first attempt deleted the object, but its response was lost.
    assert not api.delete(CONFIG_MAPS, "a", "default")
    assert fake_api.names("ConfigMap") == []


def test_a_create_is_not_sent_twice(api: KubeApi, fake_api: FakeApi, fault: t.Any) -> None:
    fake_api.faults.append(fault("POST", drop_after=True))
    with pytest.raises(ApiUnavailable, match=r"POST .*configmaps"):
        api.create(CONFIG_MAPS, config("a"))
    assert sum(request.startswith("POST") for request in fake_api.requests) == 1


def test_requests_share_a_connection(api: KubeApi, fake_api: FakeApi) -> None:
    for number in range(20):
        api.apply(CONFIG_MAPS, config(f"c{number}"))
    assert fake_api.connections == 1


def test_nobody_listening_is_told_with_the_address(tmp_path: Path, clock: Clock) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    path = kubeconfig(tmp_path, {"server": f"http://127.0.0.1:{port}"})
    api = KubeApi.from_kubeconfig(path, clock=clock, sleep=clock.sleep)
    with pytest.raises(
        ApiUnavailable, match=rf"GET http://127\.0\.0\.1:{port}/api/v1.*refused.*Check that the cluster is running"
    ):
        api.kinds("v1")


# Watching


def _watch(api: KubeApi, **options: t.Any) -> t.Iterator[tuple[str, list[str]]]:
    for event in api.watch(CONFIG_MAPS, "default", **options):
        yield event.type, [item["metadata"]["name"] for item in event.objects]


@pytest.fixture
def live(fake_api: FakeApi, tmp_path: Path) -> KubeApi:
    return KubeApi.from_kubeconfig(fake_api.kubeconfig(tmp_path / "kubeconfig"), timeout=5)


def test_a_watch_gives_what_there_is_and_then_each_change(live: KubeApi, fake_api: FakeApi) -> None:
    fake_api.put(config("a"))
    events = _watch(live, timeout=5)
    assert next(events) == ("SYNC", ["a"])
    fake_api.put(config("b"))
    assert next(events) == ("ADDED", ["b"])
    fake_api.put(config("a", k="1"))
    assert next(events) == ("MODIFIED", ["a"])
    fake_api.drop("ConfigMap", "a", "default")
    assert next(events) == ("DELETED", ["a"])
    events.close()  # type: ignore[attr-defined]  # a generator


def test_a_watch_ends_at_its_timeout(live: KubeApi) -> None:
    started = time.monotonic()
    assert list(_watch(live, timeout=0.3)) == [("SYNC", [])]
    assert time.monotonic() - started < 3


def test_a_watch_goes_on_after_a_broken_connection(live: KubeApi, fake_api: FakeApi, fault: t.Any) -> None:
    fake_api.faults += [fault("watch=1", drop_before=True), fault("watch=1", status=503), fault("watch=1", status=410)]
    events = _watch(live, timeout=5)
    assert next(events) == ("SYNC", [])
    threading.Timer(0.1, fake_api.put, [config("b")]).start()
    # After 410 the client lists again. b is in that list or in a later event.
    seen = [next(events)]
    while seen[-1][1] != ["b"]:
        seen.append(next(events))
    assert seen[-1][0] in ("SYNC", "ADDED")


def test_a_watch_lists_again_when_its_version_is_too_old(live: KubeApi, fake_api: FakeApi) -> None:
    fake_api.put(config("a"))
    fake_api.expired_before = fake_api.version
    assert next(_watch(live, resource_version="1", timeout=5)) == ("SYNC", ["a"])


# Kubeconfig files


def kubeconfig(directory: Path, cluster: dict[str, t.Any], user: dict[str, t.Any] | None = None) -> str:
    document = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user or {}}],
    }
    path = directory / "config"
    path.write_text(json.dumps(document))
    return str(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: b: c", "it is not valid YAML (line 1)"),
        ("text", "the file is not a kubeconfig"),
        ("{}", "it has no current-context"),
        ("current-context: x\ncontexts: [{name: y}]", "it has no context named 'x'. It contains: y"),
        ("current-context: x\ncontexts: [{name: x, context: {cluster: z}}]", "no cluster named 'z'. It contains: none"),
    ],
)
def test_a_kubeconfig_that_is_wrong_is_told_how(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        load_kubeconfig(str(path))
    assert message in caught.value.msg
    assert str(path) in caught.value.msg


@pytest.mark.parametrize(
    ("cluster", "user", "message"),
    [
        ({"server": "host:1"}, {}, "'host:1' is not an http(s) URL"),
        ({"server": "https://h:99999"}, {}, "is not an http(s) URL"),
        ({"server": "https://h", "proxy-url": "http://p"}, {}, "proxy-url is not supported"),
        ({"server": "https://h"}, {"exec": {"command": "x"}}, "exec is not supported"),
        ({"server": "https://h", "certificate-authority-data": "eA=="}, {}, "certificates or its key are unusable"),
        ({"server": "https://h", "certificate-authority-data": "e"}, {}, "certificate-authority-data is not base64"),
        ({"server": "https://h", "certificate-authority": "gone.pem"}, {}, "gone.pem: No such file"),
        ({"server": "https://h"}, {"tokenFile": "gone"}, "gone: No such file"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_told_why(
    tmp_path: Path, cluster: dict[str, t.Any], user: dict[str, t.Any], message: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_kubeconfig(kubeconfig(tmp_path, cluster, user))
    assert message in caught.value.msg


def test_credentials_of_a_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file\n")
    cluster = {"server": "http://h:1/prefix/"}
    token = load_kubeconfig(kubeconfig(tmp_path, cluster, {"tokenFile": "token"}))
    assert token.headers == {"Authorization": "Bearer from-file"}
    assert (token.host, token.port, token.path) == ("h", 1, "/prefix")
    basic = load_kubeconfig(kubeconfig(tmp_path, cluster, {"username": "u", "password": "p"}))
    assert basic.headers == {"Authorization": "Basic " + base64.b64encode(b"u:p").decode()}


class Pair(t.NamedTuple):
    certificate: bytes
    key: bytes


def _certificate(
    name: str, issuer: tuple[x509.Certificate, t.Any] | None = None
) -> tuple[Pair, x509.Certificate, t.Any]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=1))
        .not_valid_after(now + dt.timedelta(minutes=10))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
    )
    certificate = builder.sign(issuer[1] if issuer else key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Pair(certificate.public_bytes(pem), plain), certificate, key


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_tls_with_a_client_certificate(fake_api: FakeApi, tmp_path: Path) -> None:
    authority, issuer, issuer_key = _certificate("authority")
    server, _certificate_object, _key = _certificate("server", (issuer, issuer_key))
    client, _certificate_object, _key = _certificate("client", (issuer, issuer_key))
    (tmp_path / "pair.pem").write_bytes(server.certificate + server.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pair.pem")
    context.load_verify_locations(cadata=authority.certificate.decode())
    context.verify_mode = ssl.CERT_REQUIRED
    fake_api.server.socket = context.wrap_socket(fake_api.server.socket, server_side=True)
    url = fake_api.url.replace("http:", "https:")
    user = {"client-certificate-data": _encoded(client.certificate), "client-key-data": _encoded(client.key)}

    trusted = {"server": url, "certificate-authority-data": _encoded(authority.certificate)}
    assert "Pod" in KubeApi.from_kubeconfig(kubeconfig(tmp_path, trusted, user)).kinds("v1")
    assert "Pod" in KubeApi.from_kubeconfig(
        kubeconfig(tmp_path, {"server": url, "insecure-skip-tls-verify": True}, user)
    ).kinds("v1")

    other, _certificate_object, _key = _certificate("other")
    stranger = {"server": url, "certificate-authority-data": _encoded(other.certificate)}
    with pytest.raises(ApiUnavailable, match="the server's certificate does not match the kubeconfig"):
        KubeApi.from_kubeconfig(kubeconfig(tmp_path, stranger, user)).kinds("v1")
