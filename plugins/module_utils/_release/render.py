# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Render a workload of an environment at any commit, like Argo CD does. PRIVATE to the collection."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.drystone.platform.plugins.module_utils._command import require, run
from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput
from ansible_collections.drystone.platform.plugins.module_utils._kube.manifests import gather

if t.TYPE_CHECKING:
    from ansible_collections.drystone.platform.plugins.module_utils._git.remote import Git
    from ansible_collections.drystone.platform.plugins.module_utils._kube.types import Object
    from ansible_collections.drystone.platform.plugins.module_utils._release.pins import Target

_CONTENT = "deploy/"
_TIMEOUT = 60.0


class Renderer:
    """Renders workloads from the commits of a repository in a temporary directory."""

    def __init__(self, git: Git, directory: str, *, kustomize: str, helm: str, kube_version: str) -> None:
        self._git = git
        self._directory = directory
        self._kustomize = kustomize
        self._helm = helm
        self._kube_version = kube_version

    def render(self, target: Target, commit: str) -> list[Object]:
        """Return the objects of a workload at a commit. Raise InvalidInput if the commit does not have the workload."""
        root = self._checkout(commit)
        folder = os.path.join(root, target.folder)
        if not os.path.isdir(folder):
            raise InvalidInput(
                f"Rendering {target} at commit {commit[:12]}: this commit has no folder {target.folder}. Choose a "
                "commit that has it."
            )
        doing = f"Rendering {target} at commit {commit[:12]}"
        chart = os.path.join(root, "deploy/workloads", target.workload, "chart")
        if os.path.isdir(chart):
            command = [self._helm, "template", target.workload, chart, f"--namespace={target.environment}"]
            command += [f"--values={folder}/values.yaml", f"--kube-version={self._kube_version}"]
        else:
            command = [self._kustomize, "build", folder]
        # Helm must not read the repositories and plugins of the user.
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("HELM_", "KUBE"))}
        own = {f"HELM_{what}_HOME": os.path.join(self._directory, what) for what in ("CACHE", "CONFIG", "DATA")}
        done = run(command, _TIMEOUT, env={**kept, **own})
        text = require(done, command, doing=doing, if_missing="Run `make up`, which provides it.")
        return gather([], [text])

    def _checkout(self, commit: str) -> str:
        """Write deploy/ of a commit to a directory, once."""
        root = os.path.join(self._directory, commit)
        if not os.path.isdir(root):
            doing = f"Reading {_CONTENT} of commit {commit[:12]}"
            os.mkdir(root)
            index = f"index.{commit}"
            self._git.run("read-tree", commit, doing=doing, index=index, work_tree=root)
            paths = self._git.run("ls-files", "-z", "--", _CONTENT, doing=doing, index=index, work_tree=root)
            self._git.run(
                "checkout-index", "-z", "--stdin", "--quiet", doing=doing, index=index, work_tree=root, text=paths
            )
        return root
