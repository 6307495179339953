# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure `make up` and a plain script that creates the same cluster, alternately; see README.md."""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PLAIN = "drystone-bench-plain"
PART_OF, ID = "applyset.kubernetes.io/part-of", "applyset.kubernetes.io/id"
KINDS = "applyset.kubernetes.io/contains-group-kinds"
# Fields that the server adds; an object with them could not be recreated.
OF_SERVER = (
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "managedFields",
    "generation",
    "ownerReferences",
    "finalizers",
)
ANNOTATIONS_OF_SERVER = ("deployment.kubernetes.io/", "deprecated.daemonset", "pv.kubernetes.io/", "volume.")
# Parts that others need come first; parts without an entry come next, and workloads last.
FIRST = ("guardrails", "kube-prometheus-stack", "git-server-namespace", "git-server", "argocd", "metrics-server")
Object = dict[str, Any]
# Settings for a host with cgroup v1 or missing capabilities, the same as in roles/kind_cluster.
FOR_RESTRICTED_HOSTS = [
    {"kind": "KubeletConfiguration", "failCgroupV1": False, "featureGates": {"KubeletInUserNamespace": True}},
    {"kind": "KubeProxyConfiguration", "conntrack": {"maxPerCore": 0}},
]


def run(*command: str, env: dict[str, str] | None = None) -> str:
    """Run a command and return its output."""
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=ROOT, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout


class Cluster:
    """One cluster as an external client sees it."""

    def __init__(self, env: dict[str, str]) -> None:
        self.env = env

    def items(self, *arguments: str) -> list[Object]:
        """List objects."""
        found: list[Object] = json.loads(run("kubectl", "get", *arguments, "--output=json", env=self.env))["items"]
        return found

    def done(self) -> bool:
        """Return whether everything exists and answers. This check decides for both sides."""
        pods = self.items("pods", "--all-namespaces", "--field-selector=status.phase!=Succeeded")
        applications = self.items("applications.argoproj.io", "--all-namespaces")
        return (
            all(is_true(pod, "Ready") for pod in pods)
            and len(applications) > 0
            and all(one.get("status", {}).get("sync", {}).get("status") == "Synced" for one in applications)
            and all(one.get("status", {}).get("health", {}).get("status") == "Healthy" for one in applications)
            and all(self.answers(path) for path in checks(self.items("services", "--all-namespaces")))
        )

    def answers(self, path: str) -> bool:
        """Return whether a path of a Service answers through the API server."""
        asked = subprocess.run(["kubectl", "get", f"--raw={path}"], capture_output=True, env=self.env, check=False)
        return asked.returncode == 0

    def wait(self) -> None:
        """Wait until the cluster is ready."""
        deadline = time.monotonic() + 600
        while not self.done():
            if time.monotonic() > deadline:
                sys.exit("not everything became ready within 10 minutes of the end of the command")
            time.sleep(0.5)


def checks(services: list[Object]) -> list[str]:
    """Give what is asked of Services that say how they are checked (filter service_checks)."""
    return [
        f"/api/v1/namespaces/{metadata['namespace']}/services/{metadata['name']}:{port}/proxy{path}"
        for one in services
        for metadata in [one["metadata"]]
        for said in [metadata.get("annotations") or {}]
        for port in [said.get("drystone.dev/check-port") or one["spec"]["ports"][0]["port"]]
        for path in said.get("drystone.dev/check-paths", "").split()
    ]


def is_true(obj: Object, condition: str) -> bool:
    """Return whether a condition of an object's status is True."""
    found = [one["status"] for one in obj.get("status", {}).get("conditions", []) if one["type"] == condition]
    return found == ["True"]


def environment(inventory: str) -> dict[str, str]:
    """Return the environment that `make env` sets."""
    lines = run("make", "-s", "env", f"INVENTORY={inventory}")
    shown = run("bash", "-c", f"{lines}\nenv --null")
    return dict(line.split("=", 1) for line in shown.split("\0") if line)


