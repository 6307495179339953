"""The engine answers and can run privileged containers that boot systemd, as kind needs."""

from __future__ import annotations

import json
from typing import Any

from testinfra.host import Host


def test_the_engine_answers(host: Host) -> None:
    info = json.loads(host.check_output("docker info --format '{{json .}}'"))
    assert info["ServerVersion"]
    assert not info.get("ServerErrors")


def test_a_privileged_container_starts(host: Host, variables: dict[str, Any]) -> None:
    done = host.run(f"docker run --rm --privileged --network none --entrypoint id {variables['node_image']} -u")
    assert done.rc == 0, done.stderr
    assert done.stdout.strip() == "0"


def test_a_command_runs_in_a_privileged_container(host: Host, variables: dict[str, Any]) -> None:
    """The runtime handles exec differently from run."""
    node = f"{variables['cluster_name']}-worker"
    done = host.run(f"docker exec --privileged {node} cat /proc/1/comm")
    assert done.stdout.strip() == "systemd", done.stderr


def test_nothing_is_left_of_a_container_that_ended(host: Host, variables: dict[str, Any]) -> None:
    name = f"{variables['cluster_name']}-test-ended"
    host.check_output(
        f"docker run --rm --privileged --network none --name {name} --entrypoint true {variables['node_image']}"
    )
    assert host.run(f"docker container inspect {name}").rc != 0
