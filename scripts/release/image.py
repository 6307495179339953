# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the image of hello and push it. Docker keeps the credentials in a temporary directory only."""

from __future__ import annotations

import json
import os
import re
import typing as t
from pathlib import Path

from .plan import Version
from .programs import ReleaseError, Runner

REVISION = "org.opencontainers.image.revision"
# What registries answer if there is no such image. Docker Hub says the last one of a repository without images.
_ABSENT = re.compile(r"manifest unknown|name unknown|not found|repository does not exist", re.IGNORECASE)


class Pushed(t.NamedTuple):
    """An image in the registry."""

    digest: str
    revision: str


class Images:
    """The images of hello in a registry such as docker.io/acme or registry.example.com:5000/team."""

    def __init__(self, run: Runner, registry: str, directory: Path) -> None:
        self._run = run
        self._registry = registry
        self._environment = {"DOCKER_CONFIG": str(directory)}

    def reference(self, version: Version) -> str:
        """Return the name of the image."""
        return f"{self._registry}/hello:{version}"

    def login(self, user: str, password: str) -> None:
        """Log in to the registry. The password goes to Docker's standard input."""
        first, _, rest = self._registry.partition("/")
        host = first if not rest or re.search(r"[.:]|^localhost$", first) else "docker.io"
        self._run(
            f"log in to {host} as {user} (DOCKER_USER, DOCKER_PASS)",
            "docker", "login", "--username", user, "--password-stdin", host,
            given=password, environment=self._environment,
        )  # fmt: skip

    def pushed(self, version: Version) -> Pushed | None:
        """Return the image of a version in the registry, or nothing."""
        reference = self.reference(version)
        code, output, errors = self._run.attempt("docker", "pull", "--quiet", reference, environment=self._environment)
        if code == 0:
            return self._inspect(reference)
        if _ABSENT.search(errors):
            return None
        raise ReleaseError(
            f"Cannot tell whether the registry has {reference}. Docker says:\n{errors.strip() or output.strip()}\n"
            "DOCKER_USER must be able to pull too. Some registries deny it until the repository exists; create it."
        )

    def build(self, version: Version, commit: str) -> None:
        """Build the image from the checkout, with the commit as a label."""
        given = os.environ.get("BUILD_ARGS", "")
        labels = f"--label {REVISION}={commit} --label org.opencontainers.image.version={version}"
        self._make("build", version, f"BUILD_ARGS={given} {labels}")

    def push(self, version: Version) -> Pushed:
        """Push the image and return it."""
        self._make("push", version)
        return self._inspect(self.reference(version))

    def _make(self, target: str, version: Version, *variables: str) -> None:
        self._run(
            f"{target} the image {self.reference(version)}",
            "make", "--directory=app/hello", target, f"VERSION={version}", f"REGISTRY={self._registry}", *variables,
            environment=self._environment,
        )  # fmt: skip

    def _inspect(self, reference: str) -> Pushed:
        output = self._run(f"examine the image {reference}", "docker", "image", "inspect", reference)
        image = json.loads(output)[0]
        repository = reference.rpartition(":")[0]
        # Docker omits the name of its default registry.
        names = {repository, repository.removeprefix("docker.io/"), repository.removeprefix("docker.io/library/")}
        digests = [digest for name, _, digest in (one.partition("@") for one in image["RepoDigests"]) if name in names]
        if not digests:
            raise ReleaseError(f"Cannot find the digest of {reference}: Docker knows only {image['RepoDigests']}.")
        return Pushed(digests[0], (image["Config"].get("Labels") or {}).get(REVISION, ""))
