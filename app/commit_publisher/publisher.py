# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the ConfigMap at the commit that git-sync's link leads to.

The link is the truth and a webhook only the occasion: what is published is read at the moment of writing, by the one
thread that writes, with the version of the ConfigMap it is meant for. So no delay, retry or restart can put an older
commit over a newer one, and what somebody else does to the ConfigMap is put right.
"""

from __future__ import annotations

import random
import re
import threading
import time
import typing as t
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge

from .content import Content, NothingYet, TooLarge, Unreadable, without_credentials
from .kube import ApiError, ConfigMap, Object

ANNOTATION = "drystone.dev/git-commit"
CONFLICT = 409
LONGEST_RETRY_AFTER = 60.0

Log = Callable[..., None]


class ConfigError(Exception):
    """A setting that the publisher cannot start with."""


def quantity(name: str, text: str) -> int:
    """Read a number of bytes as Kubernetes writes it, such as 128Mi or 1.5G."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(k|[MGT]|[KMGT]i|)", text)
    if not found:
        raise ConfigError(f"{name} must be a number of bytes such as 128Mi or 1.5G, not {text!r}")
    number, unit = found.groups()
    return int(float(number) * (1024 if unit.endswith("i") else 1000) ** " KMGT".index(unit[:1].upper() or " "))


@dataclass(frozen=True)
class Settings:
    """What is published, for which workload."""

    workload: str
    namespace: str
    config_map: str
    repository: str
    ref: str
    link: str
    # Bytes that the volume may hold; 0: any number.
    size_limit: int = 0

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings, or raise a ConfigError that names the variable."""
        variables = {
            "workload": "WORKLOAD",
            "namespace": "NAMESPACE",
            "config_map": "CONFIG_MAP",
            "repository": "REPOSITORY",
            "ref": "REF",
            "link": "CONTENT_LINK",
        }
        missing = [name for name in variables.values() if not environ.get(name, "").strip()]
        if missing:
            raise ConfigError(f"{', '.join(missing)} must be set (the component git-content sets them)")
        values = {field: environ[name].strip() for field, name in variables.items()}
        limit = quantity("SIZE_LIMIT", environ.get("SIZE_LIMIT", "").strip() or "0")
        return cls(**{**values, "repository": without_credentials(values["repository"])}, size_limit=limit)


class Metrics:
    """What Prometheus is told, in a registry of its own."""

    def __init__(self, workload: str) -> None:
        self.registry = CollectorRegistry()
        self.workload = workload

        def gauge(name: str, meaning: str, *labels: str) -> Gauge:
            return Gauge(name, meaning, ["workload", *labels], registry=self.registry)

        self._info = gauge("git_content_info", "Always 1; the label tells the published commit.", "commit")
        self._commit = gauge("git_content_commit_timestamp_seconds", "When the published commit was committed.")
        self._published = gauge("git_content_published_timestamp_seconds", "When it was published.")
        self._failures = Counter(
            "git_content_publish_failures_total", "Attempts that failed.", ["workload"], registry=self.registry
        )
        self._failures.labels(workload)  # present from the start: a rate needs a first zero

    def published(self, commit: str, committed: float, published: float) -> None:
        """Show another commit."""
        self._info.clear()
        self._info.labels(self.workload, commit).set(1)
        self._commit.labels(self.workload).set(committed)
        self._published.labels(self.workload).set(published)

    def failed(self) -> None:
        """Count an attempt that failed."""
        self._failures.labels(self.workload).inc()


def rfc3339(seconds: float) -> str:
    """Write a time as Kubernetes does."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _seconds(text: t.Any) -> float | None:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z").timestamp()
    except (ValueError, TypeError):
        return None


