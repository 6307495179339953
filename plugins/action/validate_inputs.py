# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import typing as t
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.drystone.platform.plugins.plugin_utils._inputs import (
    SHARED_ROLE,
    Catalogue,
    Problem,
    RoleInputs,
    find_problems,
)
from ansible_collections.drystone.platform.plugins.plugin_utils._part_contract import InvalidContract
from ansible_collections.drystone.platform.plugins.plugin_utils._part_reader import PartReader
from ansible_collections.drystone.platform.plugins.plugin_utils._role_files import ROLES, read_yaml, role_names

try:
    from ansible._internal._datatag import _tags
except ImportError:  # values have no origin before ansible-core 2.19
    HAS_ORIGIN = False
else:
    HAS_ORIGIN = True

PARTS = "drystone_parts"


class ActionModule(ActionBase):
    """Validate the host's variables. This runs on the controller, where the variables are."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Fail with all problems."""
        result = super().run(tmp, task_vars)
        _options, arguments = self.validate_argument_spec(
            argument_spec={"roles": {"type": "list", "elements": "str"}, "roles_path": {"type": "path"}}
        )
        given = task_vars or {}
        path = Path(arguments["roles_path"] or ROLES)
        roles = self._read_roles(path)
        chosen = arguments["roles"] if arguments["roles"] is not None else sorted(roles)
        unknown = sorted(set(chosen) - set(roles))
        if unknown:
            raise AnsibleActionFail(
                f"validate_inputs: the roles directory {path} does not contain {', '.join(unknown)}"
            )

        # A value may refer to the default of any role, so provide all defaults. Set variables override them.
        defaults = {name: value for inputs in roles.values() for name, value in inputs.defaults.items()}
        at_hand = {"role_path": str(path / SHARED_ROLE), **defaults, **given}
        templar = self._templar.copy_with_new_env(available_variables=at_hand)
        keys = {name: name for name in given}
        problems = find_problems(
            Catalogue(roles), given, templar.template, lambda name: _where(given[name], keys[name]), chosen
        )
        if not problems:
            problems = self._problems_of_parts(path, given, lambda name: _where(given[name], keys[name]))
        result["changed"] = False
        result["problems"] = [
            {"variable": problem.variable, "problem": problem.problem, "where": problem.where} for problem in problems
        ]
        if problems:
            count = "1 variable is" if len(problems) == 1 else f"{len(problems)} variables are"
            lines = "\n".join(f"- {problem.line()}" for problem in problems)
            result["failed"] = True
            result["msg"] = f"{count} invalid. Nothing was created or changed.\n{lines}"
        return result

    def _read_roles(self, path: Path) -> dict[str, RoleInputs]:
        return {
            name: RoleInputs(
                specs=read_yaml(self._loader, path / name / "meta" / "argument_specs.yml").get("argument_specs", {}),
                defaults=read_yaml(self._loader, path / name / "defaults" / "main.yml"),
            )
            for name in role_names(path)
        }

    def _problems_of_parts(self, path: Path, given: dict[str, t.Any], where: t.Callable[[str], str]) -> list[Problem]:
        """Check whether the chosen parts can be deployed. This requires valid variables."""
        if not any(path.glob("*/meta/part.yml")):
            return []
        try:
            PartReader(self._loader, self._templar, given, path).deployed()
        except InvalidContract as error:
            return [Problem(PARTS, problem, where(PARTS) if PARTS in given else "") for problem in error.problems]
        return []


def _where(value: object, name: str) -> str:
    """Return the place where a variable was set. For true, false and null only the name has an origin."""
    if not HAS_ORIGIN:
        return ""
    origin = _tags.Origin.get_tag(value) or _tags.Origin.get_tag(name)
    if origin is None:
        return ""
    text = str(origin)
    here = os.getcwd() + os.sep
    return text.removeprefix(here)
