# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules that need the library cryptography, without it."""

from __future__ import annotations

import os
import sys
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.drystone.platform.plugins.module_utils._cryptography import Imports

MODULES = Path(__file__).resolve().parents[4] / "plugins/modules"
_SECRET = {"kubeconfig": "kubeconfig", "namespace": "dev", "name": "site"}
NEEDING: dict[str, dict[str, t.Any]] = {
    "generated_secret": {**_SECRET, "state": "absent"},
    "git_readers": {"kubeconfig": "kubeconfig", "readers": []},
    "git_sync_secret": {**_SECRET, "state": "absent"},
    "git_sync_secret_info": _SECRET,
    "kubelet_csr_approve": {"kubeconfig": "kubeconfig"},
}


def documentation(module: Path) -> dict[str, t.Any]:
    documented: dict[str, t.Any] = yaml.safe_load(module.read_text().split('DOCUMENTATION = r"""')[1].split('"""')[0])
    return documented


def test_these_are_the_modules_that_document_the_requirement() -> None:
    documented = {
        path.stem for path in MODULES.glob("*.py") if "cryptography" in documentation(path).get("requirements", ())
    }
    assert documented == set(NEEDING)


@pytest.mark.parametrize("module", NEEDING)
@pytest.mark.parametrize("problem", ["missing", "too old"])
def test_a_module_says_what_to_install(
    run_module: t.Callable[..., t.Any], tmp_path: Path, module: str, problem: str
) -> None:
    # An empty package lacks all names, as an old one lacks some.
    (tmp_path / "cryptography").mkdir()
    text = {"missing": "raise ModuleNotFoundError('No module named cryptography')", "too old": ""}[problem]
    (tmp_path / "cryptography/__init__.py").write_text(text)
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = run_module(module, NEEDING[module], environ={"PYTHONPATH": path})
    assert done.code == 1
    assert "Failed to import the required Python library (cryptography)" in done.result["msg"]


def test_the_first_problem_is_kept_and_no_other_one_swallowed() -> None:
    imports = Imports()
    for name in ("first", "second"):
        with imports:
            raise ImportError(name)
    assert str(imports.error) == "first"
    with pytest.raises(ZeroDivisionError), imports:
        _ = 1 / 0
