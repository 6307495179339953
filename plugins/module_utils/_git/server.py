# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""List the repositories of a Git server, and the folders of a repository. PRIVATE to the collection."""

from __future__ import annotations

import tempfile
import typing as t
from urllib.parse import urlsplit

from ansible_collections.drystone.platform.plugins.module_utils._command import TIMED_OUT, Result
from ansible_collections.drystone.platform.plugins.module_utils._errors import CommandFailed, InvalidInput
from ansible_collections.drystone.platform.plugins.module_utils._git.errors import RemoteUnavailable, failure
from ansible_collections.drystone.platform.plugins.module_utils._git.remote import Git, Remote

LIST = "list-repositories"
_OLDER = "Only Git commands are served here"


def repositories(remote: Remote, run: t.Callable[[list[str], float], Result]) -> list[str]:
    """Return the repositories of an in-cluster Git server. The URL is that of their directory."""
    parts = urlsplit(remote.url)
    doing = f"Listing the repositories of {remote.url}"
    if parts.scheme != "ssh" or not parts.hostname:
        raise InvalidInput(f"{doing}: the URL must have the scheme ssh://.")
    target = f"{parts.username}@{parts.hostname}" if parts.username else parts.hostname
    command = [*remote.ssh_command(), *(["-p", str(parts.port)] if parts.port else []), "--", target, LIST]

    def ask() -> str:
        done = run(command, remote.timeout)
        if done.rc == 0:
            return done.stdout
        if done.rc == TIMED_OUT:
            raise RemoteUnavailable(
                f"{doing}: ssh did not end within {remote.timeout} s. Check that the server can be reached."
            )
        if _OLDER in done.stderr:
            raise CommandFailed(
                f"{doing}: the server has an older version, which cannot list them. Run `make up` once to update "
                "the server.",
                rc=done.rc,
                stderr=done.stderr,
            )
        raise failure(doing, "over ssh", done.rc, done.stderr, remote)

    with tempfile.TemporaryDirectory(prefix="drystone-git-") as private:
        return sorted(Git(remote, private).patiently(ask).splitlines())


def folders(remote: Remote, path: str, depth: int) -> tuple[str | None, list[str]]:
    """Return the folders at a depth below a path of the branch, and its commit, or None without a branch."""
    with tempfile.TemporaryDirectory(prefix="drystone-git-") as private:
        git = Git(remote, private)
        commit = git.fetch(shallow=True)
        if commit is None:
            return None, []
        doing = f"Reading the folders of {path} in {remote.url}"
        listed = git.run("ls-tree", "-r", "-d", "-z", "--name-only", commit, "--", f"{path}/", doing=doing)
    # Skip the folders that lead to the path, which are listed first.
    below = [name.removeprefix(f"{path}/") for name in listed.split("\0") if name.startswith(f"{path}/")]
    return commit, sorted(name for name in below if name.count("/") == depth - 1)
