# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fake docker that stores containers, networks and images in a JSON file and records all calls."""

from __future__ import annotations

import sys

from tests.unit.plugins.modules.kind_cluster.fakes.world import World, fail, kill_parent_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    import typing as t


def print_json(value: object) -> None:
    import json

    print(json.dumps(value))


def option(arguments: list[str], name: str) -> list[str]:
    return [arguments[at + 1] for at, one in enumerate(arguments) if one == name]


def main(arguments: list[str]) -> None:
    call = " ".join(arguments)
    kill_parent_at(f"docker {call}", "before")
    with World() as world:
        world["calls"].append(["docker", *arguments])
        if world.get("engine") == "down":
            fail("Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?")
        answer(world, arguments)
    kill_parent_at(f"docker {call}", "after")


def answer(world: World, arguments: list[str]) -> None:
    match arguments:
        case ["ps", *rest]:
            ps(world["containers"], option(rest, "--filter")[0])
        case ["container", *rest]:
            container(world["containers"], rest)
        case ["network", *rest]:
            network(world, rest)
        case ["image", "inspect", "--format", "{{.Id}}", reference]:
            if reference not in world["images"]:
                fail(f"Error response from daemon: No such image: {reference}")
            print(world["images"][reference])
        case ["exec", name, "bash", "-c", "</dev/tcp/127.0.0.1/6443"]:
            if name not in {one["Name"][1:] for one in world.running()}:
                fail(f"Error response from daemon: No such container: {name}")
            if world.get("deaf", 0):
                world["deaf"] -= 1
                fail("bash: connect: Connection refused")
        case ["exec", name, "ctr", "--namespace", "k8s.io", *command]:
            ctr(world, name, command)
        case _:
            fail(f"unknown docker command: {arguments}", 125)


def ps(containers: dict[str, t.Any], wanted: str) -> None:
    kind, _, value = wanted.partition("=")
    key, _, text = value.partition("=")
    for one in containers.values():
        networks = {network["NetworkID"] for network in one["NetworkSettings"]["Networks"].values()}
        labelled = kind == "label" and one["Config"]["Labels"].get(key) == text
        if labelled or (kind == "network" and value in networks):
            print(one["Id"])


def container(containers: dict[str, t.Any], arguments: list[str]) -> None:
    match arguments:
        case ["inspect", *ids]:
            print_json([containers[one] for one in ids])
        case [("start" | "unpause") as verb, one]:
            wanted = ("paused",) if verb == "unpause" else ("exited", "created", "dead")
            if containers[one]["State"]["Status"] not in wanted:
                fail(f"Error response from daemon: cannot {verb} container {one}")
            containers[one]["State"]["Status"] = "running"
        case ["rm", "--force", "--volumes", *ids]:
            for one in ids:
                del containers[one]
        case _:
            fail(f"unknown docker command: container {arguments}", 125)


def network(world: World, arguments: list[str]) -> None:
    networks = world["networks"]
    match arguments:
        case ["ls", *_]:
            for one in networks.values():
                print(one["Id"], one["Name"])
        case ["inspect", "bridge", "--format", _]:
            print(world.get("mtu", ""))
        case ["inspect", one]:
            print_json([networks[one]])
        case ["create", *rest]:
            labels = dict(one.split("=", 1) for one in option(rest, "--label"))
            world.add_network(rest[-1], labels, dict(one.split("=", 1) for one in option(rest, "--opt")))
        case ["rm", one]:
            del networks[one]
        case _:
            fail(f"unknown docker command: network {arguments}", 125)


def ctr(world: World, name: str, command: list[str]) -> None:
    if name not in {one["Name"][1:] for one in world.running()}:
        fail(f"Error response from daemon: No such container: {name}")
    if command[0] == "images":
        reference = command[-1]
        if reference in world.get("unpullable", []):
            fail(f"ctr: failed to resolve reference {reference}: not found")
        world["pulled"].append([name, reference])


if __name__ == "__main__":
    main(sys.argv[1:])
