"""A new part is added to a copy of the collection, deployed and removed again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from drystone_testing import INVENTORY, Kubectl, run
from tests.parts import copy_with_another_part, remove_it_again

PART = "echo"
OTHERS = "guardrails,kube_prometheus_stack,argocd"
REMOVE = [
    {
        "hosts": "drystone",
        "gather_facts": False,
        "tasks": [{"ansible.builtin.include_role": {"name": f"drystone.platform.{PART}", "tasks_from": "absent"}}],
    }
]


class Copy:
    """A copy of the collection with the part echo, used with the inventory of the tests."""

    def __init__(self, folder: Path) -> None:
        self.root = copy_with_another_part(folder / "copy")
        (folder / "remove.yml").write_text(json.dumps(REMOVE))

    def play(self, playbook: str, *flags: str) -> str:
        environ = {**os.environ, "ANSIBLE_CONFIG": str(self.root / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        environ["ANSIBLE_COLLECTIONS_PATH"] = str(self.root / "collections")
        done = run("ansible-playbook", f"--inventory={INVENTORY}", playbook, *flags, timeout=600, env=environ)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def deploy(self, tags: str, *flags: str) -> str:
        return self.play(str(self.root / "playbooks/deploy_platform.yml"), f"--tags={tags}", *flags)


@pytest.fixture
def copy(tmp_path: Path, kubectl: Kubectl) -> Iterator[Copy]:
    made = Copy(tmp_path)
    yield made
    kubectl("delete", "namespace", "echo", "--ignore-not-found", "--wait=false")


def policies(kubectl: Kubectl) -> set[str]:
    return {one["metadata"]["name"] for one in kubectl.items("networkpolicies", "--namespace=echo")}


def scraped(kubectl: Kubectl) -> list[str]:
    monitor = kubectl.json("get", "servicemonitor", "platform", "--namespace=monitoring")
    found: list[str] = monitor["spec"]["namespaceSelector"]["matchNames"]
    return found


@pytest.mark.soak
def test_a_part_is_added_by_its_role_and_one_line_and_removed_again(
    copy: Copy, kubectl: Kubectl, tmp_path: Path
) -> None:
    copy.deploy(f"echo,{OTHERS}")
    assert kubectl.json("get", "deployment", "echo", "--namespace=echo")["status"]["readyReplicas"] == 1
    assert policies(kubectl) == {
        *("default-deny", "allow-to-dns", "allow-to-argocd", "allow-from-kube-prometheus-stack-metrics"),
    }
    assert "echo" in scraped(kubectl)
    for flags in ((), ("--check", "--diff")):
        assert "changed=0" in copy.deploy(f"echo,{OTHERS}", *flags)

    assert "changed=1" in copy.play(str(tmp_path / "remove.yml"), "--check")
    copy.play(str(tmp_path / "remove.yml"))
    assert kubectl.items("deployments", "--namespace=echo") == []
    remove_it_again(copy.root)
    copy.deploy(OTHERS)
    assert policies(kubectl) == set()
    assert "echo" not in scraped(kubectl)
    assert "changed=0" in copy.deploy(OTHERS)
