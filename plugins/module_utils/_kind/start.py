# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change without notice.
"""Create the network of a cluster before its nodes, and start existing nodes."""

from __future__ import annotations

import typing as t

from ansible_collections.drystone.platform.plugins.module_utils._kind import kubeconfig_file
from ansible_collections.drystone.platform.plugins.module_utils._kind.docker import Docker, Kind
from ansible_collections.drystone.platform.plugins.module_utils._kind.outcome import Outcome, Settings
from ansible_collections.drystone.platform.plugins.module_utils._kind.plan import (
    RUNNING,
    Seen,
    plan_network,
    plan_start,
    require_own_network,
    require_ownership,
)
from ansible_collections.drystone.platform.plugins.module_utils._kind.state import ClusterState, nonce_of


def make_network(
    docker: Docker, state: ClusterState, settings: Settings, name: str, network: str, check: bool
) -> Outcome:
    """Create the owner mark and the network, so that other containers can join it before the nodes."""

    def look() -> Seen:
        seen = Seen(containers=docker.containers(name), nonces=state.nonces(), network=docker.network(network))
        require_ownership(name, seen)
        require_own_network(name, seen)
        return seen

    def told(seen: Seen) -> Outcome:
        before = {"network": network} if seen.network else {}
        return Outcome(plan_network(network, seen), before, {"network": network})

    outcome = told(look())
    if check or not outcome.changed:
        return outcome
    with state.lock(settings.lock_timeout):
        outcome = told(look())
        if outcome.changed:
            docker.create_network(network, name, str(nonce_of(str(state.owner_file()))))
    return outcome


def start(
    docker: Docker, kind: Kind, state: ClusterState, settings: Settings, name: str, network: str, check: bool
) -> tuple[Outcome, dict[str, t.Any]]:
    """Start existing nodes, regardless of the description, and return them.

    Do not start the incomplete cluster of an interrupted creation or removal.
    """
    kubeconfig_file.reject_shared_path(settings.kubeconfig)
    context = f"kind-{name}"

    def look() -> Seen:
        containers = docker.containers(name)
        interrupted = state.interrupted([one.id for one in containers])
        seen = Seen(containers=containers, nonces=state.nonces(), interrupted=interrupted)
        require_ownership(name, seen)
        return seen

    def told(seen: Seen) -> Outcome:
        if seen.interrupted or not seen.containers:
            return Outcome([])
        problem = kubeconfig_file.problem(settings.kubeconfig, None, context)
        plan = plan_start(context, Seen(containers=seen.containers, kubeconfig_problem=problem))
        before = {"nodes": {one.name: one.status for one in seen.containers}}
        return Outcome(plan, before, {"nodes": {one.name: RUNNING for one in seen.containers}} if plan else before)

    seen = look()
    outcome = told(seen)
    facts: dict[str, t.Any] = {
        "node_names": [one.name for one in seen.containers],
        "interrupted": seen.interrupted or "",
    }
    if check or not outcome.changed:
        return outcome, facts
    with state.lock(settings.lock_timeout):
        seen = look()
        outcome = told(seen)
        kubeconfig_file.require_ours(settings.kubeconfig, context)
        named = {one.name: one for one in seen.containers}
        for action in outcome.plan:
            if action.verb == "start_node":
                state.keep_owner_file(str(named[action.target].nonce))
                docker.start(named[action.target])
        if any(one.verb == "write_kubeconfig" for one in outcome.plan):
            kubeconfig_file.write(settings.kubeconfig, kind.kubeconfig(name, network))
    return outcome, facts
