# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""deploy/validate.py reports errors of invalid trees, and none for the tree of this project."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import validate

DEPLOY = Path(validate.__file__).parent

BASE = """\
resources: [config.yaml]
"""
CONFIG = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: web}
data: {a: "1"}
"""
OVERLAY = """\
namespace: dev
resources: [../../../workloads/web]
"""


@pytest.fixture
def tree(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that creates small valid trees in which files can be changed, added or (None) removed."""

    def make(**changes: str | None) -> Path:
        files: dict[str, str | None] = {
            "workloads/web/kustomization.yaml": BASE,
            "workloads/web/config.yaml": CONFIG,
            "environments/dev/web/kustomization.yaml": OVERLAY,
        }
        for name, text in {**files, **changes}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if text is not None:
                path.write_text(text, encoding="utf-8")
        return tmp_path

    return make


@pytest.fixture(scope="session")
def tools() -> tuple[str, str]:
    try:
        return validate.find_tool("kustomize", None), validate.find_tool("kubeconform", None)
    except validate.Unusable as error:
        pytest.skip(f"needs the real tools, which `make up` and `make test` provide: {error}")


def test_a_good_tree_has_no_problems(tree: Callable[..., Path]) -> None:
    assert validate.Structure(tree()).check() == []


def test_our_own_tree_has_no_structural_problems() -> None:
    assert validate.Structure(DEPLOY).check() == []


@pytest.mark.parametrize(
    ("changes", "path", "problem"),
    [
        (
            {"environments/dev/web/kustomization.yaml": None},
            "environments/dev/web",
            "has no kustomization.yaml",
        ),
        (
            {"environments/dev/web/kustomization.yaml": OVERLAY.replace("dev", "prod")},
            "environments/dev/web/kustomization.yaml",
            "namespace is prod, but must be dev like the folder",
        ),
        (
            {"environments/dev/web/kustomization.yaml": "resources: [../../../workloads/web]"},
            "environments/dev/web/kustomization.yaml",
            "namespace is none, but must be dev like the folder",
        ),
        (
            {
                "environments/dev/web/kustomization.yaml": OVERLAY.replace("]", ", own.yaml]"),
                "environments/dev/web/own.yaml": CONFIG.replace("web", "own"),
            },
            "environments/dev/web/kustomization.yaml",
            "resource own.yaml is not in workloads/: an environment contains only differences from the base",
        ),
        (
            {"workloads/web/kustomization.yaml": "resources: [config.yaml, gone.yaml]"},
            "workloads/web/kustomization.yaml",
            "gone.yaml does not exist",
        ),
        (
            {"workloads/web/kustomization.yaml": "resources: [config.yaml, 'https://example.com/x?ref=main']"},
            "workloads/web/kustomization.yaml",
            "https://example.com/x?ref=main is remote: this repository must contain everything that is deployed",
        ),
        (
            {"workloads/web/kustomization.yaml": "resources: [config.yaml]\nsecretGenerator: [{name: s}]"},
            "workloads/web/kustomization.yaml",
            "secretGenerator stores a secret in Git: let the platform create the Secret",
        ),
        (
            {"workloads/web/forgotten.yaml": CONFIG.replace("web", "forgotten")},
            "workloads/web/forgotten.yaml",
            "no kustomization refers to it: list it in one, or remove it",
        ),
        (
            {
                "workloads/web/kustomization.yaml": "resources: [config.yaml, again.yaml]",
                "workloads/web/again.yaml": f"# the same, said otherwise\n{CONFIG}".replace('"1"', "'1'"),
            },
            "workloads/web/config.yaml",
            "is a duplicate of workloads/web/again.yaml: keep one, and refer to it",
        ),
        (
            {"workloads/web/kustomization.yaml": "- config.yaml"},
            "workloads/web/kustomization.yaml",
            "is not one kustomization: 'list' object has no attribute 'get'",
        ),
    ],
)
def test_a_structural_problem_is_named(
    tree: Callable[..., Path], changes: dict[str, str | None], path: str, problem: str
) -> None:
    assert f"{path}: {problem}" in validate.Structure(tree(**changes)).check()


