# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change without notice.

"""A temporary registry that copies images into a storage directory."""

from __future__ import annotations

import contextlib
import os
import time
import typing as t
import urllib.error

from ansible.module_utils.urls import open_url

from ansible_collections.drystone.platform.plugins.module_utils._command import Run
from ansible_collections.drystone.platform.plugins.module_utils._docker.client import DockerClient
from ansible_collections.drystone.platform.plugins.module_utils._errors import CommandFailed

LABEL = "drystone.dev/copies-into"
_ENGINE_TIMEOUT = 60.0
_START_TIMEOUT = 30.0


def _answers(url: str) -> bool:
    try:
        open_url(url, timeout=2, use_proxy=False).close()
    except (urllib.error.URLError, OSError):
        return False
    return True


@contextlib.contextmanager
def registry_container(
    run: Run,
    image: str,
    storage: str,
    *,
    answers: t.Callable[[str], bool] = _answers,
    clock: t.Callable[[], float] = time.monotonic,
    sleep: t.Callable[[float], None] = time.sleep,
) -> t.Iterator[str]:
    """Run a registry on a free port of 127.0.0.1, then remove it. Remove one of a killed run first."""
    docker = DockerClient(run, timeout=_ENGINE_TIMEOUT)
    doing = f"Starting a registry from {image} to copy images into {storage}"
    docker.remove(docker.containers(f"label={LABEL}={storage}", doing=doing), doing=doing)
    options = ["--detach", "--label", f"{LABEL}={storage}", "--publish", "127.0.0.1::5000"]
    # Run as the current user, who then owns the files.
    options += ["--user", f"{os.getuid()}:{os.getgid()}", "--env", "OTEL_TRACES_EXPORTER=none"]
    started = docker.ask("run", *options, "--volume", f"{storage}:/var/lib/registry", image)
    container = started.stdout.strip()
    if started.rc != 0:
        if container:
            docker.ask("container", "rm", "--force", "--volumes", container)
        raise CommandFailed(f"{doing}: {started.reason}")
    try:
        port = docker.ask("port", container, "5000/tcp")
        address = port.stdout.strip().splitlines()[0] if port.rc == 0 and port.stdout.strip() else ""
        deadline = clock() + _START_TIMEOUT
        while not address or not answers(f"http://{address}/v2/"):
            if not address or clock() >= deadline:
                said = docker.ask("logs", "--tail=20", container)
                raise CommandFailed(
                    f"Waiting for the registry that copies images into {storage}: it does not answer on"
                    f" {address or port.reason}. Its log ends with: {said.reason[-1000:]}"
                )
            sleep(0.1)
        yield address
    finally:
        docker.ask("container", "rm", "--force", "--volumes", container)
