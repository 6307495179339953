# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change without notice.
"""Pull images on the nodes while workers join, so that Pods start earlier.

Pulls start when the API server listens. Earlier pulls would delay the control plane, because unpacking uses all cores.
A failed pull does not fail the run: the kubelet pulls missing images itself.
"""

from __future__ import annotations

import threading
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.drystone.platform.plugins.module_utils._errors import CommandFailed
from ansible_collections.drystone.platform.plugins.module_utils._kind.docker import Docker
from ansible_collections.drystone.platform.plugins.module_utils._kind.spec import API_SERVER_CONTAINER_PORT, ClusterSpec

HOSTS_DIR = "/etc/containerd/certs.d"
# Run this in the node, because not all engines let the host connect to its address.
_API_SERVER_LISTENS = ["bash", "-c", f"</dev/tcp/127.0.0.1/{API_SERVER_CONTAINER_PORT}"]
_ATTEMPTS = 3


@dataclass(frozen=True)
class Pulled:
    """The result of pulling one image on one node."""

    node: str
    reference: str
    seconds: float
    error: str = ""

    def to_dict(self) -> dict[str, t.Any]:
        return {
            "node": self.node,
            "reference": self.reference,
            "seconds": round(self.seconds, 1),
            "error": self.error,
        }


class Prefetcher:
    """Threads that pull images, one per node. Each waits for the API server and pulls its images one by one."""

    def __init__(
        self,
        docker: Docker,
        spec: ClusterSpec,
        timeout: float,
        clock: t.Callable[[], float] = time.monotonic,
        sleep: t.Callable[[float], None] = time.sleep,
    ) -> None:
        self._docker = docker
        self._control_plane = spec.control_plane.name
        self._timeout = timeout
        self._clock = clock
        self._sleep = sleep
        self._stop = threading.Event()
        self._results: list[Pulled] = []
        self._threads = []
        for node in spec.nodes:
            wanted = list(dict.fromkeys(one.reference for one in spec.prefetch if one.wanted_by(node)))
            if wanted:
                self._threads.append(
                    threading.Thread(target=self._serve, args=(node.name, wanted), name=node.name, daemon=True)
                )

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Start no further pulls, because the creation failed."""
        self._stop.set()

    def results(self, grace: float) -> list[Pulled]:
        """Wait up to grace seconds for running pulls, then return all results."""
        deadline = self._clock() + grace
        for thread in self._threads:
            thread.join(max(0.0, deadline - self._clock()))
        unfinished = [
            Pulled(thread.name, "", grace, f"still pulling {grace:g} s after the cluster was created")
            for thread in self._threads
            if thread.is_alive()
        ]
        self._stop.set()
        return sorted([*self._results, *unfinished], key=lambda one: (one.node, one.reference))

    def _serve(self, node: str, references: list[str]) -> None:
        deadline = self._clock() + self._timeout
        seen = "the container did not run"
        while not self._stop.is_set():
            try:
                self._docker.execute(self._control_plane, _API_SERVER_LISTENS, 10)
                break
            except CommandFailed as error:
                seen = error.msg
            if self._clock() >= deadline:
                self._results.append(Pulled(node, "", self._timeout, f"the API server never listened: {seen}"))
                return
            self._sleep(0.5)
        for reference in references:
            if self._stop.is_set():
                return
            self._results.append(self._pull(node, reference, deadline))

    def _pull(self, node: str, reference: str, deadline: float) -> Pulled:
        command = ["ctr", "--namespace", "k8s.io", "images", "pull", "--hosts-dir", HOSTS_DIR, reference]
        started = self._clock()
        problem = ""
        # kind restarts containerd once if its configuration is patched, which interrupts a running pull.
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._sleep(1)
            if self._stop.is_set():
                break
            try:
                self._docker.execute(node, command, max(1.0, deadline - self._clock()))
                return Pulled(node, reference, self._clock() - started)
            except CommandFailed as error:
                problem = error.msg
        return Pulled(node, reference, self._clock() - started, problem or "stopped")
