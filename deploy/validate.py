# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check the content that Argo CD deploys: structure, build of every environment, schemas. It uses no network."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

SCHEMAS_PACKAGE = "kubernetes_validate"
KUSTOMIZATION = "kustomization.yaml"
# A workload with a chart is deployed by Helm, with the values in the folder of the environment.
CHARTS = "workloads/*/chart"
VALUES = "values.yaml"
# A reference from a schema to a shared definition
REFERENCE = re.compile(r'#/\$defs/([^"]+)"')
# Use the loader written in C if available; it is many times faster.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# A tag that is not `latest`, or a digest.
PINNED_IMAGE = re.compile(r"(:(?!latest$)[\w][\w.-]*|@sha256:[0-9a-f]{64})$")


class Unusable(Exception):
    """Something that the check itself needs is missing."""


def cache() -> Path:
    """Return the directory in which Drystone keeps tools and manifests."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "drystone"


def find_tool(name: str, given: str | None) -> str:
    """Return the path of a tool: the given one, else from PATH, else from Drystone's cache."""
    folder = cache() / "bin"
    found = shutil.which(given) if given else shutil.which(name) or shutil.which(name, path=str(folder))
    if not found:
        raise Unusable(
            f"there is no {name} at {given}"
            if given
            else f"{name} is neither on PATH nor in {folder}; run `make up`, which installs it there, or pass --{name}"
        )
    return found