CHART = "apiVersion: v2\nname: app\nversion: 1.0.0\n"
TEMPLATE = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}, namespace: {{ .Release.Namespace }}}
data: {a: {{ .Values.a | quote }}}
"""
CHARTED: dict[str, str | None] = {
    "workloads/app/chart/Chart.yaml": CHART,
    "workloads/app/chart/values.yaml": 'a: "1"\n',
    "workloads/app/chart/values.schema.json": '{"additionalProperties": false, "properties": {"a": {}}}',
    "workloads/app/chart/templates/config.yaml": TEMPLATE,
    "environments/dev/app/values.yaml": 'a: "2"\n',
}


def test_a_workload_with_a_chart_needs_only_values_in_an_environment(tree: Callable[..., Path]) -> None:
    assert validate.Structure(tree(**CHARTED)).check() == []


def test_a_chart_may_be_there_without_an_environment(tree: Callable[..., Path]) -> None:
    charted = {name: text for name, text in CHARTED.items() if name.startswith("workloads/")}
    assert validate.Structure(tree(**charted)).check() == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"environments/dev/app/values.yaml": None},
            "environments/dev/app: has no values.yaml for workloads/app/chart",
        ),
        (
            {"environments/dev/app/kustomization.yaml": OVERLAY},
            "environments/dev/app/kustomization.yaml: no kustomization refers to it: list it in one, or remove it",
        ),
        ({"environments/dev/other/values.yaml": "a: 1"}, "environments/dev/other: has no kustomization.yaml"),
        ({"workloads/app/chart/Chart.yaml": None}, "workloads/app/chart: has no Chart.yaml"),
        (
            {"workloads/app/chart/Chart.yaml": "- app"},
            "workloads/app/chart/Chart.yaml: is not the description of one chart: 'list' object has no attribute 'get'",
        ),
        (
            {
                "workloads/app/chart/Chart.yaml": f"{CHART}dependencies: [{{name: b, repository: 'https://example.com'}}]"
            },
            "workloads/app/chart/Chart.yaml: https://example.com is remote: this repository must contain",
        ),
    ],
)
def test_a_problem_of_a_chart_is_named(tree: Callable[..., Path], changes: dict[str, str | None], problem: str) -> None:
    found = validate.Structure(tree(**{**CHARTED, **changes})).check()
    assert [one for one in found if one.startswith(problem)], found


def test_a_reference_must_not_leave_the_tree(tree: Callable[..., Path], tmp_path: Path) -> None:
    root = tree(**{"workloads/web/kustomization.yaml": "resources: [config.yaml, ../../../outside.yaml]"})
    (expected,) = validate.Structure(root).check()
    assert expected == (
        f"workloads/web/kustomization.yaml: ../../../outside.yaml is outside {tmp_path.name}/, the only folder that"
        " Argo CD gets"
    )


def test_an_empty_tree_is_not_a_valid_one(tmp_path: Path) -> None:
    assert validate.Structure(tmp_path).check() == [f"environments/: no <environment>/<workload> folder in {tmp_path}"]


def test_files_of_patches_and_generators_count_as_referred_to(tree: Callable[..., Path]) -> None:
    overlay = OVERLAY + "patches: [{path: patch.yaml}]\nconfigMapGenerator: [{name: c, files: [x=values.yaml]}]\n"
    root = tree(
        **{
            "environments/dev/web/kustomization.yaml": overlay,
            "environments/dev/web/patch.yaml": "kind: ConfigMap",
            "environments/dev/web/values.yaml": "a: 1",
        }
    )
    assert validate.Structure(root).check() == []


def test_a_component_may_be_there_for_workloads_to_come_but_no_file_in_it(tree: Callable[..., Path]) -> None:
    component = "kind: Component\nresources: [used.yaml]\n"
    root = tree(
        **{
            "components/extra/kustomization.yaml": component,
            "components/extra/used.yaml": CONFIG.replace("web", "used"),
            "components/extra/forgotten.yaml": CONFIG.replace("web", "forgotten"),
        }
    )
    assert validate.Structure(root).check() == [
        "components/extra/forgotten.yaml: no kustomization refers to it: list it in one, or remove it"
    ]


def deployment(image: str) -> dict[str, Any]:
    containers = [{"name": "web", "image": image}]
    return {
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "dev"},
        "spec": {"template": {"spec": {"containers": containers}}},
    }


@pytest.mark.parametrize(
    ("image", "good"),
    [
        ("drystone.local/web:1.0.0", True),
        (f"drystone.local/web@sha256:{'0' * 64}", True),
        ("drystone.local/web", False),
        ("drystone.local/web:latest", False),
        ("localhost:5000/web", False),
    ],
)
def test_images_have_a_fixed_tag(image: str, good: bool) -> None:
    assert (list(validate.check_objects("dev", [deployment(image)])) == []) is good


def test_a_workload_selects_its_own_pods() -> None:
    made = deployment("drystone.local/web:1.0.0")
    made["spec"] |= {"selector": {"matchLabels": {"app": "web", "tier": "x"}}}
    made["spec"]["template"]["metadata"] = {"labels": {"app": "site", "tier": "x"}}
    assert list(validate.check_objects("dev", [made])) == [
        "Deployment web selects app=web, but its own pods do not have this"
    ]


@pytest.mark.parametrize(
    ("kind", "namespace", "problem"),
    [
        ("ConfigMap", "dev", None),
        ("ConfigMap", "prod", "ConfigMap x is for namespace prod instead of dev"),
        ("Secret", "dev", "Secret x must not be in Git: let the platform create it"),
        ("Namespace", None, "Namespace x has no namespace: only the platform may create cluster-wide objects"),
    ],
)
def test_objects_stay_in_their_environment(kind: str, namespace: str | None, problem: str | None) -> None:
    metadata = {"name": "x"} | ({"namespace": namespace} if namespace else {})
    assert list(validate.check_objects("dev", [{"kind": kind, "metadata": metadata}])) == ([problem] if problem else [])


def test_schemas_are_found_by_minor_version_or_refused() -> None:
    defaults = yaml.safe_load((DEPLOY.parent / "roles/common/defaults/main.yml").read_text("utf-8"))
    version = defaults["drystone_kubernetes_version"]
    assert validate.find_schemas(version) == validate.find_schemas(None)
    assert validate.find_schemas(version).name.startswith(f"v{version.rpartition('.')[0]}.")
    with pytest.raises(validate.Unusable, match=r"has no schemas for Kubernetes 1\.99\.0: the newest are for 1\."):
        validate.find_schemas("1.99.0")


def test_a_missing_tool_is_named_with_where_it_was_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(validate.Unusable, match=f"kustomize is neither on PATH nor in {tmp_path}/drystone/bin"):
        validate.find_tool("kustomize", None)
    with pytest.raises(validate.Unusable, match="there is no kustomize at /nowhere"):
        validate.find_tool("kustomize", "/nowhere")


def test_a_typo_that_the_schema_forbids_is_found(tree: Callable[..., Path], tools: tuple[str, str]) -> None:
    root = tree(**{"workloads/web/config.yaml": CONFIG.replace("data: {a", "dataa: {a")})
    problems, count = validate.validate(root, *tools, validate.find_schemas(None), root / "none")
    assert count == 1
    (problem,) = problems
    assert problem.startswith("environments/dev/web: ConfigMap web: '': ")
    assert problem.endswith("additional properties 'dataa' not allowed")


def test_a_wrong_value_deep_inside_is_found(tree: Callable[..., Path], tools: tuple[str, str]) -> None:
    service = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: http}]}\n"
    root = tree(**{"workloads/web/config.yaml": service})
    (problem,), _ = validate.validate(root, *tools, validate.find_schemas(None), root / "none")
    assert problem == "environments/dev/web: Service web: '/spec/ports/0/port': got string, want integer"


def test_a_kind_without_a_schema_is_a_problem(tree: Callable[..., Path], tools: tuple[str, str]) -> None:
    root = tree(**{"workloads/web/config.yaml": CONFIG.replace("ConfigMap", "ConfigMop")})
    (problem,), _ = validate.validate(root, *tools, validate.find_schemas(None), root / "none")
    assert "could not find schema for ConfigMop" in problem


# A foreign kind with all properties in which the schema of a CustomResourceDefinition differs from JSON Schema.
DEFINITION = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.example.com}
spec:
  group: example.com
  names:
    kind: Gadget
  versions:
    - name: v1
      schema:
        openAPIV3Schema:
          type: object
          properties:
            apiVersion: {type: string}
            kind: {type: string}
            metadata: {type: object}
            spec:
              type: object
              properties:
                port: {x-kubernetes-int-or-string: true}
                colour: {type: string, nullable: true}
                free: {type: object, x-kubernetes-preserve-unknown-fields: true, properties: {a: {type: string}}}
"""