def bare(obj: Object) -> Object:
    """Return an object in the form in which it was applied."""
    metadata = {key: value for key, value in obj["metadata"].items() if key not in OF_SERVER}
    annotations = metadata.pop("annotations", {})
    metadata["annotations"] = {k: v for k, v in annotations.items() if not k.startswith(ANNOTATIONS_OF_SERVER)}
    rest = {key: value for key, value in obj.items() if key not in ("metadata", "status")}
    spec = dict(rest.pop("spec", {}))
    if rest["kind"] == "Service" and spec.get("clusterIP") != "None":
        spec = {key: value for key, value in spec.items() if key not in ("clusterIP", "clusterIPs")}
    if rest["kind"] == "PersistentVolumeClaim":
        spec.pop("volumeName", None)
    if rest["kind"] == "Namespace":
        spec = {}
    return {**rest, "metadata": metadata, **({"spec": spec} if spec else {})}


def parts(cluster: Cluster) -> dict[str, list[Object]]:
    """Return the objects of each of Drystone's apply sets, and the generated objects."""
    found = {}
    for parent in cluster.items("secrets,configmaps", "--all-namespaces", f"--selector={ID}"):
        kinds = [one for one in parent["metadata"]["annotations"][KINDS].split(",") if one]
        chosen = f"--selector={PART_OF}={parent['metadata']['labels'][ID]}"
        objects = cluster.items(",".join(kinds), "--all-namespaces", chosen) if kinds else []
        found[parent["metadata"]["name"].removeprefix("drystone-")] = [bare(one) for one in objects]
    ours = "--selector=app.kubernetes.io/managed-by=drystone"
    generated = cluster.items("secrets,configmaps", "--all-namespaces", ours)
    found["generated"] = [bare(one) for one in generated if {PART_OF, ID}.isdisjoint(one["metadata"]["labels"])]
    return found


def export(cluster: Cluster, folder: Path) -> None:
    """Write the input files of the plain script."""
    sets = parts(cluster)
    namespaces = [one for objects in sets.values() for one in objects if one["kind"] == "Namespace"]
    rank = {name: place for place, name in enumerate(FIRST)} | {"workloads": 1000, "workloads-access": 999}
    order = sorted((name for name in sets if name != "generated"), key=lambda name: (rank.get(name, 500), name))
    lists = [("namespaces", namespaces), ("generated", sets["generated"])]
    lists += [(name, [one for one in sets[name] if one["kind"] != "Namespace"]) for name in order]
    (folder / "parts").mkdir()
    written = [(name, objects) for name, objects in lists if objects]
    for place, (name, objects) in enumerate(written):
        (folder / "parts" / f"{place:02}-{name}.yaml").write_text(yaml.safe_dump_all(objects))


def ready_engine(cluster: Cluster, name: str, folder: Path) -> None:
    """Pull every image into the engine, from which kind loads it, and return their names."""
    node = json.loads(run("docker", "inspect", f"{name}-control-plane"))[0]
    bound = node["HostConfig"]["PortBindings"]
    mappings = [
        {"containerPort": int(port.split("/")[0]), "hostPort": int(at["HostPort"]), "listenAddress": at["HostIp"]}
        for port, places in bound.items()
        for at in places
        if port != "6443/tcp"
    ]
    roles: list[Object] = [{"role": "control-plane", "extraPortMappings": mappings}]
    roles += [{"role": "worker", "labels": {"drystone.dev/pool": pool}} for pool in ("apps", "platform")]
    nodes = [{**one, "image": node["Config"]["Image"]} for one in roles]
    patches = [json.dumps(patch) for patch in FOR_RESTRICTED_HOSTS]
    config = {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "nodes": nodes,
        "kubeadmConfigPatches": patches,
    }
    (folder / "kind.yaml").write_text(yaml.safe_dump(config))
    registry = json.loads(run("docker", "inspect", f"{name}-registry"))[0]
    (port,) = {at["HostPort"] for places in registry["HostConfig"]["PortBindings"].values() for at in places}
    served = set(json.loads(run("curl", "--silent", "--fail", f"http://127.0.0.1:{port}/v2/_catalog"))["repositories"])
    containers = [
        container
        for pod in cluster.items("pods", "--all-namespaces")
        for container in [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]
    ]
    images = sorted({one["image"] for one in containers if one["image"].split("/", 1)[1].rsplit(":", 1)[0] in served})
    for image in images:
        # Pull even if the engine has an image of that name: it may be older than the one on the nodes.
        here = f"127.0.0.1:{port}/{image.split('/', 1)[1]}"
        run("docker", "pull", here)
        run("docker", "tag", here, image)
    (folder / "images.txt").write_text("".join(f"{image}\n" for image in images))


