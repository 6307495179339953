# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Choose the commit of a release, and compare it with the current one. PRIVATE to the collection."""

from __future__ import annotations

import difflib
import re
import typing as t
from dataclasses import dataclass

from ansible_collections.drystone.platform.plugins.module_utils._command import NOT_FOUND
from ansible_collections.drystone.platform.plugins.module_utils._errors import DrystoneError, InvalidInput
from ansible_collections.drystone.platform.plugins.module_utils._release.impact import CLASSES, Change, compare
from ansible_collections.drystone.platform.plugins.module_utils._release.pins import Target, read

if t.TYPE_CHECKING:
    from ansible_collections.drystone.platform.plugins.module_utils._git.remote import Git
    from ansible_collections.drystone.platform.plugins.module_utils._kube.types import Object
    from ansible_collections.drystone.platform.plugins.module_utils._release.render import Renderer

_HASH = re.compile(r"[0-9a-f]{7,40}")
# The number of commits in which a version is searched
_SEARCHED = 100


@dataclass(frozen=True)
class Plan:
    """The chosen commit, the current release ("" if the workload follows the branch), the changes and the images."""

    revision: str
    current: str
    changes: list[Change]
    images: list[str]

    def facts(self) -> dict[str, t.Any]:
        """Return the plan as the result of a module."""
        found = {name for change in self.changes for name in change.impacts}
        return {
            "revision": self.revision,
            "current": self.current,
            "changes": [change.facts() for change in self.changes],
            "impacts": [name for name in CLASSES if name in found],
            "images": self.images,
            "diff_text": "".join(_unified(change) for change in self.changes),
        }


def _unified(change: Change) -> str:
    diff = change.diff
    lines = (diff["before"].splitlines(keepends=True), diff["after"].splitlines(keepends=True))
    title = f"{change.kind} {change.name}"
    return "".join(difflib.unified_diff(*lines, fromfile=title, tofile=title, n=2))


def plan(
    git: Git,
    renderer: Renderer,
    target: Target,
    *,
    revision: str | None,
    version: str | None,
    same_images_as: str | None = None,
) -> Plan:
    """Compare a commit with the current release of a target. By default the commit is the head of the branch.

    same_images_as is an environment that must have the same tags of the images at this commit.
    """
    where = f"{git.remote.url} ({git.remote.branch})"
    head = git.fetch()
    if head is None:
        raise InvalidInput(f"Planning a release of {target}: {where} is empty. Run `make up`, or push a first commit.")
    if version:
        chosen = _with_version(git, renderer, target, head, version)
    else:
        chosen = _resolve(git, target, head, revision) if revision else head
    current = read(git, head).get(target, "")
    wanted = renderer.render(target, chosen)
    if same_images_as:
        source = Target(same_images_as, target.workload)
        _require_same_images(target, source, images_of(wanted), images_of(renderer.render(source, chosen)))
    before = _current(git, renderer, target, current or head)
    return Plan(chosen, current, compare(before, wanted), images_of(wanted))


def _require_same_images(target: Target, source: Target, images: list[str], wanted: list[str]) -> None:
    """Raise an error if both environments use different tags of an image."""
    for name in sorted({_named(image) for image in images} & {_named(image) for image in wanted}):
        here, there = ([image for image in one if _named(image) == name] for one in (images, wanted))
        if here != there:
            raise InvalidInput(
                f"Planning a release of {target}: {source.environment} has {', '.join(there)}, but the files of "
                f"{target.environment} say {', '.join(here)}, so this commit would not bring the version. Set the "
                f"version in {target.folder} too, or in deploy/workloads/{target.workload} for every environment."
            )


def _named(image: str) -> str:
    """Return an image without its tag and digest. The colon of a port is followed by a slash."""
    return re.sub(r":[^:/]+$", "", image.partition("@")[0])


def _current(git: Git, renderer: Renderer, target: Target, commit: str) -> list[Object]:
    """Render the current release. A workload that the environment does not have yet has no objects."""
    doing = f"Reading {target.folder} of commit {commit[:12]}"
    if not git.run("ls-tree", commit, "--", target.folder, doing=doing):
        return []
    return renderer.render(target, commit)


def _resolve(git: Git, target: Target, head: str, revision: str) -> str:
    doing = f"Looking for commit {revision}"
    if not _HASH.fullmatch(revision):
        raise InvalidInput(
            f"Planning a release of {target}: {revision!r} is not a commit. Give its hash, at least seven characters."
        )
    found = git.run("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", doing=doing, accept=(0, 1, 128))
    if not found or git.run("merge-base", found, head, doing=doing, accept=(0, 1)) != found:
        raise InvalidInput(
            f"Planning a release of {target}: commit {revision} is not in the history of {git.remote.url} "
            f"({git.remote.branch}). Choose one of its commits: git log --oneline {git.remote.branch}"
        )
    return found


def _with_version(git: Git, renderer: Renderer, target: Target, head: str, version: str) -> str:
    """Return the newest commit in which the workload has an image with this tag."""
    doing = f"Looking for version {version} of {target}"
    listed = git.run("rev-list", f"--max-count={_SEARCHED}", "--first-parent", head, "--", "deploy", doing=doing)
    seen: list[str] = []
    for commit in listed.split():
        try:
            images = images_of(renderer.render(target, commit))
        except DrystoneError as error:
            if error.facts.get("rc") == NOT_FOUND:
                raise
            # A commit that cannot be rendered has no version.
            continue
        if any(image.partition("@")[0].endswith(f":{version}") for image in images):
            return commit
        seen += [image for image in images if image not in seen]
    raise InvalidInput(
        f"Planning a release of {target}: none of the last {_SEARCHED} commits of deploy/ has an image with the tag "
        f"{version}. Seen: {', '.join(seen) or 'no image'}."
    )


def images_of(objects: t.Iterable[Object]) -> list[str]:
    """Return the images of all containers, sorted."""
    found = set()
    for obj in objects:
        template = (obj.get("spec") or {}).get("template") or {}
        pod = template.get("spec") or {} if isinstance(template, dict) else {}
        for container in [*(pod.get("initContainers") or []), *(pod.get("containers") or [])]:
            found.add(str(container.get("image")))
    return sorted(found)
