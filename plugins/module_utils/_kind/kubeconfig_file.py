# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change without notice.
"""The kubeconfig file of one cluster: check its content and whether Drystone may write it."""

from __future__ import annotations

import os
import stat
import typing as t
from pathlib import Path

from ansible.module_utils.common.yaml import HAS_YAML, yaml_load

from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput, Refused
from ansible_collections.drystone.platform.plugins.module_utils._kind.state import write_durably


def reject_shared_path(path: Path) -> None:
    """Refuse the user's default kubeconfig, which may contain other clusters."""
    shared = Path.home() / ".kube" / "config"
    if path.resolve() == shared.resolve():
        raise InvalidInput(
            f"kubeconfig: {path} is the user's default file, which may contain other clusters. Set a separate file "
            "for this cluster. Nothing was changed.",
            kubeconfig=str(path),
        )


def foreign_reason(path: Path, context: str) -> str | None:
    """Return why an existing file is not a kubeconfig of only this cluster, or None."""
    text = _text(path)
    if not text:
        return None
    clusters = _section(_parse(text), "clusters", "cluster")
    if not clusters:
        return "it is not a kubeconfig"
    others = sorted(clusters.keys() - {context})
    return f"it contains other clusters: {', '.join(others)}" if others else None


def require_ours(path: Path, context: str) -> None:
    """Refuse to overwrite a file that Drystone did not create."""
    reason = foreign_reason(path, context)
    if reason:
        raise Refused(
            f"Writing the kubeconfig {path}: the file exists and {reason}. Nothing was changed. Set another path.",
            kubeconfig=str(path),
        )


def problem(path: Path, expected: str | None, context: str) -> str | None:
    """Return the problem of the file, or None. If the expected text is known, compare the relevant fields."""
    text = _text(path)
    if text is None:
        return f"{path} does not exist"
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode != 0o600:
        return f"{path} has mode {mode:04o}, not 0600"
    if expected is None:
        return None
    has, wants = _essence(text, context), _essence(expected, context)
    if has != wants:
        different = ", ".join(key for key in wants if has.get(key) != wants[key])
        return f"{path} does not connect to this cluster ({different} differ)"
    return None


def write(path: Path, text: str) -> None:
    """Write the file with mode 0600 from the start."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_durably(path, text)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def _parse(text: str) -> dict[str, t.Any]:
    if not HAS_YAML:
        raise InvalidInput("Reading a kubeconfig: the Python library PyYAML is missing. Install it.")
    try:
        document = yaml_load(text)
    except Exception as error:
        # The class of YAML errors cannot be imported, because PyYAML may be missing.
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
    """Reduce a kubeconfig to the server, its CA and the user. Ignore additions of the user."""
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
    """Remove the file if it exists."""
    if os.path.lexists(path):
        path.unlink()
