# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Only valid requests of kubelets are approved. All others stay pending and are reported with the reason."""

from __future__ import annotations

import base64
import ipaddress
import re
import typing as t
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ansible_collections.drystone.platform.plugins.module_utils._errors import NotReady
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi
from ansible_collections.drystone.platform.plugins.module_utils._policy.kubelet_csr import SIGNER, Approver, judge

if t.TYPE_CHECKING:
    from tests.unit.conftest import ModuleRun, RunModule
    from tests.unit.fake_api import FakeApi

NODE, IP = "demo-worker", "172.20.0.3"
GROUPS = ["system:nodes", "system:authenticated"]
USAGES = ["digital signature", "server auth"]
KEY = ec.generate_private_key(ec.SECP256R1())
Object = dict[str, t.Any]


def pem(
    subject: tuple[tuple[x509.ObjectIdentifier, str], ...] = (
        (NameOID.ORGANIZATION_NAME, "system:nodes"),
        (NameOID.COMMON_NAME, f"system:node:{NODE}"),
    ),
    names: t.Sequence[x509.GeneralName] = (x509.DNSName(NODE), x509.IPAddress(ipaddress.ip_address(IP))),
    extension: x509.ExtensionType | None = None,
) -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(oid, value) for oid, value in subject])
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if extension:
        builder = builder.add_extension(extension, critical=False)
    made = builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return base64.b64encode(made).decode()


def csr(name: str = "csr-1", **changed: t.Any) -> Object:
    spec = {
        "signerName": SIGNER,
        "username": f"system:node:{NODE}",
        "groups": GROUPS,
        "usages": USAGES,
        "request": pem(),
        **changed,
    }
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": spec,
    }


def node(name: str = NODE, ip: str = IP) -> Object:
    addresses = [{"type": "InternalIP", "address": ip}, {"type": "Hostname", "address": name}]
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": {"addresses": addresses}}


@pytest.mark.parametrize("usages", [USAGES, [*USAGES, "key encipherment"]])
def test_what_a_kubelet_asks_for_is_in_order(usages: list[str]) -> None:
    assert judge(csr(usages=usages), {NODE: node()}) == []
    assert judge(csr(request=pem(names=[x509.DNSName(NODE)])), {NODE: node()}) == []


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"signerName": "kubernetes.io/kube-apiserver-client"}, "its signer is kubernetes.io/kube-apiserver-client"),
        ({"username": "system:serviceaccount:dev:default"}, "is not a node"),
        ({"username": "system:node:"}, "is not a node"),
        ({"username": "kubernetes-admin"}, "is not a node"),
        ({"username": "system:node:other"}, "Node other does not exist"),
        ({"groups": ["system:authenticated"]}, "is not in the group system:nodes"),
        ({"usages": [*USAGES, "client auth"]}, "requests the disallowed usages client auth"),
        ({"usages": ["digital signature", "client auth"]}, "does not request the usages server auth"),
        ({"usages": []}, "does not request the usages digital signature, server auth"),
        ({"request": "bm90aGluZw=="}, "not a valid certificate request"),
        ({"request": "%%%"}, "not a valid certificate request"),
        ({"request": ""}, "not a valid certificate request"),
        ({"request": pem(names=[])}, "it contains no address"),
        (
            {"request": pem(names=[x509.DNSName("kubernetes.default.svc")])},
            "contains kubernetes.default.svc, which is not",
        ),
        (
            {"request": pem(names=[x509.DNSName(NODE), x509.DNSName("*.demo")])},
            r"contains \*.demo, which is not an address",
        ),
        (
            {"request": pem(names=[x509.IPAddress(ipaddress.ip_address("10.96.0.1"))])},
            "contains 10.96.0.1, which is not an",
        ),
        ({"request": pem(names=[x509.RFC822Name("a@example.org")])}, "neither a DNS name nor an IP address"),
        ({"request": pem(names=[x509.UniformResourceIdentifier("spiffe://x")])}, "neither a DNS name nor an IP"),
        ({"request": pem(extension=x509.BasicConstraints(ca=True, path_length=None))}, "the extension 2.5.29.19"),
        ({"request": pem(subject=((NameOID.COMMON_NAME, f"system:node:{NODE}"),))}, "its subject is"),
        (
            {
                "request": pem(
                    subject=(
                        (NameOID.ORGANIZATION_NAME, "system:masters"),
                        (NameOID.COMMON_NAME, f"system:node:{NODE}"),
                    )
                )
            },
            "its subject is .*system:masters",
        ),
        (
            {
                "request": pem(
                    subject=(
                        (NameOID.ORGANIZATION_NAME, "system:nodes"),
                        (NameOID.ORGANIZATION_NAME, "system:masters"),
                        (NameOID.COMMON_NAME, f"system:node:{NODE}"),
                    )
                )
            },
            "its subject is .*system:masters",
        ),
        (
            {
                "request": pem(
                    subject=(
                        (NameOID.ORGANIZATION_NAME, "system:nodes"),
                        (NameOID.COMMON_NAME, "system:node:demo-control-plane"),
                    )
                )
            },
            "its subject is",
        ),
    ],
)
def test_anything_else_is_not(changed: Object, reason: str) -> None:
    reasons = judge(csr(**changed), {NODE: node(), "demo-control-plane": node("demo-control-plane", "172.20.0.2")})
    assert any(re.search(reason, one) for one in reasons), reasons


