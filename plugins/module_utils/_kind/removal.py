# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change without notice.
"""Remove a kind cluster that Drystone created, and nothing else."""

from __future__ import annotations

import typing as t

from ansible_collections.drystone.platform.plugins.module_utils._kind import kubeconfig_file
from ansible_collections.drystone.platform.plugins.module_utils._kind.docker import Docker
from ansible_collections.drystone.platform.plugins.module_utils._kind.outcome import Outcome, Settings
from ansible_collections.drystone.platform.plugins.module_utils._kind.plan import Seen, plan_absent, require_ownership
from ansible_collections.drystone.platform.plugins.module_utils._kind.state import ClusterState


class Removal:
    """The removal of one cluster. The owner mark is removed last, because it proves the ownership of the rest."""

    def __init__(self, docker: Docker, state: ClusterState, settings: Settings) -> None:
        self._docker = docker
        self._state = state
        self._settings = settings

    def run(self, name: str, network: str, check: bool = False) -> Outcome:
        """Remove the objects that Drystone created."""
        kubeconfig_file.reject_shared_path(self._settings.kubeconfig)
        outcome = self._plan(name, network)
        if check or not outcome.changed:
            return outcome
        with self._state.lock(self._settings.lock_timeout):
            containers = self._docker.containers(name)
            require_ownership(name, Seen(containers=containers, nonces=self._state.nonces()))
            self._state.begin("delete", [one.id for one in containers])
            self._docker.remove(containers)
            outcome.kept = self._remove_network(name, network, outcome.kept)
            if not kubeconfig_file.foreign_reason(self._settings.kubeconfig, f"kind-{name}"):
                kubeconfig_file.remove(self._settings.kubeconfig)
            self._state.clear(keep_owner=self._keeps_network(network))
        return outcome

    def _remove_network(self, name: str, network: str, kept: list[str]) -> list[str]:
        found = self._docker.network(network)
        users = self._docker.users_of_network(found) if found else set()
        seen = Seen(network=found, network_users=users, nonces=self._state.nonces())
        plan, still_kept = plan_absent(name, seen)
        if found and plan:
            self._docker.remove_network(found)
        return [one for one in kept if not one.startswith("network ")] + still_kept

    def _keeps_network(self, network: str) -> bool:
        """Return whether the network is kept because others use it. Then the owner mark is kept as well."""
        found = self._docker.network(network)
        return found is not None and found.nonce in self._state.nonces()

    def _plan(self, name: str, network: str) -> Outcome:
        containers, nonces = self._docker.containers(name), self._state.nonces()
        require_ownership(name, Seen(containers=containers, nonces=nonces))
        found = self._docker.network(network)
        users = self._docker.users_of_network(found) if found else set()
        stays = found is not None and found.nonce in nonces and bool(users - {one.id for one in containers})
        files = [str(path) for path in self._state.files(keep_owner=stays)]
        path = self._settings.kubeconfig
        reason = kubeconfig_file.foreign_reason(path, f"kind-{name}")
        if path.exists() and not reason:
            files.insert(0, str(path))
        seen = Seen(containers=containers, nonces=nonces, network=found, network_users=users, files=files)
        plan, kept = plan_absent(name, seen)
        if reason:
            kept.append(f"kubeconfig {path}: {reason}")
        nodes = {one.name: one.status for one in seen.containers}
        networks = [network] if found and any(one.verb == "remove_network" for one in plan) else []
        before = {"nodes": nodes, "networks": networks, "files": files} if plan else {}
        after: dict[str, t.Any] = {"nodes": {}, "networks": [], "files": []} if plan else {}
        return Outcome(plan, before, after, kept)
