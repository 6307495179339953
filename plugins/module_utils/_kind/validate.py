# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change without notice.
"""Validate the description of a kind cluster, and report all errors together before anything is created."""

from __future__ import annotations

import os
import re
import typing as t

from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput
from ansible_collections.drystone.platform.plugins.module_utils._kind.spec import (
    API_SERVER_CONTAINER_PORT,
    CONTROL_PLANE,
    OWNER_MOUNT,
    TAINT_EFFECTS,
    WORKER,
    ClusterSpec,
    Mount,
    Node,
    Port,
    Prefetch,
    Taint,
)

_DNS_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS_SUBDOMAIN = re.compile(rf"{_DNS_LABEL}(\.{_DNS_LABEL})*\Z")
_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?\Z")
# The kubelet and the node controllers set these and restore them after a change.
_KUBELET_LABELS = (
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "node.kubernetes.io/instance-type",
)
_ALLOWED_RESERVED_PREFIXES = (
    "node-role.kubernetes.io",
    "node.kubernetes.io",
    "node-restriction.kubernetes.io",
    "kubelet.kubernetes.io",
)
_ALLOWED_RESERVED_LABELS = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")
_FORM = "letters, digits, '-', '_' or '.', with a letter or digit at the ends"
_CONTROL_PLANE_LABEL = "node-role.kubernetes.io/control-plane"


def name_problems(name: str) -> list[str]:
    """Return the problems of a cluster name."""
    longest = f"{name}-{CONTROL_PLANE}"
    problems = []
    if not _DNS_SUBDOMAIN.match(name):
        problems.append(
            f"name: {name!r} must be lower case letters, digits, '.' and '-', with a letter or digit at the ends"
        )
    if len(name) > 50 or len(longest) > 63:
        problems.append(f"name: {name!r} has {len(name)} characters; at most 49, as node {longest!r} may have 63")
    return problems


def key_problem(key: object) -> str | None:
    """Return why the key of a label or taint is not a qualified name, or an empty string."""
    if not isinstance(key, str):
        return f"key {key!r} is {type(key).__name__}, not a string: put it in quotes"
    prefix, slash, name = key.rpartition("/")
    if slash and (len(prefix) > 253 or not _DNS_SUBDOMAIN.match(prefix)):
        return f"key {key!r}: the prefix before '/' must be a DNS name of at most 253 characters"
    if len(name) > 63 or not _NAME.match(name):
        return f"key {key!r}: the name must be 1 to 63 {_FORM}"
    return None


def value_problem(value: object) -> str | None:
    """Return why the value of a label or taint is invalid, or an empty string."""
    if not isinstance(value, str):
        return f"value {value!r} is {type(value).__name__}, not a string: put it in quotes"
    if value and (len(value) > 63 or not _NAME.match(value)):
        return f"value {value!r} must be empty or 1 to 63 {_FORM}"
    return None


def _reserved_problem(key: str, role: str) -> str | None:
    prefix = key.rpartition("/")[0]
    if not f".{prefix}".endswith((".kubernetes.io", ".k8s.io")):
        return None
    if key in _KUBELET_LABELS:
        return f"key {key!r} is set by the kubelet, which would restore its own value"
    if key == _CONTROL_PLANE_LABEL and role != CONTROL_PLANE:
        return f"key {key!r} marks control planes, but this node is a {role}"
    allowed = key in _ALLOWED_RESERVED_LABELS or any(
        prefix == one or prefix.endswith("." + one) for one in _ALLOWED_RESERVED_PREFIXES
    )
    if allowed:
        return None
    return (
        f"key {key!r} has a prefix that is reserved by Kubernetes. Of these, only node-role.kubernetes.io/*, "
        "node.kubernetes.io/*, node-restriction.kubernetes.io/*, kubelet.kubernetes.io/* and "
        "topology.kubernetes.io/{zone,region} may be set. Use your own prefix"
    )


def _node_problems(node: t.Mapping[str, t.Any], where: str) -> t.Iterator[str]:
    for key, value in (node.get("labels") or {}).items():
        problem = key_problem(key) or _reserved_problem(key, node["role"])
        if problem:
            yield f"{where}.labels: {problem}"
        problem = value_problem(value)
        if problem:
            yield f"{where}.labels[{key}]: {problem}"
    seen: set[tuple[str, str]] = set()
    for number, taint in enumerate(node.get("taints") or []):
        here = f"{where}.taints[{number}]"
        problem = key_problem(taint["key"])
        if problem:
            yield f"{here}: {problem}"
        elif taint["key"].startswith(("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")):
            yield f"{here}: key {taint['key']!r} is set and removed by the node controller of Kubernetes"
        problem = value_problem(taint.get("value") or "")
        if problem:
            yield f"{here}: {problem}"
        if taint["effect"] not in TAINT_EFFECTS:
            yield f"{here}: effect {taint['effect']!r} must be one of {', '.join(TAINT_EFFECTS)}"
        identity = (taint["key"], taint["effect"])
        if identity in seen:
            yield f"{here}: {taint['key']}:{taint['effect']} is listed twice"
        seen.add(identity)


