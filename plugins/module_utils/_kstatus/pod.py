# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status of a pod, with the reason why it is not ready in one line. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from ansible_collections.drystone.platform.plugins.module_utils._kstatus.common import (
    Status,
    conditions_of,
    describe_condition,
    not_ready,
    ready,
)
from ansible_collections.drystone.platform.plugins.module_utils._kube.types import Object

# Reasons for which a container waits during a normal start. They never explain a problem.
_STARTING = frozenset({"PodInitializing", "ContainerCreating"})


def pod_status(obj: Object) -> Status:
    """Return ready if the pod is Ready or completed. A failed pod never becomes ready again."""
    phase = (obj.get("status") or {}).get("phase")
    if phase == "Succeeded":
        return ready("completed")
    if phase == "Failed":
        return not_ready(pod_trouble(obj), terminal=True)
    if phase == "Running" and conditions_of(obj).get("Ready", {}).get("status") == "True":
        return ready("Ready")
    return not_ready(pod_trouble(obj))


def pod_trouble(obj: Object) -> str:
    """Return why a pod is not ready: scheduling first, then containers in their start order, then conditions."""
    status = obj.get("status") or {}
    conditions = conditions_of(obj)
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return f"{scheduled.get('reason') or 'Unschedulable'}: {scheduled.get('message') or 'no node accepts the pod'}"
    if status.get("phase") == "Failed" and status.get("reason"):
        return f"{status['reason']}: {status.get('message') or 'the pod failed'}"
    found = _container_trouble(obj)
    if found:
        return found
    if conditions.get("Ready", {}).get("status") == "False":
        return describe_condition(conditions["Ready"])
    return f"phase is {status.get('phase') or 'not set'}"


def _container_trouble(obj: Object) -> str:
    status, spec = obj.get("status") or {}, obj.get("spec") or {}
    sidecars = {c.get("name") for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"}
    starting = ""
    for field, word in (("initContainerStatuses", "init container"), ("containerStatuses", "container")):
        for container in status.get(field) or []:
            done_at_zero = field.startswith("init") and container.get("name") not in sidecars
            text, is_start = _container_line(container, word, done_at_zero)
            if text and not is_start:
                return text
            starting = starting or text
    return starting


def _container_line(container: Mapping[str, t.Any], word: str, runs_to_end: bool) -> tuple[str, bool]:
    """Describe the problem of one container ('' if there is none), and return whether it is only starting."""
    name = f"{word} {container.get('name')}"
    state = container.get("state") or {}
    running, ended = state.get("running") is not None, state.get("terminated")
    if not running and ended is None:
        # A container without a state is waiting as well.
        waiting = state.get("waiting") or {}
        reason = waiting.get("reason") or "not started yet"
        text = f"{name} is waiting: {reason}"
        if "Image" in reason or reason == "RegistryUnavailable":
            text += f" (image {container.get('image')})"
        # The message of a crash loop only contains the length of the next pause. The last exit is more useful.
        if waiting.get("message") and reason != "CrashLoopBackOff":
            text += f": {waiting['message']}"
        return text + _last_exit(container), not waiting.get("reason") or reason in _STARTING
    if ended is not None:
        code = ended.get("exitCode", 0)
        if code == 0 and runs_to_end:
            return "", False
        message = f": {_last_line(ended['message'])}" if ended.get("message") else ""
        return f"{name} exited with code {code} ({ended.get('reason') or 'no reason'}){message}", False
    if runs_to_end and running:
        return f"{name} is running{_last_exit(container)}", False
    if container.get("started") is False:
        return f"{name} runs, but its startup probe has not succeeded yet{_last_exit(container)}", False
    if not runs_to_end and not container.get("ready"):
        return f"{name} runs, but is not ready{_last_exit(container)}", False
    return "", False


def _last_exit(container: Mapping[str, t.Any]) -> str:
    restarts = container.get("restartCount") or 0
    ended = (container.get("lastState") or {}).get("terminated")
    if not restarts and not ended:
        return ""
    text = f"; restarted {restarts} times"
    if ended:
        text += f", last exit code {ended.get('exitCode')} ({ended.get('reason') or 'no reason'})"
        if ended.get("message"):
            text += f": {_last_line(ended['message'])}"
    return text


def _last_line(message: str) -> str:
    """Return the last line of a termination message: it can be 4 KB of log, and the error is at its end."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[-1][-300:] if lines else ""
