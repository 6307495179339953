# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Pod that tries connections from a namespace. PRIVATE to the collection."""

from __future__ import annotations

import json
import math

from ansible_collections.drystone.platform.plugins.module_utils._kube.labels import MANAGED_BY
from ansible_collections.drystone.platform.plugins.module_utils._kube.types import Object

LABELS = {"app.kubernetes.io/name": "policy-probe", MANAGED_BY[0]: MANAGED_BY[1]}
SELECTOR = ",".join(f"{key}={value}" for key, value in LABELS.items())
# The kubelet ends Pods of killed runs after this time; the next run removes them.
_SPARE = 60
# The additional grace period of a deleted Pod, beyond the settling time, in seconds.
_GRACE = 30


# Python is process 1 of the container, so it must handle SIGTERM, which is ignored otherwise.
WAIT = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
signal.sigwait([signal.SIGTERM])
"""

# Seconds until all nodes forward to a new endpoint of a Service. Until then they refuse connections.
_LATE = 10

# Runs in the Pod when it is deleted, with the standard library of Python only. A network plugin applies policies to a
# new Pod with a delay, so a forbidden connection may succeed until the settling time is over. Targets that may not be
# ready yet are tried for longer. A connection counts as blocked at once only if it timed out twice in a row: neither a
# single lost packet nor a refused connection proves a policy. All connections are tried in parallel.
SCRIPT = r"""
import json, os, socket, threading, time
targets, seen = json.loads(os.environ["TARGETS"]), {}
settle, late = float(os.environ["SETTLE"]), float(os.environ["LATE"])

def attempt(target):
    try:
        socket.create_connection((target["address"], target["port"]), timeout=1).close()
        return "reached"
    except TimeoutError:
        return "timeout"
    except ConnectionRefusedError:
        return "refused"
    except OSError as error:
        return "unreachable (%s)" % error.strerror

def probe(number, target):
    began, stopped, lost = time.monotonic(), 0, 0
    while True:
        answer = seen[number] = attempt(target)
        stopped = 0 if answer == "reached" else stopped + 1
        lost = lost + 1 if answer == "timeout" else 0
        if lost >= 2 if target["denied"] else answer == "reached":
            return
        if time.monotonic() >= began + (max(settle, late) if stopped else settle) and stopped != 1:
            return
        time.sleep(0.2)

threads = [threading.Thread(target=probe, args=each) for each in enumerate(targets)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
with open("/dev/termination-log", "w") as report:
    json.dump([seen[number] for number in range(len(targets))], report)
"""


def probe_pod(name: str, namespace: str, image: str, targets: list[Object], *, settle: float, longest: float) -> Object:
    """Return the Pod. It has no rights, complies with the restricted profile, and belongs to no Service.

    It waits for the given seconds and a short margin, and tries the targets when it is deleted.
    """
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(LABELS)},
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": math.ceil(longest) + _SPARE,
            "terminationGracePeriodSeconds": math.ceil(settle) + _GRACE,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "probe",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python3", "-c", WAIT],
                    "lifecycle": {"preStop": {"exec": {"command": ["python3", "-c", SCRIPT]}}},
                    "env": [
                        {"name": "TARGETS", "value": json.dumps(targets)},
                        {"name": "SETTLE", "value": str(settle)},
                        {"name": "LATE", "value": str(_LATE)},
                    ],
                    "resources": {
                        "requests": {"cpu": "10m", "memory": "32Mi"},
                        "limits": {"cpu": "250m", "memory": "64Mi"},
                    },
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }


def running(pod: Object) -> bool:
    """Return whether its container runs, so that a deletion makes it try the targets."""
    return "running" in _state(pod)


def finished(pod: Object) -> bool:
    """Return whether the Pod has ended."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed") or "terminated" in _state(pod)


def answers(pod: Object, count: int) -> list[str] | None:
    """Return the result for each target, or None if there are no results."""
    try:
        found = json.loads((_state(pod).get("terminated") or {}).get("message") or "")
    except ValueError:
        return None
    if not isinstance(found, list) or len(found) != count:
        return None
    return [str(one) for one in found]


def situation(pod: Object) -> str:
    """Describe the state of the Pod, for messages."""
    status = pod.get("status") or {}
    state = _state(pod)
    if ended := state.get("terminated"):
        text = f"ended with code {ended.get('exitCode')}: {ended.get('message') or ended.get('reason') or 'no message'}"
        return text.strip()
    if waiting := state.get("waiting"):
        return f"waits: {waiting.get('reason')} {waiting.get('message') or ''}".strip()
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") != "True":
            return f"is not scheduled: {condition.get('message') or condition.get('reason')}"
    return (
        f"is {status.get('phase') or 'not seen by a kubelet yet'}{' ' + status['reason'] if 'reason' in status else ''}"
    )


def _state(pod: Object) -> Object:
    statuses = (pod.get("status") or {}).get("containerStatuses") or [{}]
    state: Object = statuses[0].get("state") or {}
    return state
