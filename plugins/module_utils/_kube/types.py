# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Types of the API client. PRIVATE to the collection."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field
from urllib.parse import quote

from ansible_collections.drystone.platform.plugins.module_utils._errors import Conflict

_MANAGER = re.compile(
    r'^conflicts? with "(?P<manager>[^"]*)"(?: with subresource "(?P<subresource>[^"]*)")?(?P<rest>.*)$'
)

Object = dict[str, t.Any]


@dataclass(frozen=True)
class Resource:
    """A kind that the server serves."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        """Group and version as in an object's apiVersion."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_kind(self) -> str:
        """The kind with its group, as in Deployment.apps."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """Return the URL path of one object or of the collection."""
        parts = ["/apis" if self.group else "/api", self.api_version]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name:
            parts.append(quote(name, safe=""))
        return "/".join(parts)

    def describe(self, namespace: str | None, name: str | None) -> str:
        """Return the object's name for messages, as in Deployment argocd/argocd-server."""
        where = f"{namespace}/{name}" if self.namespaced and namespace and name else name or namespace or ""
        return f"{self.kind} {where}".rstrip()


@dataclass(frozen=True)
class FieldConflict:
    """One field of an apply that another manager owns."""

    field: str
    manager: str
    subresource: str
    operation: str

    def as_dict(self) -> dict[str, str]:
        """Return the conflict as a dictionary."""
        return {name: getattr(self, name) for name in ("field", "manager", "subresource", "operation")}


@dataclass(frozen=True)
class Applied:
    """The result of a server-side apply or of its dry run."""

    object: Object
    created: bool


@dataclass
class ObjectList:
    """The objects of one list and its resource version."""

    items: list[Object] = field(default_factory=list)
    resource_version: str = ""


class ApplyConflict(Conflict):
    """The server refused a server-side apply; conflicts has one entry per field."""

    def __init__(self, what: str, conflicts: list[FieldConflict]) -> None:
        fields = "; ".join(f"{conflict.field} is owned by {conflict.manager}" for conflict in conflicts)
        msg = f"Applying {what}: other field managers own some of its fields: {fields}."
        super().__init__(msg, conflicts=[conflict.as_dict() for conflict in conflicts])
        self.conflicts = conflicts


def read_conflicts(status: t.Any) -> list[FieldConflict]:
    """Return the conflicts in the response to an apply; empty if there was another reason."""
    causes = ((status or {}).get("details") or {}).get("causes") or []
    return [
        _conflict(cause.get("field", ""), cause.get("message", ""))
        for cause in causes
        if cause.get("reason") == "FieldManagerConflict"
    ]


def _conflict(name: str, message: str) -> FieldConflict:
    """Parse the owner of a field. The server states the API version only for a manager that uses Update."""
    if match := _MANAGER.match(message):
        operation = "Update" if " using " in match["rest"] else "Apply"
        return FieldConflict(name, match["manager"], match["subresource"] or "", operation)
    return FieldConflict(name, message, "", "Apply")
