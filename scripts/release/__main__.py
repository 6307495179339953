# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Release hello: a version, a tag, the image, a GitHub release, and a pull request that deploys the version.

Every step first looks whether it is done, so a release that failed can be repeated. docs/release.md explains the rules.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import typing as t
from dataclasses import dataclass
from pathlib import Path

from . import places
from .github import GitHub
from .image import Images
from .plan import Commit, Version, next_version, notes
from .programs import ReleaseError, Runner
from .repository import MAIN, Repository, authorization

_REGISTRY = re.compile(r"[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)*")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Settings:
    """The secrets of the repository, and what GitHub Actions tell about it."""

    registry: str
    user: str
    password: str
    token: str
    repository: str
    api: str

    @classmethod
    def read(cls, environment: t.Mapping[str, str]) -> Settings:
        """Read the environment. Name all variables that are missing or invalid, but never a value."""
        names = ("DOCKER_REGISTRY", "DOCKER_USER", "DOCKER_PASS", "CI_GITHUB_TOKEN", "GITHUB_REPOSITORY")
        values = {name: environment.get(name, "") for name in names}
        problems = [f"{name} is not set" for name in names if not values[name]]
        problems += [
            f"{name} must be one line without spaces"
            for name in names
            if values[name] and re.search(r"\s", values[name]) and name != "DOCKER_PASS"
        ]
        if len(values["DOCKER_PASS"].splitlines()) > 1:
            problems.append("DOCKER_PASS must be one line")
        if values["DOCKER_REGISTRY"] and not _REGISTRY.fullmatch(values["DOCKER_REGISTRY"]):
            problems.append("DOCKER_REGISTRY must be a host and a path without https://, such as docker.io/acme")
        if values["GITHUB_REPOSITORY"] and not _REPOSITORY.fullmatch(values["GITHUB_REPOSITORY"]):
            problems.append("GITHUB_REPOSITORY must be OWNER/NAME")
        if problems:
            raise ReleaseError(
                f"Cannot release: {'; '.join(problems)}. Set the secrets of the repository as docs/release.md says."
            )
        api = environment.get("GITHUB_API_URL") or "https://api.github.com"
        registry, user, password, token, repository = values.values()
        return cls(registry, user, password, token, repository, api)


@dataclass(frozen=True)
class Plan:
    """What to release from the commit of the checkout."""

    version: Version
    last: Version | None
    commits: list[Commit]
    tagged: bool
    newest: bool

    @property
    def changes(self) -> str:
        """The list of changes."""
        return notes(self.commits)


def make_plan(repository: Repository) -> Plan | None:
    """Decide what to release, or that there is nothing to release."""
    repository.require_history()
    head = repository.head
    versions = repository.versions()
    tagged = max((version for version, commit in versions.items() if commit == head), default=None)
    earlier = [version for version in versions if tagged is None or version < tagged]
    last = max(earlier, default=None)
    if last and not repository.contains(head, versions[last]):
        if repository.contains(versions[last], head):
            return None
        raise ReleaseError(
            f"Cannot decide the next version: the tag {last.tag} of {repository.remote} is at commit "
            f"{versions[last][:12]}, which is not in the history of {head[:12]}. Fetch it, or remove the tag if it is "
            "wrong."
        )
    commits = repository.commits(versions[last] if last else None, places.IMAGE)
    if tagged:
        return Plan(tagged, last, commits, tagged=True, newest=tagged == max(versions))
    written = repository.read(places.VERSION_FILE).strip()
    file = Version.parse(written)
    if file is None:
        raise ReleaseError(
            f'Cannot decide the next version: {places.VERSION_FILE} contains "{written}", not a version like 1.2.3.'
        )
    version = next_version(last, file, commits)
    return Plan(version, last, commits, tagged=False, newest=True) if version else None


def deployment(repository: Repository, plan: Plan) -> str:
    """Create the commit that deploys the version, without a branch."""
    changed = places.raised(
        repository.paths(), repository.read, plan.version, repository.date("%Y-%m-%d"), plan.changes
    )
    return repository.commit(changed, f"Deploy hello {plan.version}\n\n{plan.changes}")