def test_a_request_changed_after_it_was_signed_is_not_in_order() -> None:
    made = base64.b64decode(pem()).decode().splitlines()
    body = bytearray(base64.b64decode("".join(made[1:-1])))
    body[-1] ^= 1
    encoded = "\n".join([made[0], base64.b64encode(bytes(body)).decode(), made[-1]]) + "\n"
    reasons = judge(csr(request=base64.b64encode(encoded.encode()).decode()), {NODE: node()})
    assert reasons
    assert any("signature" in one or "not a valid certificate request" in one for one in reasons)


def test_every_reason_is_given_at_once() -> None:
    request = pem(names=[x509.DNSName("elsewhere")])
    reasons = judge(csr(groups=[], usages=["client auth"], request=request), {NODE: node()})
    assert len(reasons) == 4


@pytest.fixture
def cluster(fake_api: FakeApi) -> FakeApi:
    fake_api.serve(
        "certificates.k8s.io/v1", "CertificateSigningRequest", "certificatesigningrequests", namespaced=False
    )
    fake_api.put(node())
    fake_api.answers[f"/api/v1/nodes/{NODE}/proxy/healthz"] = (200, "ok")
    return fake_api


def conditions(api: FakeApi, name: str = "csr-1") -> list[str]:
    found = api.find("CertificateSigningRequest", name)
    assert found is not None
    return [one["type"] for one in found.get("status", {}).get("conditions", [])]


@pytest.fixture
def run(cluster: FakeApi, tmp_path: Path, run_module: RunModule) -> RunModule:
    kubeconfig = cluster.kubeconfig(tmp_path / "kubeconfig")

    def approve(*, check: bool = False, **options: t.Any) -> ModuleRun:
        arguments = {"kubeconfig": kubeconfig, "timeout": 0, **options}
        return run_module("kubelet_csr_approve", arguments, check=check)

    return approve


def test_check_then_approve_then_nothing_to_do(run: RunModule, cluster: FakeApi) -> None:
    cluster.put(csr())
    checked = run(check=True)
    assert checked.result["changed"]
    assert checked.result["approved"] == [{"name": "csr-1", "node": NODE}]
    assert conditions(cluster) == []
    done = run()
    assert (done.code, done.result["changed"]) == (0, True)
    assert conditions(cluster) == ["Approved"]
    assert "/approval" in next(one for one in cluster.requests if one.startswith("PATCH"))
    again = run()
    assert (again.result["changed"], again.result["approved"], again.result["answering"]) == (False, [], [NODE])


def test_a_wrong_request_is_left_pending_with_a_warning_and_the_right_one_approved(
    run: RunModule, cluster: FakeApi
) -> None:
    cluster.put(csr())
    cluster.put(csr("csr-2", request=pem(names=[x509.DNSName("elsewhere")])))
    done = run()
    assert done.code == 0
    assert (conditions(cluster), conditions(cluster, "csr-2")) == (["Approved"], [])
    (refused,) = done.result["refused"]
    assert refused["name"] == "csr-2"
    assert "csr-2 of system:node:demo-worker is not approved: it contains elsewhere" in str(done.result["warnings"])


def test_requests_for_other_signers_and_decided_ones_are_not_looked_at(run: RunModule, cluster: FakeApi) -> None:
    cluster.put(csr(signerName="example.org/own"))
    cluster.put({**csr("csr-2"), "status": {"conditions": [{"type": "Denied", "status": "True"}]}})
    done = run()
    assert (done.result["changed"], done.result["refused"]) == (False, [])
    assert (conditions(cluster), conditions(cluster, "csr-2")) == ([], ["Denied"])


def test_nodes_limits_for_whom_is_approved(run: RunModule, cluster: FakeApi) -> None:
    cluster.put(node("other", "172.20.0.9"))
    cluster.put(csr())
    cluster.answers["/api/v1/nodes/other/proxy/healthz"] = (200, "ok")
    done = run(nodes=["other"])
    assert (done.result["changed"], conditions(cluster)) == (False, [])


def test_a_kubelet_that_never_answers_is_named_with_what_was_not_approved(run: RunModule, cluster: FakeApi) -> None:
    cluster.answers[f"/api/v1/nodes/{NODE}/proxy/healthz"] = (500, {"message": "remote error: tls: internal error"})
    cluster.put(csr(groups=[]))
    failed = run()
    assert failed.code == 1
    assert failed.result["waiting"] == [NODE]
    assert "tls: internal error" in failed.result["msg"]
    assert "csr-1 of system:node:demo-worker was not approved" in failed.result["msg"]


def test_it_waits_for_a_request_that_comes_late(cluster: FakeApi, tmp_path: Path) -> None:
    path = f"/api/v1/nodes/{NODE}/proxy/healthz"
    cluster.answers[path] = (500, {"message": "remote error: tls: internal error"})
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds
        if now[0] == 2:
            cluster.put(csr())
        if now[0] >= 2 and conditions(cluster) == ["Approved"]:
            cluster.answers[path] = (200, "ok")

    api = KubeApi.from_kubeconfig(cluster.kubeconfig(tmp_path / "kubeconfig"))
    outcome = Approver(api, nodes=[], check=False, clock=lambda: now[0], sleep=sleep).run(10)
    assert outcome.approved == [{"name": "csr-1", "node": NODE}]
    assert outcome.answering == [NODE]


def test_a_node_that_does_not_exist_ends_in_an_error_at_the_deadline(cluster: FakeApi, tmp_path: Path) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    api = KubeApi.from_kubeconfig(cluster.kubeconfig(tmp_path / "kubeconfig"))
    with pytest.raises(NotReady, match="nowhere: the Node does not exist"):
        Approver(api, nodes=["nowhere"], check=False, clock=lambda: now[0], sleep=sleep).run(5)
    assert now[0] == 5