def keep_git(cluster: Cluster, folder: Path) -> None:
    """Copy the repositories and the client's credentials, which are deleted with the cluster."""
    config = yaml.safe_load((folder / "kind.yaml").read_text())
    (port,) = (one["hostPort"] for one in config["nodes"][0]["extraPortMappings"] if one["containerPort"] == 30022)
    keys = folder / "git"
    shutil.copytree(Path(cluster.env["KUBECONFIG"]).parent / "git", keys)
    ssh = f"ssh -i {keys}/operator_key -o IdentitiesOnly=yes -o UserKnownHostsFile={keys}/known_hosts"
    (server,) = cluster.items("deployments", "--namespace=git", "--field-selector=metadata.name=git-server")
    names = [one.partition("=")[0] for one in server["spec"]["template"]["spec"]["containers"][0]["args"]]
    for name in names:
        url = f"ssh://git@127.0.0.1:{port}/srv/git/{name}.git"
        to = folder / "repositories" / f"{name}.git"
        run("git", "clone", "--quiet", "--bare", url, str(to), env={**cluster.env, "GIT_SSH_COMMAND": ssh})


def timed(judge: Cluster, what: Callable[[], object]) -> dict[str, float]:
    """Return the seconds until the command ends and until the external check passes."""
    began = time.monotonic()
    what()
    ended = time.monotonic()
    judge.wait()
    return {"command": round(ended - began, 1), "ready": round(time.monotonic() - began, 1)}


def take_turns(
    rounds: int,
    *,
    down: Callable[[], object],
    script: Callable[[], dict[str, float]],
    clean: Callable[[], object],
    ours: Callable[[], dict[str, float]],
) -> Iterator[tuple[dict[str, float], dict[str, float]]]:
    """Return the figures of each round: of the script's cluster, then of ours, because both need the same ports."""
    for _round in range(rounds):
        down()
        try:
            by_script = script()
        finally:
            clean()
        yield by_script, ours()


def remove_plain(env: dict[str, str]) -> None:
    """Remove the script's cluster. That it fails is said, and hides no other failure."""
    command = ["kind", "delete", "cluster", "--name", PLAIN]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=ROOT, check=False)
    if done.returncode:
        print(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-500:]}", file=sys.stderr)


def steps(folder: Path) -> dict[str, float]:
    """Return the duration of each step of the plain script."""
    marks = [line.split(" ", 1) for line in (folder / "steps.txt").read_text().splitlines()]
    (folder / "steps.txt").unlink()
    pairs = itertools.pairwise(marks)
    return {name: round(float(after) - float(at), 1) for (at, name), (after, _next) in pairs}


def main() -> None:
    """Run the rounds and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inventory", default="inventories/dev")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    env = environment(options.inventory)
    ours, name = Cluster(env), Path(env["KUBECONFIG"]).parent.name
    if not ours.done():
        sys.exit(f"cluster {name} is not ready: run `make up` first")
    with tempfile.TemporaryDirectory(prefix="drystone-bench-") as made:
        folder = Path(made)
        export(ours, folder)
        ready_engine(ours, name, folder)
        keep_git(ours, folder)
        (folder / "cluster.txt").write_text(PLAIN)
        ssh = f"ssh -i {folder}/git/operator_key -o IdentitiesOnly=yes -o UserKnownHostsFile={folder}/git/known_hosts"
        plain = Cluster({**env, "KUBECONFIG": str(folder / "kubeconfig"), "GIT_SSH_COMMAND": ssh})
        inventory = f"INVENTORY={options.inventory}"
        rounds: list[Object] = []
        turns = take_turns(
            options.rounds,
            down=lambda: run("make", "-s", "down", inventory),
            script=lambda: timed(plain, lambda: run(str(HERE / "plain.sh"), str(folder), env=plain.env)),
            clean=lambda: remove_plain(plain.env),
            ours=lambda: timed(ours, lambda: run("make", "-s", "up", inventory)),
        )
        for by_script, by_us in turns:
            ratio = round(by_us["ready"] / by_script["ready"], 2)
            rounds.append({"drystone": by_us, "script": by_script, "steps": steps(folder), "ratio": ratio})
            print(f"round {len(rounds)}: {json.dumps(rounds[-1])}", file=sys.stderr)
    print(json.dumps({"median_ratio": statistics.median(one["ratio"] for one in rounds), "rounds": rounds}, indent=2))


if __name__ == "__main__":
    main()