def _port_problems(params: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    taken: dict[int, str] = {params["api_port"]: "api_port"}
    inside: dict[tuple[int, str], str] = {(API_SERVER_CONTAINER_PORT, "TCP"): "the API server"}
    if not 1 <= params["api_port"] <= 65535:
        yield f"api_port: {params['api_port']} is not a port (1 to 65535)"
    for number, port in enumerate(params.get("port_mappings") or []):
        here = f"port_mappings[{number}]"
        for name in ("host_port", "container_port"):
            if not 1 <= port[name] <= 65535:
                yield f"{here}.{name}: {port[name]} is not a port (1 to 65535)"
        if port["host_port"] in taken:
            yield f"{here}.host_port: {port['host_port']} is also {taken[port['host_port']]}"
        taken.setdefault(port["host_port"], f"{here}.host_port")
        identity = (port["container_port"], port.get("protocol") or "TCP")
        if identity in inside:
            yield f"{here}.container_port: {port['container_port']} is also that of {inside[identity]}"
        inside.setdefault(identity, here)


def _path_problems(params: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    targets = {OWNER_MOUNT}
    for number, mount in enumerate(params.get("mounts") or []):
        for name in ("host_path", "container_path"):
            if not os.path.isabs(mount[name]):
                yield f"mounts[{number}].{name}: {mount[name]!r} is not an absolute path"
        target = os.path.normpath(mount["container_path"])
        if target in targets:
            yield f"mounts[{number}].container_path: {target} is used by another mount"
        targets.add(target)
        for path, content in (mount.get("files") or {}).items():
            here = f"mounts[{number}].files[{path}]"
            if (
                not isinstance(path, str)
                or os.path.isabs(path)
                or os.path.normpath(path) != path
                or path.split("/")[0] in (".", "..")
            ):
                yield f"{here}: the key must be a relative path in host_path, such as a/b.toml"
            if not isinstance(content, str):
                yield f"{here}: the content is {type(content).__name__}, not a string"


def _mount(given: t.Mapping[str, t.Any]) -> Mount:
    paths = os.path.normpath(given["host_path"]), os.path.normpath(given["container_path"])
    return Mount(*paths, read_only=bool(given.get("read_only")), files=tuple((given.get("files") or {}).items()))


def require_name(name: str) -> None:
    """Refuse an invalid name of a cluster."""
    problems = name_problems(name)
    if problems:
        raise InvalidInput(f"The name of the kind cluster is invalid, so nothing was changed. {'; '.join(problems)}")


def parse(params: t.Mapping[str, t.Any]) -> ClusterSpec:
    """Return the description as an object. Raise InvalidInput with all problems."""
    problems = name_problems(params["name"])
    given = params["nodes"]
    control_planes = sum(node["role"] == CONTROL_PLANE for node in given)
    if control_planes != 1:
        problems.append(f"nodes: exactly one control-plane is supported, but {control_planes} are described")
    nodes = []
    workers = 0
    for number, node in enumerate(given):
        suffix = node["role"]
        if node["role"] == WORKER:
            workers += 1
            suffix = WORKER if workers == 1 else f"{WORKER}{workers}"
        name = f"{params['name']}-{suffix}"
        problems += _node_problems(node, f"nodes[{number}] ({name})")
        taints = tuple(Taint(one["key"], one["effect"], one.get("value") or "") for one in node.get("taints") or [])
        nodes.append(Node(name, node["role"], dict(node.get("labels") or {}), taints))
    problems += _port_problems(params)
    problems += _path_problems(params)
    patches = params.get("kubeadm_config_patches") or []
    problems += [
        f"kubeadm_config_patches[{number}]: a patch without `kind` has no effect. Add one"
        for number, patch in enumerate(patches)
        if not patch.get("kind")
    ]
    if problems:
        raise InvalidInput(
            f"Kind cluster {params['name']!r} is described incorrectly, so nothing was changed. {'; '.join(problems)}",
            problems=problems,
        )
    return ClusterSpec(
        name=params["name"],
        image=params["image"],
        nodes=tuple(nodes),
        network=params["network"],
        api_port=params["api_port"],
        ports=tuple(
            Port(one["container_port"], one["host_port"], one.get("protocol") or "TCP")
            for one in params.get("port_mappings") or []
        ),
        mounts=tuple(map(_mount, params.get("mounts") or [])),
        kubeadm_config_patches=tuple(patches),
        containerd_config_patches=tuple(params.get("containerd_config_patches") or []),
        prefetch=tuple(
            Prefetch(one["reference"], one.get("nodes") or WORKER, one.get("labels") or {})
            for one in params.get("prefetch") or []
        ),
    )
