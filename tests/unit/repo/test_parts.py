"""Rules for all parts: a valid contract, the same structure, and no knowledge of other parts except their contracts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.drystone.platform.plugins.module_utils._ready.conditions import build_conditions
from ansible_collections.drystone.platform.plugins.plugin_utils._part_contract import KEYS, TARGETS
from tests.parts import copy_with_another_part, remove_it_again

ROOT = Path(__file__).resolve().parents[3]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
PARTS = sorted(path.parents[1].name for path in (ROOT / "roles").glob("*/meta/part.yml"))
Object = dict[str, Any]


def contract(part: str) -> Object:
    loaded: Object = yaml.safe_load((ROOT / f"roles/{part}/meta/part.yml").read_text())
    return loaded


def entry_points(part: str) -> set[str]:
    return set(contract(part).get("entry_points", {}).values())


def run(*arguments: str, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run ansible-playbook with the inventory dev."""
    env = {**os.environ, "ANSIBLE_CONFIG": str(root / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    command = [str(Path(sys.executable).with_name("ansible-playbook")), f"--inventory={root}/inventories/dev"]
    return subprocess.run([*command, *arguments], cwd=root, env=env, capture_output=True, text=True, check=False)


def render(folder: Path, *cases: Object, root: Path = ROOT) -> list[Object]:
    """Render the contracts of a collection for the inventory dev, once for each case."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/parts/read.py"), str(root), str(folder)],
        input=json.dumps(cases),
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[Object] = json.loads(done.stdout)
    return found


OTHER_NAMES = {
    "argocd_namespace": "gitops-x",
    "kube_prometheus_stack_namespace": "metrics-x",
    "kube_prometheus_stack_node_exporter_namespace": "nodes-x",
}
MONITORING = {"role_path": str(ROOT / "roles/kube_prometheus_stack")}  # it reads its own files
TEMPLATES = [
    "argocd/templates/namespace.yml.j2",
    "argocd/templates/policies.yml.j2",
    "argocd/templates/project.yml.j2",
    "git_sync/templates/policies.yml.j2",
    "guardrails/templates/connections.yml.j2",
    "guardrails/templates/environments.yml.j2",
    "guardrails/templates/platform.yml.j2",
    "kube_prometheus_stack/templates/objects.yml.j2",
    "workloads/templates/access.yml.j2",
    "workloads/templates/applications.yml.j2",
]
NAMES = [
    *("__kube_prometheus_stack_rules", "__kube_prometheus_stack_dashboards", "__kube_prometheus_stack_values"),
    *("__workloads_conditions", "__workloads_repository"),
]
LISTED: list[str] = yaml.safe_load((ROOT / "roles/common/defaults/main.yml").read_text())["drystone_parts"]
WITHOUT = [name for name in LISTED if name not in ("metrics_server", "reloader")]
NO_ACCESS = [name for name in LISTED if name not in ("ingress", "argo_rollouts")]
OWN_REPOSITORY = {"workloads_repo_url": "https://git.example.org/a.git"}
HERE = {"git_sync_workloads": [{"name": "a", "namespace": "dev", "repository": "here"}]}
CASES: dict[str, Object] = {
    "default": {},
    "timeout": {"variables": {"argocd_timeout": 17}},
    "listed": {"variables": {"drystone_parts": WITHOUT}},
    "grafana": {
        "variables": {"kube_prometheus_stack_grafana": True, **MONITORING},
        "templates": ["kube_prometheus_stack/templates/objects.yml.j2"],
    },
    "skipped": {"variables": {"ansible_skip_tags": ["metrics_server", "reloader"]}},
    "unmonitored": {"variables": {"ansible_skip_tags": ["kube_prometheus_stack", "workloads"]}},
    "own repository": {"variables": OWN_REPOSITORY},
    "other names": {"variables": {**OTHER_NAMES, **MONITORING}, "templates": TEMPLATES, "names": NAMES},
    "unknown": {"variables": {"drystone_parts": ["guardrails", "argocdd"]}},
    "list": {"variables": {"drystone_parts": [name for name in LISTED if name != "argocd"]}},
    "tags": {"variables": {"ansible_skip_tags": ["guardrails", "workloads", "git_sync", "ingress"]}},
    "switched off": {"variables": {**OWN_REPOSITORY, **HERE}},
    "without access": {"variables": {"drystone_parts": NO_ACCESS}},
    "without access and hello": {"variables": {"drystone_parts": NO_ACCESS, "drystone_environments": ["staging"]}},
    "without access, own repository": {"variables": {"drystone_parts": NO_ACCESS, **OWN_REPOSITORY}},
}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Object]:
    found = render(tmp_path_factory.mktemp("parts"), *CASES.values())
    return dict(zip(CASES, found, strict=True))


@pytest.fixture(scope="module")
def deployed(cases: dict[str, Object]) -> dict[str, Object]:
    found: dict[str, Object] = cases["default"]["parts"]
    return found


def test_all_parts_are_deployed_by_default_in_the_order_of_the_list(deployed: dict[str, Object]) -> None:
    defaults = yaml.safe_load((ROOT / "roles/common/defaults/main.yml").read_text())
    assert list(deployed) == defaults["drystone_parts"]
    assert sorted(deployed) == PARTS


def test_conditions_are_such_of_cluster_ready_with_the_timeout_of_their_part(deployed: dict[str, Object]) -> None:
    for part in deployed.values():
        for conditions in (part["conditions"], part["answers"]):
            assert not conditions or build_conditions(conditions)
        assert {one["timeout"] for one in part["conditions"]} <= {part["timeout"]}


def test_a_part_s_own_timeout_counts(cases: dict[str, Object]) -> None:
    part = cases["timeout"]["parts"]["argocd"]
    assert {one["timeout"] for one in part["conditions"]} == {17}


def test_the_monitoring_stack_waits_for_grafana_only_with_grafana(cases: dict[str, Object]) -> None:
    def awaited(case: str) -> set[str]:
        conditions = cases[case]["parts"]["kube_prometheus_stack"]["conditions"]
        return {name for condition in conditions for name in condition.get("workloads", {}).get("names", [])}

    assert awaited("grafana") - awaited("default") == {"kube-prometheus-stack-grafana"}


@pytest.mark.parametrize("part", PARTS)
def test_a_contract_names_parts_targets_and_entry_points_that_there_are(part: str) -> None:
    found = contract(part)
    for key in ("after", "awaits"):
        assert set(found.get(key, [])) <= set(PARTS)
    assert {one["to"] for one in found.get("connects", [])} <= {*PARTS, *TARGETS}
    for name in {"apply", "absent", "main"} | entry_points(part):
        assert (ROOT / f"roles/{part}/tasks/{name}.yml").exists(), name
    assert not found.get("conditions") or (ROOT / f"roles/{part}/tasks/wait.yml").exists()


@pytest.mark.parametrize("part", PARTS)
def test_a_contract_says_of_the_own_role_what_its_public_variables_say(part: str) -> None:
    text = (ROOT / f"roles/{part}/meta/part.yml").read_text()
    assert "__" not in text
    assert f'timeout: "{{{{ {part}_timeout }}}}"' in text
    assert f"{part}_timeout" in (ROOT / f"roles/{part}/defaults/main.yml").read_text()


def objects_in(value: Any, key: str = "") -> list[Any]:
    """Return all Kubernetes objects that are written as data, except patches of upstream's objects."""
    if isinstance(value, list):
        return [found for inner in value for found in objects_in(inner, key)]
    if not isinstance(value, dict) or key == "patch":
        return []
    here = [value] if {"apiVersion", "kind", "metadata"} <= value.keys() else []
    return here + [found for name, inner in value.items() for found in objects_in(inner, name)]


@pytest.mark.parametrize("part", PARTS)
def test_objects_of_ours_are_in_templates(part: str) -> None:
    paths = [path for folder in ("tasks", "vars") for path in (ROOT / "roles" / part / folder).glob("*.yml")]
    assert [str(path) for path in paths if objects_in(yaml.safe_load(path.read_text()))] == []


def test_every_key_is_documented_and_nothing_else() -> None:
    text = (ROOT / "docs/parts.md").read_text()
    table = text[text.index("| key ") : text.index("\n\n", text.index("| key "))]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == list(KEYS)


def test_no_role_or_playbook_reads_what_is_private_to_a_role() -> None:
    private = re.compile(rf"(?<!\w)__({'|'.join(sorted(ROLES, key=len, reverse=True))})_\w+")
    found = []
    paths = [path for folder in ("roles", "playbooks", "molecule") for path in (ROOT / folder).rglob("*")]
    for path in paths:
        if path.suffix not in (".yml", ".yaml", ".j2"):
            continue
        own = path.relative_to(ROOT / "roles").parts[0] if path.is_relative_to(ROOT / "roles") else ""
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found += [f"{path.relative_to(ROOT)}:{number}" for one in private.finditer(line) if one[1] != own]
    assert found == []


def test_one_place_decides_whether_there_is_a_git_server_in_the_cluster() -> None:
    paths = [path for folder in ("roles", "playbooks") for path in (ROOT / folder).rglob("*") if path.is_file()]
    readers = {
        str(path.relative_to(ROOT))
        for path in paths
        if path.suffix in (".yml", ".j2") and "workloads_repo_url" in path.read_text()
    }
    outside = {path for path in readers if not path.startswith("roles/workloads/")}
    assert outside == {"roles/git_server/meta/part.yml"}


def test_a_namespace_of_another_part_is_written_nowhere(deployed: dict[str, Object]) -> None:
    """A role contains only its own namespace; those of other parts come from their contracts."""
    found = []
    for part, said in deployed.items():
        files = [path for role in set(ROLES) - {part} for path in (ROOT / "roles" / role).rglob("*")]
        texts = {path: path.read_text() for path in files if path.suffix in (".yml", ".yaml", ".j2")}
        for namespace in {one["name"] for one in said["namespaces"]}:
            literal = re.compile(rf"(?:namespace|metadata\.name): [\"']?{re.escape(namespace)}[\"']?$", re.MULTILINE)
            found += [f"{path.relative_to(ROOT)}: {namespace}" for path, text in texts.items() if literal.search(text)]
    assert found == []


def literals(value: Any) -> list[str]:
    """Return all values in places of namespace names, and all selectors of namespaces."""
    if isinstance(value, dict):
        names = [inner for key, inner in value.items() if key in ("namespace", "kubernetes.io/metadata.name", "source")]
        names += [*value.get("matchNames", []), *value.get("namespaces", [])]
        names += [value["metadata"]["name"]] if value.get("kind") == "Namespace" else []
        return [str(name) for name in names] + [name for inner in value.values() for name in literals(inner)]
    if isinstance(value, list):
        return [name for inner in value for name in literals(inner)]
    return []


def test_other_names_of_namespaces_arrive_everywhere(cases: dict[str, Object]) -> None:
    found: list[str] = []
    for name, text in cases["other names"].items():
        documents = list(yaml.safe_load_all(text)) if name in TEMPLATES else [text]
        found += literals(documents)
        # Expressions, URLs and queries must not contain them either.
        written = json.dumps(documents)
        assert re.findall(r'namespace=~?\\\\"(?:argocd|monitoring)|\.(?:argocd|monitoring)\.svc', written) == [], name
    assert set(OTHER_NAMES.values()) <= set(found)
    assert {"argocd", "monitoring", "node-exporter"} & set(found) == set()


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("unknown", "part argocdd does not exist; did you mean argocd?"),
        (
            "list",
            "workloads requires argocd, which drystone_parts does not list. Deploy argocd, or remove workloads",
        ),
        (
            "tags",
            "reloader requires guardrails, which --skip-tags excludes. Deploy guardrails, or remove reloader",
        ),
        ("switched off", "git_sync requires git_server, which is switched off"),
    ],
)
def test_a_choice_that_cannot_work_is_refused(cases: dict[str, Object], case: str, message: str) -> None:
    assert any(problem.startswith(message) for problem in cases[case]["problems"]), cases[case]


