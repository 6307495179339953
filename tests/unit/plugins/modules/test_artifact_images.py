# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decisions and calls of docker and skopeo. tests/integration/test_upstream.py uses the real programs."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.drystone.platform.plugins.module_utils._artifacts.images import Image, Images, Outcome
from ansible_collections.drystone.platform.plugins.module_utils._artifacts.lock import Lock
from ansible_collections.drystone.platform.plugins.module_utils._artifacts.registry import LABEL, registry_container
from ansible_collections.drystone.platform.plugins.module_utils._command import NOT_FOUND, TIMED_OUT, Result
from ansible_collections.drystone.platform.plugins.module_utils._errors import CommandFailed, FetchFailed, InvalidInput
from ansible_collections.drystone.platform.plugins.modules import artifact_images

DIGEST = f"sha256:{'a' * 64}"
NODE = Image("node", "docker.io", "kindest/node:v1", "drystone.local/node:v2", engine=True, setting="the_pin")
TOOL = Image("tool", "quay.io", "org/tool:v1", "tool:v2", setting="the_pin")


class Engine:
    """Fakes of docker and skopeo. A copy creates the same files in the storage as a registry."""

    def __init__(self, storage: Path) -> None:
        self.storage = storage
        self.ids: dict[str, str] = {}
        self.calls: list[list[str]] = []
        self.context: dict[str, str] = {}
        self.fail: dict[str, Result] = {}

    def run(self, argv: list[str], timeout: float) -> Result:
        self.calls.append(argv)
        assert timeout > 0
        verb = " ".join(argv[:2])
        if verb in self.fail and any(argv[-2].endswith(word) for word in self.fail[verb].stdout.split() or [""]):
            return self.fail[verb]
        if verb == "docker image":
            found = self.ids.get(argv[-1])
            return Result(0, f"{found}\n") if found else Result(1, "\n", f"Error: No such image: {argv[-1]}")
        if verb == "docker pull":
            self.ids[argv[-1]] = f"id of {argv[-1]}"
        if verb == "docker tag":
            self.ids[argv[3]] = self.ids[argv[2]]
        if verb == "docker build":
            self.context = {path.name: path.read_text() for path in Path(argv[-1]).rglob("*") if path.is_file()}
        if verb == "skopeo copy":
            name, _colon, tag = argv[-1].removeprefix("docker://127.0.0.1:5009/").rpartition(":")
            link = self.storage / f"docker/registry/v2/repositories/{name}/_manifests/tags/{tag}/current/link"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.write_text(DIGEST)
        return Result(0)

    def of(self, verb: str) -> list[list[str]]:
        return [argv for argv in self.calls if " ".join(argv[:2]) == verb]


