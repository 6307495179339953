# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All templates render to valid content for their readers, also with empty lists."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
READ_AS_YAML = re.compile(r"lookup\('ansible\.builtin\.template', '([^']+)'\) \| from_yaml\b")
EMPTY: dict[str, dict[str, Any]] = {
    "no environment": {"drystone_environments": []},
    "one environment without workloads": {
        "drystone_environments": ["qa"],
        "git_sync_workloads": [],
        "guardrails_probe_environments": [],
        "workloads_teams": [],
    },
    "a repository of one's own": {
        "drystone_environments": ["qa"],
        "workloads_repo_url": "https://git.example.org/platform.git",
    },
    "as little as possible": {
        "drystone_environments": ["qa"],
        "guardrails_platform_namespaces": [],
        "guardrails_policies": [],
        "guardrails_same_namespace": False,
        "git_server_repositories": [],
        "kind_cluster_registry_hosts": [],
        "kind_cluster_prefetch": [],
    },
}

# What tasks register before they render a template
REGISTERED = {
    "__git_server_client_keys": {"public_keys": {"deploy": "ssh-ed25519 A", "operator": "ssh-ed25519 B"}},
    "__git_server_certificate": {"fingerprints": {"server.pem": "SHA256:C"}},
}


def nothing_in(value: Any, path: str = "") -> Iterator[str]:
    """Return the paths of null values, which are the result of empty lists or mappings."""
    if value is None:
        yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from nothing_in(child, f"{path}/{key}")


def read_as_yaml() -> set[str]:
    """Return the templates whose whole text is a single value, by role and name."""
    found = set()
    for path in sorted((ROOT / "roles").glob("*/*/*.yml")):
        role = path.relative_to(ROOT / "roles").parts[0]
        found |= {f"{role}-{name}" for name in READ_AS_YAML.findall(path.read_text())}
    return found


@pytest.mark.parametrize("case", EMPTY)
def test_an_empty_list_is_an_empty_list(case: str, tmp_path: Path) -> None:
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    roles = ROOT / "roles"
    given = {
        **EMPTY[case],
        **REGISTERED,
        "out": str(tmp_path / "rendered.json"),
        "ansible_python_interpreter": sys.executable,
        "role_path": str(roles / "common"),
        # The rows and the report of acceptance have their own tests.
        "templates": [
            str(one)
            for one in sorted(roles.glob("*/templates/*"))
            if "macro" not in one.name and "acceptance" not in one.parts
        ],
    }
    variables = [one for one in sorted(roles.glob("*/*/main.yml")) if one.parent.name in ("defaults", "vars")]
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "--inventory=localhost,"]
    command += [f"--extra-vars=@{one}" for one in variables] + [f"--extra-vars={json.dumps(given)}"]
    command += [str(Path(__file__).with_name("render_templates.yml"))]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

    values, wrong = read_as_yaml(), {}
    assert values == {"argocd-policies.yml.j2", "git_sync-readers.yml.j2", "guardrails-connections.yml.j2"}
    rendered = {
        f"{Path(path).parts[-3]}-{Path(path).name}": text
        for path, text in json.loads((tmp_path / "rendered.json").read_text()).items()
    }
    assert len(rendered) == len(given["templates"])
    for name, text in rendered.items():
        if name.endswith((".yml.j2", ".yaml.j2")):
            documents = [*yaml.safe_load_all(text)]
            nothing = [place for one in documents if one is not None for place in nothing_in(one)]
            if name in values and not isinstance(documents[0], list):
                nothing.append("the whole")
            if nothing:
                wrong[name] = nothing
    assert wrong == {}
