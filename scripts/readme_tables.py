#!/usr/bin/env python3
"""Write the tables of the documents that repeat what stands elsewhere, or check that they are up to date.

A role's README lists its variables, from meta/argument_specs.yml and defaults/main.yml. The README of the collection
names the modules. docs/reference.md lists the playbooks from the comments at their head, the make targets from the
Makefile, and the modules from their documentation. docs/versions.md lists the versions of the role common. Each table
stands between two markers; all else is written by hand.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
LONGEST_DEFAULT = 80
MARKERS = re.compile(r"(<!-- BEGIN generated: (\w+)[^>]*-->\n).*?(<!-- END generated -->)", re.DOTALL)
# Ansible's markup for documentation: what it is in Markdown.
MARKUP = (
    (re.compile(r"\b[CEIMOPV]\(((?:[^()\\]|\\.)*)\)"), r"`\1`"),
    (re.compile(r"\bRV\(((?:[^()\\]|\\.)*)\)"), r"`\1`"),
    (re.compile(r"\bB\(([^()]*)\)"), r"**\1**"),
    (re.compile(r"\bL\(([^(),]*), *([^()]*)\)"), r"[\1](\2)"),
    (re.compile(r"\bU\(([^()]*)\)"), r"<\1>"),
)

Row = list[str]


def markdown(text: str | list[str]) -> str:
    """Write a description as one cell of a table."""
    joined = " ".join([text] if isinstance(text, str) else text)
    for pattern, replacement in MARKUP:
        joined = pattern.sub(replacement, joined)
    return " ".join(joined.split())


def code(text: str) -> str:
    """Write code as one cell of a table."""
    return f"`{text}`"


def table(head: Row, rows: list[Row]) -> str:
    """Write a table. A bar in a cell would end it."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in [head, ["---"] * len(head), *cells])


def default(option: dict[str, Any], value: Any) -> str:
    """Write a default as YAML in one line. What is too long for a table is cut and links to the whole."""
    if option.get("required"):
        return "required"
    if value is None:
        return ""
    if isinstance(value, str) and "{{" in value:
        text = " ".join(value.split())
    else:
        text = yaml.safe_dump(value, default_flow_style=True, width=sys.maxsize, sort_keys=False, allow_unicode=True)
        text = " ".join(text.removesuffix("\n").removesuffix("\n...").split())
    if len(text) <= LONGEST_DEFAULT:
        return code(text)
    return f"{code(text[:LONGEST_DEFAULT].rstrip() + '…')} [all](defaults/main.yml)"


def kind(option: dict[str, Any]) -> str:
    """Write the type of an option."""
    elements = option.get("elements")
    return str(option.get("type", "str")) + (f" of {elements}" if elements else "")


def described(option: dict[str, Any], entry_points: list[str]) -> str:
    """Write what an option is for, what it may be, and who reads it if that is not the role's main part."""
    text = markdown(option["description"])
    if choices := option.get("choices"):
        text += f" One of {', '.join(code(str(choice)) for choice in choices)}."
    if "main" not in entry_points:
        text += f" For {', '.join(code(f'tasks_from: {point}') for point in entry_points)}."
    return text


def rows(name: str, option: dict[str, Any], value: Any, entry_points: list[str]) -> list[Row]:
    """Write an option and, below it, the options in it."""
    found = [[code(name), kind(option), default(option, value), described(option, entry_points)]]
    inside = f"{name}[]" if option.get("type") == "list" else name
    for inner, its in option.get("options", {}).items():
        found += rows(f"{inside}.{inner}", its, its.get("default"), ["main"])
    return found


def variables(role: Path) -> str:
    """Write the table of a role's variables, those of the entry point main first."""
    points = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]
    defaults_file = role / "defaults/main.yml"
    defaults = (yaml.safe_load(defaults_file.read_text()) if defaults_file.exists() else None) or {}
    options: dict[str, dict[str, Any]] = {}
    readers: dict[str, list[str]] = {}
    for point in sorted(points, key=lambda name: name != "main"):
        for name, option in points[point].get("options", {}).items():
            options.setdefault(name, option)
            readers.setdefault(name, []).append(point)
    found = []
    for name, option in options.items():
        found += rows(name, option, option.get("default", defaults.get(name)), readers[name])
    return table(["variable", "type", "default", "description"], found)


