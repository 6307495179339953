# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read objects without confidential values. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from ansible_collections.drystone.platform.plugins.module_utils._kube.types import Object

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi


def read(
    api: KubeApi, api_version: str, kind: str, *, namespaces: Sequence[str], name: str = "", selector: str = ""
) -> list[Object]:
    """Return the objects of a kind in the given namespaces, or in all namespaces without a list."""
    resource = api.resource_for(api_version, kind)
    found: list[Object] = []
    places: list[str | None] = [*namespaces] or [None]
    for namespace in places:
        if name:
            one = api.get(resource, name, namespace)
            found += [one] if one else []
        else:
            found += api.list(resource, namespace, label_selector=selector).items
    return [_shown(one) for one in found]


def _shown(obj: Object) -> Object:
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    rest = {key: value for key, value in obj.items() if key != "metadata"}
    if obj["kind"] == "Secret":
        # The annotation of kubectl may contain them as well.
        metadata.pop("annotations", None)
        rest = {key: value for key, value in rest.items() if key not in ("data", "stringData")}
    return {**rest, "metadata": metadata}