def test_hello_and_rokken_require_argo_rollouts_and_the_ingress_controller(cases: dict[str, Object]) -> None:
    assert cases["without access"]["problems"] == [
        f"workloads requires {part}, which drystone_parts does not list. Deploy {part}, or remove workloads as well"
        for part in ("argo_rollouts", "ingress")
    ]
    for case in ("without access and hello", "without access, own repository"):
        assert "workloads" in cases[case]["parts"]


@pytest.mark.parametrize(
    ("files", "required"),
    [
        ({}, set()),
        ({"hello/values.yaml": "kind: Rollout"}, {"argo_rollouts", "ingress"}),
        ({"hello/values.yaml": "kind: Rollout\ningress: {enabled: false}"}, {"argo_rollouts"}),
        ({"hello/values.yaml": "kind: Deployment\ningress: {hosts: [a.example.com]}"}, {"ingress"}),
        ({"hello/values.yaml": "ingress: {enabled: false}"}, set()),
        ({"rokken/kustomization.yaml": "namespace: qa"}, {"ingress"}),
        ({"greeter/kustomization.yaml": "namespace: qa"}, set()),
    ],
)
def test_the_environments_decide_what_their_workloads_require(
    tmp_path: Path, files: dict[str, str], required: set[str]
) -> None:
    for name, text in files.items():
        path = tmp_path / "deploy/environments/qa" / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    given = {"drystone_environments": ["qa"], "git_server_source": str(tmp_path / "deploy")}
    (found,) = render(tmp_path / "rendered", {"variables": given})
    assert set(found["parts"]["workloads"]["requires"]) & {"argo_rollouts", "ingress"} == required