def gadget(spec: str, kind: str = "Gadget") -> str:
    return f"apiVersion: example.com/v1\nkind: {kind}\nmetadata: {{name: web}}\nspec: {spec}\n"


@pytest.fixture
def definitions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("definitions")
    (folder / "below").mkdir()
    (folder / "below/gadgets.yaml").write_text(DEFINITION)
    return folder


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("{port: 80, colour: null, free: {a: x, b: 1}}", None),
        ("{port: http}", None),
        ("{port: [80]}", "'/spec/port': got array, want integer or string"),
        ("{prot: 80}", "'/spec': additional properties 'prot' not allowed"),
    ],
)
def test_other_kinds_are_checked_against_their_definitions(
    tree: Callable[..., Path], tools: tuple[str, str], definitions: Path, spec: str, problem: str | None
) -> None:
    root = tree(**{"workloads/web/config.yaml": gadget(spec)})
    problems, _ = validate.validate(root, *tools, validate.find_schemas(None), definitions)
    assert problems == ([f"environments/dev/web: Gadget web: {problem}"] if problem else [])


def test_a_kind_that_its_group_does_not_have_is_a_problem(
    tree: Callable[..., Path], tools: tuple[str, str], definitions: Path
) -> None:
    root = tree(**{"workloads/web/config.yaml": gadget("{}", kind="Gadgte")})
    (problem,), _ = validate.validate(root, *tools, validate.find_schemas(None), definitions)
    assert "could not find schema for Gadgte" in problem


