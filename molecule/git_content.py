"""Helpers for the tests and the benchmark of Git content: pushes, a continuous client, the state of the workload."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from drystone_testing import Clone, Git, Http, Kubectl

WORKLOAD = "site"
PUBLISHED = f"{WORKLOAD}-git-content"
PODS = f"--selector=app.kubernetes.io/name={WORKLOAD}"

# Sends requests at a constant rate, each on a new connection like many users, and prints all results when it ends.
CLIENT = """
import collections, http.client, json, signal, sys, threading, time
url, rate, workers = sys.argv[1], float(sys.argv[2]), 10
stopped, lock = threading.Event(), threading.Lock()
total, failed, seen = 0, [], collections.OrderedDict()
for name in (signal.SIGTERM, signal.SIGINT):
    signal.signal(name, lambda *_: stopped.set())
def ask(number):
    global total
    due = time.monotonic() + number / rate
    while not stopped.wait(max(0, due - time.monotonic())):
        due += workers / rate
        commit = ""
        try:
            connection = http.client.HTTPConnection(url, timeout=5)
            connection.request("GET", "/")
            answer = connection.getresponse()
            answer.read()
            problem = "" if answer.status == 200 else "status %d" % answer.status
            commit = answer.headers.get("Git-Commit", "")
            connection.close()
        except Exception as error:
            problem = repr(error)
        with lock:
            total += 1
            if problem:
                failed.append([time.time(), problem])
            else:
                first, _last, count = seen.get(commit, (time.time(), 0, 0))
                seen[commit] = (first, time.time(), count + 1)
threads = [threading.Thread(target=ask, args=(n,)) for n in range(workers)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(json.dumps({"total": total, "failed": failed[:20], "errors": len(failed), "seen": seen}))
"""


class Client:
    """A Pod that continuously sends requests to the workload."""

    def __init__(self, kubectl: Kubectl, image: str, namespace: str = "dev", rate: float = 50) -> None:
        self.kubectl = kubectl
        self.where = f"--namespace={namespace}"
        self.name = f"client-{int(time.time())}"
        security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsUser": 1001}
        pod = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "client",
                    "image": image,
                    "command": ["python3", "-c", CLIENT, f"{WORKLOAD}.{namespace}.svc:8080", str(rate)],
                    "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
                    "securityContext": security,
                }
            ],
        }
        metadata = {"name": self.name, "namespace": namespace}
        kubectl.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod})
        kubectl("wait", f"pod/{self.name}", self.where, "--for=condition=Ready", "--timeout=60s")

    def stop(self) -> dict[str, Any]:
        """Stop the client and return its results."""
        # The image contains Python, but not kill.
        self.kubectl("exec", self.name, self.where, "--", "python3", "-c", "import os; os.kill(1, 15)")
        self.kubectl(
            "wait", f"pod/{self.name}", self.where, "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s"
        )
        told: dict[str, Any] = json.loads(self.kubectl("logs", self.name, self.where))
        self.kubectl("delete", "pod", self.name, self.where, "--wait=false")
        return told


class Content(Clone):
    """A clone of the repository with the content, as a team uses it."""

    def __init__(self, git: Git, url: str, folder: Path) -> None:
        super().__init__(git, url, folder / "content")

    def commit(self, text: str, *, push: bool = True) -> str:
        """Change the page, and return the commit."""
        page = self.clone / "page.html"
        page.write_text(f"<p>{text}</p>\n")
        self("add", "--all")
        self("commit", "--quiet", f"--message={text}")
        if push:
            self("push", "--quiet", "origin", "HEAD:main")
        return self("rev-parse", "HEAD")


class Site:
    """The state of the workload in the cluster."""

    def __init__(self, kubectl: Kubectl, http: Http, namespace: str = "dev") -> None:
        self.kubectl, self.http, self.namespace = kubectl, http, namespace
        self.where = f"--namespace={namespace}"

    def config(self) -> dict[str, Any]:
        """The ConfigMap that contains the commit."""
        found: dict[str, Any] = self.kubectl.json("get", "configmap", PUBLISHED, self.where)
        return found

    def published(self) -> str:
        commit: str = self.config().get("data", {}).get("commit", "")
        return commit

    def pods(self) -> list[dict[str, Any]]:
        """Return the Pods that are neither terminating nor ended. An evicted Pod has ended."""
        return [
            pod
            for pod in self.kubectl.items("pods", self.where, PODS)
            if "deletionTimestamp" not in pod["metadata"] and pod["status"]["phase"] not in ("Failed", "Succeeded")
        ]

    def revisions(self) -> int:
        """The revision of the Deployment. It only increases, while old ReplicaSets are deleted."""
        found = self.kubectl.json("get", "deployment", WORKLOAD, self.where)
        return int(found["metadata"]["annotations"]["deployment.kubernetes.io/revision"])

    def settled(self, found: dict[str, Any] | None = None) -> bool:
        """Return whether all Pods of the Deployment have the same revision and are ready. Read it unless given."""
        found = found or self.kubectl.json("get", "deployment", WORKLOAD, self.where)
        status, wanted = found["status"], found["spec"]["replicas"]
        counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")]
        return status.get("observedGeneration") == found["metadata"]["generation"] and counts == [wanted] * 4

    def served(self) -> set[str]:
        """Return the commits in the response headers of the Pods."""
        names = [pod["metadata"]["name"] for pod in self.pods()]
        return {self.http.get(self.namespace, name, 8080, kind="pods").headers.get("Git-Commit", "") for name in names}

    def syncer(self) -> dict[str, Any]:
        """The Pod that publishes."""
        chosen = f"--selector=app.kubernetes.io/name={WORKLOAD}-git-syncer"
        living = self.kubectl.items("pods", self.where, chosen, "--field-selector=status.phase=Running")
        (pod,) = (pod for pod in living if "deletionTimestamp" not in pod["metadata"])
        return pod

    def metric(self, name: str) -> list[str]:
        """Return the lines of a metric of the publisher."""
        text = self.http.get(self.namespace, self.syncer()["metadata"]["name"], 8081, "/metrics", kind="pods").text
        return [line for line in text.splitlines() if line.startswith(name)]

    def settles(self, timeout: float = 60) -> bool:
        """Return whether the Deployment is settled within the timeout."""
        return self.kubectl.watch(self.settled, "deployment", WORKLOAD, self.where, timeout=timeout)

    def reaches(self, commit: str, timeout: float = 120) -> bool:
        """Return whether a commit is published, rolled out and served by all Pods within the timeout."""

        def published(config: dict[str, Any]) -> bool:
            return bool(config.get("data", {}).get("commit") == commit)

        def rolled_out(deployment: dict[str, Any]) -> bool:
            return self.settled(deployment) and self.served() == {commit}

        return self.kubectl.watch(
            published, "configmap", PUBLISHED, self.where, timeout=timeout
        ) and self.kubectl.watch(rolled_out, "deployment", WORKLOAD, self.where, timeout=timeout)