def test_it_is_refused_before_anything_is_made() -> None:
    done = run("playbooks/preflight.yml", "--skip-tags=argocd")
    assert done.returncode != 0
    assert "drystone_parts: workloads requires argocd, which --skip-tags excludes." in done.stdout
    assert "Check whether the host can run the cluster" not in done.stdout


def test_skipping_a_part_and_not_listing_it_are_the_same(cases: dict[str, Object]) -> None:
    assert list(cases["skipped"]["parts"]) == WITHOUT
    assert cases["skipped"] == cases["listed"]


def test_what_depends_on_a_part_adapts_when_it_is_left_out(
    cases: dict[str, Object], deployed: dict[str, Object]
) -> None:
    found = cases["unmonitored"]["parts"]
    assert [one["to"] for one in found["argo_rollouts"]["connects"]] == ["api-server", "dns"]
    assert [one for part in found.values() for one in part["clients"] if one["metrics"]] == []
    assert [one["part"] for one in deployed["argocd"]["clients"]] == ["kube_prometheus_stack", "ingress"]


def test_with_a_repository_of_one_s_own_there_is_no_git_server(cases: dict[str, Object]) -> None:
    assert "git_server" not in cases["own repository"]["parts"]
    assert all("git_server" not in step["part"] for step in cases["own repository"]["steps"])


