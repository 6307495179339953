# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role artifacts with the source upstream. One server replaces all hosts; docker and skopeo are real.

The tests need a registry image in the engine and the manifests; each run of the role provides both. They run in this
order, and each starts with the state that the previous one left, like the runs of a user.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
import typing as t
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.unit.fake_upstream import FakeUpstream

ROOT = Path(__file__).resolve().parents[2]
DEFAULTS = yaml.safe_load((ROOT / "roles/common/defaults/main.yml").read_text())
PINS = sorted(name for name in DEFAULTS if re.fullmatch(r"drystone_\w+_version", name))
# Separate versions, so that the image names differ from those of a cluster on this host.
VERSIONS = {name.removeprefix("drystone_").removesuffix("_version"): f"9.2.{at}" for at, name in enumerate(PINS)}
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
BASES = {
    "debian": "library/debian:bookworm-slim",
    "python": "library/python:3.12-slim",
    "ubuntu": "library/ubuntu:24.04",
}


def with_versions(text: str) -> str:
    """Replace the pins in a text of a contract."""
    return re.sub(r"\{\{ drystone_(\w+)_version \}\}", lambda match: VERSIONS[match[1]], text)


# The images of the contracts of all parts: a part either copies an image or builds it in a directory of the project.
CONTRACTS = [yaml.safe_load(path.read_text()) for path in sorted(ROOT.glob("roles/*/meta/part.yml"))]
IMAGES_OF_PARTS = [image for contract in CONTRACTS for image in contract.get("images", ())]
COPIED = {image["name"]: with_versions(image["path"]) for image in IMAGES_OF_PARTS if "context" not in image}
BUILT = {
    image["name"]: image["context"].removeprefix("{{ drystone_project_dir }}/")
    for image in IMAGES_OF_PARTS
    if "context" in image
}
PUBLISHED = {image["name"]: with_versions(image["target"]) for image in IMAGES_OF_PARTS}
IMAGES = {
    "node": "kindest/node:v1.36.1",
    "registry": f"library/registry:{VERSIONS['registry']}",
    **BASES,
    **COPIED,
}
IN_ENGINE = (
    f"drystone.local/node:v{VERSIONS['kubernetes']}",
    f"drystone.local/registry:v{VERSIONS['registry']}",
)
# Use the real manifests, because their checksums are pinned.
MANIFESTS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "drystone/manifests"
CHART = {"Chart.yaml": b"name: kube-prometheus-stack\n", "charts/grafana/Chart.yaml": b"name: grafana\n"}
TINY = "drystone.local/test/tiny:upstream"


