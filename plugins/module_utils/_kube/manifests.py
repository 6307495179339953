# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Convert the user's manifests to objects that can be applied. PRIVATE to the collection."""

from __future__ import annotations

import base64
import copy
import functools
import typing as t

try:
    import yaml

    HAS_YAML = True
except ImportError:
    HAS_YAML = False

from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput
from ansible_collections.drystone.platform.plugins.module_utils._kube.types import Object

# The server manages these fields; they are in a manifest if it was read from a server.
_SERVER_METADATA = ("managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink")
_TAG = "tag:yaml.org,2002:"


def gather(objects: t.Sequence[t.Any], manifests: t.Any) -> list[Object]:
    """Return objects and the documents of manifests as one list of clean objects.

    Report all problems at once. Positions start at 1.
    """
    found, problems = [], []
    for where, candidate in _candidates(objects, manifests):
        problem = _problem(candidate)
        if problem:
            problems.append(f"{where}: {problem}")
        else:
            found.append(_clean(candidate))
    if problems:
        raise InvalidInput("The set was not applied: " + "; ".join(problems) + ".", problems=problems)
    return found


def _candidates(objects: t.Sequence[t.Any], manifests: t.Any) -> t.Iterator[tuple[str, t.Any]]:
    for number, candidate in enumerate(objects, 1):
        yield from _expand(f"objects[{number}]", candidate)
    texts = manifests if isinstance(manifests, (list, tuple)) else [] if manifests is None else [manifests]
    for number, text in enumerate(texts, 1):
        if not isinstance(text, str):
            raise InvalidInput(f"manifests[{number}] is not a YAML string but a {type(text).__name__}. Use objects.")
        for position, document in enumerate(parse(text, f"manifests[{number}]"), 1):
            yield from _expand(f"manifests[{number}] document {position}", document)


def _expand(where: str, candidate: t.Any) -> t.Iterator[tuple[str, t.Any]]:
    if isinstance(candidate, dict) and candidate.get("kind") == "List" and isinstance(candidate.get("items"), list):
        for number, item in enumerate(candidate["items"], 1):
            yield from _expand(f"{where} items[{number}]", item)
    else:
        yield where, candidate


def parse(text: str, where: str) -> list[t.Any]:
    """Return the non-empty documents of a YAML text, parsed like Kubernetes does."""
    if not HAS_YAML:
        raise InvalidInput(f"{where}: the Python library PyYAML is missing. Install it.")
    try:
        return [document for document in yaml.load_all(text, Loader=_loader()) if document is not None]
    except yaml.YAMLError as error:
        # Do not repeat the text around the error, which may contain a secret.
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise InvalidInput(
            f"{where}{line}: not valid YAML: {getattr(error, 'problem', None) or 'unreadable'}."
        ) from None


@functools.cache
def _loader() -> t.Any:
    """Return a YAML loader that behaves like Kubernetes instead of PyYAML.

    Dates stay strings. A single = stays a string too, because the enums of well-known CRDs contain it. 12:30 is not a
    number.
    """
    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    left_out = {f"{_TAG}timestamp", f"{_TAG}value"}
    resolvers = {
        first: [(tag, pattern) for tag, pattern in pairs if tag not in left_out]
        for first, pairs in base.yaml_implicit_resolvers.items()
    }
    loader = type("ManifestLoader", (base,), {"yaml_implicit_resolvers": resolvers})

    def number(self: t.Any, node: t.Any, construct: t.Callable[[t.Any, t.Any], t.Any]) -> t.Any:
        return node.value if ":" in node.value else construct(self, node)

    for tag, construct in (("int", base.construct_yaml_int), ("float", base.construct_yaml_float)):
        loader.add_constructor(_TAG + tag, functools.partial(number, construct=construct))  # type: ignore[attr-defined]  # made by type()
    return loader


def _problem(candidate: t.Any) -> str:
    if not isinstance(candidate, dict):
        return f"not an object but a {type(candidate).__name__}"
    for key in ("apiVersion", "kind"):
        if not isinstance(candidate.get(key), str) or not candidate[key]:
            return f"an object without {key} ({_title(candidate)})"
    metadata = candidate.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str) or not metadata["name"]:
        return f"a {candidate['kind']} without metadata.name" + (
            "; generateName would create another object in each run"
            if isinstance(metadata, dict) and metadata.get("generateName")
            else ""
        )
    for key in ("labels", "annotations"):
        pairs = metadata.get(key)
        if pairs is not None and not isinstance(pairs, dict):
            return f"{_title(candidate)}: metadata.{key} is not a mapping"
        wrong = [name for name, value in (pairs or {}).items() if not isinstance(value, str)]
        if wrong:
            return f"{_title(candidate)}: metadata.{key} {', '.join(map(str, wrong))}: not a string; quote the value"
    return _secret_problem(candidate) if is_secret(candidate) else ""


def _secret_problem(secret: Object) -> str:
    for section in ("data", "stringData"):
        pairs = secret.get(section) or {}
        if not isinstance(pairs, dict):
            return f"{_title(secret)}: {section} is not a mapping"
        wrong = [name for name, value in pairs.items() if not isinstance(value, str)]
        if wrong:
            return f"{_title(secret)}: {section} {', '.join(map(str, wrong))}: not a string; quote the value"
    return ""


def _title(candidate: Object) -> str:
    metadata = candidate.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return f"{candidate.get('kind') or 'kind unknown'} {name or '(no name)'}"


def is_secret(obj: Object) -> bool:
    """Return whether an object is a Secret, whose data must not be shown."""
    return obj.get("kind") == "Secret" and obj.get("apiVersion") == "v1"


def _clean(candidate: Object) -> Object:
    """Copy an object without server-managed fields."""
    obj = copy.deepcopy(candidate)
    obj.pop("status", None)
    for key in _SERVER_METADATA:
        obj["metadata"].pop(key, None)
    for key in ("labels", "annotations"):
        if obj["metadata"].get(key, "") is None:
            del obj["metadata"][key]
    if is_secret(obj) and "stringData" in obj:
        # Server-side apply tracks stringData separately: a key that is removed from it later would stay in data.
        text = obj.pop("stringData") or {}
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in text.items()}
        obj["data"] = {**(obj.get("data") or {}), **encoded}
    return obj