def documentation(module: Path) -> dict[str, Any]:
    """Read the documentation of a module."""
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DOCUMENTATION":
            found: dict[str, Any] = yaml.safe_load(ast.literal_eval(node.value))
            return found
    raise ValueError(f"{module} has no DOCUMENTATION")


def modules(root: Path) -> str:
    """Write the table of all modules."""
    found = [
        [code(path.stem), markdown(documentation(path)["short_description"])]
        for path in sorted((root / "plugins/modules").glob("*.py"))
    ]
    return table(["module", "what it does"], found)


def module_names(root: Path) -> str:
    """Name all modules in one line."""
    return ", ".join(code(path.stem) for path in sorted((root / "plugins/modules").glob("*.py"))) + "\n"


def playbooks(root: Path) -> str:
    """Write the table of all playbooks with the comment at the head of each."""
    found = []
    for path in sorted((root / "playbooks").glob("*.yml")):
        head = re.match(r"---\n((?:# .*\n)+)", path.read_text())
        if head is None:
            raise ValueError(f"{path} has no comment at its head")
        text, _usage, parameters = head[1].replace("# ", "").partition("Usage: ")
        found.append([code(path.name), " ".join(text.split()), code(parameters.strip()) if parameters else ""])
    return table(["playbook", "what it does", "parameters"], found)


def make_targets(root: Path) -> str:
    """Write the tables of the targets that `make help` shows, one for each heading."""
    parts = []
    for section in re.split(r"^##@ ", (root / "Makefile").read_text(), flags=re.MULTILINE)[1:]:
        heading, _newline, text = section.partition("\n")
        targets = re.findall(r"^([a-z-]+):.*## (.+)$", text, re.MULTILINE)
        found = [[code(f"make {name}"), what.replace("$$", "$")] for name, what in targets]
        parts.append(f"{heading}:\n\n{table(['target', 'what it does'], found)}")
    return "\n".join(parts)


def versions(root: Path) -> str:
    """Write the table of all pinned versions."""
    role = root / "roles/common"
    defaults = yaml.safe_load((role / "defaults/main.yml").read_text())
    options = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    names = sorted(name for name in defaults if name.endswith("_version"))
    found = [[code(name), str(defaults[name]), markdown(options[name]["description"])] for name in names]
    return table(["variable", "version", "description"], found)


TABLES = {
    "variables": variables,
    "modules": modules,
    "module_names": module_names,
    "playbooks": playbooks,
    "make_targets": make_targets,
    "versions": versions,
}
DOCUMENTS = {
    "README.md": ["module_names"],
    "docs/reference.md": ["playbooks", "make_targets", "modules"],
    "docs/versions.md": ["versions"],
}


def written(document: Path, source: Path) -> str:
    """Return a document with its tables as they should be. The tables are read from a role or from the root."""
    return MARKERS.sub(lambda found: found[1] + TABLES[found[2]](source) + found[3], document.read_text())


def documents(root: Path) -> dict[Path, tuple[Path, list[str]]]:
    """Name each document that has tables, where they are read from, and the tables that it must have."""
    roles = sorted(path for path in (root / "roles").iterdir() if path.is_dir())
    return {
        **{root / name: (root, tables) for name, tables in DOCUMENTS.items()},
        **{role / "README.md": (role, ["variables"]) for role in roles},
    }


def problems(root: Path) -> list[str]:
    """Say which document lacks a table, and in which a table is not up to date."""
    found = []
    for document, (source, tables) in documents(root).items():
        present = [markers[2] for markers in MARKERS.finditer(document.read_text())]
        missing = [name for name in tables if name not in present]
        found += [f"{document.relative_to(root)}: add the markers of the table {name}" for name in missing]
        if not missing and written(document, source) != document.read_text():
            found.append(f"{document.relative_to(root)}: the tables {', '.join(tables)} are not up to date")
    return found


def main() -> int:
    """Write or check, as the user asks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a table is not up to date")
    if not parser.parse_args().check:
        for document, (source, _tables) in documents(ROOT).items():
            document.write_text(written(document, source))
    found = problems(ROOT)
    for problem in found:
        print(problem, file=sys.stderr)
    if found:
        print("Run scripts/readme_tables.py to write the tables.", file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
