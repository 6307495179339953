# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check with test connections whether network policies are enforced. PRIVATE to the collection."""

from __future__ import annotations

import functools
import secrets
import typing as t
from dataclasses import asdict, dataclass

from ansible_collections.drystone.platform.plugins.module_utils._errors import ApiError, DrystoneError, NotReady
from ansible_collections.drystone.platform.plugins.module_utils._kube.types import Object
from ansible_collections.drystone.platform.plugins.module_utils._policy.probe_pod import (
    SELECTOR,
    answers,
    finished,
    probe_pod,
    running,
    situation,
)

if t.TYPE_CHECKING:
    from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi


NOT_TRIED = "not tried"
REACHED = "reached"
_PAUSE = 1.0


@dataclass
class Connection:
    """A test connection from a Pod in a namespace to a port of a Service, or of any Service of a namespace."""

    source: str
    namespace: str
    expected: str
    service: str = ""
    port: int = 0
    address: str = ""
    seen: str = NOT_TRIED
    reason: str = ""

    @property
    def title(self) -> str:
        """The connection, for messages."""
        target = f"{self.service}:{self.port}" if self.service else "any Service"
        return f"{self.source} -> {self.namespace}/{target}"

    @property
    def decided(self) -> bool:
        """Whether the connection was tried with a meaningful result."""
        return self.seen != NOT_TRIED and not self.reason


class Probe:
    """Try connections with one Pod in each source namespace, and remove the Pods."""

    def __init__(
        self,
        api: KubeApi,
        connections: list[Connection],
        *,
        image: str,
        settle: float,
        timeout: float,
        ready_timeout: float,
        clock: t.Callable[[], float],
        sleep: t.Callable[[float], None],
    ) -> None:
        self.api = api
        self.connections = connections
        self.image = image
        self.settle = settle
        self.timeout = timeout
        self.ready_timeout = ready_timeout
        self.clock = clock
        self.sleep = sleep
        self.pods = api.resource_for("v1", "Pod")

    def run(self) -> None:
        """Try all connections and record their results.

        The Pods start as soon as their targets are known, because their start takes most of the time, and wait until
        the targets are ready. A Pod tries its connections when it is deleted, so it needs no other signal.
        """
        deadline = self.clock() + self.ready_timeout
        self._find_targets(deadline, ready=False)
        by_source: dict[str, list[Connection]] = {}
        for connection in self.connections:
            if not connection.reason:
                by_source.setdefault(connection.source, []).append(connection)
        self._remove(lambda pod: finished(pod) or not pod["spec"].get("nodeName"))
        started: dict[str, list[Connection]] = {}
        try:
            for source, group in by_source.items():
                started[self._start(source, group)] = group
            self._find_targets(deadline, ready=True)
            self._collect(started)
        finally:
            self._remove(lambda pod: pod["metadata"]["name"] in started)
        for group in by_source.values():
            _mistrust(group)

    def _find_targets(self, deadline: float, *, ready: bool) -> None:
        """Update the targets of the connections, or the reasons why they cannot be tried."""
        while True:
            look = functools.cache(functools.partial(self._look, ready=ready))
            choose = functools.cache(self._choose)
            for one in self.connections:
                if not ready and not one.service:
                    # Do not change the target later: a Pod gets its targets only once.
                    one.service, one.port = choose(one.namespace)
                address, one.reason = look(one.source)
                if not one.reason:
                    address, one.reason = look(one.namespace, one.service)
                if not one.reason and not one.service:
                    one.reason = f"{one.namespace} has no Service with an address and a TCP port"
                if not one.reason and ready and address != one.address:
                    one.reason = f"Service {one.namespace}/{one.service} was created after the Pods"
                if not ready:
                    one.address = address
            if self.clock() >= deadline or not any(one.reason for one in self.connections):
                return
            self.sleep(_PAUSE)

    def _choose(self, namespace: str) -> tuple[str, int]:
        """Return the first Service of a namespace (by name) with an address, and its first TCP port.

        Services of isolated Pods do not count: the policies of the application decide who may connect to them.
        """
        services = self.api.list(self.api.resource_for("v1", "Service"), namespace).items
        for found in sorted(services, key=lambda one: str(one["metadata"]["name"])):
            if "drystone.dev/isolation" in (found["metadata"].get("labels") or {}):
                continue
            spec = found.get("spec") or {}
            ports = [one["port"] for one in spec.get("ports") or [] if one.get("protocol", "TCP") == "TCP"]
            if ports and spec.get("clusterIP") not in (None, "", "None"):
                return found["metadata"]["name"], int(ports[0])
        return "", 0

    def _look(self, namespace: str, service: str = "", *, ready: bool) -> tuple[str, str]:
        """Return the address of a Service, or the reason why there is none."""
        if self.api.get(self.api.resource_for("v1", "Namespace"), namespace) is None:
            return "", f"namespace {namespace} does not exist"
        if not service:
            return "", ""
        found = self.api.get(self.api.resource_for("v1", "Service"), service, namespace)
        address = ((found or {}).get("spec") or {}).get("clusterIP") or ""
        if address in ("", "None"):
            return "", f"Service {namespace}/{service} does not exist or has no address"
        if not ready:
            return address, ""
        slices = self.api.list(
            self.api.resource_for("discovery.k8s.io/v1", "EndpointSlice"),
            namespace,
            label_selector=f"kubernetes.io/service-name={service}",
        ).items
        ends = [end for one in slices for end in one.get("endpoints") or []]
        if not any((end.get("conditions") or {}).get("ready", True) for end in ends):
            return "", f"Service {namespace}/{service} has no ready endpoint"
        return address, ""

    def _start(self, source: str, group: list[Connection]) -> str:
        targets = [{"address": one.address, "port": one.port, "denied": one.expected == "denied"} for one in group]
        name = f"policy-probe-{secrets.token_hex(3)}"
        longest = self.ready_timeout + self.timeout
        self.api.create(self.pods, probe_pod(name, source, self.image, targets, settle=self.settle, longest=longest))
        return name

    def _collect(self, expected: dict[str, list[Connection]]) -> None:
        """Delete the Pods once they run, and read their results."""
        deadline = self.clock() + self.timeout
        last: dict[str, Object] = {}
        asked: set[str] = set()
        open_pods = set(expected)
        if not open_pods:
            return
        for event in self.api.watch(self.pods, label_selector=SELECTOR, timeout=self.timeout):
            pods = {pod["metadata"]["name"]: pod for pod in event.objects if pod["metadata"]["name"] in open_pods}
            last.update(pods)
            if event.type == "SYNC":
                open_pods &= set(pods)
            for name, pod in pods.items():
                if event.type == "DELETED" or finished(pod):
                    open_pods.discard(name)
                elif running(pod) and name not in asked:
                    asked.add(name)
                    self.api.delete(self.pods, name, pod["metadata"]["namespace"], uid=pod["metadata"]["uid"])
            if not open_pods or self.clock() >= deadline:
                break
        problems = []
        for name, group in expected.items():
            found = answers(last.get(name, {}), len(group))
            if found is None:
                problems.append(f"pod {group[0].source}/{name} {situation(last.get(name, {}))}")
                continue
            for connection, seen in zip(group, found, strict=True):
                if not connection.reason:
                    connection.seen = seen
        if problems:
            raise NotReady(
                f"Trying connections: no result after at most {self.timeout:g} s: {'; '.join(problems)}. The pods run "
                f"{self.image}, which must exist and contain python3. The pods are removed.",
                problems=problems,
            )

    def _remove(self, which: t.Callable[[Object], bool]) -> None:
        """Remove probe Pods: those of killed runs first, and our own at the end. Keep those of other runs."""
        for pod in self.api.list(self.pods, label_selector=SELECTOR).items:
            if not which(pod):
                continue
            metadata = pod["metadata"]
            try:
                self.api.delete(self.pods, metadata["name"], metadata["namespace"], uid=metadata["uid"], grace=0)
            except ApiError as error:
                if error.status != 409:  # another Pod with this name was created meanwhile
                    raise