class Site:
    def __init__(self, storage: Path) -> None:
        self.storage = storage
        self.engine = Engine(storage)
        self.registries = 0

    @contextlib.contextmanager
    def registry(self) -> t.Iterator[str]:
        self.registries += 1
        yield "127.0.0.1:5009"

    def ensure(self, *images: Image, lock: Lock | None = None, check: bool = False, ca: str = "") -> Outcome:
        return Images(self.engine.run, str(self.storage), self.registry, lock, ca).ensure(images, check=check)

    def fail(self, *images: Image) -> FetchFailed:
        with pytest.raises(FetchFailed) as caught:
            self.ensure(*images)
        return caught.value


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "registry")


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    (folder / "tests").mkdir(parents=True)
    (folder / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\n")
    (folder / "tests/test_app.py").write_text("")
    return folder


def test_an_image_is_pulled_into_the_engine_under_our_name(site: Site) -> None:
    outcome = site.ensure(NODE)
    assert outcome.made == ["node"]
    assert (outcome.before, outcome.after) == ({"node": "absent"}, {"node": "docker.io/kindest/node:v1"})
    assert site.engine.ids["drystone.local/node:v2"] == "id of docker.io/kindest/node:v1"
    assert site.ensure(NODE).made == []
    assert site.registries == 0


def test_an_image_of_that_name_that_is_another_one_is_replaced(site: Site) -> None:
    site.engine.ids["drystone.local/node:v2"] = "built here"
    assert site.ensure(NODE, check=True).before == {"node": "something else"}
    assert site.ensure(NODE).made == ["node"]


def test_an_image_is_copied_into_the_registry_once(site: Site) -> None:
    assert site.ensure(TOOL).made == ["tool"]
    [copy] = site.engine.of("skopeo copy")
    assert copy[-2:] == ["docker://quay.io/org/tool:v1", "docker://127.0.0.1:5009/tool:v2"]
    assert "--preserve-digests" in copy
    assert "--src-tls-verify=false" not in copy
    outcome = site.ensure(TOOL)
    assert (outcome.made, outcome.unlocked) == ([], ["tool"])
    assert site.registries == 1


def test_a_registry_on_this_host_needs_no_tls(site: Site) -> None:
    site.ensure(dataclasses.replace(TOOL, base="127.0.0.1:5000"))
    assert "--src-tls-verify=false" in site.engine.of("skopeo copy")[0]


def test_check_mode_predicts_and_does_nothing(site: Site) -> None:
    assert site.ensure(TOOL, NODE, check=True).made == ["node", "tool"]
    assert {argv[1] for argv in site.engine.calls} == {"image"}
    assert not site.storage.exists()


def test_what_the_registry_has_under_that_name_decides(site: Site) -> None:
    site.ensure(TOOL)
    link = site.storage / "docker/registry/v2/repositories/tool/_manifests/tags/v2/current/link"
    link.write_text(f"sha256:{'b' * 64}")
    assert site.ensure(TOOL, check=True).before == {"tool": "quay.io/org/tool:v1"}
    link.unlink()
    assert site.ensure(TOOL, check=True).before == {"tool": "absent"}
    assert site.ensure(TOOL).made == ["tool"]


def test_the_build_s_record_is_dropped_so_that_it_does_not_believe_its_own_image_is_there(site: Site) -> None:
    published = site.storage / ".published"
    published.mkdir(parents=True)
    (published / "tool-0123456789ab").touch()
    others = ["tool-box-0123456789ab", "tool-box-upstream", "toolbox-0123456789ab"]
    for name in others:
        (published / name).touch()
    site.ensure(TOOL)
    assert sorted(path.name for path in published.iterdir()) == sorted(["tool-upstream", *others])
    (published / "tool-upstream").unlink()
    assert site.ensure(TOOL, check=True).before == {"tool": "something else"}


def test_a_lock_turns_tags_into_digests(site: Site) -> None:
    lock = Lock("the.lock", {}, {"org/tool:v1": DIGEST, "kindest/node:v1": DIGEST})
    assert site.ensure(TOOL, NODE, lock=lock).unlocked == []
    assert site.engine.of("skopeo copy")[0][-2] == f"docker://quay.io/org/tool@{DIGEST}"
    assert site.engine.of("docker pull")[0][-1] == f"docker.io/kindest/node@{DIGEST}"
    assert site.ensure(TOOL, NODE, lock=lock).made == []
    other = Lock("the.lock", {}, {"org/tool:v1": f"sha256:{'b' * 64}", "kindest/node:v1": DIGEST})
    assert site.ensure(TOOL, NODE, lock=other, check=True).made == ["tool"]


def test_nothing_slips_past_a_lock(site: Site) -> None:
    with pytest.raises(InvalidInput, match="Looking up the image org/tool:v1"):
        site.ensure(TOOL, lock=Lock("the.lock", {}, {}))


def test_an_image_is_built_on_what_is_published_when_its_files_change(
    site: Site, context: Path, tmp_path: Path
) -> None:
    (tmp_path / "ca").write_text("certificates")
    app = dataclasses.replace(TOOL, context=str(context))
    assert site.ensure(app, ca=str(tmp_path / "ca")).made == ["tool"]
    [build] = site.engine.of("docker build")
    assert "BASE=quay.io/org/tool:v1" in build
    assert site.engine.context == {"Dockerfile": "ARG BASE\nFROM ${BASE}\n", "ca.crt": "certificates"}
    assert site.engine.of("skopeo copy")[0][-2] == f"docker-daemon:{build[build.index('--tag') + 1]}"
    (context / "tests/test_app.py").write_text("more tests\n")
    assert site.ensure(app).made == []
    (context / "server.py").write_text("print()\n")
    assert site.ensure(app).made == ["tool"]


@pytest.mark.parametrize(
    ("said", "reason", "advice"),
    [
        (
            "reading manifest v1 in quay.io/org/tool: manifest unknown",
            "missing",
            "Check the_pin and artifacts",
        ),
        ("reading manifest v1 in quay.io/org/tool: StatusCode: 404, <html>", "missing", "Check the_pin"),
        ("Digest of source image's manifest would change", "checksum", "differs from the recorded"),
        ("toomanyrequests: you have reached your limit", "refused", "Log in to it, or wait"),
        ("dial tcp 127.0.0.1:9: connect: connection refused", "unreachable", "https_proxy"),
        ("no space left on device", "failed", "Nothing was changed"),
    ],
)
def test_a_failure_says_what_it_means(site: Site, said: str, reason: str, advice: str) -> None:
    site.engine.fail["skopeo copy"] = Result(1, stderr=said)
    error = site.fail(TOOL)
    assert error.msg.startswith(f"Downloading tool from quay.io/org/tool:v1: skopeo copy failed: {said} -- ")
    assert advice in error.msg
    assert error.facts["failures"] == [{"name": "tool", "url": "quay.io/org/tool:v1", "reason": reason}]
    assert site.ensure(TOOL, check=True).made == ["tool"]


def test_skopeo_s_log_line_is_shown_without_its_frame(site: Site) -> None:
    site.engine.fail["skopeo copy"] = Result(1, stderr='time="2026-01-02T03:04:05Z" level=fatal msg="manifest unknown"')
    assert "skopeo copy failed: manifest unknown -- " in site.fail(TOOL).msg


def test_a_failing_build_step_is_not_taken_for_a_missing_image(site: Site, context: Path) -> None:
    site.engine.fail["docker build"] = Result(1, stderr="sh: 1: frobnicate: not found")
    assert site.fail(dataclasses.replace(TOOL, context=str(context))).facts["failures"][0]["reason"] == "failed"


def test_a_missing_program_is_told_as_such(site: Site) -> None:
    site.engine.fail["skopeo copy"] = Result(NOT_FOUND, stderr="skopeo: not found")
    error = site.fail(TOOL)
    assert "skopeo copy failed: skopeo: not found" in error.msg
    assert error.facts["failures"][0]["reason"] == "failed"


def test_a_copy_that_takes_too_long_says_so_and_a_dead_engine_is_no_missing_image(site: Site) -> None:
    site.engine.fail["skopeo copy"] = Result(TIMED_OUT, stderr="skopeo copy: no answer within 1800 s")
    error = site.fail(TOOL)
    assert "no answer within 1800 s -- It was stopped. Check the network and the engine" in error.msg
    assert error.facts["failures"][0]["reason"] == "failed"
    site.engine.fail["docker image"] = Result(1, stderr="Cannot connect to the Docker daemon")
    with pytest.raises(CommandFailed, match=r"Looking for image drystone\.local/node:v2: .* Cannot connect"):
        site.ensure(NODE)
    assert site.engine.of("docker pull") == []


def test_all_failures_are_told_at_once_and_the_rest_is_there(site: Site) -> None:
    lost = [dataclasses.replace(TOOL, name=name, path=f"org/{name}:v1", target=f"{name}:v1") for name in ("a", "b")]
    site.engine.fail["skopeo copy"] = Result(1, stdout="org/a:v1 org/b:v1", stderr="manifest unknown")
    error = site.fail(lost[0], TOOL, lost[1])
    assert [failure["name"] for failure in error.facts["failures"]] == ["a", "b"]
    assert site.ensure(TOOL).made == []


class Docker:
    """A fake docker with answers by subcommand that records its calls."""

    def __init__(self, **answers: Result) -> None:
        self.answers = answers
        self.calls: list[list[str]] = []

    def run(self, argv: list[str], timeout: float) -> Result:
        self.calls.append(argv)
        assert timeout > 0
        return self.answers.get(argv[1], Result(0))

    @property
    def removed(self) -> list[str]:
        return [argv[-1] for argv in self.calls if argv[1:3] == ["container", "rm"]]


def test_a_registry_runs_for_a_moment_and_a_killed_run_s_goes_first() -> None:
    docker = Docker(ps=Result(0, "old\n"), run=Result(0, "new\n"), port=Result(0, "127.0.0.1:49153\n"))
    heard = iter([False, False, True])
    waited: list[float] = []
    with registry_container(
        docker.run, "registry:3", "/storage", answers=lambda _url: next(heard), clock=lambda: 0.0, sleep=waited.append
    ) as address:
        assert address == "127.0.0.1:49153"
        assert docker.removed == ["old"]
        assert len(waited) == 2
    assert docker.removed == ["old", "new"]
    [started] = [argv for argv in docker.calls if argv[1] == "run"]
    assert f"{LABEL}=/storage" in started
    assert "/storage:/var/lib/registry" in started


def test_a_registry_that_never_answers_is_told_with_its_log_and_removed() -> None:
    docker = Docker(run=Result(0, "new\n"), port=Result(0, "127.0.0.1:49153\n"), logs=Result(0, "", "no such config"))
    times = iter([0.0, 10.0, 40.0])
    with (
        pytest.raises(
            CommandFailed, match=r"does not answer on 127\.0\.0\.1:49153\. Its log ends with: no such config"
        ),
        registry_container(
            docker.run, "i", "/s", answers=lambda _url: False, clock=lambda: next(times), sleep=lambda _seconds: None
        ),
    ):
        raise AssertionError("it must not be used")
    assert docker.removed == ["new"]


def test_a_registry_that_does_not_start_is_told() -> None:
    docker = Docker(run=Result(125, "created\n", "port is already allocated"))
    with (
        pytest.raises(CommandFailed, match="Starting a registry from i to copy images into /s: port is already"),
        registry_container(docker.run, "i", "/s"),
    ):
        raise AssertionError("it must not be used")
    assert docker.removed == ["created"]


def test_the_module_tells_what_is_wrong_with_its_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = {"name": "tool", "publisher": "them", "path": "org/tool:v1", "target": "tool:v2"}
    arguments = {
        "storage": str(tmp_path),
        "registry_image": "registry:3",
        "bases": {"us": "quay.io"},
        "images": [image],
    }

    def call() -> dict[str, t.Any]:
        with patch_module_args({**arguments, "_ansible_check_mode": True}), pytest.raises(SystemExit):
            artifact_images.main()
        result: dict[str, t.Any] = json.loads(capsys.readouterr().out)
        return result

    assert call()["msg"] == "Looking up the publisher them: bases only contains us."
    image["publisher"] = "us"
    predicted = call()
    assert (predicted["changed"], predicted["made"]) == (True, ["tool"])
    assert predicted["msg"] == "made tool; unlocked: tool"
