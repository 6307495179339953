#!/usr/bin/env python3
"""Write the tables of the READMEs that repeat what stands elsewhere, or check that they are up to date.

A role's README lists its variables, from meta/argument_specs.yml and defaults/main.yml. The README of the collection
lists the modules, from their documentation. Each table stands between two markers; all else is written by hand.
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


TABLES = {"variables": variables, "modules": modules}


def written(readme: Path) -> str:
    """Return a README with its tables as they should be."""
    return MARKERS.sub(lambda found: found[1] + TABLES[found[2]](readme.parent) + found[3], readme.read_text())


def readmes(root: Path) -> dict[Path, str]:
    """Name each README that has a table, and the table that it must have."""
    roles = sorted(path for path in (root / "roles").iterdir() if path.is_dir())
    return {root / "README.md": "modules", **{role / "README.md": "variables" for role in roles}}


def problems(root: Path) -> list[str]:
    """Say which README lacks its table, and in which the table is not up to date."""
    found = []
    for readme, name in readmes(root).items():
        if name not in [markers[2] for markers in MARKERS.finditer(readme.read_text())]:
            found.append(f"{readme.relative_to(root)}: add the markers of the table {name}")
        elif written(readme) != readme.read_text():
            found.append(f"{readme.relative_to(root)}: the table {name} is not up to date")
    return found


def main() -> int:
    """Write or check, as the user asks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a table is not up to date")
    if not parser.parse_args().check:
        for readme in readmes(ROOT):
            readme.write_text(written(readme))
    found = problems(ROOT)
    for problem in found:
        print(problem, file=sys.stderr)
    if found:
        print("Run scripts/readme_tables.py to write the tables.", file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
