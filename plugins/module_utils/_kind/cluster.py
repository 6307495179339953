# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change without notice.
"""Create or update a kind cluster: read the state, make a plan, execute the plan."""

from __future__ import annotations

import contextlib
import json
import time
import typing as t

from ansible_collections.drystone.platform.plugins.module_utils._errors import CommandFailed, DrystoneError, NotReady
from ansible_collections.drystone.platform.plugins.module_utils._host.proc import Proc
from ansible_collections.drystone.platform.plugins.module_utils._kind import kubeconfig_file, node_files
from ansible_collections.drystone.platform.plugins.module_utils._kind.diff import predict, snapshot
from ansible_collections.drystone.platform.plugins.module_utils._kind.docker import Container, Docker, Kind
from ansible_collections.drystone.platform.plugins.module_utils._kind.node_api import NodeApi
from ansible_collections.drystone.platform.plugins.module_utils._kind.outcome import Outcome, Settings
from ansible_collections.drystone.platform.plugins.module_utils._kind.plan import (
    RUNNING,
    Action,
    Seen,
    plan_present,
    refuse,
    require_own_network,
    require_ownership,
)
from ansible_collections.drystone.platform.plugins.module_utils._kind.prefetch import Prefetcher, Pulled
from ansible_collections.drystone.platform.plugins.module_utils._kind.spec import CONTROL_PLANE, ClusterSpec
from ansible_collections.drystone.platform.plugins.module_utils._kind.state import ClusterState, nonce_of

NodeApiFactory = t.Callable[[str, ClusterSpec, float], NodeApi]


