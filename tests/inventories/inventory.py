"""An inventory and the commands that an operator runs on it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted(path.name for path in (ROOT / "inventories").iterdir())
FOREIGN = "foreign"


class Inventory:
    """One inventory, and the commands that an operator runs on it."""

    def __init__(self, name: str, path: Path, env: dict[str, str], logs: Path) -> None:
        self.name, self.path, self.env, self.logs = name, path, env, logs
        self.variables: dict[str, Any] = yaml.safe_load((path / "group_vars/all/main.yml").read_text())
        self.cluster: str = self.variables["drystone_cluster_name"]
        own = path / "deploy"
        self.deploy = own if own.exists() else ROOT / "deploy"

    def start(self, playbook: str, *flags: str) -> Run:
        """Start a playbook and return while it runs."""
        return Run(self, playbook, *flags)

    def run(self, playbook: str, *flags: str) -> str:
        """Run a playbook, check that it succeeds, and return its output."""
        return self.start(playbook, *flags).ends_well()

    def told(self) -> dict[str, str]:
        """Return the variables of a shell that evaluates the output of `make env`, as the README describes."""
        lines = subprocess.run(
            ["scripts/env.sh", str(self.path)], cwd=ROOT, env=self.env, check=True, capture_output=True, text=True
        ).stdout
        program = f"{lines}\nexec env --null"
        shown = subprocess.run(["bash", "-c", program], env=self.env, check=True, capture_output=True, text=True).stdout
        return dict(entry.split("=", 1) for entry in shown.split("\0") if entry)

    def kubectl(self, *arguments: str) -> Any:
        """Return the output of kubectl with the environment of `make env`."""
        shown = subprocess.run(
            ["kubectl", *arguments, "--output=json"], env=self.told(), check=True, capture_output=True, text=True
        )
        return json.loads(shown.stdout)

    def containers(self) -> list[str]:
        """Return the containers of this inventory's cluster, including the registry."""
        return docker("ps", "--all", "--format={{.Names}}", f"--filter=name=^{self.cluster}-")

    def left(self) -> list[str]:
        """Return the remaining containers, network and state directory of the cluster."""
        networks = docker("network", "ls", "--format={{.Name}}", f"--filter=label=drystone.dev/cluster={self.cluster}")
        state = Path(self.env["XDG_STATE_HOME"]) / "drystone" / self.cluster
        return self.containers() + networks + ([str(state)] if state.exists() else [])


def docker(*arguments: str) -> list[str]:
    """Return the words in the output of a docker command."""
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.split()


class Run:
    """A running playbook."""

    def __init__(self, inventory: Inventory, playbook: str, *flags: str) -> None:
        self.what = f"{playbook} on inventory {inventory.name}"
        self.log = inventory.logs / f"{inventory.name}-{Path(playbook).stem}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                ["ansible-playbook", f"--inventory={inventory.path}", playbook, *flags],
                cwd=ROOT,
                env=inventory.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def output(self) -> str:
        """Wait for its end, and return its output."""
        self.process.wait(timeout=1200)
        return self.log.read_text()

    def ends_well(self) -> str:
        """Wait for its end, check that it succeeded, and return its output."""
        output = self.output()
        assert self.process.returncode == 0, f"{self.what} ended with {self.process.returncode}:\n{output[-6000:]}"
        return output
