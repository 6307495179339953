# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares objects and shows them without what is secret or of no meaning. PRIVATE to the collection."""

from __future__ import annotations

import base64
import binascii
import copy
import hashlib
import typing as t

from ansible.module_utils.common.yaml import yaml_dump

from ansible_collections.drystone.platform.plugins.module_utils._kube.manifests import is_secret
from ansible_collections.drystone.platform.plugins.module_utils._kube.types import Object

_NOISE = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_SHORTEST_SCRUBBED = 4
_SHORTEST_CENSORED = 8


def comparable(obj: Object) -> Object:
    """Copy an object without what changes by itself."""
    kept = {key: value for key, value in obj.items() if key != "status"}
    kept["metadata"] = {key: value for key, value in obj["metadata"].items() if key not in _NOISE}
    return kept


def fingerprint(value: bytes) -> str:
    """Stand for a secret value: tells whether it changed and nothing else."""
    return "sha256:" + hashlib.sha256(value).hexdigest()[:8]


def masked(obj: Object) -> Object:
    """Copy an object as it may be shown: the values of a Secret as fingerprints."""
    shown = copy.deepcopy(comparable(obj))
    if not is_secret(obj):
        return shown
    for key, value in (shown.get("data") or {}).items():
        shown["data"][key] = fingerprint(_decoded(value))
    for key, value in (shown.get("stringData") or {}).items():
        shown["stringData"][key] = fingerprint(str(value).encode())
    annotations = shown["metadata"].get("annotations") or {}
    if _LAST_APPLIED in annotations:
        annotations[_LAST_APPLIED] = fingerprint(annotations[_LAST_APPLIED].encode())
    return shown


def diff_entry(title: str, before: Object | None, after: Object | None) -> dict[str, str]:
    """Show one change the way Ansible does."""
    return {
        "before_header": title,
        "after_header": title,
        "before": _text(before),
        "after": _text(after),
    }


def _text(obj: Object | None) -> str:
    return str(yaml_dump(masked(obj), default_flow_style=False)) if obj else ""


def secret_values(objects: t.Iterable[Object]) -> set[str]:
    """Collect the values of Secrets in each form in which they could turn up in a text, line by line too."""
    values: set[str] = set()
    for obj in objects:
        if not is_secret(obj):
            continue
        for encoded in (obj.get("data") or {}).values():
            plain = _decoded(encoded).decode(errors="ignore")
            values |= {encoded, plain, *plain.splitlines()}
    return {value for value in values if len(value) >= _SHORTEST_SCRUBBED}


def to_censor(secrets: t.Iterable[str], objects: t.Sequence[Object]) -> set[str]:
    """Choose the secret values to leave to Ansible's own censor, which stars out every text that contains one.

    A value that is a word of the result, such as a user called like the application, would make the result unreadable.
    """
    words = {str(word) for obj in objects for word in (obj["apiVersion"], obj["kind"], *_identity(obj))}
    return {
        secret for secret in secrets if len(secret) >= _SHORTEST_CENSORED and not any(secret in word for word in words)
    }


def _identity(obj: Object) -> tuple[t.Any, t.Any]:
    return obj["metadata"]["name"], obj["metadata"].get("namespace")


def scrubbed(value: t.Any, secrets: t.Iterable[str]) -> t.Any:
    """Replace secret values in texts, however deep, by their fingerprints."""
    if isinstance(value, str):
        for secret in sorted(secrets, key=len, reverse=True):
            value = value.replace(secret, fingerprint(secret.encode()))
        return value
    if isinstance(value, dict):
        return {key: scrubbed(inner, secrets) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [scrubbed(inner, secrets) for inner in value]
    return value


def _decoded(encoded: t.Any) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError, TypeError):
        return str(encoded).encode()
