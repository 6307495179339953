# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The output of the component git-content for our workload, for another workload, and for HTTPS."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.commit_publisher.publisher import Settings
from bundle.standins.git_sync import flags
from deploy import validate

DEPLOY = Path(validate.__file__).parent
Object = dict[str, Any]

# A workload of another team with several containers, which already has objects of the kinds that the component adds.
OTHER = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: my-models, annotations: {own: kept}}
spec:
  selector: {matchLabels: {app.kubernetes.io/name: my-models}}
  template:
    metadata: {annotations: {own: kept}}
    spec:
      initContainers:
        - {name: prepare, image: "example/prepare:1", args: [kept]}
      containers:
        - {name: server, image: "example/server:1"}
        - name: proxy
          image: example/proxy:1
          env: [{name: OWN, value: kept}]
          volumeMounts: [{name: own, mountPath: /own}]
      volumes: [{name: own, emptyDir: {}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: my-models}
rules: [{apiGroups: [""], resources: [configmaps], resourceNames: [own], verbs: [get]}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: own}
data: {own: kept}
"""
SETTINGS = {
    "repository": "https://git.example.com/team/models.git",
    "ref": "release/1=2",
    "period": "30s",
    "sync_timeout": "300s",
    "depth": "0",
    "sparse_checkout": "/*\n!/*/\n/models/\n",
    "size_limit": "2Gi",
    "ca_file": "/etc/git-secret/ca.crt",
}


class Built:
    """Rendered objects, by kind and name."""

    def __init__(self, folder: Path) -> None:
        try:
            kustomize = validate.find_tool("kustomize", None)
        except validate.Unusable as error:
            pytest.skip(f"needs the real tool, which `make up` and `make test` provide: {error}")
        self.text, self.error = validate.build(kustomize, folder)
        documents = list(yaml.safe_load_all(self.text))
        self.objects = {(document["kind"], document["metadata"]["name"]): document for document in documents}
        assert len(self.objects) == len(documents)

    def __getitem__(self, key: tuple[str, str]) -> Object:
        found: Object = self.objects[key]
        return found

    def pod(self, name: str) -> Object:
        template: Object = self["Deployment", name]["spec"]["template"]["spec"]
        return template

    def git_sync(self, name: str) -> Object:
        return named(self.pod(name).get("initContainers", []) + self.pod(name)["containers"], "git-sync")


def named(items: list[Object], name: str) -> Object:
    (found,) = [item for item in items if item["name"] == name]
    return found


def options(container: Object) -> flags.Options:
    """Parse the flags with the stand-in, which refuses unknown flags, after expanding the variables."""
    known = {"GIT_CONTENT_COMMIT": "a" * 40, "GIT_CONTENT_USERNAME": "reader"}
    values: dict[str, str] = {
        entry["name"]: entry.get("value", known.get(entry["name"], "")) for entry in container["env"]
    }

    def value(match: re.Match[str]) -> str:
        assert match[1] in values
        return values[match[1]]

    return flags.parse([re.sub(r"\$\((\w+)\)", value, flag) for flag in container["args"]], values)


def other(folder: Path, component: str = "git-content", **settings: str | None) -> Built:
    """Build another team's workload with the component."""
    root = folder / "deploy"
    shutil.copytree(DEPLOY / "components", root / "components")
    base, environment = root / "workloads/other", root / "environments/prod/other"
    for made in (base, environment):
        made.mkdir(parents=True)
    data = {key: value for key, value in {**SETTINGS, **settings}.items() if value is not None}
    local = {"name": "git-content-settings", "annotations": {"config.kubernetes.io/local-config": "true"}}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": local, "data": data}
    files = {
        base / "objects.yaml": OTHER,
        base / "settings.yaml": yaml.safe_dump(config),
        base / "kustomization.yaml": yaml.safe_dump(
            {
                "resources": ["objects.yaml", "settings.yaml"],
                "labels": [
                    {
                        "pairs": {"app.kubernetes.io/name": "my-models", "app.kubernetes.io/part-of": "models"},
                        "includeTemplates": True,
                    }
                ],
            }
        ),
        environment / "kustomization.yaml": yaml.safe_dump(
            {
                "namespace": "prod",
                "resources": ["../../../workloads/other"],
                "components": [f"../../../components/{component}"],
            }
        ),
    }
    for path, text in files.items():
        path.write_text(text, "utf-8")
    return Built(environment)


@pytest.fixture(scope="module")
def site() -> Built:
    return Built(DEPLOY / "environments/dev/site")


@pytest.fixture(scope="module", params=["git-content", "git-content-https"])
def models(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return other(tmp_path_factory.mktemp("other"), request.param)


@pytest.fixture(scope="module", params=["site", "my-models", "my-models over HTTPS"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Built, str, str]:
    """Return the rendered objects, the workload's name and its namespace."""
    if request.param == "site":
        return request.getfixturevalue("site"), "site", "dev"
    component = "git-content-https" if request.param.endswith("HTTPS") else "git-content"
    return other(tmp_path_factory.mktemp("other"), component), "my-models", "prod"


def test_what_is_made_and_under_which_names(case: tuple[Built, str, str]) -> None:
    built, name, namespace = case
    added = {
        ("ConfigMap", f"{name}-git-content"),
        ("Deployment", f"{name}-git-syncer"),
        ("PodMonitor", f"{name}-git-content"),
        ("Role", f"{name}-git-syncer"),
        ("RoleBinding", f"{name}-git-syncer"),
        ("ServiceAccount", f"{name}-git-syncer"),
    }
    assert added <= built.objects.keys()
    assert ("ConfigMap", "git-content-settings") not in built.objects
    assert {document["metadata"]["namespace"] for document in built.objects.values()} == {namespace}
    # All names differ from those of the component.
    assert not re.search(r"\bworkload\b|: set$", built.text, re.MULTILINE)


def test_what_the_workload_has_of_its_own_stays(models: Built) -> None:
    pod = models.pod("my-models")
    assert models["Deployment", "my-models"]["metadata"]["annotations"]["own"] == "kept"
    assert models["Deployment", "my-models"]["spec"]["template"]["metadata"]["annotations"]["own"] == "kept"
    assert named(pod["initContainers"], "prepare") == {
        "name": "prepare",
        "image": "example/prepare:1",
        "args": ["kept"],
    }
    proxy = named(pod["containers"], "proxy")
    assert proxy["env"][0] == {"name": "OWN", "value": "kept"}
    assert proxy["volumeMounts"][0] == {"name": "own", "mountPath": "/own"}
    assert named(pod["volumes"], "own") == {"name": "own", "emptyDir": {}}
    assert models["Role", "my-models"]["rules"][0]["resourceNames"] == ["own"]
    assert models["ConfigMap", "own"]["data"] == {"own": "kept"}


def test_git_sync_starts_first_and_the_others_wait_for_the_content(case: tuple[Built, str, str]) -> None:
    built, name, _ = case
    sidecar = built.pod(name)["initContainers"][0]
    assert sidecar["name"] == "git-sync"
    assert sidecar["restartPolicy"] == "Always"
    assert sidecar["startupProbe"]["httpGet"] == {"path": "/", "port": "git-content"}
    # git-sync must not restart while the remote is down, because each restart would delay it further.
    assert sidecar["startupProbe"]["failureThreshold"] * sidecar["startupProbe"]["periodSeconds"] >= 24 * 3600
    assert "livenessProbe" not in sidecar


def test_every_container_of_the_workload_reads_the_published_commit(case: tuple[Built, str, str]) -> None:
    built, name, _ = case
    wanted = {
        "name": "GIT_CONTENT_COMMIT",
        "valueFrom": {"configMapKeyRef": {"name": f"{name}-git-content", "key": "commit"}},
    }
    for container in [*built.pod(name)["containers"], built.git_sync(name)]:
        assert named(container["env"], "GIT_CONTENT_COMMIT") == wanted
    for container in built.pod(name)["containers"]:
        mount = {"name": "git-content", "mountPath": "/git", "readOnly": True}
        assert named(container["volumeMounts"], "git-content") == mount


def test_the_pods_are_pinned_and_the_syncer_follows_the_branch(case: tuple[Built, str, str]) -> None:
    built, name, _ = case
    pinned = options(built.git_sync(name))
    syncer = options(built.git_sync(f"{name}-git-syncer"))
    ref, repository = (
        ("main", "ssh://git@git-server.git.svc:2222/srv/git/site-content.git")
        if name == "site"
        else (SETTINGS["ref"], SETTINGS["repository"])
    )
    assert (pinned.ref, syncer.ref) == ("a" * 40, ref)
    assert (pinned.repo, syncer.repo) == (repository, repository)
    assert pinned.webhook_url == ""
    assert syncer.webhook_url == "http://127.0.0.1:8080/"
    for one in (pinned, syncer):
        assert one.path(one.link) == Path("/git/repo/content")
        assert (one.max_failures, one.init_max_failures) == (-1, -1)
        assert one.http_metrics
        assert one.ssh_known_hosts


def test_every_setting_arrives(models: Built) -> None:
    for name in ("my-models", "my-models-git-syncer"):
        one = options(models.git_sync(name))
        assert (one.depth, one.period, one.sync_timeout) == (0, 30, 300)
        pod = models.pod(name)
        assert named(pod["volumes"], "git-content")["emptyDir"] == {"sizeLimit": "2Gi"}
        metadata = models["Deployment", name]["spec"]["template"]["metadata"]
        assert metadata["annotations"]["drystone.dev/git-sparse-checkout"] == SETTINGS["sparse_checkout"]
        (item,) = named(pod["volumes"], "git-sparse-checkout")["downwardAPI"]["items"]
        assert item["fieldRef"]["fieldPath"] == "metadata.annotations['drystone.dev/git-sparse-checkout']"
        assert one.sparse_checkout_file == f"/etc/git-content/{item['path']}"
        # Kubernetes accepts no numbers here.
        assert all(isinstance(entry.get("value", ""), str) for entry in models.git_sync(name)["env"])


@pytest.mark.parametrize("setting", [key for key in SETTINGS if key != "ca_file"])
def test_a_setting_that_is_missing_is_named(tmp_path: Path, setting: str) -> None:
    without: dict[str, Any] = {setting: None}
    built = other(tmp_path, **without)
    assert built.error is not None
    assert f"data.{setting}" in built.error


def test_an_environment_can_follow_another_branch(tmp_path: Path) -> None:
    root = tmp_path / "deploy"
    shutil.copytree(DEPLOY, root)
    folder = root / "environments/dev/site"
    (folder / "branch").mkdir()
    patch = "- {op: replace, path: /data/ref, value: next}"
    target = {"kind": "ConfigMap", "name": "git-content-settings"}
    component = {"kind": "Component", "patches": [{"target": target, "patch": patch}]}
    (folder / "branch/kustomization.yaml").write_text(yaml.safe_dump(component))
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    kustomization["components"].insert(0, "branch")
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    assert options(Built(folder).git_sync("site-git-syncer")).ref == "next"
    assert validate.Structure(root).check() == []


def test_reloader_is_asked_for_the_commit_by_name_and_never_for_credentials(case: tuple[Built, str, str]) -> None:
    built, name, _ = case
    asked = {
        (document["metadata"]["name"], key): value
        for document in built.objects.values()
        for key, value in (document["metadata"].get("annotations") or {}).items()
        if "reloader" in key
    }
    assert asked == {(name, "configmap.reloader.stakater.com/reload"): f"{name}-git-content"}


def test_the_config_map_is_left_to_the_publisher(case: tuple[Built, str, str]) -> None:
    built, name, _ = case
    assert "data" not in built["ConfigMap", f"{name}-git-content"]


def test_the_commit_is_published_before_the_workload_starts(case: tuple[Built, str, str]) -> None:
    built, name, _ = case
    wave = "argocd.argoproj.io/sync-wave"
    first = {key for key, document in built.objects.items() if wave in (document["metadata"].get("annotations") or {})}
    assert first == {
        ("ConfigMap", f"{name}-git-content"),
        *((kind, f"{name}-git-syncer") for kind in ("Deployment", "Role", "RoleBinding", "ServiceAccount")),
    }
    assert {built[key]["metadata"]["annotations"][wave] for key in first} == {"-1"}
    publisher = named(built.pod(f"{name}-git-syncer")["containers"], "publisher")
    assert publisher["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "publisher"}


def test_there_is_one_writer_at_a_time(case: tuple[Built, str, str]) -> None:
    built, name, _ = case
    spec = built["Deployment", f"{name}-git-syncer"]["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_only_the_publisher_has_a_token_and_it_may_change_one_object(case: tuple[Built, str, str]) -> None:
    built, name, namespace = case
    holders = []
    for one in (name, f"{name}-git-syncer"):
        pod = built.pod(one)
        assert pod["automountServiceAccountToken"] is False
        tokens = {
            volume["name"]
            for volume in pod["volumes"]
            if any("serviceAccountToken" in source for source in volume.get("projected", {}).get("sources", []))
        }
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            mounts = [mount for mount in container.get("volumeMounts", []) if mount["name"] in tokens]
            holders += [(one, container["name"], mount["readOnly"]) for mount in mounts]
    assert holders == [(f"{name}-git-syncer", "publisher", True)]
    account = f"{name}-git-syncer"
    assert built.pod(account)["serviceAccountName"] == account
    assert built["ServiceAccount", account]["automountServiceAccountToken"] is False
    assert built["Role", account]["rules"] == [
        {
            "apiGroups": [""],
            "resources": ["configmaps"],
            "resourceNames": [f"{name}-git-content"],
            "verbs": ["get", "patch"],
        }
    ]
    binding = built["RoleBinding", account]
    assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account}
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": namespace}]


def test_the_publisher_is_told_what_to_publish(case: tuple[Built, str, str]) -> None:
    built, name, namespace = case
    publisher = named(built.pod(f"{name}-git-syncer")["containers"], "publisher")
    values = {entry["name"]: entry.get("value", namespace) for entry in publisher["env"]}
    settings = Settings.from_environ(values)
    syncer = options(built.git_sync(f"{name}-git-syncer"))
    assert (settings.workload, settings.config_map) == (name, f"{name}-git-content")
    assert (settings.repository, settings.ref) == (syncer.repo, syncer.ref)
    assert settings.link == str(syncer.path(syncer.link))
    assert named(publisher["env"], "NAMESPACE")["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}
    assert named(publisher["volumeMounts"], "git-content")["readOnly"] is True


def test_only_git_sync_sees_the_credentials(case: tuple[Built, str, str]) -> None:
    built, name, _ = case
    for one in (name, f"{name}-git-syncer"):
        pod = built.pod(one)
        volume = named(pod["volumes"], "git-credentials")
        assert volume["secret"] == {"secretName": f"{name}-git-credentials", "defaultMode": 0o440}
        containers = [*pod.get("initContainers", []), *pod["containers"]]
        seeing = [
            container["name"]
            for container in containers
            if "git-credentials" in str(container.get("volumeMounts")) or "secretKeyRef" in str(container.get("env"))
        ]
        assert seeing == ["git-sync"]
        mount = named(built.git_sync(one)["volumeMounts"], "git-credentials")
        assert mount == {"name": "git-credentials", "mountPath": "/etc/git-secret", "readOnly": True}


def test_the_pods_meet_the_restricted_profile(case: tuple[Built, str, str]) -> None:
    built, name, _ = case
    for one in (name, f"{name}-git-syncer"):
        pod = built.pod(one)
        context = pod["securityContext"]
        assert context["fsGroup"] == 65533
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            if container["name"] not in ("git-sync", "publisher", "site"):
                continue  # containers of the other workload
            own = {**context, **container["securityContext"]}
            assert own["runAsNonRoot"] is True
            assert own["seccompProfile"] == {"type": "RuntimeDefault"}
            assert own["runAsUser"] == {"git-sync": 65533, "publisher": 65532, "site": 101}[container["name"]]
            assert (own["allowPrivilegeEscalation"], own["readOnlyRootFilesystem"]) == (False, True)
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert set(container["resources"]) == {"requests", "limits"}
        mounts = {mount["mountPath"] for mount in built.git_sync(one)["volumeMounts"] if not mount.get("readOnly")}
        assert mounts == {"/git", "/tmp"}


def test_nobody_takes_the_syncer_for_one_of_the_workload_s_pods(case: tuple[Built, str, str]) -> None:
    built, name, _ = case
    labels = built["Deployment", f"{name}-git-syncer"]["spec"]["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/name"] == f"{name}-git-syncer"
    assert labels["app.kubernetes.io/component"] == "git-syncer"
    for kind, path in (
        ("Deployment", ("spec", "selector", "matchLabels")),
        ("Service", ("spec", "selector")),
        ("PodDisruptionBudget", ("spec", "selector", "matchLabels")),
        ("NetworkPolicy", ("spec", "podSelector", "matchLabels")),
    ):
        if (kind, name) in built.objects:
            selector = built[kind, name]
            for key in path:
                selector = selector[key]
            assert not selector.items() <= labels.items(), kind


def test_prometheus_finds_both_kinds_of_pods_and_hears_of_rest_from_neither(case: tuple[Built, str, str]) -> None:
    built, name, _ = case
    spec = built["PodMonitor", f"{name}-git-content"]["spec"]
    ports = set()
    for one in (name, f"{name}-git-syncer"):
        template = built["Deployment", one]["spec"]["template"]
        assert spec["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        pod = template["spec"]
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            ports |= {port["name"] for port in container.get("ports", [])}
    endpoints = {endpoint["port"]: endpoint.get("metricRelabelings", []) for endpoint in spec["podMetricsEndpoints"]}
    assert endpoints.keys() == {"publisher", "git-syncer", "git-content"} <= ports
    # The alert about stale content counts syncs, but a pinned Pod syncs only once.
    (dropped,) = endpoints["git-content"]
    assert re.fullmatch(dropped["regex"], "git_sync_count_total;noop")
    assert not re.fullmatch(dropped["regex"], "git_sync_count_total;error")


def test_every_object_has_the_standard_labels(case: tuple[Built, str, str]) -> None:
    built, name, _ = case
    part_of = "drystone" if name == "site" else "models"
    for (kind, one), document in built.objects.items():
        wanted = f"{name}-git-syncer" if one == f"{name}-git-syncer" else name
        assert document["metadata"]["labels"]["app.kubernetes.io/name"] == wanted, (kind, one)
        assert document["metadata"]["labels"]["app.kubernetes.io/part-of"] == part_of, (kind, one)


def test_over_https_the_credentials_are_a_user_a_password_file_and_a_ca(tmp_path: Path) -> None:
    built = other(tmp_path, "git-content-https")
    for one in ("my-models", "my-models-git-syncer"):
        container = built.git_sync(one)
        found = options(container)
        assert (found.username, found.password_file) == ("reader", "/etc/git-secret/password")
        assert found.git_config == {"core.bigFileThreshold": "1m", "http.sslCAInfo": "/etc/git-secret/ca.crt"}
        assert named(container["env"], "GIT_CONTENT_USERNAME")["valueFrom"] == {
            "secretKeyRef": {"name": "my-models-git-credentials", "key": "username"}
        }


def test_over_https_whom_to_trust_must_be_said(tmp_path: Path) -> None:
    built = other(tmp_path, "git-content-https", ca_file=None)
    assert built.error is not None
    assert "data.ca_file" in built.error


def test_the_site_is_small_and_twice(site: Built) -> None:
    assert site["Deployment", "site"]["spec"]["replicas"] == 2
    assert site["Deployment", "site"]["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert site["PodDisruptionBudget", "site"]["spec"]["maxUnavailable"] == "50%"
    assert site["Service", "site"]["spec"]["ports"] == [{"name": "http", "port": 8080, "targetPort": "http"}]
    container = named(site.pod("site")["containers"], "site")
    assert container["resources"]["requests"] == {"cpu": "10m", "memory": "16Mi"}


def test_the_images_are_those_that_the_platform_builds(site: Built) -> None:
    defaults = yaml.safe_load((DEPLOY.parent / "roles/common/defaults/main.yml").read_text("utf-8"))
    references = {
        re.sub(r"{{ (\w+) }}", lambda match: str(defaults[match[1]]), reference)
        for reference in defaults["drystone_images"].values()
    }
    used = {
        container["image"]
        for one in ("site", "site-git-syncer")
        for container in [*site.pod(one).get("initContainers", []), *site.pod(one)["containers"]]
    }
    assert len(used) == 3
    assert used <= references