def _mistrust(group: list[Connection]) -> None:
    """Discard the results of a Pod that could not reach any target."""
    if any(one.seen == REACHED for one in group):
        return
    for one in group:
        if one.expected == "denied" and not one.reason:
            one.reason = f"no target could be reached from {one.source}, so the network itself may be the cause"


def verdict(connections: list[Connection]) -> dict[str, t.Any]:
    """Return a word and a message that state whether policies are enforced."""
    denied = [one for one in connections if one.expected == "denied" and one.decided]
    through = [one for one in denied if one.seen == REACHED]
    blocked = [one for one in connections if one.expected == "allowed" and one.decided and one.seen != REACHED]
    untried = [one for one in connections if not one.decided]
    if not denied:
        word, text = (
            "unknown",
            "Whether network policies are enforced is unknown: no forbidden connection could be tried.",
        )
    elif not through:
        word = "enforced"
        text = f"Network policies ARE enforced: all {len(denied)} forbidden connections were blocked."
    elif len(through) == len(denied):
        word = "not_enforced"
        text = (
            f"Network policies are NOT enforced: all {len(denied)} forbidden connections succeeded "
            f"({_some(through)}). The policies have no effect until the network plugin enforces them."
        )
    else:
        word = "partial"
        text = f"Network policies are partly enforced: {len(through)} of {len(denied)} forbidden connections succeeded"
        text += f" ({_some(through)})."
    if blocked:
        seen = "; ".join(f"{one.title}: {one.seen}" for one in blocked)
        text += f" {len(blocked)} allowed connections are blocked: {seen}."
    if untried:
        text += f" Not tried: {'; '.join(f'{one.title}, because {one.reason}' for one in untried)}."
    return {
        "enforcement": word,
        "message": text,
        "blocked": [one.title for one in blocked],
        "connections": [asdict(one) for one in connections],
    }


def require(found: dict[str, t.Any], *, enforcement: bool) -> None:
    """Raise an error for blocked allowed connections, partial enforcement, or missing required enforcement."""
    if found["blocked"] or found["enforcement"] == "partial":
        raise DrystoneError(
            f"{found['message']} Check the NetworkPolicies of these namespaces (kubectl get networkpolicy -A).",
            **{key: value for key, value in found.items() if key != "message"},
        )
    if enforcement and found["enforcement"] != "enforced":
        raise DrystoneError(
            f"{found['message']} Enforcement is required (require_enforcement).",
            **{key: value for key, value in found.items() if key != "message"},
        )


def _some(connections: list[Connection]) -> str:
    shown = ", ".join(one.title for one in connections[:3])
    return shown + (f" and {len(connections) - 3} more" if len(connections) > 3 else "")
