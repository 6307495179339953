# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check kubelets' requests for serving certificates, and approve valid ones. PRIVATE to the collection.

The signer kubernetes.io/kubelet-serving checks the form of a request. The approver must check that the names in it
belong to the node: a node with a certificate for another node could impersonate it.
"""

from __future__ import annotations

import base64
import ipaddress
import typing as t
from collections.abc import Iterable
from dataclasses import dataclass, field

from ansible_collections.drystone.platform.plugins.module_utils._cryptography import cryptography_imports
from ansible_collections.drystone.platform.plugins.module_utils._errors import ApiError, ApiUnavailable, NotReady
from ansible_collections.drystone.platform.plugins.module_utils._kube.types import Object

with cryptography_imports:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.x509.oid import NameOID

if t.TYPE_CHECKING:
    from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi

SIGNER = "kubernetes.io/kubelet-serving"
_USER = "system:node:"
_GROUP = "system:nodes"
_USAGES = frozenset({"digital signature", "server auth"})
_USAGES_ALLOWED = _USAGES | {"key encipherment"}
_DNS_TYPES = frozenset({"Hostname", "InternalDNS", "ExternalDNS"})
_IP_TYPES = frozenset({"InternalIP", "ExternalIP"})
_PAUSE = 1.0


@dataclass
class Outcome:
    """The approved and refused requests, and the kubelets that answer."""

    approved: list[dict[str, str]] = field(default_factory=list)
    refused: list[dict[str, t.Any]] = field(default_factory=list)
    answering: list[str] = field(default_factory=list)


def node_of(csr: Object) -> str:
    """Return the node whose user created the request, or an empty string if the user is not a node."""
    username = str((csr.get("spec") or {}).get("username") or "")
    return username.removeprefix(_USER) if username.startswith(_USER) else ""


def judge(csr: Object, nodes: dict[str, Object]) -> list[str]:
    """Return all reasons against approving a request. An empty list means that it is valid.

    The API server authenticated the requestor and set the user and the groups in the spec. The requestor wrote all
    other fields.
    """
    spec = csr.get("spec") or {}
    if spec.get("signerName") != SIGNER:
        return [f"its signer is {spec.get('signerName')}, not {SIGNER}"]
    name = node_of(csr)
    if not name:
        return [f"its requestor {spec.get('username')!r} is not a node ({_USER}<name>)"]
    reasons = []
    if _GROUP not in (spec.get("groups") or []):
        reasons.append(f"its requestor is not in the group {_GROUP}")
    node = nodes.get(name)
    if node is None:
        reasons.append(f"Node {name} does not exist")
    usages = set(spec.get("usages") or [])
    if foreign := usages - _USAGES_ALLOWED:
        reasons.append(f"it requests the disallowed usages {_listed(foreign)}")
    if missing := _USAGES - usages:
        reasons.append(f"it does not request the usages {_listed(missing)}")
    return reasons + _judge_content(str(spec.get("request") or ""), name, node)


def _judge_content(encoded: str, name: str, node: Object | None) -> list[str]:
    try:
        request = x509.load_pem_x509_csr(base64.b64decode(encoded, validate=True))
        valid = request.is_signature_valid
        subject = list(request.subject)
        extensions = list(request.extensions)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
        return [f"its content is not a valid certificate request ({error})"]
    reasons = [] if valid else ["its signature was not made with the key in the request"]
    names = [str(one.value) for one in subject if one.oid == NameOID.COMMON_NAME]
    organisations = [str(one.value) for one in subject if one.oid == NameOID.ORGANIZATION_NAME]
    if names != [_USER + name] or organisations != [_GROUP] or len(subject) != 2:
        reasons.append(f"its subject is {request.subject.rfc4514_string()!r}, not O={_GROUP},CN={_USER}{name}")
    found: list[x509.GeneralName] = []
    for extension in extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            found = list(extension.value)
        else:
            reasons.append(f"it requests the extension {extension.oid.dotted_string}")
    return reasons + _judge_names(found, name, node)


def _judge_names(found: list[x509.GeneralName], name: str, node: Object | None) -> list[str]:
    if not found:
        return ["it contains no address"]
    addresses = ((node or {}).get("status") or {}).get("addresses") or []
    own_names = {str(one["address"]) for one in addresses if one["type"] in _DNS_TYPES}
    own_ips = {ipaddress.ip_address(one["address"]) for one in addresses if one["type"] in _IP_TYPES}
    reasons = []
    for one in found:
        if isinstance(one, x509.DNSName):
            own = one.value in own_names
        elif isinstance(one, x509.IPAddress):
            own = one.value in own_ips
        else:
            reasons.append(f"it contains {one.value!r}, which is neither a DNS name nor an IP address")
            continue
        if node is not None and not own:
            known = _listed(own_names | {str(ip) for ip in own_ips}) or "none"
            reasons.append(f"it contains {one.value}, which is not an address of Node {name} (its addresses: {known})")
    return reasons


def _listed(values: Iterable[str]) -> str:
    return ", ".join(sorted(values))


def _pending(csr: Object) -> bool:
    conditions = (csr.get("status") or {}).get("conditions") or []
    return not any(one.get("type") in ("Approved", "Denied", "Failed") for one in conditions)


class Approver:
    """Approve valid requests until every kubelet serves with a signed certificate."""

    def __init__(
        self,
        api: KubeApi,
        *,
        nodes: list[str],
        check: bool,
        clock: t.Callable[[], float],
        sleep: t.Callable[[float], None],
    ) -> None:
        self.api = api
        self.only = nodes
        self.check = check
        self.clock = clock
        self.sleep = sleep
        self.outcome = Outcome()
        self._approved: set[str] = set()

    def run(self, timeout: float) -> Outcome:
        """Approve requests until all kubelets answer, or once in check mode. Raise NotReady at the deadline."""
        deadline = self.clock() + timeout
        while True:
            waiting = self._look()
            if self.check or not waiting:
                return self.outcome
            if self.clock() >= deadline:
                raise NotReady(self._told(waiting, timeout), **self.facts(), waiting=sorted(waiting))
            self.sleep(_PAUSE)

    def facts(self) -> dict[str, t.Any]:
        """Return the outcome as data."""
        return {
            "approved": self.outcome.approved,
            "refused": self.outcome.refused,
            "answering": sorted(self.outcome.answering),
        }

    def _look(self) -> dict[str, str]:
        """Approve valid requests. Return the nodes whose kubelets do not answer yet, with the reason."""
        listed = self.api.list(self.api.resource_for("v1", "Node")).items
        nodes = {node["metadata"]["name"]: node for node in listed}
        wanted = self.only or sorted(nodes)
        self._decide({name: node for name, node in nodes.items() if name in wanted})
        waiting = {}
        for name in wanted:
            if name not in nodes:
                waiting[name] = "the Node does not exist"
            elif name not in self.outcome.answering:
                if problem := self._silent(name):
                    waiting[name] = problem
                else:
                    self.outcome.answering.append(name)
        return waiting

    def _decide(self, nodes: dict[str, Object]) -> None:
        kind = self.api.resource_for("certificates.k8s.io/v1", "CertificateSigningRequest")
        self.outcome.refused = []
        for csr in self.api.list(kind, field_selector=f"spec.signerName={SIGNER}").items:
            name, node = csr["metadata"]["name"], node_of(csr)
            if not _pending(csr) or name in self._approved:
                continue
            if reasons := judge(csr, nodes):
                requestor = str((csr.get("spec") or {}).get("username") or "")
                self.outcome.refused.append({"name": name, "requestor": requestor, "reasons": reasons})
            elif self.check or self._approve(kind, csr):
                self._approved.add(name)
                self.outcome.approved.append({"name": name, "node": node})

    def _approve(self, kind: t.Any, csr: Object) -> bool:
        """Approve a request that was checked. Return False if it has changed since, so that it is checked again."""
        condition = {
            "type": "Approved",
            "status": "True",
            "reason": "DrystoneKubeletServing",
            "message": "Requestor, subject, usages and every address were checked against the Node.",
        }
        status = {"conditions": [*((csr.get("status") or {}).get("conditions") or []), condition]}
        body = {"metadata": {"resourceVersion": csr["metadata"]["resourceVersion"]}, "status": status}
        try:
            self.api.patch(kind, csr["metadata"]["name"], body, subresource="approval")
        except ApiError as error:
            if error.status in (404, 409):
                return False
            raise
        return True

    def _silent(self, name: str) -> str:
        """Return why a kubelet does not answer, or an empty string. Without its certificate it cannot answer."""
        try:
            self.api.request("GET", f"/api/v1/nodes/{name}/proxy/healthz", doing=f"Asking kubelet {name}", retry_for=0)
        except (ApiError, ApiUnavailable) as error:
            return error.msg
        return ""

    def _told(self, waiting: dict[str, str], timeout: float) -> str:
        lines = [f"{name}: {why}" for name, why in sorted(waiting.items())]
        lines += [
            f"request {one['name']} of {one['requestor']} was not approved: {'; '.join(one['reasons'])}"
            for one in self.outcome.refused
        ]
        return (
            f"Approving serving certificates: {len(waiting)} of the kubelets do not answer after {timeout:g} s. "
            f"{' | '.join(lines)}. A kubelet only requests a certificate if its configuration sets serverTLSBootstrap. "
            "Check the log of the kubelet."
        )
