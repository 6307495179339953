# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands for docker: keeps containers, networks and images in one JSON file and records every call."""

from __future__ import annotations

import sys

from world import World, fail, kill_parent_at


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
    containers, networks = world["containers"], world["networks"]
    match arguments:
        case ["ps", *rest]:
            (kind, _, value) = option(rest, "--filter")[0].partition("=")
            for one in containers.values():
                key, _, wanted = value.partition("=")
                labelled = kind == "label" and one["Config"]["Labels"].get(key) == wanted
                joined = kind == "network" and value in {n["NetworkID"] for n in one["NetworkSettings"]["Networks"].values()}
                if labelled or joined:
                    print(one["Id"])
        case ["container", "inspect", *ids]:
            print_json([containers[one] for one in ids])
        case ["container", ("start" | "unpause") as verb, one]:
            wanted = "paused" if verb == "unpause" else ("exited", "created", "dead")
            if containers[one]["State"]["Status"] not in wanted:
                fail(f"Error response from daemon: cannot {verb} container {one}")
            containers[one]["State"]["Status"] = "running"
        case ["container", "rm", "--force", "--volumes", *ids]:
            for one in ids:
                del containers[one]
        case ["network", "ls", *_]:
            for one in networks.values():
                print(one["Id"], one["Name"])
        case ["network", "inspect", "bridge", "--format", _]:
            print(world.get("mtu", ""))
        case ["network", "inspect", one]:
            print_json([networks[one]])
        case ["network", "create", *rest]:
            labels = dict(one.split("=", 1) for one in option(rest, "--label"))
            world.add_network(rest[-1], labels, dict(one.split("=", 1) for one in option(rest, "--opt")))
        case ["network", "rm", one]:
            del networks[one]
        case ["image", "inspect", "--format", "{{.Id}}", reference]:
            if reference not in world["images"]:
                fail(f"Error response from daemon: No such image: {reference}")
            print(world["images"][reference])
        case ["exec", name, "ctr", "--namespace", "k8s.io", *command]:
            status = {one["Name"][1:]: one["State"]["Status"] for one in containers.values()}.get(name)
            if status != "running":
                fail(f"Error response from daemon: No such container: {name}")
            if command[0] == "images":
                reference = command[-1]
                if reference in world.get("unpullable", []):
                    fail(f"ctr: failed to resolve reference {reference}: not found")
                world["pulled"].append([name, reference])
        case _:
            fail(f"unknown docker command: {arguments}", 125)


if __name__ == "__main__":
    main(sys.argv[1:])