def find_schemas(version: str | None) -> Path:
    """Return the directory with the strict schemas of a Kubernetes minor version, by default of the newest one."""
    spec = importlib.util.find_spec(SCHEMAS_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise Unusable(
            f"this Python ({sys.executable}) has no package {SCHEMAS_PACKAGE}; run pip install -r requirements.txt, or"
            " use the Python of `make env`"
        )
    base = Path(spec.submodule_search_locations[0]) / "kubernetes-json-schema"
    there = {
        tuple(int(number) for number in found[1].split(".")): folder
        for folder in base.iterdir()
        if (found := re.fullmatch(r"v(\d+\.\d+)\.\d+-local-strict", folder.name))
    }
    wanted = tuple(int(number) for number in version.split(".")[:2]) if version else max(there)
    if wanted not in there:
        newest = ".".join(str(number) for number in max(there))
        raise Unusable(f"{SCHEMAS_PACKAGE} has no schemas for Kubernetes {version}: the newest are for {newest}")
    return there[wanted]


def version_of(schemas: Path) -> str:
    """Return the version of Kubernetes that schemas are for."""
    return schemas.name.removesuffix("-local-strict")


def load(path: Path) -> list[Any]:
    """Read every non-empty document of a YAML file."""
    with path.open(encoding="utf-8") as stream:
        return [document for document in yaml.load_all(stream, Loader=LOADER) if document is not None]


class Structure:
    """Follow every reference from the environments and collect the problems."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.reached: set[Path] = set()
        self.problems: list[str] = []
        self.environments = sorted(path for path in (root / "environments").glob("*/*") if path.is_dir())

    def problem(self, path: Path, text: str) -> None:
        self.problems.append(f"{path.relative_to(self.root)}: {text}")

    def check(self) -> list[str]:
        """Check the whole tree and return the problems."""
        if not self.environments:
            self.problems.append(f"environments/: no <environment>/<workload> folder in {self.root}")
        for folder in self.environments:
            self._environment(folder)
        # A component is valid even if no workload uses it today.
        for path in sorted((self.root / "components").glob(f"*/{KUSTOMIZATION}")):
            self._visit(path.parent)
        charts = sorted(self.root.glob(CHARTS))
        for path in charts:
            self._chart(path)
        # Helm checks the files of a chart, whose templates are text until they are rendered.
        documents = [
            path
            for pattern in ("*.yaml", "*.yml")
            for path in sorted(self.root.rglob(pattern))
            if not any(path.is_relative_to(chart) for chart in charts)
        ]
        for path in documents:
            if path not in self.reached:
                self.problem(path, "no kustomization refers to it: list it in one, or remove it")
        self._twice(documents)
        return self.problems

    def chart(self, folder: Path) -> Path | None:
        """Return the chart of a workload in an environment, or None if Kustomize builds it."""
        chart = self.root / "workloads" / folder.name / "chart"
        return chart if chart.is_dir() else None

    def _chart(self, folder: Path) -> None:
        path = folder / "Chart.yaml"
        if not path.is_file():
            self.problem(folder, "has no Chart.yaml")
            return
        try:
            (chart,) = load(path)
            repositories = [entry.get("repository", "") for entry in chart.get("dependencies", [])]
        except (yaml.YAMLError, ValueError, TypeError, AttributeError) as error:
            self.problem(path, f"is not the description of one chart: {error}")
            return
        for repository in repositories:
            if repository and not repository.startswith("file://"):
                self.problem(path, f"{repository} is remote: this repository must contain everything that is deployed")

    def _environment(self, folder: Path) -> None:
        if self.chart(folder):
            self.reached.add(folder / VALUES)
            if not (folder / VALUES).is_file():
                self.problem(folder, f"has no {VALUES} for workloads/{folder.name}/chart")
            return
        kustomization = self._visit(folder)
        if kustomization is None:
            return
        name = folder.parent.name
        if kustomization.get("namespace") != name:
            seen = kustomization.get("namespace", "none")
            self.problem(folder / KUSTOMIZATION, f"namespace is {seen}, but must be {name} like the folder")
        for entry in kustomization.get("resources", []):
            if not (folder / entry).resolve().is_relative_to(self.root / "workloads"):
                self.problem(
                    folder / KUSTOMIZATION,
                    f"resource {entry} is not in workloads/: an environment contains only differences from the base",
                )

    def _visit(self, folder: Path) -> dict[str, Any] | None:
        """Read a folder's kustomization and its references, each only once."""
        path = folder / KUSTOMIZATION
        if path in self.reached:
            return None
        self.reached.add(path)
        if not path.is_file():
            self.problem(folder, f"has no {KUSTOMIZATION}")
            return None
        try:
            (kustomization,) = load(path)
            references = list(self._references(kustomization))
        except (yaml.YAMLError, ValueError, TypeError, AttributeError) as error:
            self.problem(path, f"is not one kustomization: {error}")
            return None
        if "secretGenerator" in kustomization:
            self.problem(path, "secretGenerator stores a secret in Git: let the platform create the Secret")
        for reference in references:
            self._reference(path, reference)
        return dict(kustomization)

    @staticmethod
    def _references(kustomization: dict[str, Any]) -> Iterator[str]:
        for key in ("resources", "components", "configurations"):
            yield from kustomization.get(key, [])
        for key in ("patches", "replacements"):
            yield from (entry["path"] for entry in kustomization.get(key, []) if "path" in entry)
        for generator in kustomization.get("configMapGenerator", []):
            files = [*generator.get("files", []), *generator.get("envs", [])]
            yield from (name.split("=", 1)[-1] for name in files)

    def _reference(self, path: Path, reference: str) -> None:
        target = (path.parent / reference).resolve()
        if "://" in reference or "?ref=" in reference or reference.startswith("git@"):
            self.problem(path, f"{reference} is remote: this repository must contain everything that is deployed")
        elif not target.is_relative_to(self.root):
            self.problem(path, f"{reference} is outside {self.root.name}/, the only folder that Argo CD gets")
        elif target.is_dir():
            self._visit(target)
        elif target.is_file():
            self.reached.add(target)
        else:
            self.problem(path, f"{reference} does not exist")

    def _twice(self, documents: list[Path]) -> None:
        """Find manifests that exist more than once."""
        seen: dict[str, Path] = {}
        for path in documents:
            try:
                manifests = load(path)
            except yaml.YAMLError as error:
                self.problem(path, f"is not YAML: {error}")
                continue
            for manifest in manifests:
                text = json.dumps(manifest, sort_keys=True, default=str)
                first = seen.setdefault(text, path)
                if first != path:
                    self.problem(path, f"is a duplicate of {first.relative_to(self.root)}: keep one, and refer to it")


def check_objects(environment: str, documents: list[dict[str, Any]]) -> Iterator[str]:
    """Yield problems of rendered objects that schemas cannot find."""
    for document in documents:
        name = f"{document.get('kind')} {document.get('metadata', {}).get('name')}"
        namespace = document.get("metadata", {}).get("namespace")
        if document.get("kind") == "Secret":
            yield f"{name} must not be in Git: let the platform create it"
        if namespace is None:
            yield f"{name} has no namespace: only the platform may create cluster-wide objects"
        elif namespace != environment:
            yield f"{name} is for namespace {namespace} instead of {environment}"
        template = document.get("spec", {}).get("template", {})
        labels = template.get("metadata", {}).get("labels") or {}
        selector = document["spec"].get("selector", {}).get("matchLabels") or {} if template else {}
        if missing := {key: value for key, value in selector.items() if labels.get(key) != value}:
            said = ", ".join(f"{key}={value}" for key, value in missing.items())
            yield f"{name} selects {said}, but its own pods do not have this"
        pod = template.get("spec", {})
        for container in [*pod.get("initContainers", []), *pod.get("containers", [])]:
            if not PINNED_IMAGE.search(container.get("image", "")):
                yield f"{name}, container {container.get('name')}: image {container.get('image')!r} has no fixed tag"


def build(kustomize: str, folder: Path) -> tuple[str, str | None]:
    """Render one environment's workload. Return its YAML and, if it failed, kustomize's error."""
    return _render(kustomize, "build", str(folder))


def build_chart(helm: str, chart: Path, folder: Path, version: str) -> tuple[str, str | None]:
    """Render the chart of a workload like Argo CD, with the values of one environment."""
    return _render(helm, "template", folder.name, str(chart), *_release(folder, version))


def lint_chart(helm: str, chart: Path, folder: Path, version: str) -> str | None:
    """Return what helm's linter finds in a chart with the values of one environment, or None."""
    command = [helm, "lint", "--strict", str(chart), *_release(folder, version)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    found = [line for line in done.stdout.splitlines() if line.startswith(("[WARNING]", "[ERROR]"))]
    return "; ".join(found) or done.stderr.strip()


def _release(folder: Path, version: str) -> list[str]:
    return [f"--namespace={folder.parent.name}", f"--values={folder / VALUES}", f"--kube-version={version}"]


def _render(*command: str) -> tuple[str, str | None]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout, None if done.returncode == 0 else done.stderr.strip()


def find_definition(folder: Path, group: str, version: str, kind: str) -> dict[str, Any] | None:
    """Find the schema of a kind in the CustomResourceDefinitions below a folder."""
    for path in sorted(folder.rglob("*.yaml")):
        text = path.read_text(encoding="utf-8", errors="replace")
        if not all(part in text for part in ("CustomResourceDefinition", f"kind: {kind}\n", f"group: {group}\n")):
            continue
        for document in yaml.load_all(text, Loader=LOADER):
            spec = document.get("spec", {}) if isinstance(document, dict) else {}
            if (spec.get("group"), spec.get("names", {}).get("kind")) == (group, kind):
                for served in spec["versions"]:
                    if served["name"] == version:
                        return dict(served["schema"]["openAPIV3Schema"])
    return None


def is_foreign(group: str) -> bool:
    """Return whether an API group does not belong to Kubernetes itself."""
    return "." in group and not group.endswith(".k8s.io")


def mentioned(folder: Path, group: str) -> bool:
    """Return whether a CustomResourceDefinition below a folder has this group."""
    return any(f"group: {group}\n" in path.read_text("utf-8", "replace") for path in folder.rglob("*.yaml"))


def strict(schema: Any) -> Any:
    """Convert the schema of a CustomResourceDefinition to one that refuses unknown fields."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if schema.get("x-kubernetes-int-or-string"):
        made["type"] = ["integer", "string"]
    if schema.get("nullable") and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


def only_needed(definitions: dict[str, Any], schemas: list[str]) -> dict[str, Any]:
    """Return the shared definitions to which schemas refer, directly or indirectly."""
    needed: dict[str, Any] = {}
    referred = set(REFERENCE.findall("".join(schemas)))
    while referred:
        name = referred.pop()
        if name in definitions and name not in needed:
            needed[name] = definitions[name]
            referred.update(REFERENCE.findall(json.dumps(definitions[name])))
    return needed


def copy_schemas(source: Path, definitions: Path, target: Path, documents: list[dict[str, Any]]) -> None:
    """Copy the schemas of the used kinds, with references to the shared definitions in the same folder.

    The published schemas refer to them by an absolute URL, which needs a web server. kubeconform reads the shared
    definitions again for each kind, so the copy contains only the used ones.
    """
    laid_out: dict[str, str] = {}
    for document in documents:
        group, _, version = str(document.get("apiVersion", "")).rpartition("/")
        kind = str(document.get("kind", ""))
        name = "-".join(part for part in (kind.lower(), group.split(".")[0], version) if part) + ".json"
        if name in laid_out:
            continue
        if (source / name).is_file():
            schema = json.loads((source / name).read_text(encoding="utf-8"))
            schema.pop("$id", None)
        else:
            found = find_definition(definitions, group, version, kind)
            if found is None:
                if is_foreign(group) and not mentioned(definitions, group):
                    raise Unusable(
                        f"there is no schema for {kind} of {group}/{version}: {definitions} contains no"
                        " CustomResourceDefinition of that group; run `make up`, which installs the platform's"
                        " definitions there, or pass --definitions"
                    )
                continue  # kubeconform reports it
            schema = strict(found)
        laid_out[name] = json.dumps(schema).replace('"/api/_definitions.json#', '"_definitions.json#')
    shared = json.loads((source / "_definitions.json").read_text(encoding="utf-8"))
    shared["$defs"] = only_needed(shared["$defs"], list(laid_out.values()))
    laid_out["_definitions.json"] = json.dumps(shared)
    for name, text in laid_out.items():
        (target / name).write_text(text, encoding="utf-8")


def reasons(message: str) -> list[str]:
    """Split kubeconform's message: its error list contains only the outermost path, its text contains each path."""
    found = [reason.strip() for reason in re.split(r"\s+- at (?=')", message)[1:]]
    return [reason for reason in found if not reason.endswith(": validation failed")] or [message]


def check_schemas(
    kubeconform: str, schemas: Path, definitions: Path, rendered: dict[str, list[dict[str, Any]]]
) -> list[str]:
    """Return kubeconform's errors about the rendered objects, each with the folder of its object."""
    with tempfile.TemporaryDirectory(prefix="drystone-validate-") as work:
        layout, manifests = Path(work, "schemas"), Path(work, "manifests")
        layout.mkdir()
        manifests.mkdir()
        copy_schemas(
            schemas, definitions, layout, [document for documents in rendered.values() for document in documents]
        )
        files = {}
        for number, (folder, documents) in enumerate(rendered.items()):
            file = manifests / f"{number}.json"
            file.write_text("\n---\n".join(json.dumps(document, default=str) for document in documents), "utf-8")
            files[str(file)] = folder
        location = f"{layout}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
        done = subprocess.run(
            [kubeconform, "-strict", "-output", "json", "-schema-location", location, *files],
            capture_output=True,
            text=True,
            check=False,
        )
    try:
        found = json.loads(done.stdout)["resources"] or []
    except (ValueError, KeyError) as error:
        raise Unusable(f"{kubeconform} failed with {done.returncode}: {done.stderr.strip() or done.stdout}") from error
    problems = [
        f"{files[result['filename']]}: {result['kind']} {result['name']}: {reason}"
        for result in found
        for reason in reasons(result["msg"])
    ]
    if done.returncode != 0 and not problems:
        raise Unusable(f"{kubeconform} failed with {done.returncode}: {done.stderr.strip()}")
    return problems


def validate(
    root: Path, kustomize: str, kubeconform: str, schemas: Path, definitions: Path, helm: str | None = None
) -> tuple[list[str], int]:
    """Check the tree. Return the problems and the number of rendered objects."""
    structure = Structure(root)
    problems = structure.check()
    charts = {folder: chart for folder in structure.environments if (chart := structure.chart(folder))}
    helm = find_tool("helm", helm) if charts else ""

    def render(folder: Path) -> tuple[str, str | None]:
        if folder not in charts:
            text, error = build(kustomize, folder)
            return text, f"kustomize cannot build it: {error}" if error else None
        text, error = build_chart(helm, charts[folder], folder, version_of(schemas))
        if error:
            return text, f"helm cannot build it: {error}"
        found = lint_chart(helm, charts[folder], folder, version_of(schemas))
        return text, f"helm lint: {found}" if found else None

    rendered: dict[str, list[dict[str, Any]]] = {}
    with ThreadPoolExecutor() as pool:
        builds = list(pool.map(render, structure.environments))
    for folder, (text, error) in zip(structure.environments, builds, strict=True):
        name = str(folder.relative_to(root))
        if error:
            problems.append(f"{name}: {error}")
            continue
        rendered[name] = [document for document in yaml.load_all(text, Loader=LOADER) if document]
        problems += [f"{name}: {problem}" for problem in check_objects(folder.parent.name, rendered[name])]
    if rendered:
        problems += check_schemas(kubeconform, schemas, definitions, rendered)
    return problems, sum(len(documents) for documents in rendered.values())


def main(arguments: list[str] | None = None) -> int:
    """Run the check. Return 0 for success, 1 for problems, 2 if the check is impossible."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "root", nargs="?", type=Path, default=Path(__file__).parent, help="the tree to check (default: this folder)"
    )
    parser.add_argument("--kustomize", help="path of kustomize (default: from PATH or Drystone's cache)")
    parser.add_argument("--helm", help="path of helm, for charts (default: from PATH or Drystone's cache)")
    parser.add_argument("--kubeconform", help="path of kubeconform (default: from PATH or Drystone's cache)")
    parser.add_argument(
        "--definitions", type=Path, help="folder with CustomResourceDefinitions (default: Drystone's cache)"
    )
    parser.add_argument("--kubernetes-version", help="version of the schemas (default: the newest available)")
    options = parser.parse_args(arguments)
    try:
        schemas = find_schemas(options.kubernetes_version)
        tools = find_tool("kustomize", options.kustomize), find_tool("kubeconform", options.kubeconform)
        definitions = options.definitions or cache() / "manifests"
        problems, count = validate(options.root.resolve(), *tools, schemas, definitions, options.helm)
    except Unusable as error:
        print(f"cannot validate {options.root}: {error}", file=sys.stderr)
        return 2
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        print(f"{len(problems)} problems in {options.root}", file=sys.stderr)
        return 1
    print(f"{options.root}: {count} objects valid against the schemas of Kubernetes {version_of(schemas)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
