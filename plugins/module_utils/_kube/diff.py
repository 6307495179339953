# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare objects and show them without secrets and irrelevant fields. PRIVATE to the collection."""

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
    """Copy an object without fields that the server changes."""
    kept = {key: value for key, value in obj.items() if key != "status"}
    kept["metadata"] = {key: value for key, value in obj["metadata"].items() if key not in _NOISE}
    return kept


def fingerprint(value: bytes) -> str:
    """Return a text for a secret value that only shows whether it changed."""
    return "sha256:" + hashlib.sha256(value).hexdigest()[:8]


def masked(obj: Object) -> Object:
    """Copy an object for display: fingerprints replace the values of a Secret."""
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
    """Return one change in Ansible's diff format."""
    return {
        "before_header": title,
        "after_header": title,
        "before": _text(before),
        "after": _text(after),
    }


def _text(obj: Object | None) -> str:
    return str(yaml_dump(masked(obj), default_flow_style=False)) if obj else ""


def secret_values(objects: t.Iterable[Object]) -> set[str]:
    """Return the values of Secrets in each form that a text could contain, including single lines."""
    values: set[str] = set()
    for obj in objects:
        if not is_secret(obj):
            continue
        for encoded in (obj.get("data") or {}).values():
            plain = _decoded(encoded).decode(errors="ignore")
            values |= {encoded, plain, *plain.splitlines()}
    return {value for value in values if len(value) >= _SHORTEST_SCRUBBED}


def to_censor(secrets: t.Iterable[str], objects: t.Sequence[Object]) -> set[str]:
    """Return the secret values that Ansible's own censor should hide in every text.

    Omit a value that is also a word of the result, such as a user with the application's name, because the result would
    become unreadable.
    """
    words = {str(word) for obj in objects for word in (obj["apiVersion"], obj["kind"], *_identity(obj))}
    return {
        secret for secret in secrets if len(secret) >= _SHORTEST_CENSORED and not any(secret in word for word in words)
    }


def _identity(obj: Object) -> tuple[t.Any, t.Any]:
    return obj["metadata"]["name"], obj["metadata"].get("namespace")


def scrubbed(value: t.Any, secrets: t.Iterable[str]) -> t.Any:
    """Replace secret values in nested texts with their fingerprints."""
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
