# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository on a server, for tests of code that reads it and pushes to it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from ansible_collections.drystone.platform.plugins.module_utils._git.remote import Git, Remote


class Server:
    """A repository on a server, to which others push as well."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / "platform.git"
        subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", self.path], check=True)
        self.remote = Remote(str(self.path))

    def git(self, *arguments: str, text: str | None = None) -> str:
        identity = {
            f"GIT_{who}_{what}": f"ada{'@example.com' if what == 'EMAIL' else ''}"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        env = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "PATH": os.environ["PATH"], **identity}
        command = ["git", f"--git-dir={self.path}", *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True, input=text, env=env)
        return done.stdout.strip()

    def commit(self, files: dict[str, str | None], message: str = "Change it", branch: str = "main") -> str:
        """Commit files as somebody else; None removes a file."""
        tip = subprocess.run(
            ["git", f"--git-dir={self.path}", "rev-parse", "--verify", "--quiet", branch],
            capture_output=True,
            text=True,
            check=False,
        ).stdout.strip()
        self.git("read-tree", tip or "--empty")
        for path, text in files.items():
            blob = "0" * 40 if text is None else self.git("hash-object", "-w", "--stdin", text=text)
            mode = "0" if text is None else "100644"
            self.git("update-index", "--index-info", text=f"{mode} {blob}\t{path}\n")
        parents = ["-p", tip] if tip else []
        commit = self.git("commit-tree", self.git("write-tree"), *parents, "-m", message)
        self.git("update-ref", f"refs/heads/{branch}", commit)
        return commit

    def head(self, branch: str = "main") -> str:
        return self.git("rev-parse", branch)

    def file(self, path: str, branch: str = "main") -> str:
        return self.git("show", f"{branch}:{path}")

    def clone(self, name: str = "clone") -> Git:
        (self.root / name).mkdir()
        return Git(self.remote, str(self.root / name))