class Publisher:
    """One thread that publishes (`run`), and any number that ask for it (`publish`)."""

    def __init__(
        self,
        settings: Settings,
        content: Content,
        config_map: ConfigMap,
        metrics: Metrics,
        log: Log,
        *,
        now: Callable[[], float] = time.time,
        look_again: float = 30.0,
        pause: tuple[float, float] = (0.5, 10.0),
    ) -> None:
        self._settings = settings
        self._content = content
        self._config_map = config_map
        self._metrics = metrics
        self._log = log
        self._now = now
        self._look_again = look_again
        self._pause = pause
        self._changed = threading.Condition()
        self._asked = False
        self._stopping = False
        self._tried = ""
        self._published = ""
        self._problem = "not tried yet"

    @property
    def published(self) -> str:
        """The commit that was published last; empty before the first one."""
        return self._published

    @property
    def problem(self) -> str:
        """What is in the way of publishing; empty if nothing is."""
        return self._problem

    def stop(self) -> None:
        """End `run`, and whatever waits for it."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def publish(self, commit: str, patience: float) -> str:
        """Wait until a commit is published, but not for ever: tell why it is not, or nothing if it is."""
        with self._changed:
            # A failure that is being waited out is not asked into haste.
            if commit not in (self._published, self._tried):
                self._asked = True
                self._changed.notify_all()
            self._changed.wait_for(lambda: self._stopping or self._settled(commit), patience)
            if self._published == commit:
                return ""
            return self._superseded(commit) or self._problem or "not tried yet"

    def _settled(self, commit: str) -> bool:
        return self._published == commit or bool(self._superseded(commit))

    def _superseded(self, commit: str) -> str:
        try:
            newest = self._content.commit()
        except (NothingYet, Unreadable) as error:
            return str(error)
        return "" if newest == commit else f"git-sync has gone on to {newest}"

    def run(self) -> None:
        """Publish whatever the link leads to, until stopped."""
        failures = 0
        while not self._stopping:
            self._asked = False
            problem, pause = "", self._look_again
            try:
                commit = self._content.commit()
                self._tried = commit
                self._bring_to(commit)
                failures = 0
            except NothingYet as error:
                problem = str(error)
            except (Unreadable, ApiError) as error:
                problem = str(error)
                self._metrics.failed()
                pause = min(self._pause[0] * 2**failures, self._pause[1]) * random.uniform(0.75, 1)  # noqa: S311  no secret
                pause = max(pause, min(getattr(error, "retry_after", 0), LONGEST_RETRY_AFTER))
                failures = min(failures + 1, 16)
                self._log("error", f"not published: {problem}", retry_in_seconds=round(pause, 1))
            with self._changed:
                self._problem = problem
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._stopping or self._asked, pause)

    def _bring_to(self, commit: str) -> None:
        committed = self._content.time(commit)
        for attempts_left in (2, 1, 0):
            try:
                published = self._write(commit, committed, self._config_map.read())
                break
            except ApiError as error:
                # Somebody else wrote between reading and writing: look again at what they did.
                if error.status != CONFLICT or not attempts_left:
                    raise
        with self._changed:
            self._published = commit
        self._metrics.published(commit, committed, published)

    def _write(self, commit: str, committed: float, found: Object) -> float:
        """Bring the ConfigMap to a commit if it is not there already: tell since when it is."""
        data = found.get("data") or {}
        metadata = found["metadata"]
        since = _seconds(data.get("published_time")) if data.get("commit") == commit else None
        published = self._now() if since is None else since
        wanted = {
            "commit": commit,
            "commit_time": rfc3339(committed),
            "published_time": rfc3339(published),
            "ref": self._settings.ref,
            "repository": self._settings.repository,
        }
        annotated = (metadata.get("annotations") or {}).get(ANNOTATION) == commit
        if annotated and wanted.items() <= data.items():
            if self._published != commit:
                self._log("info", "already published", commit=commit)
            return published
        if data.get("commit") != commit:
            self._require_room(commit)
        self._config_map.write(metadata["resourceVersion"], {ANNOTATION: commit}, wanted)
        self._log("info", "published", commit=commit, before=data.get("commit", ""))
        return published

    def _require_room(self, commit: str) -> None:
        """Keep from pods what the kubelet would evict them for, only after they have taken the place of good ones."""
        limit = self._settings.size_limit
        if limit and (size := self._content.size()) > limit:
            raise TooLarge(
                f"with commit {commit} the repository takes {size / 2**20:.0f} MiB and its volume may have "
                f"{limit / 2**20:.0f} MiB, so pods with it would be evicted. Make it smaller, take less of it "
                "(sparse_checkout, depth), or raise size_limit"
            )
