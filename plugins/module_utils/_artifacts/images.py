# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change without notice.

"""Images from their publishers, into the engine and into the storage of the registry that serves the nodes.

A record in the storage says what each image was made from. The build graph keeps its own records under the same names:
whichever way came last, the other one sees that it has to do its work again.
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
# What the tools say, and what it means; the first that fits.
_MEANINGS = (
    ("missing", ("manifest unknown", "name unknown", "not found", "no such manifest", "statuscode: 404")),
    ("checksum", ("does not match", "digest mismatch", "failed digest", "would change")),
    ("refused", ("unauthorized", "denied", "forbidden", "toomanyrequests")),
    ("unreachable", ("refused", "no such host", "timeout", "unreachable", "reset by peer", "deadline exceeded")),
)
# skopeo's own way to say it
_LOGGED = re.compile(r'time="\S+" level=fatal msg="(.*)"$')
_ADVICE = {
    "missing": "No such version is published there: check {setting}artifacts_upstream_bases.",
    "checksum": "What is published there is not what was recorded. It was not used and nothing was changed.",
    "refused": "The registry does not give it to this host: log in to it, or wait where it limits how much it gives.",
    "unreachable": "Check the network, https_proxy and no_proxy of this host; a host that reaches package registries"
    " alone takes drystone_source: source.",
    "failed": "Nothing was changed.",
    "slow": "It was stopped. Check the network and the engine (`docker info`), and run again.",
}


@dataclass(frozen=True)
class Image:
    """One image to have.

    C(path) is its name and tag at the publisher, below base. With C(context), that is what an image is built on. It
    gets the name C(target): with C(engine) in the engine, else in the registry.
    """

    name: str
    base: str
    path: str
    target: str
    engine: bool = False
    context: str = ""
    setting: str = ""

    def reference(self, digest: str) -> str:
        """Where it is pulled from."""
        name = self.path.rpartition(":")[0]
        return f"{self.base}/{name}@{digest}" if digest else f"{self.base}/{self.path}"


@dataclass
class Outcome:
    """What was done, and which images nothing but their publisher vouches for."""

    made: list[str] = field(default_factory=list)
    unlocked: list[str] = field(default_factory=list)
    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)


class Images:
    """Gets what is wanted; commands and the registry to copy into are injected."""

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
        """Have them all. Those in the engine come first: the registry to copy into may be one of them."""
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

    # --- what is there ---

    def _before(self, image: Image, digest: str) -> str | None:
        """None where the image is there as it should be, else what is there instead."""
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
        """Read from the registry's storage what the tag points to."""
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
        """From here on nobody believes that it is there, the build graph included.

        What follows the name has no hyphen; where there is one, it is the record of an image with a longer name.
        """
        record = re.compile(rf"{re.escape(image.name)}-[^-]+")
        folder = os.path.join(self._storage, ".published")
        for name in filter(record.fullmatch, os.listdir(folder)):
            os.unlink(os.path.join(folder, name))

    @staticmethod
    def _key(image: Image, digest: str) -> str:
        """Whatever decides what the image is; the address of its registry does not."""
        content = [image.path, digest]
        for folder, folders, names in os.walk(image.context) if image.context else ():
            folders[:] = sorted(name for name in folders if name not in _NOT_IN_AN_IMAGE)
            for name in sorted(names):
                path = os.path.join(folder, name)
                content += [os.path.relpath(path, image.context), sha256_of(path)]
        return hashlib.sha256("\n".join(content).encode()).hexdigest()[:12]

    # --- how it gets there ---

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
    """Say of a command that failed what it means for the image."""
    if done.rc == 0:
        return
    reason = _LOGGED.sub(r"\1", done.reason)[-600:]
    said = reason.lower()
    meaning = next((name for name, words in _MEANINGS if any(word in said for word in words)), "failed")
    if done.rc in (NOT_FOUND, TIMED_OUT) or (what == "docker build" and "manifest" not in said):
        meaning = "failed"  # whatever a build step prints says nothing of the publisher
    advice = _ADVICE["slow" if done.rc == TIMED_OUT else meaning]
    advice = advice.format(setting=f"{image.setting} and " if image.setting else "")
    raise Failure(image.name, reference, meaning, f"{what} said: {reason} -- {advice}")


def _is_local(reference: str) -> bool:
    """The engine's own rule of which registries need no TLS."""
    host = reference.partition("/")[0].partition(":")[0]
    return host == "localhost" or host.startswith("127.")
