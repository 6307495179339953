# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fake kind that creates containers one by one in the fake engine, and that can fail or be killed."""

from __future__ import annotations

import json
import os
import sys
import time
import typing as t

from tests.unit.plugins.modules.kind_cluster.fakes.world import World, fail, kill_parent_at, kubeconfig


def main(arguments: list[str]) -> None:
    with World() as world:
        world["calls"].append(["kind", *arguments])
    kill_parent_at(f"kind {' '.join(arguments)}", "before")
    match arguments:
        case ["create", "cluster", "--name", name, "--config", "-", "--kubeconfig", path, "--retain"]:
            create(name, json.load(sys.stdin), path)
        case ["get", "kubeconfig", "--name", name]:
            with World() as world:
                if not any(one["Config"]["Labels"].get("io.x-k8s.kind.cluster") == name for one in world.running()):
                    fail(f"ERROR: could not locate any control plane nodes for cluster named '{name}'.")
            print(kubeconfig(name))
        case _:
            fail(f"unknown kind command: {arguments}", 125)


def create(name: str, config: dict[str, t.Any], path: str) -> None:
    with World() as world:
        world["environment"] = {key: value for key, value in os.environ.items() if key.startswith(("KIND", "KUBE"))}
        world["config"] = config
        broken = world.get("kind_fails_after")
        pause = world.get("kind_pause", 0)
    workers = 0
    for number, node in enumerate(config["nodes"]):
        kill_parent_at(f"kind node {number}", "before")
        if broken == number:
            print("\n".join(f"line {line}" for line in range(60)), flush=True)
            fail("ERROR: failed to create cluster: could not listen: address already in use")
        suffix = node["role"]
        if node["role"] == "worker":
            workers += 1
            suffix = "worker" if workers == 1 else f"worker{workers}"
        with World() as world:
            world.add_node(name, f"{name}-{suffix}", node, config["networking"]["apiServerPort"])
        time.sleep(pause)
    kill_parent_at("kind end", "before")
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(kubeconfig(name))


if __name__ == "__main__":
    main(sys.argv[1:])