def test_a_group_of_which_nothing_is_known_cannot_be_judged(
    tree: Callable[..., Path], tools: tuple[str, str], tmp_path: Path
) -> None:
    root = tree(**{"workloads/web/config.yaml": gadget("{}")})
    with pytest.raises(validate.Unusable, match=r"no schema for Gadget of example.com/v1.*pass --definitions"):
        validate.validate(root, *tools, validate.find_schemas(None), tmp_path / "none")


def test_a_build_that_fails_is_reported_with_its_folder(tree: Callable[..., Path], tools: tuple[str, str]) -> None:
    overlay = OVERLAY + "patches: [{target: {kind: ConfigMap}, patch: '[{op: remove, path: /nowhere}]'}]\n"
    root = tree(**{"environments/dev/web/kustomization.yaml": overlay})
    (problem,), count = validate.validate(root, *tools, validate.find_schemas(None), root / "none")
    assert count == 0
    assert problem.startswith("environments/dev/web: kustomize cannot build it: ")
    assert "/nowhere" in problem


@pytest.fixture(scope="session")
def helm() -> str:
    try:
        return validate.find_tool("helm", None)
    except validate.Unusable as error:
        pytest.skip(f"needs the real helm, which `make up` and `make test` provide: {error}")


def test_a_chart_is_rendered_with_the_values_of_the_environment(
    tree: Callable[..., Path], tools: tuple[str, str], helm: str
) -> None:
    root = tree(**CHARTED)
    problems, count = validate.validate(root, *tools, validate.find_schemas(None), root / "none", helm)
    assert (problems, count) == ([], 2)
    text, _ = validate.build_chart(helm, root / "workloads/app/chart", root / "environments/dev/app", "v1.36.0")
    (config,) = yaml.safe_load_all(text)
    assert (config["metadata"], config["data"]) == ({"name": "app", "namespace": "dev"}, {"a": "2"})


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"environments/dev/app/values.yaml": "b: 1"}, "additional properties 'b' not allowed"),
        ({"workloads/app/chart/templates/config.yaml": "{{ .Values.a.b.c }}"}, "helm cannot build it: Error: "),
        (
            {"workloads/app/chart/templates/config.yaml": TEMPLATE.replace("name: {{", "name: App_{{")},
            "helm lint: [WARNING] templates/config.yaml: object name does not conform",
        ),
        (
            {"workloads/app/chart/templates/config.yaml": TEMPLATE.replace("\ndata:", "\ndataa:")},
            "ConfigMap app: '': additional properties 'dataa' not allowed",
        ),
        (
            {
                "workloads/app/chart/templates/config.yaml": TEMPLATE.replace(
                    ", namespace: {{ .Release.Namespace }}", ""
                )
            },
            "ConfigMap app has no namespace: only the platform may create cluster-wide objects",
        ),
        (
            {"workloads/app/chart/templates/config.yaml": TEMPLATE.replace("ConfigMap", "Secret")},
            "Secret app must not be in Git: let the platform create it",
        ),
    ],
)
def test_an_invalid_rendered_chart_is_reported_with_its_folder(
    tree: Callable[..., Path], tools: tuple[str, str], helm: str, changes: dict[str, str | None], problem: str
) -> None:
    root = tree(**{**CHARTED, **changes})
    problems, _ = validate.validate(root, *tools, validate.find_schemas(None), root / "none", helm)
    assert len(problems) == 1
    assert problems[0].startswith("environments/dev/app: ")
    assert problem in problems[0]


