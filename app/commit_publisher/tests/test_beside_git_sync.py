# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The publisher beside git-sync (its stand-in), with the flags of the component: from a push to the ConfigMap."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.commit_publisher import __main__ as command
from app.commit_publisher.content import Content
from app.commit_publisher.kube import ConfigMap
from app.commit_publisher.publisher import Metrics, Publisher, Settings
from tests.unit.fake_api import FakeApi, Fault

ROOT = Path(__file__).parents[3]
SYNCER = ROOT / "deploy/components/git-content/syncer/deployment.yaml"
NAME = "site-git-content"


def wait_for(what: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not what() and time.monotonic() < deadline:
        time.sleep(0.01)
    return what()


class World:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.remote = folder / "remote"
        self.remote.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        (folder / "sparse-checkout").write_text("/*")
        self.api = FakeApi()
        self.api.start()
        for kind, name in (("Namespace", "dev"), ("ConfigMap", NAME)):
            where = {"namespace": "dev"} if kind == "ConfigMap" else {}
            self.api.put({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, **where}})
        (folder / "token").write_text("x")
        link = folder / "git/repo/content"
        settings = Settings("site", "dev", NAME, "file:///remote", "main", str(link))
        config_map = ConfigMap(self.api.url, "dev", NAME, folder, timeout=5)
        self.publisher = Publisher(settings, Content(link), config_map, Metrics("site"), lambda *_, **__: None)
        self.hook = command.serve(("127.0.0.1", 0), command.webhook(self.publisher.publish, 8))
        self.worker = threading.Thread(target=self.publisher.run)
        self.worker.start()
        self.log = (folder / "log").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bundle.standins.git_sync", *self.flags()],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "HOME": str(folder)},
            stdout=self.log,
            stderr=self.log,
        )

    def flags(self) -> list[str]:
        """The component's, but for what lies elsewhere here, and for SSH, which there is none of."""
        (container,) = [
            one
            for one in yaml.safe_load(SYNCER.read_text("utf-8"))["spec"]["template"]["spec"]["containers"]
            if one["name"] == "git-sync"
        ]
        values = {
            "REPOSITORY": self.remote.as_uri(),
            "REF": "main",
            "DEPTH": "1",
            "PERIOD": "100ms",
            "SYNC_TIMEOUT": "30s",
        }
        elsewhere = {
            "--root": str(self.folder / "git/repo"),
            "--sparse-checkout-file": str(self.folder / "sparse-checkout"),
            "--webhook-url": f"http://127.0.0.1:{self.hook.server_address[1]}/",
            "--http-bind": "127.0.0.1:0",
        }
        flags = [re.sub(r"\$\(GIT_CONTENT_(\w+)\)", lambda found: values[found[1]], flag) for flag in container["args"]]
        return [f"{flag}={elsewhere[flag]}" if (flag := full.split("=")[0]) in elsewhere else full for full in flags]

    def git(self, *arguments: str) -> str:
        who = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "TZ": "UTC", **who}
        done = subprocess.run(["git", *arguments], cwd=self.remote, env=env, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def push(self, text: str) -> str:
        (self.remote / "index.html").write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", f"--message={text}")
        return self.git("rev-parse", "HEAD")

    def data(self) -> dict[str, Any]:
        found = self.api.find("ConfigMap", NAME, "dev")
        assert found is not None
        return found.get("data") or {}

    def is_at(self, commit: str) -> bool:
        assert self.process.poll() is None, (self.folder / "log").read_text()
        return self.data().get("commit") == commit

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=10)
        self.log.close()
        self.publisher.stop()
        self.worker.join()
        self.hook.shutdown()
        self.hook.server_close()
        self.api.stop()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.end()


def test_each_push_is_published_with_its_own_time(world: World) -> None:
    for text in ("first", "second", "third"):
        commit = world.push(text)
        assert wait_for(partial(world.is_at, commit))
        assert world.data()["commit_time"] == world.git(
            "show", "-s", "--format=%cd", "--date=format-local:%FT%TZ", commit
        )


def test_a_push_while_the_api_server_is_down_is_published_when_it_is_back_and_none_before_it(world: World) -> None:
    before = world.push("first")
    assert wait_for(lambda: world.is_at(before))
    world.api.faults.append(Fault("configmaps", times=10**6, drop_before=True))
    skipped = world.push("second")
    assert wait_for(lambda: os.readlink(world.folder / "git/repo/content").endswith(skipped))
    newest = world.push("third")
    assert world.data()["commit"] == before
    assert wait_for(lambda: os.readlink(world.folder / "git/repo/content").endswith(newest))
    writes = list(world.api.writes)
    world.api.faults.clear()
    assert wait_for(lambda: world.is_at(newest))
    assert world.api.writes[len(writes) :] == [f"update ConfigMap {NAME}"]
