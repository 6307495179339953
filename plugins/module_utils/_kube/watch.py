# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watch a kind: list it once, then follow its changes across broken connections. PRIVATE to the collection."""

from __future__ import annotations

import http.client
import json
import math
import typing as t
from dataclasses import dataclass
from urllib.parse import urlencode

from ansible_collections.drystone.platform.plugins.module_utils._errors import ApiError
from ansible_collections.drystone.platform.plugins.module_utils._kube.http import Transport
from ansible_collections.drystone.platform.plugins.module_utils._kube.types import Object, ObjectList, Resource

# Additional time to wait for data after the requested duration of a connection
_GRACE = 5.0
_LONGEST_REQUEST = 300.0
_PAUSE_AFTER_BREAK = 0.2


@dataclass(frozen=True)
class Event:
    """A change. SYNC replaces the whole known state with objects; the other types concern one object."""

    type: str
    """SYNC, ADDED, MODIFIED or DELETED."""
    objects: tuple[Object, ...]

    @property
    def object(self) -> Object:
        """The changed object; not meaningful for SYNC."""
        return self.objects[0]


class _Expired(Exception):
    """The server no longer knows the version from which to continue."""


def watch(
    transport: Transport,
    read_all: t.Callable[[], ObjectList],
    resource: Resource,
    namespace: str | None = None,
    *,
    label_selector: str = "",
    field_selector: str = "",
    resource_version: str | None = None,
    timeout: float = 60,
) -> t.Iterator[Event]:
    """Yield the state of a kind and then each change, until the timeout ends the iteration.

    Without a resource_version the first event is SYNC with all objects. Another SYNC follows whenever the server cannot
    report the changes in the meantime. After a broken connection the watch continues at the last version. read_all
    lists the watched objects.
    """
    selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
    clock = transport.clock
    deadline = clock() + timeout
    version = resource_version
    while (left := deadline - clock()) > 0:
        if version is None:
            found = read_all()
            version = found.resource_version
            yield Event("SYNC", tuple(found.items))
            continue
        seconds = min(left, _LONGEST_REQUEST)
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(max(1, math.ceil(seconds))),
            **{key: value for key, value in selectors.items() if value},
        }
        silent = True
        try:
            for kind, obj in _changes(transport, f"{resource.path(namespace)}?{urlencode(query)}", seconds):
                silent = False
                version = (obj.get("metadata") or {}).get("resourceVersion") or version
                if kind != "BOOKMARK":
                    yield Event(kind, ({"apiVersion": resource.api_version, "kind": resource.kind, **obj},))
                if clock() >= deadline:
                    return
        except _Expired:
            version = None
        except (OSError, http.client.HTTPException, ValueError):
            silent = True  # The connection broke, or its data was invalid.
        if silent:
            # Pause, because an immediate retry would loop while the server is unreachable.
            transport.sleep(min(_PAUSE_AFTER_BREAK, max(0.0, deadline - clock())))


def _changes(transport: Transport, path: str, seconds: float) -> t.Iterator[tuple[str, Object]]:
    connection, answer = transport.stream(path, timeout=seconds + _GRACE)
    try:
        if answer.status == 410:
            raise _Expired
        if answer.status in (429, 500, 502, 503, 504):
            raise http.client.HTTPException(f"busy: {answer.status}")
        if answer.status != 200:
            text = answer.read(300).decode(errors="replace")
            raise ApiError(f"Watching {path}: the API server answered {answer.status}: {text}", status=answer.status)
        while line := answer.readline():
            event = json.loads(line)
            obj = event.get("object") or {}
            if event.get("type") == "ERROR":
                if obj.get("code") in (410, 504):
                    raise _Expired
                raise http.client.HTTPException(str(obj.get("message")))
            yield str(event.get("type")), obj
    finally:
        connection.close()
