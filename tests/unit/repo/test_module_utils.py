"""The helper code of the plugins: layered packages, short files, and a unit test for each file."""

from __future__ import annotations

import ast
import functools
import graphlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PLUGINS = "ansible_collections.drystone.platform.plugins"

# A file may import only layers above its own in this list, and other files of its package.
LAYERS = (
    {"_argspec", "_cryptography", "_errors"},
    {"_command"},
    {"_docker"},
    {"_artifacts", "_git", "_host", "_kube", "_module"},
    {"_kstatus"},
    {"_apply_set", "_credentials", "_drills", "_kind", "_policy", "_ready", "_release"},
    {"_acceptance"},
)


def name_of(path: Path) -> str:
    """Return the import name of a file in plugins/, such as module_utils._kube.api."""
    return ".".join(path.relative_to(ROOT / "plugins").with_suffix("").parts).removesuffix(".__init__")


def files_below(folder: str) -> dict[str, Path]:
    return {name_of(path): path for path in sorted((ROOT / "plugins" / folder).rglob("*.py"))}


UTILS = files_below("module_utils")
CONTROLLER_UTILS = files_below("plugin_utils")
MODULES = files_below("modules")
FILES = {name: path for name, path in (UTILS | CONTROLLER_UTILS).items() if path.stem != "__init__"}


@functools.cache
def imports_of(path: Path) -> frozenset[str]:
    """Return all imports of a file from plugins/, including those in functions and those for type checking."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: write the import in full"
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            whole = {alias.name for alias in node.names}
        else:
            continue
        for name in whole:
            if name.startswith(f"{PLUGINS}."):
                inside = name.removeprefix(f"{PLUGINS}.")
                # The import refers to a file or to a name in one.
                found.add(inside if inside in UTILS | CONTROLLER_UTILS else inside.rpartition(".")[0])
    return frozenset(found)


def package_of(util: str) -> str:
    return util.split(".")[1]


def test_each_package_has_its_place_in_one_layer() -> None:
    placed = [package for layer in LAYERS for package in layer]
    assert sorted(placed) == sorted({package_of(util) for util in UTILS})


@pytest.mark.parametrize("util", sorted(UTILS))
def test_module_utils_import_from_lower_layers_alone(util: str) -> None:
    depth = {package: number for number, layer in enumerate(LAYERS) for package in layer}
    package = package_of(util)
    wrong = [
        imported
        for imported in sorted(imports_of(UTILS[util]))
        if not imported.startswith("module_utils.")
        or (package_of(imported) != package and depth[package_of(imported)] >= depth[package])
    ]
    assert wrong == []


def test_no_two_files_depend_on_each_other() -> None:
    graph = {name: imports_of(path) - {name} for name, path in FILES.items()}
    circle: list[str] = []
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        circle = error.args[1][::-1]
    assert circle == []


@pytest.mark.parametrize("module", sorted(MODULES))
def test_modules_import_nothing_that_stays_on_the_controller(module: str) -> None:
    assert {one.split(".")[0] for one in imports_of(MODULES[module])} <= {"module_utils"}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_modules_end_in_one_way(module: str) -> None:
    # _module.failing and _module.succeed
    names = {
        getattr(node, "attr", "") or getattr(node, "id", "")
        for node in ast.walk(ast.parse(MODULES[module].read_text()))
    }
    assert names & {"exit_json", "_diff", "DrystoneError"} == set()


def test_external_commands_run_in_one_place_and_docker_in_another() -> None:
    # bundle_build shows the output of make while it runs.
    plugins = {path: ast.parse(path.read_text()) for path in (ROOT / "plugins").rglob("*.py")}
    running, docker = set(), set()
    for path, tree in plugins.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import) and any(alias.name == "subprocess" for alias in node.names):
                running.add(name_of(path))
            first = node.elts[0] if isinstance(node, ast.List) and node.elts else None
            if isinstance(first, ast.Constant) and first.value == "docker":
                docker.add(name_of(path))
    assert running == {"action.bundle_build", "module_utils._command"}
    assert docker == set()


@pytest.fixture(scope="module")
def reached() -> set[str]:
    """Return the files that unit tests or plugins (each has tests) import, and their imports from the same package."""
    users = [*(ROOT / "tests/unit/plugins").rglob("test_*.py")]
    users += [path for path in (ROOT / "plugins").rglob("*.py") if name_of(path) not in UTILS | CONTROLLER_UTILS]
    found = {imported for path in users for imported in imports_of(path)}
    while (
        more := {
            imported
            for name in found & FILES.keys()
            for imported in imports_of(FILES[name])
            if package_of(imported) == package_of(name)
        }
        - found
    ):
        found |= more
    return found


@pytest.mark.parametrize("name", sorted(FILES))
def test_each_file_is_reached_by_a_unit_test(name: str, reached: set[str]) -> None:
    assert name in reached


@pytest.mark.parametrize("name", sorted(FILES))
def test_files_are_short(name: str) -> None:
    assert len(FILES[name].read_text().splitlines()) <= 300


def test_packages_hold_nothing_but_their_files() -> None:
    packages = {path.parent for path in FILES.values()} - {ROOT / "plugins/module_utils", ROOT / "plugins/plugin_utils"}
    assert [package for package in sorted(packages) if (package / "__init__.py").read_text()] == []


def test_names_say_what_is_private() -> None:
    # The name of a package, or of a file outside packages, starts with an underscore.
    assert [
        name for name in FILES if [part[0] == "_" for part in name.split(".")[1:]] not in ([True], [True, False])
    ] == []
