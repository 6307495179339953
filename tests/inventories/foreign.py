# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write an inventory like that of a user, with its own deploy/: python tests/inventories/foreign.py DIRECTORY.

Everything differs from the shipped inventories: cluster name, ports, five nodes, the namespaces of Argo CD and
Prometheus, the parts, and the environments. None of them is dev, and one has no greeter.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORKLOADS = {"qa": ["greeter", "site"], "preview": ["site"]}
HOSTS = """\
---
drystone:
  hosts:
    localhost:
      ansible_connection: local
      ansible_python_interpreter: "{{ ansible_playbook_python }}"
"""
VARIABLES = """\
---
drystone_cluster_name: acme-platform
drystone_port_offset: 1400
drystone_environments:
  - qa
  - preview
git_server_source: "{{ inventory_dir }}/deploy"

argocd_namespace: gitops
kube_prometheus_stack_namespace: observability
drystone_parts:
  - guardrails
  - git_server
  - argocd
  - kube_prometheus_stack
  - git_sync
  - workloads
  - metrics_server
  - reloader

git_sync_workloads:
  - name: site
    namespace: qa
    repository: site-content
  - name: site
    namespace: preview
    repository: site-content

kind_cluster_nodes:
  - role: control-plane
  - role: worker
    labels:
      node-role.kubernetes.io/worker: ""
      drystone.dev/pool: apps
      topology.kubernetes.io/zone: a
  - role: worker
    labels:
      node-role.kubernetes.io/worker: ""
      drystone.dev/pool: apps
      topology.kubernetes.io/zone: b
  - role: worker
    labels:
      node-role.kubernetes.io/worker: ""
      drystone.dev/pool: platform
    taints:
      - key: drystone.dev/pool
        value: platform
        effect: PreferNoSchedule
  - role: worker
    labels:
      example.com/reserved-for: builds
    taints:
      - key: example.com/reserved-for
        value: builds
        effect: NoSchedule
"""


def make(folder: Path) -> None:
    """Write the inventory and its deploy/ to an empty directory."""
    (folder / "group_vars/all").mkdir(parents=True)
    (folder / "hosts.yml").write_text(HOSTS)
    (folder / "group_vars/all/main.yml").write_text(VARIABLES)
    for part in ("components", *(f"workloads/{name}" for names in WORKLOADS.values() for name in names)):
        shutil.copytree(ROOT / "deploy" / part, folder / "deploy" / part, dirs_exist_ok=True)
    for environment, names in WORKLOADS.items():
        for name in names:
            target = folder / "deploy/environments" / environment / name
            target.mkdir(parents=True)
            text = (ROOT / "deploy/environments/dev" / name / "kustomization.yaml").read_text()
            (target / "kustomization.yaml").write_text(text.replace("namespace: dev\n", f"namespace: {environment}\n"))


if __name__ == "__main__":
    make(Path(sys.argv[1]))
