# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep the ConfigMap at the commit that git-sync's link points to.

The link is the source of truth, and a webhook only triggers a check. Only one thread writes. At the time of writing it
reads the link and the version of the ConfigMap. Therefore no delay, retry or restart can replace a newer commit with an
older one, and changes to the ConfigMap by others are corrected.
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
    """A setting is invalid, so the publisher cannot start."""


def quantity(name: str, text: str) -> int:
    """Parse a number of bytes in Kubernetes' format, such as 128Mi or 1.5G."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(k|[MGT]|[KMGT]i|)", text)
    if not found:
        raise ConfigError(f"{name} must be a number of bytes such as 128Mi or 1.5G, not {text!r}")
    number, unit = found.groups()
    return int(float(number) * (1024 if unit.endswith("i") else 1000) ** " KMGT".index(unit[:1].upper() or " "))


@dataclass(frozen=True)
class Settings:
    """The content to publish and its workload."""

    workload: str
    namespace: str
    config_map: str
    repository: str
    ref: str
    link: str
    # Maximum size of the volume in bytes; 0 for no limit.
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
    """The metrics for Prometheus, in a separate registry."""

    def __init__(self, workload: str) -> None:
        self.registry = CollectorRegistry()
        self.workload = workload

        def gauge(name: str, meaning: str, *labels: str) -> Gauge:
            return Gauge(name, meaning, ["workload", *labels], registry=self.registry)

        self._info = gauge("git_content_info", "Always 1; the label names the published commit.", "commit")
        self._commit = gauge("git_content_commit_timestamp_seconds", "Time of the published commit.")
        self._published = gauge("git_content_published_timestamp_seconds", "Time of the publication.")
        self._failures = Counter(
            "git_content_publish_failures_total", "Failed attempts to publish.", ["workload"], registry=self.registry
        )
        self._failures.labels(workload)  # present from the start: a rate needs a first zero

    def published(self, commit: str, committed: float, published: float) -> None:
        """Export a new published commit."""
        self._info.clear()
        self._info.labels(self.workload, commit).set(1)
        self._commit.labels(self.workload).set(committed)
        self._published.labels(self.workload).set(published)

    def failed(self) -> None:
        """Count a failed attempt."""
        self._failures.labels(self.workload).inc()


def rfc3339(seconds: float) -> str:
    """Format a time like Kubernetes."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _seconds(text: t.Any) -> float | None:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z").timestamp()
    except (ValueError, TypeError):
        return None


class Publisher:
    """One thread publishes (`run`); any number of threads request it (`publish`)."""

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
        """The last published commit; empty before the first one."""
        return self._published

    @property
    def problem(self) -> str:
        """The error that prevents publishing; empty if there is none."""
        return self._problem

    def stop(self) -> None:
        """End `run` and all threads that wait for it."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def publish(self, commit: str, patience: float) -> str:
        """Wait up to `patience` seconds until a commit is published. Return the problem, empty on success."""
        with self._changed:
            # Do not shorten the pause after a failure with this commit.
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
        return "" if newest == commit else f"git-sync has moved on to {newest}"

    def run(self) -> None:
        """Publish the target of the link until stopped."""
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
                spread = random.uniform(0.75, 1)  # noqa: S311  a delay is no secret  # nosec B311
                pause = min(self._pause[0] * 2**failures, self._pause[1]) * spread
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
                # Someone changed the ConfigMap between reading and writing: read it again.
                if error.status != CONFLICT or not attempts_left:
                    raise
        with self._changed:
            self._published = commit
        self._metrics.published(commit, committed, published)

    def _write(self, commit: str, committed: float, found: Object) -> float:
        """Write the commit to the ConfigMap if necessary. Return the time of its publication."""
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
        """Refuse content that is too large: pods with it would replace good ones and then be evicted."""
        limit = self._settings.size_limit
        if limit and (size := self._content.size()) > limit:
            raise TooLarge(
                f"with commit {commit} the repository needs {size / 2**20:.0f} MiB, but its volume is limited to "
                f"{limit / 2**20:.0f} MiB, so pods with it would be evicted. Make it smaller, fetch less of it "
                "(sparse_checkout, depth), or raise size_limit"
            )
