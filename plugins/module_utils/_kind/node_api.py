# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change without notice.
"""The Node objects of one kind cluster, read with the kubeconfig from its own control plane."""

from __future__ import annotations

import os
import tempfile
import time
import typing as t

from ansible_collections.drystone.platform.plugins.module_utils._errors import ApiError, NotReady
from ansible_collections.drystone.platform.plugins.module_utils._kind.node_labels import NodePatch, patch_for
from ansible_collections.drystone.platform.plugins.module_utils._kind.spec import ClusterSpec
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi

_RACES = 5


class NodeApi:
    """Read and patch Node objects."""

    def __init__(
        self,
        api: KubeApi,
        spec: ClusterSpec,
        timeout: float,
        clock: t.Callable[[], float] = time.monotonic,
        sleep: t.Callable[[float], None] = time.sleep,
    ) -> None:
        self._api = api
        self._spec = spec
        self._timeout = timeout
        self._clock = clock
        self._sleep = sleep

    @classmethod
    def from_kubeconfig(cls, text: str, spec: ClusterSpec, timeout: float) -> NodeApi:
        """Connect with this kubeconfig text, because a file may lead to another cluster."""
        descriptor, path = tempfile.mkstemp(prefix="drystone-")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(text)
            return cls(KubeApi.from_kubeconfig(path, spec.context, timeout=10, retry_for=timeout), spec, timeout)
        finally:
            os.unlink(path)

    def read(self, wait: bool) -> dict[str, dict[str, t.Any]]:
        """Read all described nodes. With wait, wait until the timeout for nodes that are not registered yet."""
        wanted = [node.name for node in self._spec.nodes]
        deadline = self._clock() + self._timeout
        while True:
            found = {one["metadata"]["name"]: one for one in self._api.list(self._resource()).items}
            missing = [name for name in wanted if name not in found]
            if not missing:
                return {name: found[name] for name in wanted}
            if not wait or self._clock() >= deadline:
                after = f" after {self._timeout:g} s" if wait else ""
                raise NotReady(
                    f"Reading the nodes of kind cluster {self._spec.name}: the container of {', '.join(missing)} runs, "
                    f"but the API server only knows {', '.join(sorted(found)) or 'no node'}{after}. The kubelet "
                    f"registers when it starts: docker exec {missing[0]} systemctl restart kubelet; its log: "
                    f"docker exec {missing[0]} journalctl -u kubelet. As a last resort set recreate: true.",
                    missing=missing,
                )
            self._sleep(0.5)

    def reconcile(self, wait: bool) -> None:
        """Patch all nodes to match their descriptions. Read a node again if it changes in between."""
        for attempt in range(_RACES):
            patches = self.patches(self.read(wait))
            try:
                for patch in patches:
                    self._api.patch(self._resource(), patch.node, dict(patch.body))
                return
            except ApiError as error:
                if error.status != 409 or attempt == _RACES - 1:
                    raise

    def patches(self, found: t.Mapping[str, t.Mapping[str, t.Any]]) -> list[NodePatch]:
        """Compare the nodes with their descriptions."""
        compared = (patch_for(node, found[node.name]) for node in self._spec.nodes)
        return [patch for patch in compared if patch]

    def _resource(self) -> t.Any:
        return self._api.resource_for("v1", "Node")
