"""The role reports an invalid variable or an unsuitable host by name before anything is created."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from testinfra.host import Host

from drystone_testing import Playbook

# A cluster that does not exist, with unused ports.
OTHER: dict[str, Any] = {"drystone_cluster_name": "drystone-molecule-other", "drystone_port_offset": 700}
PREFLIGHT = "playbooks/preflight.yml"


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 8080 + OTHER["drystone_port_offset"]))
        listener.listen()
        yield listener.getsockname()[1]


def containers(host: Host) -> set[str]:
    return set(host.check_output("docker ps --all --format '{{.Names}}'").split())


def test_a_fit_host_with_right_inputs_passes() -> None:
    done = Playbook(PREFLIGHT, OTHER)
    assert done.code == 0, done.output
    assert "changed=0" in done.output


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"drystone_clutser_name": "x"}, ("drystone_clutser_name", "drystone_cluster_name")),
        ({"argocd_wiat": False}, ("argocd_wiat", "argocd_wait")),
        ({"drystone_source": "somewhere"}, ("drystone_source", "somewhere", "upstream")),
        ({"drystone_port_offset": "many"}, ("drystone_port_offset", "many")),
        ({"kind_cluster_nodes": "three"}, ("kind_cluster_nodes",)),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_wrong_input_is_named_and_nothing_is_made(host: Host, wrong: dict[str, Any], named: tuple[str, ...]) -> None:
    before = containers(host)
    done = Playbook(PREFLIGHT, OTHER | wrong)
    assert done.code != 0, done.output
    assert [word for word in named if word not in done.output] == [], done.output
    assert containers(host) == before


def test_a_busy_port_is_named_with_the_process_that_has_it(busy_port: int) -> None:
    done = Playbook(PREFLIGHT, OTHER)
    assert done.code != 0, done.output
    assert str(busy_port) in done.output
    assert "pytest" in done.output or "python" in done.output


def test_the_ports_of_the_cluster_itself_are_not_busy(host: Host) -> None:
    """In a second run the cluster's own containers use the ports."""
    assert containers(host)
    done = Playbook(PREFLIGHT, {})
    assert done.code == 0, done.output
