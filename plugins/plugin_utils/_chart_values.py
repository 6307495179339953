# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find values that a Helm chart would silently ignore because it does not know the key. PRIVATE to the collection."""

from __future__ import annotations

import difflib
import os
import re
import tarfile
import typing as t

from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput
from ansible_collections.drystone.platform.plugins.module_utils._kube.manifests import parse

Values = dict[str, t.Any]

# Under these keys charts accept everything that Kubernetes or the program accepts, even if the chart has a default.
_FREE = re.compile(
    r"(?i:labels|annotations|affinity|resources|securitycontext|strategy)$|^(?:config|env|data|nodeSelector)$"
)
_ALIKE = 0.8


def unknown_keys(values: Values, defaults: Values) -> list[str]:
    """Return each key of the values that the chart's defaults do not have, with the most similar key that they have.

    Accept everything below a default that is empty or null.
    """
    return list(_unknown(values, defaults, (), list(_paths(defaults, ()))))


def _unknown(values: Values, defaults: Values, parents: tuple[str, ...], known: list[str]) -> t.Iterator[str]:
    for key, value in values.items():
        path = (*parents, str(key))
        name = ".".join(path)
        if key not in defaults:
            nearest = _nearest(str(key), parents, defaults, known)
            yield f"{name}: the chart does not have this key; the most similar key is {nearest}"
            continue
        default = defaults[key]
        if not isinstance(default, dict) or not default or value is None or _FREE.search(str(key)):
            continue
        if isinstance(value, dict):
            yield from _unknown(value, default, path, known)
        else:
            keys = ", ".join(map(str, default))
            yield f"{name}: the chart expects a mapping with the keys {keys}, not a {type(value).__name__}"


def _paths(defaults: Values, parents: tuple[str, ...]) -> t.Iterator[str]:
    for key, default in defaults.items():
        path = (*parents, str(key))
        yield ".".join(path)
        if isinstance(default, dict) and not _FREE.search(str(key)):
            yield from _paths(default, path)


def _nearest(key: str, parents: tuple[str, ...], siblings: Values, known: list[str]) -> str:
    """Return the key that was probably meant: a similar one on the same level, else the same one elsewhere."""
    names = [str(name) for name in siblings]
    alike = difflib.get_close_matches(key, names, n=1, cutoff=_ALIKE)
    if not alike:
        elsewhere = [path for path in known if path.rpartition(".")[2] == key]
        if elsewhere:
            wanted = ".".join((*parents, key))
            return max(elsewhere, key=lambda path: (_likeness(wanted, path), path))
        alike = difflib.get_close_matches(key, names, n=1, cutoff=0)
    if not alike:
        return "none"
    return ".".join((*parents, alike[0]))


def _likeness(wanted: str, path: str) -> float:
    return difflib.SequenceMatcher(None, wanted, path).ratio()


def merged(base: Values, over: Values) -> Values:
    """Merge values as Helm does: merge mappings, and replace everything else."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


def with_subcharts(own: Values, subcharts: dict[str, Values]) -> Values:
    """Add the values of the subcharts to those of a chart, under the names of the subcharts."""
    result = dict(own)
    for name, values in subcharts.items():
        result[name] = merged(values, own.get(name) or {})
    return {**result, "global": merged({}, own.get("global") or {})}


def chart_defaults(chart: str) -> Values:
    """Read the default values of an unpacked chart and of all charts in it."""
    if not os.path.isfile(os.path.join(chart, "Chart.yaml")):
        raise InvalidInput(
            f"Reading the Helm chart {chart}: it has no Chart.yaml. Run the role artifacts, which downloads charts.",
            chart=chart,
        )
    aliases = _aliases(_read(os.path.join(chart, "Chart.yaml")))
    subcharts: dict[str, Values] = {}
    folder = os.path.join(chart, "charts")
    for entry in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        path = os.path.join(folder, entry)
        if os.path.isfile(os.path.join(path, "Chart.yaml")):
            name, values = _read(os.path.join(path, "Chart.yaml"))["name"], chart_defaults(path)
        elif entry.endswith(".tgz"):
            name, values = _packed(path)
        else:
            continue
        subcharts.update(dict.fromkeys(aliases.get(name, [name]), values))
    return with_subcharts(_read(os.path.join(chart, "values.yaml")), subcharts)


def _aliases(chart: Values) -> dict[str, list[str]]:
    """Return the names under which the dependencies of a chart receive values."""
    found: dict[str, list[str]] = {}
    for dependency in chart.get("dependencies") or []:
        found.setdefault(dependency["name"], []).append(dependency.get("alias") or dependency["name"])
    return found


def _read(path: str) -> Values:
    try:
        with open(path, encoding="utf-8") as stream:
            return _mapping(stream.read(), path)
    except FileNotFoundError:
        return {}


def _packed(path: str) -> tuple[str, Values]:
    with tarfile.open(path) as archive:
        (name,) = {member.split("/")[0] for member in archive.getnames()}
        stream = archive.extractfile(f"{name}/values.yaml") if f"{name}/values.yaml" in archive.getnames() else None
        return name, _mapping(stream.read().decode(), path) if stream else {}


def _mapping(text: str, where: str) -> Values:
    documents = parse(text, where)
    if documents and not isinstance(documents[0], dict):
        raise InvalidInput(f"{where} contains a {type(documents[0]).__name__}, expected a mapping.")
    return documents[0] if documents else {}
