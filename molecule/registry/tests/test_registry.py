"""The registry serves every image to the nodes, takes pushes from the user, and nobody else can reach it."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import uuid
from typing import Any

import pytest
import requests
from testinfra.host import Host

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
    missing = []
    for part, reference in variables["images"].items():
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


def test_what_the_user_pushes_every_node_can_pull(host: Host, registry: str, variables: dict[str, Any]) -> None:
    name, tag = "test/pushed", uuid.uuid4().hex[:8]
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
            "config": {},
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

    reference = f"drystone.local/{name}:{tag}"
    for node in ("control-plane", "worker", "worker2"):
        pulled = host.run(
            f"docker exec {variables['cluster_name']}-{node}"
            f" ctr --namespace k8s.io images pull --hosts-dir /etc/containerd/certs.d {reference}"
        )
        assert pulled.rc == 0, f"{node}: {pulled.stderr}"
