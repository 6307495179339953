"""The registry serves all images to the nodes and accepts pushes of the user. Nobody else can reach it."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import uuid
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from testinfra.host import Host

from drystone_testing import Kubectl, Playbook, wait_until

MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


@pytest.fixture
def registry(variables: dict[str, Any]) -> str:
    return f"http://127.0.0.1:{variables['registry_port']}/v2"


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def push(registry: str, name: str, content: bytes) -> str:
    started = requests.post(f"{registry}/{name}/blobs/uploads/", timeout=30)
    assert started.status_code == 202, started.text
    location = started.headers["Location"]
    done = requests.put(
        f"{location}{'&' if '?' in location else '?'}digest={digest(content)}",
        data=content,
        headers={"Content-Type": "application/octet-stream"},
        timeout=30,
    )
    assert done.status_code == 201, done.text
    return digest(content)


def test_it_serves_every_image_of_the_map(registry: str, variables: dict[str, Any]) -> None:
    images = dict(variables["images"])
    if not Path(variables["charts_dir"], "kube-prometheus-stack/charts/grafana").is_dir():
        # Only the chart of upstream includes Grafana. The chart for builds from source uses no image of it.
        del images["grafana"], images["grafana_sidecar"]
    missing = []
    for part, reference in images.items():
        name, _, tag = reference.removeprefix("drystone.local/").rpartition(":")
        answer = requests.head(
            f"{registry}/{name}/manifests/{tag}", headers={"Accept": ", ".join(MANIFESTS)}, timeout=30
        )
        if answer.status_code != 200:
            missing.append(f"{part}: {reference}: HTTP {answer.status_code}")
    assert missing == []


def test_it_is_published_on_the_loopback_address_only(host: Host, variables: dict[str, Any]) -> None:
    ports = json.loads(
        host.check_output(
            f"docker inspect --format '{{{{json .NetworkSettings.Ports}}}}' {variables['registry_container']}"
        )
    )
    published = [binding for bindings in ports.values() for binding in bindings or []]
    assert published == [{"HostIp": "127.0.0.1", "HostPort": str(variables["registry_port"])}]


def push_image(registry: str, name: str, tag: str) -> None:
    """Push an image of one small file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("pushed")
        entry.size = len(tag)
        archive.addfile(entry, io.BytesIO(tag.encode()))
    layer = buffer.getvalue()
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": ["/pushed"], "User": "1001"},
            "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
        }
    ).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFESTS[1],
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": push(registry, name, config),
            "size": len(config),
        },
        "layers": [
            {
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": push(registry, name, layer),
                "size": len(layer),
            }
        ],
    }
    put = requests.put(
        f"{registry}/{name}/manifests/{tag}", json=manifest, headers={"Content-Type": MANIFESTS[1]}, timeout=30
    )
    assert put.status_code == 201, put.text


def test_what_the_user_pushes_every_node_can_pull(host: Host, registry: str, variables: dict[str, Any]) -> None:
    name, tag = "test/pushed", uuid.uuid4().hex[:8]
    push_image(registry, name, tag)
    for reference in (f"drystone.local/{name}:{tag}", f"localhost:{variables['registry_port']}/{name}:{tag}"):
        for node in ("control-plane", "worker", "worker2"):
            pulled = host.run(
                f"docker exec {variables['cluster_name']}-{node}"
                f" ctr --namespace k8s.io images pull --hosts-dir /etc/containerd/certs.d {reference}"
            )
            assert pulled.rc == 0, f"{node}: {pulled.stderr}"


def test_a_pod_runs_it_under_the_name_it_was_pushed_as(
    kubectl: Kubectl, namespace: str, registry: str, variables: dict[str, Any]
) -> None:
    tag = uuid.uuid4().hex[:8]
    push_image(registry, "test/run", tag)
    reference = f"localhost:{variables['registry_port']}/test/run:{tag}"
    kubectl("run", "pushed", f"--image={reference}", f"--namespace={namespace}", "--restart=Never")

    def pulled() -> bool:
        found = kubectl.items("events", f"--namespace={namespace}", "--field-selector=involvedObject.name=pushed")
        return any(one["reason"] == "Pulled" and reference in one["message"] for one in found)

    assert wait_until(pulled, timeout=60)


def test_tools_are_told_of_it(kubectl: Kubectl, variables: dict[str, Any]) -> None:
    done = Playbook("playbooks/deploy_platform.yml", {}, "--tags=registry")
    assert done.code == 0, done.output
    data = kubectl.json("get", "configmap", "local-registry-hosting", "--namespace=kube-public")["data"]
    told = yaml.safe_load(data["localRegistryHosting.v1"])
    assert told["host"] == f"localhost:{variables['registry_port']}"
    again = Playbook("playbooks/deploy_platform.yml", {}, "--tags=registry")
    assert "changed=0" in again.output, again.output
