# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change without notice.

"""Copy images from their publishers into the engine and into the storage of the registry that serves the nodes.

A record in the storage describes the origin of each image. The build graph keeps its own records with the same names.
When one of the two replaces an image, it removes the record of the other one, which then does its work again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
import typing as t
from dataclasses import dataclass, field

from ansible_collections.drystone.platform.plugins.module_utils._artifacts.download import Failure
from ansible_collections.drystone.platform.plugins.module_utils._artifacts.fetch import raise_all
from ansible_collections.drystone.platform.plugins.module_utils._artifacts.lock import Lock
from ansible_collections.drystone.platform.plugins.module_utils._artifacts.unpack import sha256_of
from ansible_collections.drystone.platform.plugins.module_utils._command import NOT_FOUND, TIMED_OUT, Result, Run
from ansible_collections.drystone.platform.plugins.module_utils._docker.client import DockerClient

COPY_TIMEOUT = 1800.0
ENGINE_TIMEOUT = 60.0
_NOT_IN_AN_IMAGE = ("tests", "__pycache__")
# Messages of the tools and their meanings. The first match decides.
_MEANINGS = (
    ("missing", ("manifest unknown", "name unknown", "not found", "no such manifest", "statuscode: 404")),
    ("checksum", ("does not match", "digest mismatch", "failed digest", "would change")),
    ("refused", ("unauthorized", "denied", "forbidden", "toomanyrequests")),
    ("unreachable", ("refused", "no such host", "timeout", "unreachable", "reset by peer", "deadline exceeded")),
)
# The format of error messages of skopeo.
_LOGGED = re.compile(r'time="\S+" level=fatal msg="(.*)"$')
_ADVICE = {
    "missing": "The version is not published there. Check {setting}artifacts_upstream_bases.",
    "checksum": "The published image differs from the recorded one. It was not used and nothing was changed.",
    "refused": "The registry denies this host the image. Log in to it, or wait if it limits the rate of downloads.",
    "unreachable": "Check the network, https_proxy and no_proxy of this host. If the host only reaches package"
    " registries, set drystone_source: source.",
    "failed": "Nothing was changed.",
    "slow": "It was stopped. Check the network and the engine (`docker info`), and run again.",
}


@dataclass(frozen=True)
class Image:
    """One required image.

    C(path) is its name and tag at the publisher, relative to C(base). If C(context) is set, this is the base image of a
    build. C(target) is the name of the result, in the engine if C(engine) is true, else in the registry.
    """

    name: str
    base: str
    path: str
    target: str
    engine: bool = False
    context: str = ""
    setting: str = ""

    def reference(self, digest: str) -> str:
        """Return the reference from which the image is pulled."""
        name = self.path.rpartition(":")[0]
        return f"{self.base}/{name}@{digest}" if digest else f"{self.base}/{self.path}"


@dataclass
class Outcome:
    """The copied or built images, and the images that are not in a lock."""

    made: list[str] = field(default_factory=list)
    unlocked: list[str] = field(default_factory=list)
    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)


class Images:
    """Copy and build images. The command runner and the registry to copy into are injected."""

    def __init__(
        self,
        run: Run,
        storage: str,
        registry: t.Callable[[], contextlib.AbstractContextManager[str]],
        lock: Lock | None,
        ca_bundle: str = "",
    ) -> None:
        self._run = run
        self._docker = DockerClient(run, timeout=ENGINE_TIMEOUT)
        self._storage = storage
        self._registry = registry
        self._lock = lock
        self._ca_bundle = ca_bundle

    def ensure(self, images: t.Sequence[Image], *, check: bool) -> Outcome:
        """Copy or build missing images. Images of the engine are first: one of them may be the registry's."""
        outcome = Outcome()
        missing = []
        for image in sorted(images, key=lambda image: not image.engine):
            digest = self._lock.image(image.path) if self._lock else ""
            if not digest:
                outcome.unlocked.append(image.name)
            before = self._before(image, digest)
            if before is not None:
                missing.append((image, digest))
                outcome.made.append(image.name)
                outcome.before[image.name] = before
                outcome.after[image.name] = image.reference(digest)
        if not check:
            raise_all(self._attempt([pair for pair in missing if pair[0].engine], self._into_engine))
            rest = [pair for pair in missing if not pair[0].engine]
            if rest:
                os.makedirs(os.path.join(self._storage, ".published"), exist_ok=True)
                with self._registry() as address:
                    raise_all(self._attempt(rest, lambda image, digest: self._into_registry(image, digest, address)))
        return outcome

    @staticmethod
    def _attempt(images: t.Sequence[tuple[Image, str]], make: t.Callable[[Image, str], None]) -> list[Failure]:
        failures = []
        for image, digest in images:
            try:
                make(image, digest)
            except Failure as failure:
                failures.append(failure)
        return failures

    # --- current state ---

    def _before(self, image: Image, digest: str) -> str | None:
        """Return None if the image is current, else a description of the present state."""
        if image.engine:
            have, wanted = (self._docker.image_id(name) for name in (image.target, image.reference(digest)))
            if have and have == wanted:
                return None
            return "something else" if have else "absent"
        record = self._read_record(image)
        tagged = self._tagged(image)
        if tagged and record.get("digest") == tagged and record.get("key") == self._key(image, digest):
            return None
        return str(record.get("from") or "something else") if tagged else "absent"

    def _tagged(self, image: Image) -> str:
        """Read the digest of the tag from the registry's storage."""
        name, _colon, tag = image.target.rpartition(":")
        link = f"docker/registry/v2/repositories/{name}/_manifests/tags/{tag}/current/link"
        try:
            with open(os.path.join(self._storage, link), encoding="ascii") as file:
                return file.read().strip()
        except OSError:
            return ""

    def _record(self, image: Image) -> str:
        return os.path.join(self._storage, ".published", f"{image.name}-upstream")

    def _read_record(self, image: Image) -> dict[str, t.Any]:
        try:
            with open(self._record(image), encoding="utf-8") as file:
                record = json.load(file)
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}

    def _drop_records(self, image: Image) -> None:
        """Delete the records of the image, including those of the build graph, before the image changes.

        The part after the name contains no hyphen. A file with another hyphen is the record of an image with a longer
        name.
        """
        record = re.compile(rf"{re.escape(image.name)}-[^-]+")
        folder = os.path.join(self._storage, ".published")
        for name in filter(record.fullmatch, os.listdir(folder)):
            os.unlink(os.path.join(folder, name))

    @staticmethod
    def _key(image: Image, digest: str) -> str:
        """Return a hash of everything that determines the image. The address of its registry does not."""
        content = [image.path, digest]
        for folder, folders, names in os.walk(image.context) if image.context else ():
            folders[:] = sorted(name for name in folders if name not in _NOT_IN_AN_IMAGE)
            for name in sorted(names):
                path = os.path.join(folder, name)
                content += [os.path.relpath(path, image.context), sha256_of(path)]
        return hashlib.sha256("\n".join(content).encode()).hexdigest()[:12]

    # --- copying and building ---

    def _into_engine(self, image: Image, digest: str) -> None:
        reference = image.reference(digest)
        self._do(image, reference, "pull", "--quiet", reference)
        self._do(image, reference, "tag", reference, image.target)

    def _into_registry(self, image: Image, digest: str, address: str) -> None:
        reference = image.reference(digest)
        source = f"docker://{reference}"
        if image.context:
            source = f"docker-daemon:{self._build(image, reference, self._key(image, digest))}"
        plain_http = ["--src-tls-verify=false"] if _is_local(reference) and not image.context else []
        self._drop_records(image)
        copy = [
            "skopeo",
            "copy",
            "--quiet",
            "--preserve-digests",
            "--retry-times=2",
            "--dest-tls-verify=false",
            *plain_http,
        ]
        command = [*copy, source, f"docker://{address}/{image.target}"]
        _require(image, reference, "skopeo copy", self._run(command, COPY_TIMEOUT))
        kept = {"from": reference, "digest": self._tagged(image), "key": self._key(image, digest)}
        partial = os.path.join(self._storage, ".published", f".{image.name}.partial")
        with open(partial, "w", encoding="utf-8") as file:
            json.dump(kept, file)
        os.replace(partial, self._record(image))

    def _build(self, image: Image, reference: str, key: str) -> str:
        built = f"drystone.local/build/{image.name}:upstream-{key}"
        with tempfile.TemporaryDirectory(prefix="drystone-") as folder:
            context = os.path.join(folder, "context")
            shutil.copytree(image.context, context, ignore=shutil.ignore_patterns(*_NOT_IN_AN_IMAGE))
            if self._ca_bundle:
                shutil.copy(self._ca_bundle, os.path.join(context, "ca.crt"))
            base = ["--build-arg", f"BASE={reference}"]
            self._do(image, reference, "build", "--quiet", "--network=host", *base, "--tag", built, context)
        return built

    def _do(self, image: Image, reference: str, verb: str, *arguments: str) -> None:
        _require(image, reference, f"docker {verb}", self._docker.ask(verb, *arguments, timeout=COPY_TIMEOUT))


def _require(image: Image, reference: str, what: str, done: Result) -> None:
    """Raise the failure of a command with its meaning for the image."""
    if done.rc == 0:
        return
    reason = _LOGGED.sub(r"\1", done.reason)[-600:]
    said = reason.lower()
    meaning = next((name for name, words in _MEANINGS if any(word in said for word in words)), "failed")
    if done.rc in (NOT_FOUND, TIMED_OUT) or (what == "docker build" and "manifest" not in said):
        meaning = "failed"  # the output of a build step does not describe the publisher
    advice = _ADVICE["slow" if done.rc == TIMED_OUT else meaning]
    advice = advice.format(setting=f"{image.setting} and " if image.setting else "")
    raise Failure(image.name, reference, meaning, f"{what} failed: {reason} -- {advice}")


def _is_local(reference: str) -> bool:
    """Return whether a registry needs no TLS, by the same rule as the engine's."""
    host = reference.partition("/")[0].partition(":")[0]
    return host == "localhost" or host.startswith("127.")