def show(repository: Repository, registry: str) -> None:
    """Print what a release of the checkout's commit would do."""
    plan = make_plan(repository)
    if plan is None:
        print("Nothing to release: no commit since the last release changes the image of hello.")
        return
    print(f"Last version: {plan.last or 'none'}. Commits since then that change the image of hello:")
    for commit in plan.commits:
        print(f"  {commit.hash[:12]} {commit.step:5} {commit.subject}")
    print(f"Version to release: {plan.version}")
    print(f"Tag: {plan.version.tag} at {repository.head}{', which exists' if plan.tagged else ''}")
    print(f"Image: {registry}/hello:{plan.version}")
    print(f"Branch of the pull request: {plan.version.branch}, with this change:")
    print(repository.difference(deployment(repository, plan)))


def release(repository: Repository, images: Images, settings: Settings) -> None:
    """Release the commit of the checkout. Do only what is not done yet."""
    repository.require_released_branch()
    plan = make_plan(repository)
    if plan is None:
        print("Nothing to release: no commit since the last release changes the image of hello.")
        return
    version, head = plan.version, repository.head
    github = GitHub(settings.api, settings.repository, settings.token)
    # Find wrong credentials before anything is created.
    request = github.pull_request(version.branch)
    images.login(settings.user, settings.password)

    pushed = images.pushed(version)
    if pushed is None:
        images.build(version, head)
    elif pushed.revision != head:
        raise ReleaseError(
            f"Cannot release hello {version}: the registry has {images.reference(version)} already, from "
            f"{'commit ' + pushed.revision[:12] if pushed.revision else 'an unknown commit'} and not from {head[:12]}. "
            f"Remove that image, or set a higher version in {places.VERSION_FILE}."
        )
    if plan.tagged:
        print(f"The tag {version.tag} exists.")
    else:
        repository.push_tag(version, plan.changes)
        print(f"Pushed the tag {version.tag} at {head}.")
    if pushed:
        print(f"The image {images.reference(version)}@{pushed.digest} exists.")
    else:
        pushed = images.push(version)
        print(f"Pushed the image {images.reference(version)}@{pushed.digest}.")
    text = f"{plan.changes}\nImage: `{images.reference(version)}@{pushed.digest}`\n"
    if github.has_release(version.tag):
        print(f"The release {version.tag} exists.")
    else:
        github.create_release(version.tag, f"hello {version}", text)
        print(f"Created the release {version.tag}.")
    if request:
        print(f"The pull request exists: {request}")
    elif plan.newest:
        propose(repository, github, plan, text)
    else:
        print("No pull request: a later version is released.")


def propose(repository: Repository, github: GitHub, plan: Plan, text: str) -> None:
    """Open a pull request that deploys the version."""
    version = plan.version
    if not repository.push_branch(version.branch, deployment(repository, plan)):
        print(f"The branch {version.branch} exists with other commits, which stay as they are.")
    request = github.open_pull_request(version.branch, MAIN, f"Deploy hello {version}", text)
    print(f"Opened the pull request {request}")


def main(arguments: t.Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="release", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--dry-run", action="store_true", help="show what a release would do, by the tags of this clone"
    )
    parser.add_argument("--remote", default="origin", help="name or address of the remote repository")
    options = parser.parse_args(arguments)
    root = str(Path.cwd())
    try:
        if options.dry_run:
            # Only the clone is read, because a private remote would need credentials.
            show(Repository(Runner(root), "."), os.environ.get("DOCKER_REGISTRY") or "<DOCKER_REGISTRY>")
            return 0
        settings = Settings.read(os.environ)
        run = Runner(root, [settings.password, settings.token, authorization(settings.token).rpartition(" ")[2]])
        with tempfile.TemporaryDirectory() as directory:
            images = Images(run, settings.registry, Path(directory))
            release(Repository(run, options.remote, settings.token), images, settings)
    except ReleaseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
