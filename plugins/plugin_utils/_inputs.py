# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change without notice.

"""Validate the variables that a user has set against the argument specs and defaults of all roles."""

from __future__ import annotations

import difflib
import re
import typing as t
from dataclasses import dataclass, field

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

SHARED_ROLE = "common"
SHARED_PREFIX = "drystone_"
SECRET = re.compile(r"passw|secret|token|credential|private|passphrase|api_?key|(^|_)key($|_)", re.IGNORECASE)
LONGEST_NAME = 80
LONGEST_VALUE = 120
TEXT_TYPES = ("str", "path", "raw_str")

Attributes = t.Mapping[str, t.Any]
Template = t.Callable[[t.Any], t.Any]


@dataclass(frozen=True)
class RoleInputs:
    """The variables of a role: the content of meta/argument_specs.yml and defaults/main.yml."""

    specs: t.Mapping[str, t.Any] = field(default_factory=dict)
    defaults: t.Mapping[str, t.Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Problem:
    """A problem with one variable, and the place where it was set."""

    variable: str
    problem: str
    where: str = ""

    def line(self) -> str:
        """Return the problem in one line."""
        name = self.variable if len(self.variable) <= LONGEST_NAME else f"{self.variable[:LONGEST_NAME]}…"
        return f"{name}: {self.problem}" + (f" ({self.where})" if self.where else "")


class Catalogue:
    """All variables of all roles."""

    def __init__(self, roles: t.Mapping[str, RoleInputs]) -> None:
        self.options: dict[str, Attributes] = {}
        self.required: dict[str, list[str]] = {}
        self.names: dict[str, str] = {}
        self.prefixes = {SHARED_PREFIX if role == SHARED_ROLE else f"{role}_": role for role in roles}
        for role, inputs in roles.items():
            self.names.update(dict.fromkeys(inputs.defaults, role))
            for entry_point, spec in inputs.specs.items():
                for name, attributes in (spec.get("options") or {}).items():
                    self.names[name] = role
                    if entry_point == "main" or name not in self.options:
                        self.options[name] = attributes
                    if entry_point == "main" and attributes.get("required"):
                        self.required.setdefault(role, []).append(name)

    def role_of(self, name: str) -> str | None:
        """Return the role with the longest prefix that matches the variable, or None."""
        fitting = [prefix for prefix in self.prefixes if name.startswith(prefix)]
        return self.prefixes[max(fitting, key=len)] if fitting else None

    def nearest(self, name: str) -> str | None:
        """Return the most similar known name, or None."""
        close = difflib.get_close_matches(name[: 2 * LONGEST_NAME], self.names, n=1, cutoff=0.7)
        return close[0] if close else None


def find_problems(
    catalogue: Catalogue,
    given: t.Mapping[str, t.Any],
    template: Template,
    where: t.Callable[[str], str],
    roles: t.Collection[str],
) -> list[Problem]:
    """Return all problems: unknown names, invalid values, and required variables that are not set."""
    problems = []
    for name in sorted(given):
        role = catalogue.role_of(name)
        if name in catalogue.options:
            found = _judge(name, given[name], catalogue.options[name], template)
        elif role is not None and name not in catalogue.names:
            nearest = catalogue.nearest(name)
            hint = f"; did you mean {nearest}?" if nearest else f"; roles/{role}/README.md lists the variables"
            owner = "the collection" if role == SHARED_ROLE else f"role {role}"
            found = f"{owner} does not have this variable{hint}"
        else:
            found = ""
        if found:
            problems.append(Problem(name, found, where(name)))
    for role in roles:
        for name in catalogue.required.get(role, []):
            if name not in given:
                kind = expected(catalogue.options[name])
                problems.append(
                    Problem(name, f"not set, but role {role} requires it ({kind}). Set it in the inventory")
                )
    return problems


def _judge(name: str, raw: t.Any, attributes: Attributes, template: Template) -> str:
    secret = is_secret(name, attributes)
    try:
        value = _plain(template(raw))
    except Exception as error:  # noqa: BLE001 - a template can raise whatever its filters and lookups raise
        if "ansible_" in str(raw):
            return ""  # it needs facts, which are not gathered yet
        return "its template cannot be rendered" + ("" if secret else f": {_one_line(error)}")
    if value is None and not attributes.get("required"):
        return ""
    wanted = expected(attributes)
    seen = type_name(value) if secret else f"{type_name(value)} {_shorten(value)}"
    trap = _silent_conversion(value, attributes.get("type", "str"))
    if trap:
        return f"seen {seen}, expected {wanted}{trap}"
    spec = {key: attributes[key] for key in ("type", "elements", "choices", "options") if key in attributes}
    errors = ArgumentSpecValidator({name: spec}).validate({name: value}).error_messages
    if not errors:
        return ""
    if secret or type_name(value) != attributes.get("type", "str") or "options" not in attributes:
        return f"seen {seen}, expected {wanted}"
    details = (f"{'unknown ' if 'Supported parameters' in error else ''}{_one_line(error)}" for error in errors)
    return f"expected {wanted}; {'; '.join(details)}"


def _plain(value: t.Any) -> t.Any:
    """Copy a container with all nested values: Ansible renders a nested value only when it is read."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value


def is_secret(name: str, attributes: Attributes) -> bool:
    """Return whether the value or a part of it must not be shown."""
    if attributes.get("no_log") or SECRET.search(name):
        return True
    options = attributes.get("options") or {}
    return any(is_secret(option, inner) for option, inner in options.items())


def expected(attributes: Attributes) -> str:
    """Describe the expected type and the allowed values."""
    kind = str(attributes.get("type", "str"))
    if attributes.get("elements"):
        kind = f"{kind} of {attributes['elements']}"
    if attributes.get("choices"):
        return f"{kind}, one of {', '.join(str(choice) for choice in attributes['choices'])}"
    return kind


def type_name(value: t.Any) -> str:
    """Return the name of the type as in argument specs. Tagged values of Ansible are subclasses of these types."""
    for kind, name in ((bool, "bool"), (int, "int"), (float, "float"), (str, "str"), (dict, "dict"), (list, "list")):
        if isinstance(value, kind):
            return name
    if value is None:
        return "null"
    return type(value).__name__


def _silent_conversion(value: t.Any, wanted: str) -> str:
    """Find values that Ansible would convert silently. YAML does not read no, yes and 1.10 without quotes as text."""
    if wanted in TEXT_TYPES and isinstance(value, (bool, float)):
        return "; YAML reads this value as another type, so put it in quotes"
    if wanted in TEXT_TYPES and isinstance(value, (dict, list)):
        return "; this is not a text"
    if wanted in ("list", "dict") and isinstance(value, (str, int, float)):
        return f"; write it as a {wanted} in YAML or JSON"
    if wanted in ("int", "float") and isinstance(value, bool):
        return "; YAML reads yes, no, on and off as bool"
    return ""


def _shorten(value: t.Any) -> str:
    text = repr(str(value)) if isinstance(value, str) else str(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def _one_line(error: object) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 3 * LONGEST_VALUE else f"{text[: 3 * LONGEST_VALUE]}…"
