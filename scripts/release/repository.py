# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read and write the Git repository: commits, tags and branches. Nothing changes the files or refs of the checkout."""

from __future__ import annotations

import base64
import functools
import tempfile
import typing as t
from pathlib import Path

from .plan import TAG_PREFIX, TRAILER, Commit, Version
from .programs import ReleaseError, Runner

MAIN = "main"
_AUTHOR = "Drystone release"
_EMAIL = "release@drystone.invalid"


def authorization(token: str) -> str:
    """Return the header with which GitHub accepts a token for Git."""
    return "Authorization: Basic " + base64.b64encode(f"x-access-token:{token}".encode()).decode()


class Repository:
    """A checkout and its remote. The token is only for a remote with an HTTP address."""

    def __init__(self, run: Runner, remote: str, token: str | None = None) -> None:
        self._run = run
        self.remote = remote
        # Git reads this configuration from the environment, which other users cannot see, unlike arguments.
        self._environment = {"GIT_TERMINAL_PROMPT": "0"}
        address = self.remote_url()
        if token and address.startswith(("http://", "https://")):
            self._environment |= {
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": f"http.{address}.extraHeader",
                "GIT_CONFIG_VALUE_0": authorization(token),
            }

    def _git(
        self, purpose: str, *arguments: str, given: str = "", environment: t.Mapping[str, str] | None = None
    ) -> str:
        return self._run(
            purpose, "git", *arguments, given=given, environment={**self._environment, **(environment or {})}
        )

    def remote_url(self) -> str:
        """Return the address of the remote, which is the remote itself if it has no name."""
        code, output, _ = self._run.attempt("git", "remote", "get-url", self.remote)
        return output.strip() if code == 0 else self.remote

    @functools.cached_property
    def head(self) -> str:
        """The commit of the checkout."""
        return self._git("read the commit of the checkout", "rev-parse", "HEAD").strip()

    def date(self, form: str) -> str:
        """Return when the commit of the checkout was made, in UTC."""
        return self._git(
            "read the date of the commit", "log", "-1", f"--date=format-local:{form}", "--format=%cd",
            environment={"TZ": "UTC"},
        ).strip()  # fmt: skip

    def paths(self) -> list[str]:
        """Return the files of the commit."""
        return self._git("list the files of the commit", "ls-tree", "-r", "-z", "--name-only", "HEAD").split("\0")

    def read(self, path: str) -> str:
        """Return the content of a file of the commit."""
        return self._git(f"read {path}", "show", f"HEAD:{path}")

    def require_history(self) -> None:
        """Refuse a shallow clone: the version follows from the history."""
        if self._git("examine the clone", "rev-parse", "--is-shallow-repository").strip() == "true":
            raise ReleaseError(
                "Cannot decide the next version: the clone is shallow, so commits are missing. "
                "Run: git fetch --unshallow"
            )

    def require_released_branch(self) -> None:
        """Refuse a checkout that is not the main branch, has changes, or is not pushed."""
        branch = self._run.attempt("git", "symbolic-ref", "--quiet", "--short", "HEAD")[1].strip()
        if branch != MAIN:
            at = f"the branch {branch}" if branch else "a detached commit"
            raise ReleaseError(
                f"Cannot release: the checkout is at {at}, and only {MAIN} is released. Use make "
                f"release-dry-run to see what a release would do, or run: git switch {MAIN}"
            )
        changed = self._git("examine the checkout", "status", "--porcelain").splitlines()
        if changed:
            shown = "\n".join(changed[:10])
            raise ReleaseError(
                f"Cannot release: the checkout has changes, so the image would differ from the commit:\n{shown}"
            )
        pushed = self.branch(MAIN)
        if not pushed:
            raise ReleaseError(f"Cannot release: {self.remote} has no branch {MAIN}. Push it first.")
        if pushed != self.head:
            self._git(f"fetch {MAIN}", "fetch", "--quiet", "--no-tags", self.remote, MAIN)
            if not self.contains(pushed, self.head):
                raise ReleaseError(
                    f"Cannot release: commit {self.head[:12]} is not in {MAIN} of {self.remote}. Push it first."
                )

    def contains(self, commit: str, ancestor: str) -> bool:
        """Say whether a commit has the ancestor. A commit that the clone does not have has none."""
        return self._run.attempt("git", "merge-base", "--is-ancestor", ancestor, commit)[0] == 0

    def commits(self, last: str | None, paths: t.Sequence[str]) -> list[Commit]:
        """Return the commits since the last one that change the paths, the newest first."""
        form = f"--format=%H%x00%s%x00%(trailers:key={TRAILER},valueonly,separator=%x2C)%x00"
        found = self._git(
            "read the commits", "log", "--no-merges", form, f"{last}..HEAD" if last else "HEAD", "--", *paths
        )
        fields = found.replace("\0\n", "\0").split("\0")[:-1]
        return [Commit(*fields[index : index + 3]) for index in range(0, len(fields), 3)]

    def versions(self) -> dict[Version, str]:
        """Return the released versions and their commits, which are the tags of the remote."""
        listed = self._git(
            f"list the tags of {self.remote}", "ls-remote", "--tags", self.remote, f"refs/tags/{TAG_PREFIX}*"
        )
        versions = {}
        # The second line of an annotated tag, with ^{}, names its commit.
        for line in sorted(listed.splitlines(), key=lambda line: line.split("\t")[1]):
            commit, name = line.split("\t")
            version = Version.parse(name.removeprefix(f"refs/tags/{TAG_PREFIX}").removesuffix("^{}"))
            if version:
                versions[version] = commit
        return versions

    def branch(self, name: str) -> str:
        """Return the commit of a branch of the remote, or an empty text."""
        listed = self._git(
            f"read the branch {name} of {self.remote}", "ls-remote", "--heads", self.remote, f"refs/heads/{name}"
        )
        return listed.split("\t")[0]

    def push_tag(self, version: Version, changes: str) -> None:
        """Create an annotated tag of the commit in the remote. Two runs can never both create it."""
        text = (
            f"object {self.head}\ntype commit\ntag {version.tag}\n"
            f"tagger {_AUTHOR} <{_EMAIL}> {self.date('%s')} +0000\n\nhello {version}\n\n{changes}"
        )
        tag = self._git(f"create the tag {version.tag}", "mktag", given=text).strip()
        self._git(
            f"push the tag {version.tag} to {self.remote}",
            "push",
            "--quiet",
            self.remote,
            f"{tag}:refs/tags/{version.tag}",
        )

    def commit(self, content: t.Mapping[str, str], message: str) -> str:
        """Create a commit on top of the checkout's. The same content always results in the same commit."""
        moment = f"{self.date('%s')} +0000"
        with tempfile.TemporaryDirectory() as directory:
            index = {"GIT_INDEX_FILE": str(Path(directory) / "index")}
            self._git("read the files of the commit", "read-tree", "HEAD", environment=index)
            for path, text in content.items():
                blob = self._git(f"store {path}", "hash-object", "-w", "--stdin", given=text).strip()
                self._git(
                    f"change {path}", "update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", environment=index
                )
            tree = self._git("store the changed files", "write-tree", environment=index).strip()
        who = {
            f"GIT_{role}_{field}": value
            for role in ("AUTHOR", "COMMITTER")
            for field, value in (("NAME", _AUTHOR), ("EMAIL", _EMAIL), ("DATE", moment))
        }
        return self._git(
            "commit the new version", "commit-tree", "-p", "HEAD", tree, given=message, environment=who
        ).strip()

    def difference(self, commit: str) -> str:
        """Return what a commit changes."""
        return self._git("compare the commits", "diff", "--no-color", "HEAD", commit)

    def push_branch(self, name: str, commit: str) -> bool:
        """Create a branch of the remote. Say whether it has the commit: one with other commits is left as it is."""
        present = self.branch(name)
        if not present:
            self._git(
                f"push the branch {name} to {self.remote}",
                "push",
                "--quiet",
                self.remote,
                f"{commit}:refs/heads/{name}",
            )
        return present in ("", commit)