class KindCluster:
    """One kind cluster on this host."""

    def __init__(
        self,
        docker: Docker,
        kind: Kind,
        state: ClusterState,
        settings: Settings,
        *,
        nodes: NodeApiFactory = NodeApi.from_kubeconfig,
        proc: Proc | None = None,
        clock: t.Callable[[], float] = time.monotonic,
        sleep: t.Callable[[float], None] = time.sleep,
    ) -> None:
        self._docker = docker
        self._kind = kind
        self._state = state
        self._settings = settings
        self._nodes = nodes
        self._proc = proc or Proc()
        self._clock = clock
        self._sleep = sleep

    def present(self, spec: ClusterSpec, check: bool = False) -> Outcome:
        """Create or update the cluster to match its description, or only plan this in check mode."""
        kubeconfig_file.reject_shared_path(self._settings.kubeconfig)
        if check:
            return self._plan(spec)[0]
        if not self._state.directory.exists():
            # Remove the directory of the lock, so that a refused run leaves nothing behind.
            self._plan(spec)
        with self._state.lock(self._settings.lock_timeout) as lock:
            outcome, seen = self._plan(spec)
            if outcome.changed:
                outcome.prefetch = self._do(spec, outcome.plan, seen, lock)
            return outcome

    def _plan(self, spec: ClusterSpec) -> tuple[Outcome, Seen]:
        seen, found = self._look(spec)
        plan = plan_present(spec, seen, self._settings.recreate)
        refuse(spec.name, plan)
        if any(one.verb == "create_cluster" for one in plan):
            self._require_free_ports(spec, seen.containers)
        path = str(self._settings.kubeconfig)
        before = snapshot(spec, seen, found, path)
        return Outcome(plan, before, predict(spec, plan, seen, before, found, path)), seen

    def _look(self, spec: ClusterSpec) -> tuple[Seen, dict[str, dict[str, t.Any]]]:
        containers = self._docker.containers(spec.name)
        nonces = self._state.nonces()
        require_ownership(spec.name, Seen(containers=containers, nonces=nonces))
        interrupted = self._state.interrupted([one.id for one in containers])
        problem, patches, found = None, None, {}
        if containers and not interrupted:
            problem = kubeconfig_file.problem(self._settings.kubeconfig, None, spec.context)
            if {one.name for one in containers} == {one.name for one in spec.nodes} and _control_plane_runs(containers):
                text = self._kind.kubeconfig(spec.name, spec.network)
                problem = kubeconfig_file.problem(self._settings.kubeconfig, text, spec.context)
                nodes = self._nodes(text, spec, self._settings.api_timeout)
                found = nodes.read(wait=False)
                patches = nodes.patches(found)
        seen = Seen(
            containers=containers,
            nonces=nonces,
            network=self._docker.network(spec.network),
            interrupted=interrupted,
            created=self._state.created,
            image_id=self._docker.image_id(spec.image) if any(one.image != spec.image for one in containers) else None,
            kubeconfig_problem=problem,
            patches=patches,
            file_changes=node_files.changes(spec.mounts),
        )
        require_own_network(spec.name, seen)
        return seen, found

    def _do(self, spec: ClusterSpec, plan: t.Sequence[Action], seen: Seen, lock: int) -> list[Pulled]:
        named = {one.name: one for one in seen.containers}
        verbs = {one.verb for one in plan}
        creating = "create_cluster" in verbs
        if creating:
            self._require_tools(spec)
        kubeconfig_file.require_ours(self._settings.kubeconfig, spec.context)
        if "create_network" in verbs:
            self._docker.create_network(spec.network, spec.name, str(nonce_of(str(self._state.owner_file()))))
        for change in seen.file_changes:
            node_files.write(change)
        if creating:
            self._state.begin("create", [one.id for one in seen.containers])
            self._docker.remove(seen.containers)
            prefetcher = self._create(spec, lock)
        for action in plan:
            if action.verb == "start_node":
                one = named[action.target]
                self._state.keep_owner_file(str(one.nonce))
                self._docker.start(one)
        text = self._kind.kubeconfig(spec.name, spec.network)
        if kubeconfig_file.problem(self._settings.kubeconfig, text, spec.context):
            kubeconfig_file.write(self._settings.kubeconfig, text)
        self._nodes(text, spec, self._settings.api_timeout).reconcile(wait=creating or "start_node" in verbs)
        return prefetcher.results(self._settings.prefetch_timeout) if creating else []

    def _require_tools(self, spec: ClusterSpec) -> None:
        """Find reasons for which the creation would fail, before anything is removed or created."""
        self._kind.require()
        if self._docker.image_id(spec.image) is None:
            raise NotReady(
                f"Creating kind cluster {spec.name}: the engine does not have the image {spec.image}. "
                f"Run the role artifacts first, or run: docker pull {spec.image}",
                image=spec.image,
            )

    def _require_free_ports(self, spec: ClusterSpec, containers: t.Sequence[Container]) -> None:
        held = {port for one in containers if one.status == RUNNING for port in one.ports}
        wanted = {one.host_port: one for one in spec.ports_of(spec.control_plane) if str(one) not in held}
        busy = self._proc.listeners(wanted.keys())
        if busy:
            told = []
            for port, listener in sorted(busy.items()):
                who = (
                    f"process {listener.pid} ({listener.command or listener.program})" if listener.pid else "a process"
                )
                told.append(f"{wanted[port]}: {who} listens on it")
            raise NotReady(
                f"Creating kind cluster {spec.name}: host ports are in use, so nothing was changed. {'; '.join(told)}. "
                "Stop these processes, or set other ports (api_port, port_mappings).",
                ports=sorted(busy),
            )

    def _create(self, spec: ClusterSpec, lock: int) -> Prefetcher:
        owner = self._state.owner_file()
        prefetcher = Prefetcher(self._docker, spec, self._settings.create_timeout, self._clock, self._sleep)
        config = json.dumps(spec.kind_config(str(owner)), indent=2)
        prefetcher.start()
        try:
            with self._state.scratch() as directory:
                timeout = self._settings.create_timeout
                self._kind.create(spec.name, config, directory / "kubeconfig", spec.network, timeout, lock)
        except DrystoneError:
            prefetcher.stop()
            # Report this error instead of a failed cleanup. The next run cleans up again.
            with contextlib.suppress(CommandFailed):
                found = self._docker.containers(spec.name)
                self._docker.remove([one for one in found if one.nonce in self._state.nonces()])
            raise
        self._state.finish_create(spec.patches())
        return prefetcher


def _control_plane_runs(containers: t.Iterable[Container]) -> bool:
    return any(one.role == CONTROL_PLANE and one.status == RUNNING for one in containers)
