# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges kubelets' requests for serving certificates and approves those in order. PRIVATE to the collection.

The signer kubernetes.io/kubelet-serving checks the form of a request. Whether the names in it are the node's own is for
the approver to check: a node that got a certificate for another one could answer in its place.
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
    """What became of the requests."""

    approved: list[dict[str, str]] = field(default_factory=list)
    refused: list[dict[str, t.Any]] = field(default_factory=list)
    answering: list[str] = field(default_factory=list)


def node_of(csr: Object) -> str:
    """The node a request says it is for, by the user who made it; empty if that is no node."""
    username = str((csr.get("spec") or {}).get("username") or "")
    return username.removeprefix(_USER) if username.startswith(_USER) else ""


def judge(csr: Object, nodes: dict[str, Object]) -> list[str]:
    """Everything that speaks against approving a request; nothing if it is in order.

    User and groups in the spec were put there by the API server, which authenticated the requestor; all else is what
    the requestor wrote.
    """
    spec = csr.get("spec") or {}
    if spec.get("signerName") != SIGNER:
        return [f"its signer is {spec.get('signerName')}, not {SIGNER}"]
    name = node_of(csr)
    if not name:
        return [f"its requestor {spec.get('username')!r} is no node ({_USER}<name>)"]
    reasons = []
    if _GROUP not in (spec.get("groups") or []):
        reasons.append(f"its requestor is not in the group {_GROUP}")
    node = nodes.get(name)
    if node is None:
        reasons.append(f"there is no Node {name}")
    usages = set(spec.get("usages") or [])
    if foreign := usages - _USAGES_ALLOWED:
        reasons.append(f"it asks for the usages {_listed(foreign)}")
    if missing := _USAGES - usages:
        reasons.append(f"it does not ask for the usages {_listed(missing)}")
    return reasons + _judge_content(str(spec.get("request") or ""), name, node)


def _judge_content(encoded: str, name: str, node: Object | None) -> list[str]:
    try:
        request = x509.load_pem_x509_csr(base64.b64decode(encoded, validate=True))
        valid = request.is_signature_valid
        subject = list(request.subject)
        extensions = list(request.extensions)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
        return [f"what it carries is no certificate request ({error})"]
    reasons = [] if valid else ["its signature is not by the key in it"]
    names = [str(one.value) for one in subject if one.oid == NameOID.COMMON_NAME]
    organisations = [str(one.value) for one in subject if one.oid == NameOID.ORGANIZATION_NAME]
    if names != [_USER + name] or organisations != [_GROUP] or len(subject) != 2:
        reasons.append(f"its subject is {request.subject.rfc4514_string()!r}, not O={_GROUP},CN={_USER}{name}")
    found: list[x509.GeneralName] = []
    for extension in extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            found = list(extension.value)
        else:
            reasons.append(f"it asks for the extension {extension.oid.dotted_string}")
    return reasons + _judge_names(found, name, node)


def _judge_names(found: list[x509.GeneralName], name: str, node: Object | None) -> list[str]:
    if not found:
        return ["it names no address"]
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
            reasons.append(f"it names {one.value!r}, which is neither a DNS name nor an IP address")
            continue
        if node is not None and not own:
            known = _listed(own_names | {str(ip) for ip in own_ips}) or "none"
            reasons.append(f"it names {one.value}, which is no address of Node {name} (those are: {known})")
    return reasons


def _listed(values: Iterable[str]) -> str:
    return ", ".join(sorted(values))


def _pending(csr: Object) -> bool:
    conditions = (csr.get("status") or {}).get("conditions") or []
    return not any(one.get("type") in ("Approved", "Denied", "Failed") for one in conditions)


class Approver:
    """Approves what is in order until every kubelet serves with a signed certificate."""

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
        """Look again and again until all kubelets answer; once in check mode. NotReady at the deadline."""
        deadline = self.clock() + timeout
        while True:
            waiting = self._look()
            if self.check or not waiting:
                return self.outcome
            if self.clock() >= deadline:
                raise NotReady(self._told(waiting, timeout), **self.facts(), waiting=sorted(waiting))
            self.sleep(_PAUSE)

    def facts(self) -> dict[str, t.Any]:
        """The outcome as data."""
        return {
            "approved": self.outcome.approved,
            "refused": self.outcome.refused,
            "answering": sorted(self.outcome.answering),
        }

    def _look(self) -> dict[str, str]:
        """Approve what there is to approve; which nodes still have no certificate, and why as far as it can be seen."""
        listed = self.api.list(self.api.resource_for("v1", "Node")).items
        nodes = {node["metadata"]["name"]: node for node in listed}
        wanted = self.only or sorted(nodes)
        self._decide({name: node for name, node in nodes.items() if name in wanted})
        waiting = {}
        for name in wanted:
            if name not in nodes:
                waiting[name] = "there is no such Node"
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
        """Approve a request as it was judged; False if it has changed since, then it is judged again."""
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
        """Why a kubelet does not answer, if it does not. One that is to get its certificate has no other to show."""
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
            f"{' | '.join(lines)}. A kubelet asks for a certificate only with serverTLSBootstrap in its configuration; "
            "its own log says what it waits for."
        )
