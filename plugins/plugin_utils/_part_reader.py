# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change without notice.

"""Render the contracts of the parts with the variables of a host."""

from __future__ import annotations

import functools
import typing as t
from pathlib import Path

from ansible_collections.drystone.platform.plugins.plugin_utils._part_contract import (
    TOPICS,
    Contract,
    InvalidContract,
    check_keys,
    complete,
)
from ansible_collections.drystone.platform.plugins.plugin_utils._parts import (
    ORDERING,
    Choice,
    check_names,
    check_requirements,
    connect,
    in_order,
    with_requirements,
)
from ansible_collections.drystone.platform.plugins.plugin_utils._role_files import ROLES, all_defaults, read_yaml

SHARED_ROLE = "common"


class PartReader:
    """The contracts of all parts, and the variables for rendering them."""

    def __init__(self, loader: t.Any, templar: t.Any, variables: t.Mapping[str, t.Any], roles: Path = ROLES) -> None:
        self._raw = {
            path.parents[1].name: check_keys(path.parents[1].name, read_yaml(loader, path))
            for path in sorted(roles.glob("*/meta/part.yml"))
        }
        # Set variables override defaults. Outside a role, role_path is not defined, so the path of common is used.
        at_hand = {"role_path": str(roles / SHARED_ROLE), **all_defaults(loader, roles), **variables}
        self._template = templar.copy_with_new_env(available_variables=at_hand).template
        self._variables = at_hand

    def _render(self, part: str, keys: t.Collection[str]) -> Contract:
        rendered = {}
        for key in self._raw[part]:
            if key in keys:
                try:
                    rendered[key] = _plain(self._template(self._raw[part][key]))
                except Exception as error:
                    raise InvalidContract(f"roles/{part}/meta/part.yml: {key} cannot be rendered: {error}") from error
        return complete(part, rendered, keys)

    @functools.cached_property
    def choice(self) -> Choice:
        """The parts that the user chose to deploy."""
        listed = [str(name) for name in self._template(self._variables["drystone_parts"])]
        choice = Choice(
            listed,
            run_tags=list(self._variables.get("ansible_run_tags") or ()),
            skip_tags=list(self._variables.get("ansible_skip_tags") or ()),
        )
        check_names(choice, self._raw)
        off = [name for name in choice.deployed if not self._render(name, ("enabled",))["enabled"]]
        return Choice(choice.listed, choice.run_tags, choice.skip_tags, off)

    def deployed(self, topics: t.Collection[str] = tuple(TOPICS)) -> list[Contract]:
        """Return the contracts of the deployed parts in the order in which they are applied."""
        order = {name: self._render(name, TOPICS["order"]) for name in self.choice.deployed}
        check_requirements(self.choice, {name: one["requires"] for name, one in order.items()})
        before = {name: {other for key in ORDERING for other in one[key]} for name, one in order.items()}
        keys = _keys(topics)
        parts = [{**order[name], **self._render(name, keys)} for name in in_order(list(order), before)]
        if "network" in topics:
            connect(parts)
        return parts

    def all(self, names: t.Collection[str] = (), topics: t.Collection[str] = tuple(TOPICS)) -> list[Contract]:
        """Return the contracts of all parts, or of some of them, deployed or not."""
        keys = TOPICS["order"] + _keys(topics)
        return [self._render(name, keys) for name in self._raw if not names or name in names]

    def closure(self, names: t.Collection[str]) -> set[str]:
        """Return the names of the parts and of all parts that they require."""
        return with_requirements(names, {name: self._render(name, ORDERING)["requires"] for name in self._raw})


def _keys(topics: t.Collection[str]) -> tuple[str, ...]:
    return tuple(key for topic in topics if topic != "order" for key in TOPICS[topic])


def _plain(value: t.Any) -> t.Any:
    """Copy a container with all nested values: Ansible renders a nested value only when it is read."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value