def test_helm_is_needed_only_if_a_workload_has_a_chart(tree: Callable[..., Path], tools: tuple[str, str]) -> None:
    root = tree()
    assert validate.validate(root, *tools, validate.find_schemas(None), root / "none", "/nowhere")[0] == []
    tree(**CHARTED)
    with pytest.raises(validate.Unusable, match="there is no helm at /nowhere"):
        validate.validate(root, *tools, validate.find_schemas(None), root / "none", "/nowhere")


def test_the_command_says_what_it_checked(tools: tuple[str, str]) -> None:
    if not validate.mentioned(validate.cache() / "manifests", "monitoring.coreos.com"):
        pytest.skip("needs the platform's CustomResourceDefinitions, which `make up` and `make test` provide")
    command = [sys.executable, str(DEPLOY / "validate.py"), "--kustomize", tools[0], "--kubeconform", tools[1]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "objects valid against the schemas of Kubernetes v1." in done.stdout


def test_the_command_fails_with_a_list(tree: Callable[..., Path], tools: tuple[str, str]) -> None:
    root = tree(**{"workloads/web/forgotten.yaml": CONFIG.replace("web", "forgotten")})
    command = [
        sys.executable,
        str(DEPLOY / "validate.py"),
        str(root),
        "--kustomize",
        tools[0],
        "--kubeconform",
        tools[1],
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "workloads/web/forgotten.yaml: no kustomization refers to it: list it in one, or remove it",
        f"1 problems in {root}",
    ]
