"""Render the contracts of a collection in one process. Read cases from stdin, and write results to stdout."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar

ROOT = Path(sys.argv[1])
init_plugin_loader([str(ROOT / "collections")])

from ansible_collections.drystone.platform.plugins.plugin_utils._part_contract import InvalidContract  # noqa: E402  found only with the path above
from ansible_collections.drystone.platform.plugins.plugin_utils._part_reader import PartReader  # noqa: E402  found only with the path above
from ansible_collections.drystone.platform.plugins.plugin_utils._parts import steps  # noqa: E402  found only with the path above
from ansible_collections.drystone.platform.plugins.plugin_utils._role_files import all_defaults, read_yaml  # noqa: E402  found only with the path above

Object = dict[str, Any]


def render(loader: DataLoader, case: Object) -> Object:
    """Render the contracts and additional templates with the variables of one case."""
    roles = ROOT / "roles"
    variables: Object = {
        "role_path": str(roles / "common"),
        **all_defaults(loader, roles),
        **{
            name: value for role in roles.iterdir() for name, value in read_yaml(loader, role / "vars/main.yml").items()
        },
        **yaml.safe_load((ROOT / "inventories/dev/group_vars/all/main.yml").read_text()),
        "ansible_managed": "rendered by a test",
        **case.get("variables", {}),
    }
    templar = Templar(loader=loader, variables=variables)
    try:
        parts = PartReader(loader, templar, variables, roles).deployed()
    except InvalidContract as error:
        return {"problems": list(error.problems)}
    wanted = {name: f"{{{{ lookup('ansible.builtin.vars', {name!r}) | to_json }}}}" for name in case.get("names", [])}
    wanted |= {
        path: f"{{{{ lookup('ansible.builtin.template', {str(roles / path)!r}) | to_json }}}}"
        for path in case.get("templates", [])
    }
    texts = read_yaml(loader, _trusted(loader, wanted))
    return {
        "parts": {one["name"]: one for one in parts},
        "steps": steps(parts),
        **{name: json.loads(templar.template(text)) for name, text in texts.items()},
    }


def _trusted(loader: DataLoader, wanted: dict[str, str]) -> Path:
    """Write templates to a file, because Ansible trusts templates in files."""
    path = Path(sys.argv[2]) / f"wanted-{len(list(Path(sys.argv[2]).iterdir()))}.yml"
    path.write_text(json.dumps(wanted))
    return path


def main() -> None:
    """Render all cases."""
    loader = DataLoader()
    json.dump([render(loader, case) for case in json.load(sys.stdin)], sys.stdout)


main()