def test_the_images_to_pull_are_such_as_the_role_kind_cluster_takes(deployed: dict[str, Object]) -> None:
    specs = yaml.safe_load((ROOT / "roles/kind_cluster/meta/argument_specs.yml").read_text())["argument_specs"]["main"]
    wanted = [one for part in deployed.values() for one in part["prefetch"]]
    judged = ArgumentSpecValidator({"prefetch": specs["options"]["kind_cluster_prefetch"]}).validate(
        {"prefetch": wanted}
    )
    assert wanted
    assert judged.error_messages == []


EVERYTHING: Object = {
    "names": ["kind_cluster_prefetch", "__kube_prometheus_stack_scraped"],
    "templates": ["guardrails/templates/platform.yml.j2"],
}


def test_a_part_is_added_by_its_role_and_one_line_and_removed_again(tmp_path: Path) -> None:
    copy = copy_with_another_part(tmp_path / "copy")
    assert len([path for path in (copy / "roles/echo").rglob("*") if path.is_file()]) <= 10
    wrong = {"variables": {"drystone_parts": ["echo", "ech"]}}
    found, refused = render(tmp_path / "with", EVERYTHING, wrong, root=copy)
    order = [step["part"] for step in found["steps"] if step["entry_point"] == "apply"]
    assert order.index("echo") == order.index("argo_rollouts") + 1  # it is listed first, but its contract requires this
    greeter = {one["reference"] for one in found["kind_cluster_prefetch"]}
    assert len(greeter) < len(found["kind_cluster_prefetch"])  # it uses the greeter's image
    assert "echo" in found["__kube_prometheus_stack_scraped"]
    policies = [one for one in yaml.safe_load_all(found[EVERYTHING["templates"][0]]) if one]
    assert {one["metadata"]["name"] for one in policies if one["metadata"]["namespace"] == "echo"} == {
        *("guardrails", "default-deny", "allow-to-dns", "allow-to-argocd", "allow-from-kube-prometheus-stack-metrics"),
    }
    assert [one["part"] for one in found["parts"]["argocd"]["clients"]] == ["kube_prometheus_stack", "echo", "ingress"]
    assert refused["problems"] == ["part ech does not exist; did you mean echo?"]
    remove_it_again(copy)
    again = json.dumps(render(tmp_path / "again", EVERYTHING, root=copy)).replace(str(copy), str(ROOT))
    assert json.loads(again) == render(tmp_path / "never", EVERYTHING)
