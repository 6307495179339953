# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise of compatibility to code outside of it.
"""The kubeconfig file of one cluster: whether it is right, and whether it is ours to write."""

from __future__ import annotations

import os
import stat
import typing as t
from pathlib import Path

from ansible.module_utils.common.yaml import HAS_YAML, yaml_load

from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput, Refused
from ansible_collections.drystone.platform.plugins.module_utils._kind.state import write_durably


def reject_shared_path(path: Path) -> None:
    """Stop if the file is the one that the user's other clusters are in."""
    shared = Path.home() / ".kube" / "config"
    if path.resolve() == shared.resolve():
        raise InvalidInput(
            f"kubeconfig: {path} is the user's own file, in which other clusters may be; choose a file for this "
            "cluster alone. Nothing was changed.",
            kubeconfig=str(path),
        )


def foreign_reason(path: Path, context: str) -> str | None:
    """Say why a file that is there isn't a kubeconfig of this cluster alone."""
    text = _text(path)
    if not text:
        return None
    clusters = _section(_parse(text), "clusters", "cluster")
    if not clusters:
        return "it isn't a kubeconfig"
    others = sorted(clusters.keys() - {context})
    return f"it has other clusters in it: {', '.join(others)}" if others else None


def require_ours(path: Path, context: str) -> None:
    """Stop before a file that somebody else uses would be overwritten."""
    reason = foreign_reason(path, context)
    if reason:
        raise Refused(
            f"Writing the kubeconfig {path}: there is a file and {reason}. Nothing was changed; choose another path.",
            kubeconfig=str(path),
        )


def problem(path: Path, expected: str | None, context: str) -> str | None:
    """Say what is wrong with the file, if the expected text is known compared to it by what matters."""
    text = _text(path)
    if text is None:
        return f"{path} isn't there"
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode != 0o600:
        return f"{path} has mode {mode:04o}, not 0600"
    if expected is None:
        return None
    has, wants = _essence(text, context), _essence(expected, context)
    if has != wants:
        different = ", ".join(key for key in wants if has.get(key) != wants[key])
        return f"{path} doesn't lead to this cluster ({different} differ)"
    return None


def write(path: Path, text: str) -> None:
    """Write the file, readable for its owner alone from its first byte on."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_durably(path, text)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def _parse(text: str) -> dict[str, t.Any]:
    if not HAS_YAML:
        raise InvalidInput("Reading a kubeconfig: the Python library PyYAML is missing; install it.")
    try:
        document = yaml_load(text)
    except Exception as error:
        # The class of a YAML error isn't importable where PyYAML may be missing.
        if not type(error).__module__.startswith("yaml"):
            raise
        return {}
    return document if isinstance(document, dict) else {}


def _section(document: dict[str, t.Any], section: str, key: str) -> dict[str, t.Any]:
    entries = document.get(section)
    if not isinstance(entries, list):
        return {}
    return {str(one.get("name")): one.get(key) or {} for one in entries if isinstance(one, dict)}


def _essence(text: str, context: str) -> dict[str, t.Any]:
    """Reduce a kubeconfig to which server it trusts and who it is there; what users add to it is theirs."""
    document = _parse(text)
    chosen = _section(document, "contexts", "context").get(context) or {}
    cluster = _section(document, "clusters", "cluster").get(str(chosen.get("cluster"))) or {}
    user = _section(document, "users", "user").get(str(chosen.get("user"))) or {}
    return {
        "server": cluster.get("server"),
        "certificate-authority-data": cluster.get("certificate-authority-data"),
        "client-certificate-data": user.get("client-certificate-data"),
        "client-key-data": user.get("client-key-data"),
    }


def remove(path: Path) -> None:
    """Remove the file if it is there."""
    if os.path.lexists(path):
        path.unlink()