def command(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
    return done.stdout.strip()


def image_names() -> set[str]:
    return set(command("docker", "image", "ls", "--format={{.Repository}}:{{.Tag}}").split())


@dataclasses.dataclass
class Run:
    """The output of a run of the role."""

    code: int
    output: str

    @property
    def changed(self) -> int:
        found = re.search(r"changed=(\d+)", self.output)
        assert found, self.output
        return int(found[1])

    @property
    def words(self) -> str:
        """The output without line breaks."""
        return " ".join(self.output.split())


@dataclasses.dataclass
class Site:
    """A project, its cache, and the server that replaces all hosts."""

    root: Path
    upstream: FakeUpstream
    digests: dict[str, str] = dataclasses.field(default_factory=dict)
    sums: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def cache(self) -> Path:
        return self.root / "cache/drystone"

    def play(self, *arguments: str, **versions: str) -> Run:
        hosts = ("docker", "ghcr", "kubernetes_images", "quay"), ("github", "helm", "kubernetes")
        bases = dict.fromkeys(hosts[0], self.upstream.host) | dict.fromkeys(hosts[1], self.upstream.url)
        settings: dict[str, t.Any] = {f"drystone_{name}_version": it for name, it in (VERSIONS | versions).items()}
        settings |= {"drystone_project_dir": str(self.root / "project"), "artifacts_upstream_bases": bases}
        settings |= {"artifacts_source": "upstream", "ansible_python_interpreter": sys.executable}
        play = [{"hosts": "localhost", "gather_facts": False, "roles": ["drystone.platform.artifacts"]}]
        (self.root / "play.yml").write_text(yaml.safe_dump(play))
        done = subprocess.run(
            [
                *(sys.executable, "-m", "ansible", "playbook", "--inventory=localhost,", "--connection=local"),
                *(f"--extra-vars={json.dumps(settings)}", *arguments, str(self.root / "play.yml")),
            ],
            cwd=ROOT,
            env={**os.environ, "XDG_CACHE_HOME": str(self.root / "cache"), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
            capture_output=True,
            text=True,
            check=False,
        )
        return Run(done.returncode, done.stdout + done.stderr)

    def publish_file(self, path: str, content: bytes, checksums: str) -> None:
        self.sums[path] = self.upstream.add_file(path, content, checksums)

    def publish_manifests(self, part: str, repository: str, version: str, folder: str = "manifests") -> None:
        """Publish the archive of a tag in the format of GitHub."""
        name = repository.partition("/")[2]
        members = {
            f"{name}-{version}/{folder}/{path.relative_to(MANIFESTS / part)}": path.read_bytes()
            for path in (MANIFESTS / part).rglob("*")
            if path.is_file()
        }
        assert members, f"{MANIFESTS / part} is empty: run the role artifacts first"
        archive = self.upstream.tar_gz({f"{name}-{version}/README.md": b"", **members})
        self.upstream.add_file(f"{repository}/archive/refs/tags/v{version}.tar.gz", archive)

    def tag(self, name: str) -> str:
        repository, _colon, tag = name.partition(":")
        link = f"docker/registry/v2/repositories/{repository}/_manifests/tags/{tag}/current/link"
        return (self.cache / "registry" / link).read_text()

    def lock(self, **tables: dict[str, str]) -> None:
        content = {"files": self.sums, "images": {IMAGES[name]: it for name, it in self.digests.items()}}
        lock = self.root / "project/artifacts.lock.yml"
        lock.write_text(yaml.safe_dump({name: it | tables.get(name, {}) for name, it in content.items()}))


def publish_files(site: Site) -> None:
    github = {name: f"{owner}/releases/download" for name, owner in [("kind", "kubernetes-sigs/kind")]}
    github |= {
        "kustomize": "kubernetes-sigs/kustomize/releases/download",
        "kubeconform": "yannh/kubeconform/releases/download",
    }
    arch, of = ARCHITECTURE, VERSIONS
    kind = f"{github['kind']}/v{of['kind']}/kind-linux-{arch}"
    site.publish_file(kind, b"kind", f"{kind}.sha256sum")
    kubectl = f"release/v{of['kubernetes']}/bin/linux/{arch}/kubectl"
    site.publish_file(kubectl, b"kubectl", f"{kubectl}.sha256")
    helm = f"helm-v{of['helm']}-linux-{arch}.tar.gz"
    site.publish_file(helm, site.upstream.tar_gz({f"linux-{arch}/helm": b"helm"}), f"{helm}.sha256sum")
    folder = f"{github['kustomize']}/kustomize%2Fv{of['kustomize']}"
    packed = site.upstream.tar_gz({"kustomize": b"kustomize"})
    site.publish_file(f"{folder}/kustomize_v{of['kustomize']}_linux_{arch}.tar.gz", packed, f"{folder}/checksums.txt")
    folder = f"{github['kubeconform']}/v{of['kubeconform']}"
    packed = site.upstream.tar_gz({"LICENSE": b"", "kubeconform": b"kubeconform"})
    site.publish_file(f"{folder}/kubeconform-linux-{arch}.tar.gz", packed, f"{folder}/CHECKSUMS")
    site.publish_manifests("argo-cd", "argoproj/argo-cd", of["argocd"])
    site.publish_manifests("argo-rollouts", "argoproj/argo-rollouts", of["argo_rollouts"])
    site.publish_manifests("metrics-server", "kubernetes-sigs/metrics-server", of["metrics_server"])
    operator = "prometheus-operator/prometheus-operator", of["prometheus_operator"]
    site.publish_manifests("prometheus-operator-crds", *operator, folder="example/prometheus-operator-crd")
    stack = f"kube-prometheus-stack-{of['kube_prometheus_stack']}"
    packed = site.upstream.tar_gz({f"kube-prometheus-stack/{name}": it for name, it in CHART.items()})
    site.publish_file(f"prometheus-community/helm-charts/releases/download/{stack}/{stack}.tgz", packed, "")


def publish_images(site: Site) -> None:
    registry = f"drystone.local/registry:v{DEFAULTS['drystone_registry_version']}"
    command("docker", "build", "--quiet", "--tag", TINY, str(site.root / "tiny"))
    for source, folder in ((TINY, "tiny-image"), (registry, "registry-image")):
        command("skopeo", "copy", "--quiet", f"docker-daemon:{source}", f"dir:{site.root / folder}")
    for part, name in IMAGES.items():
        folder = "registry-image" if part == "registry" else "tiny-image"
        site.digests[part] = site.upstream.add_image(name, site.root / folder)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Site]:
    before = image_names()
    root = tmp_path_factory.mktemp("upstream")
    for folder in ("tiny", *(f"project/{context}" for context in BUILT.values())):
        (root / folder).mkdir(parents=True)
        base = "scratch" if folder == "tiny" else "${BASE}"
        (root / folder / "Dockerfile").write_text(f"ARG BASE\nFROM {base}\nCOPY marker /{folder}\n")
        (root / folder / "marker").write_text(folder)
    site = Site(root, FakeUpstream())
    site.upstream.start()
    try:
        publish_files(site)
        publish_images(site)
        yield site
    finally:
        site.upstream.stop()
        ours: tuple[str, ...] = (f"{site.upstream.host}/", *IN_ENGINE, TINY)
        ours += tuple(f"drystone.local/build/{name}:upstream-" for name in BUILT)
        for name in image_names() - before:
            if name.startswith(ours):
                command("docker", "rmi", name)


def test_check_mode_predicts_and_neither_asks_nor_writes(site: Site) -> None:
    run = site.play("--check")
    assert run.code == 0, run.output
    assert run.changed == 3
    assert site.upstream.asked == Counter()
    assert not site.cache.exists()


def test_everything_is_had_where_the_other_roles_look_for_it(site: Site) -> None:
    run = site.play()
    assert run.code == 0, run.output
    assert run.changed == 3
    assert "upstream: set by the user" in run.words
    tools = "kind, kubectl, helm, kustomize, kubeconform"
    assert f"unlocked: {tools}, kube-prometheus-stack, node, registry, argo-rollouts, argocd" in run.words
    assert "The nodes run kindest/node:v1.36.1" in run.words
    for tool in ("kind", "kubectl", "helm", "kustomize", "kubeconform"):
        assert (site.cache / "bin" / tool).read_text() == tool
        assert os.access(site.cache / "bin" / tool, os.X_OK)
    for part in ("argo-cd", "argo-rollouts", "metrics-server", "prometheus-operator-crds"):
        assert command("diff", "--recursive", str(MANIFESTS / part), str(site.cache / "manifests" / part)) == ""
    assert {name: site.tag(name) for name in PUBLISHED.values()}.keys() == set(PUBLISHED.values())
    for name, content in CHART.items():
        assert (site.cache / "charts/kube-prometheus-stack" / name).read_bytes() == content
    for part in COPIED:
        assert site.tag(PUBLISHED[part]) == site.digests[part]
    for name in IN_ENGINE:
        assert command("docker", "image", "inspect", "--format={{.Id}}", name)
    assert (
        command("docker", "ps", "--all", "--quiet", "--filter", f"label=drystone.dev/copies-into={site.cache}/registry")
        == ""
    )


def test_a_second_run_changes_nothing_and_asks_nobody(site: Site) -> None:
    asked = site.upstream.asked.copy()
    run = site.play("--check"), site.play()
    assert [(it.code, it.changed) for it in run] == [(0, 0), (0, 0)], run[1].output
    assert site.upstream.asked == asked


def test_auto_takes_what_was_downloaded_without_asking(site: Site) -> None:
    asked = site.upstream.asked.copy()
    run = site.play("--extra-vars=artifacts_source=auto")
    assert (run.code, run.changed) == (0, 0), run.output
    assert "upstream: all artefacts of these pins are already downloaded" in run.words
    assert site.upstream.asked == asked


def test_a_wrong_checksum_is_refused_and_the_tool_that_was_there_stays(site: Site) -> None:
    path = f"kubernetes-sigs/kind/releases/download/v9.8.7/kind-linux-{ARCHITECTURE}"
    site.upstream.add_file(path, b"another kind", f"{path}.sha256sum", sha256="0" * 64)
    run = site.play(kind="9.8.7")
    assert run.code != 0
    assert f"Downloading kind from {site.upstream.url}/{path}: its checksum is" in run.words
    assert f"requires {'0' * 64}" in run.words
    assert (site.cache / "bin/kind").read_text() == "kind"


def test_missing_things_are_all_named_with_the_setting_to_check(site: Site) -> None:
    run = site.play(kind="9.9.9", helm="9.9.9")
    assert run.code != 0
    assert "2 downloads failed" in run.words
    assert "the server answered 404 Not Found" in run.words
    assert "Check drystone_kind_version and artifacts_upstream_bases" in run.words
    assert "Check drystone_helm_version and artifacts_upstream_bases" in run.words
    run = site.play(redis="9.9")
    assert run.code != 0
    assert f"Downloading redis from {site.upstream.host}/library/redis:9.9: skopeo copy failed" in run.words
    assert "Check drystone_redis_version and artifacts_upstream_bases" in run.words


def test_an_unknown_publisher_is_refused(site: Site) -> None:
    run = site.play('--extra-vars={"artifacts_upstream_bases": {"githup": "https://example.com"}}')
    assert run.code != 0
    assert (
        "artifacts_upstream_bases contains the unknown publishers githup. The publishers are docker, ghcr, github"
        in run.words
    )


def test_a_lock_vouches_for_all_of_it(site: Site) -> None:
    site.lock()
    run = site.play()
    assert run.code == 0, run.output
    assert "unlocked:" not in run.words
    assert site.play().changed == 0
    site.lock(images={IMAGES["redis"]: f"sha256:{'0' * 64}"})
    run = site.play()
    assert run.code != 0
    assert (
        f"Downloading redis from {site.upstream.host}/library/redis@sha256:{'0' * 64}: skopeo copy failed" in run.words
    )
    assert site.tag(PUBLISHED["redis"]) == site.digests["redis"]


def test_an_unreachable_host_is_told(site: Site) -> None:
    site.lock()
    (site.cache / "bin/kubectl").unlink()
    site.upstream.stop()
    run = site.play()
    assert run.code != 0
    assert f"Downloading kubectl from {site.upstream.url}/release/v{VERSIONS['kubernetes']}" in run.words
    assert "no answer in 3 attempts" in run.words
    assert "drystone_source: source" in run.words
