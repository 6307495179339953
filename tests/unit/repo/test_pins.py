"""The role common defines each version. Repetitions for tools are equal to it."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

import pytest
import yaml

from scripts.release.places import CHANGELOG, PLACES

# Go modules and their pins. Go adds the leading v, and v0 for modules that upstream numbers like this.
GO_MODULES = {
    "github.com/argoproj/argo-cd/v3": "argocd",
    "github.com/argoproj/argo-rollouts": "argo_rollouts",
    "github.com/containerd/containerd/v2": "containerd",
    "github.com/containernetworking/plugins": "cni_plugins",
    "github.com/coredns/coredns": "coredns",
    "github.com/distribution/distribution/v3": "registry",
    "github.com/prometheus-operator/prometheus-operator": "prometheus_operator",
    "github.com/prometheus/alertmanager": "alertmanager",
    "github.com/prometheus/node_exporter": "node_exporter",
    "github.com/rancher/local-path-provisioner": "local_path_provisioner",
    "github.com/yannh/kubeconform": "kubeconform",
    "go.etcd.io/etcd/server/v3": "etcd",
    "helm.sh/helm/v3": "helm",
    "k8s.io/kube-state-metrics/v2": "kube_state_metrics",
    "k8s.io/kubernetes": "kubernetes",
    "sigs.k8s.io/kind": "kind",
    "sigs.k8s.io/kustomize/kustomize/v5": "kustomize",
    "sigs.k8s.io/metrics-server": "metrics_server",
}
# The source of an image and the displayed version must be equal to the pin.
SCANNED = ("app", "bundle", "deploy", "inventories", "playbooks", "plugins", "roles")
NOT_SCANNED = ("go.mod", "go.sum", "requirements.txt")


def required_modules(text: str) -> dict[str, str]:
    return dict(re.findall(r"^(?:require )?\s*(\S+/\S+) v(\S+)", text, re.MULTILINE))


def test_prometheus_module_is_at_the_pin(root: Path, pins: dict[str, str]) -> None:
    # Its Go module of version 3.14.0 has the version v0.314.0.
    major, minor, patch = pins["prometheus"].split(".")
    required = required_modules((root / "bundle/go.mod").read_text())
    assert required["github.com/prometheus/prometheus"] == f"0.{major}{int(minor):02}.{patch}"


def test_the_ingress_controller_s_own_module_is_at_the_pin(root: Path, pins: dict[str, str]) -> None:
    required = required_modules((root / "bundle/traefik/go.mod").read_text())
    assert required["github.com/traefik/traefik/v3"] == pins["traefik"]


def test_the_go_modules_are_at_the_pins(root: Path, pins: dict[str, str]) -> None:
    required = required_modules((root / "bundle/go.mod").read_text())
    found = {module: required.get(module) for module in GO_MODULES}
    assert found == {module: pins[name] for module, name in GO_MODULES.items()}


def test_the_staging_modules_are_those_of_kubernetes(root: Path, pins: dict[str, str]) -> None:
    text = (root / "bundle/go.mod").read_text()
    minor = pins["kubernetes"].removeprefix("1.")
    for module in ("api", "apimachinery", "apiserver", "client-go", "component-base", "kubectl", "kubelet"):
        assert f"k8s.io/{module} => k8s.io/{module} v0.{minor}\n" in text


def test_charts_are_tested_with_the_pinned_helm(root: Path, pins: dict[str, str]) -> None:
    required = required_modules((root / "tests/tools/go.mod").read_text())
    assert required["helm.sh/helm/v3"] == pins["helm"]


@pytest.mark.parametrize("path", ["bundle/go.mod", "tests/tools/go.mod"])
def test_go_itself_is_at_the_pin(root: Path, pins: dict[str, str], path: str) -> None:
    directive = re.search(r"^go (\S+)$", (root / path).read_text(), re.MULTILINE)
    assert directive is not None
    assert directive[1] == pins["go"]


def test_arguments_of_dockerfiles_are_at_the_pins(root: Path, files: list[Path], pins: dict[str, str]) -> None:
    for path in files:
        if path.name == "Dockerfile":
            for name, value in re.findall(r"^ARG (\w+)_VERSION=(\S+)", (root / path).read_text(), re.MULTILINE):
                assert value.strip("\"'") == pins[name.lower()], f"{path}: {name}_VERSION"


def test_the_greeter_says_its_pinned_version(root: Path, pins: dict[str, str]) -> None:
    assert f'VERSION = "{pins["greeter"]}"' in (root / "app/greeter/server.py").read_text()


def test_the_commit_publisher_says_its_pinned_version(root: Path, pins: dict[str, str]) -> None:
    assert f'VERSION = "{pins["commit_publisher"]}"' in (root / "app/commit_publisher/__init__.py").read_text()


# Argo CD reads deploy/ without our variables, so tests/unit/deploy compares its images with the pins. Programs contain
# their own versions, which the tests above compare.
ALSO_SAY = {
    "app/commit_publisher/__init__.py": {"commit_publisher"},
    "deploy/components/git-content/kustomization.yaml": {"commit_publisher", "git_sync"},
}


def test_no_version_is_written_a_second_time(root: Path, files: list[Path], pins: dict[str, str]) -> None:
    # Versions such as 1.0.0 or 7.0 are too common to be found. Releases write the version of hello.
    telling = {name: version for name, version in pins.items() if re.fullmatch(r"\d+\.\d+\.\d+", version)}
    telling.pop("hello", None)
    telling = {name: version for name, version in telling.items() if not version.endswith(".0.0")}
    wanted = {name: re.compile(rf"(?<![\d.]){re.escape(version)}(?![\d]|\.\d)") for name, version in telling.items()}
    found = []
    for path in files:
        if path.parts[0] not in SCANNED or path.name in NOT_SCANNED or str(path) == "roles/common/defaults/main.yml":
            continue
        if any(fnmatch.fnmatch(str(path), written) for written in (CHANGELOG, *(pattern for pattern, _ in PLACES))):
            continue
        if path.parts[0] == "roles" and path.name in ("README.md", "argument_specs.yml") and path.parts[1] == "common":
            continue  # the specs repeat the defaults, and test_roles.py compares them
        try:
            lines = (root / path).read_text().splitlines()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(lines, 1):
            found += [
                f"{path}:{number} repeats drystone_{name}_version"
                for name in wanted.keys() - ALSO_SAY.get(str(path), set())
                if wanted[name].search(line)
            ]
    assert found == []


def test_python_requirements_are_pinned_once(root: Path) -> None:
    lines = [
        line
        for name in ("requirements.txt", "requirements-dev.txt")
        for line in (root / name).read_text().splitlines()
        if line and not line.startswith(("#", "-r "))
    ]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9_.-]+==\S+", line)] == []
    names = [line.split("==")[0].lower() for line in lines]
    assert sorted(names) == sorted(set(names))


def test_every_image_is_at_a_pin(root: Path) -> None:
    defaults = yaml.safe_load((root / "roles/common/defaults/main.yml").read_text())
    for part, reference in defaults["drystone_images"].items():
        assert re.fullmatch(r"drystone\.local/[a-z0-9./-]+:v?{{ drystone_\w+_version }}", reference), part
