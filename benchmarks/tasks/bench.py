# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure the cost of a task in a fork of Ansible and in a new Python process; see README.md."""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.unit.fake_api import FakeApi  # noqa: E402  needs the sys.path that is set above

# The values of drystone_fork_modules.
WAYS = {"fork": True, "new Python": False}
SETTINGS = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"colour": "blue"}}


def played(folder: Path, kubeconfig: str, way: str, tasks: int) -> tuple[float, float]:
    """Return the seconds and CPU seconds of a play with the given number of tasks."""
    arguments = {"kubeconfig": kubeconfig, "name": "demo", "namespace": "default", "objects": [SETTINGS]}
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "tasks": [{"drystone.platform.apply_set": arguments}] * tasks,
    }
    (folder / "play.yml").write_text(json.dumps([play]))
    given = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "drystone_fork_modules": WAYS[way],
    }
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "--inventory=localhost,"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    subprocess.run(
        [*command, f"--extra-vars={json.dumps(given)}", str(folder / "play.yml")],
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    seconds = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Run the rounds and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    api = FakeApi()
    api.start()
    try:
        with tempfile.TemporaryDirectory(prefix="drystone-bench-") as made:
            folder = Path(made)
            kubeconfig = api.kubeconfig(folder / "kubeconfig")
            api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})
            seen: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
            for _round in range(options.rounds):
                for way, found in seen.items():
                    one, many = (played(folder, kubeconfig, way, count) for count in (1, 1 + options.tasks))
                    found.append(((many[0] - one[0]) / options.tasks, (many[1] - one[1]) / options.tasks))
    finally:
        api.stop()
    medians = {
        way: {
            "seconds": statistics.median(wall for wall, _cpu in found),
            "cpu": statistics.median(cpu for _wall, cpu in found),
        }
        for way, found in seen.items()
    }
    fork, new = medians["fork"], medians["new Python"]
    shown = {way: {name: round(value, 3) for name, value in figures.items()} for way, figures in medians.items()}
    print(json.dumps({**shown, "ratio": {name: round(fork[name] / new[name], 2) for name in fork}}, indent=2))


if __name__ == "__main__":
    main()
