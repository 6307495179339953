# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure the time from a push to the content repository until every user gets it; see README.md."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "molecule"))

import drystone_testing  # noqa: E402  needs the sys.path that is set above
from git_content import PUBLISHED, WORKLOAD, Client, Content, Site  # noqa: E402  as above


class Watch:
    """Query the API server frequently on one connection."""

    def __init__(self, http: drystone_testing.Http) -> None:
        self.http = http

    def get(self, path: str) -> dict[str, Any]:
        """Read an object or list."""
        found: dict[str, Any] = self.http.session.get(f"{self.http.server}{path}", timeout=30).json()
        return found

    def push(self, commit: str, began: float) -> dict[str, float]:
        """Return the seconds from the push until each event is first seen."""
        marks: dict[str, float] = {}
        pods = f"/api/v1/namespaces/dev/pods?labelSelector=app.kubernetes.io/name={WORKLOAD}"
        deployment = f"/apis/apps/v1/namespaces/dev/deployments/{WORKLOAD}"
        known = {pod["metadata"]["uid"] for pod in self.get(pods)["items"]}
        while "replaced" not in marks:
            now = time.time() - began
            config = self.get(f"/api/v1/namespaces/dev/configmaps/{PUBLISHED}")
            if config.get("data", {}).get("commit") == commit:
                marks.setdefault("published", now)
            listed = self.get(pods)["items"]
            new = [pod for pod in listed if pod["metadata"]["uid"] not in known]
            if new:
                marks.setdefault("first new pod", now)
            if any(is_ready(pod) for pod in new):
                marks.setdefault("first new pod ready", now)
            found = self.get(deployment)
            wanted, status = found["spec"]["replicas"], found["status"]
            if (
                len([pod for pod in new if is_ready(pod)]) == wanted
                and status.get("updatedReplicas") == wanted == status["replicas"]
            ):
                marks["replaced"] = now
            if now > 180:
                sys.exit(f"commit {commit} did not reach everyone within 3 minutes: {marks}")
            time.sleep(0.05)
        return marks


def is_ready(pod: dict[str, Any]) -> bool:
    """Return whether a Pod is ready and not being deleted."""
    conditions = pod["status"].get("conditions", [])
    return (
        "deletionTimestamp" not in pod["metadata"]
        and {"type": "Ready", "status": "True"}.items()
        <= next((one for one in conditions if one["type"] == "Ready"), {}).items()
    )


def spread(values: list[float]) -> dict[str, float]:
    """Return p50, p95 and the maximum."""
    ordered = sorted(values)
    p95 = statistics.quantiles(ordered, n=20)[-1] if len(ordered) > 1 else ordered[0]
    return {
        "p50": round(statistics.median(ordered), 1),
        "p95": round(min(p95, ordered[-1]), 1),
        "max": round(ordered[-1], 1),
    }


def main() -> None:
    """Push, measure and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inventory", default=str(ROOT / "inventories/dev"))
    parser.add_argument("--pushes", type=int, default=10)
    options = parser.parse_args()
    drystone_testing.INVENTORY = Path(options.inventory).resolve()
    with tempfile.TemporaryDirectory(prefix="drystone-bench-") as made:
        folder = Path(made)
        asked = drystone_testing.Playbook("molecule/variables.yml", {"__variables_file": str(folder / "variables")})
        if asked.code:
            sys.exit(asked.output)
        names = json.loads((folder / "variables").read_text())
        variables = {name.removeprefix("drystone_"): value for name, value in names.items()}
        kubectl = drystone_testing.Kubectl(f"{variables['bin_dir']}/kubectl", variables["kubeconfig"])
        (folder / "http").mkdir()
        http = drystone_testing.Http(variables["kubeconfig"], folder / "http")
        url = variables["git_host_url"].replace("/platform.git", "/site-content.git")
        content = Content(drystone_testing.Git(variables, "operator_key"), url, folder)
        site, watch = Site(kubectl, http), Watch(http)
        client = Client(kubectl, variables["images"]["greeter"])
        pushes: list[dict[str, Any]] = []
        for number in range(options.pushes):
            commit = content.commit(f"benchmark {number} {os.urandom(4).hex()}")
            began = time.time()
            marks = watch.push(commit, began)
            pushes.append({"commit": commit, "began": began, "marks": marks})
            drystone_testing.wait_until(site.settled, timeout=60)
        told = client.stop()
    for before, push in itertools.pairwise([{"commit": next(iter(told["seen"]))}, *pushes]):
        first, _last, _count = told["seen"][push["commit"]]
        push["marks"]["first answer with it"] = first - push["began"]
        push["marks"]["last answer without it"] = told["seen"][before["commit"]][1] - push["began"]
    names = list(pushes[0]["marks"])
    figures = {name: spread([push["marks"][name] for push in pushes]) for name in names}
    trace = {name: round(value, 2) for name, value in sorted(pushes[-1]["marks"].items(), key=lambda one: one[1])}
    answers = {"requests": told["total"], "errors": told["errors"], "failed": told["failed"]}
    print(
        json.dumps({"pushes": len(pushes), **answers, "seconds after the push": figures, "last push": trace}, indent=2)
    )


if __name__ == "__main__":
    main()
