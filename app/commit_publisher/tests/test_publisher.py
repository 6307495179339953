# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is published, when, and what can go wrong: a real repository, a fake API server, real HTTP between them."""

from __future__ import annotations

import os
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from app.commit_publisher import __main__ as command
from app.commit_publisher.content import Content, NothingYet, Unreadable, without_credentials
from app.commit_publisher.kube import ApiError, ConfigMap
from app.commit_publisher.publisher import ANNOTATION, ConfigError, Metrics, Publisher, Settings
from tests.unit.fake_api import FakeApi, Fault

NAME = "site-git-content"
URL = "ssh://git@git.example.com/site-content.git"
PATH = rf"/configmaps/{NAME}"


def wait_for(what: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not what() and time.monotonic() < deadline:
        time.sleep(0.005)
    return what()


class Repository:
    """Makes commits, and shows them as git-sync does: a worktree named after the commit, and a link to it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.link = root / "content"
        root.mkdir(exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str, **env: str) -> str:
        who = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", **who, **env}
        command = ["git", "-C", str(self.root), *arguments]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.strip()

    def commit(self, at: str) -> str:
        self.git("commit", "--quiet", "--allow-empty", "--message=A secret subject", GIT_COMMITTER_DATE=at)
        return self.git("rev-parse", "HEAD")

    def show(self, commit: str) -> str:
        worktree = self.root / ".worktrees" / commit
        if not worktree.exists():
            self.git("worktree", "add", "--quiet", "--detach", str(worktree), commit)
        new = self.root / "new"
        new.symlink_to(worktree.relative_to(self.root))
        new.rename(self.link)
        return commit

    def push(self, at: str = "2026-03-01T12:00:00+02:00") -> str:
        return self.show(self.commit(at))


class World:
    """A cluster, a repository, and a publisher that is started and stopped as a test wants."""

    def __init__(self, api: FakeApi, folder: Path) -> None:
        self.api = api
        self.repository = Repository(folder / "repository")
        self.account = folder / "account"
        self.account.mkdir()
        self.token("first")
        self.now = 1_800_000_000.0
        self.logged: list[tuple[str, str]] = []
        self.publisher: Publisher | None = None
        self.metrics = Metrics("site")
        self.running: list[Callable[[], Any]] = []
        api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "dev"}})
        self.make()

    def make(self, **metadata: Any) -> None:
        identity = {"name": NAME, "namespace": "dev"}
        self.api.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**identity, **metadata}})

    def token(self, value: str) -> None:
        (self.account / "token").write_text(value)

    def log(self, level: str, message: str, **_fields: Any) -> None:
        self.logged.append((level, message))

    def start(self, patience: float = 5, size_limit: int = 0, **options: Any) -> World:
        self.metrics = Metrics("site")
        self.publisher = Publisher(
            Settings("site", "dev", NAME, URL, options.pop("ref", "main"), str(self.repository.link), size_limit),
            Content(self.repository.link),
            ConfigMap(self.api.url, "dev", NAME, self.account, timeout=2),
            self.metrics,
            self.log,
            now=lambda: self.now,
            **{"look_again": 60.0, "pause": (0.01, 0.05), **options},
        )
        hook = command.serve(("127.0.0.1", 0), command.webhook(self.publisher.publish, patience))
        probes = command.serve(("127.0.0.1", 0), command.probes(self.publisher, self.metrics))
        self.hook, self.probes = (f"http://127.0.0.1:{one.server_address[1]}" for one in (hook, probes))
        worker = threading.Thread(target=self.publisher.run)
        worker.start()
        self.running = [self.publisher.stop, worker.join]
        for server in (hook, probes):
            self.running += [server.shutdown, server.server_close]
        return self

    def stop(self) -> None:
        for step in self.running:
            step()
        self.running = []

    def tell(self, commit: str) -> requests.Response:
        return requests.post(self.hook, headers={"Gitsync-Hash": commit}, timeout=20)

    def push(self, **options: Any) -> tuple[str, requests.Response]:
        commit = self.repository.push(**options)
        return commit, self.tell(commit)

    def found(self) -> dict[str, Any]:
        found = self.api.find("ConfigMap", NAME, "dev")
        assert found is not None
        return found

    def data(self) -> dict[str, str]:
        data: dict[str, str] = self.found().get("data") or {}
        return data

    def sample(self, name: str, **labels: str) -> float | None:
        families = text_string_to_metric_families(requests.get(f"{self.probes}/metrics", timeout=5).text)
        samples = {(one.name, *sorted(one.labels.items())): one.value for family in families for one in family.samples}
        return samples.get((name, *sorted({"workload": "site", **labels}.items())))

    def requests(self, method: str) -> int:
        return sum(one.startswith(method) for one in self.api.requests)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    api = FakeApi()
    api.start()
    made = World(api, tmp_path)
    yield made
    made.stop()
    api.stop()


def test_a_commit_is_published_in_the_config_map_and_as_metrics(world: World) -> None:
    commit, answer = world.start().push(at="2026-03-01T12:00:00+02:00")
    assert (answer.status_code, answer.text) == (200, f"{commit} is published\n")
    assert world.data() == {
        "commit": commit,
        "commit_time": "2026-03-01T10:00:00Z",
        "published_time": "2027-01-15T08:00:00Z",
        "ref": "main",
        "repository": URL,
    }
    assert world.found()["metadata"]["annotations"] == {ANNOTATION: commit}
    assert world.sample("git_content_info", commit=commit) == 1
    assert world.sample("git_content_commit_timestamp_seconds") == 1772359200
    assert world.sample("git_content_published_timestamp_seconds") == world.now
    assert world.sample("git_content_publish_failures_total") == 0
    assert "secret" not in str(world.found()) + str(world.logged)


def test_the_metric_shows_the_published_commit_alone(world: World) -> None:
    first, _ = world.start().push()
    second, _ = world.push(at="2026-03-02T12:00:00Z")
    assert world.sample("git_content_info", commit=first) is None
    assert world.sample("git_content_info", commit=second) == 1


def used(folder: Path) -> int:
    told = subprocess.run(
        ["du", "--summarize", "--block-size=1", str(folder)], capture_output=True, text=True, check=True
    )
    return int(told.stdout.split()[0]) - folder.stat().st_blocks * 512


def test_the_size_is_what_the_kubelet_counts(world: World) -> None:
    world.repository.push()
    worktree = world.repository.link
    (worktree / "file").write_bytes(b"x" * 100_000)
    os.link(worktree / "file", worktree / "the same file")
    with (worktree / "sparse").open("wb") as sparse:
        sparse.truncate(1 << 30)
    assert Content(world.repository.link).size() == used(world.repository.root)


def test_content_above_the_limit_is_not_published_until_there_is_room(world: World) -> None:
    before = world.repository.push()
    world.start(size_limit=Content(world.repository.link).size() + (1 << 20), patience=0.2)
    assert wait_for(lambda: world.data().get("commit") == before)
    commit = world.repository.push(at="2026-03-02T12:00:00Z")
    large = world.repository.link / "large"
    large.write_bytes(os.urandom(2 << 20))
    answer = world.tell(commit)
    assert answer.status_code == 503
    assert "pods with it would be evicted. Make it smaller" in answer.text
    assert world.data()["commit"] == before
    assert (world.sample("git_content_publish_failures_total") or 0) >= 1
    large.unlink()
    assert wait_for(lambda: world.data()["commit"] == commit)


def test_what_is_published_already_stays_whatever_its_size(world: World) -> None:
    commit, _ = world.start().push()
    world.stop()
    writes = list(world.api.writes)
    world.start(size_limit=1)
    assert wait_for(lambda: requests.get(f"{world.probes}/readyz", timeout=5).status_code == 200)
    assert world.tell(commit).status_code == 200
    assert world.api.writes == writes


def test_the_same_commit_again_writes_nothing(world: World) -> None:
    commit, _ = world.start().push()
    writes = list(world.api.writes)
    world.now += 100
    assert world.tell(commit).status_code == 200
    assert world.api.writes == writes


def test_a_restart_writes_nothing_and_keeps_the_time_of_publishing(world: World) -> None:
    commit, _ = world.start().push()
    writes, published = list(world.api.writes), world.now
    world.stop()
    world.now += 1000
    world.start()
    # Without any webhook: git-sync, which was not restarted, has no reason for another one.
    assert wait_for(lambda: requests.get(f"{world.probes}/readyz", timeout=5).status_code == 200)
    assert world.sample("git_content_info", commit=commit) == 1
    assert world.sample("git_content_published_timestamp_seconds") == published
    assert world.api.writes == writes


def test_another_branch_at_the_same_commit_is_told_as_it_is_with_the_time_kept(world: World) -> None:
    world.start().push()
    before = world.data()
    world.stop()
    world.now += 1000
    world.start(ref="production")
    assert wait_for(lambda: world.data()["ref"] == "production")
    assert world.data() == {**before, "ref": "production"}


def test_ready_only_once_something_is_published(world: World) -> None:
    world.start()
    assert requests.get(f"{world.probes}/healthz", timeout=5).status_code == 200
    answer = requests.get(f"{world.probes}/readyz", timeout=5)
    assert answer.status_code == 503
    assert wait_for(lambda: "has not finished its first sync" in requests.get(f"{world.probes}/readyz", timeout=5).text)
    world.push()
    assert requests.get(f"{world.probes}/readyz", timeout=5).status_code == 200
    assert world.sample("git_content_publish_failures_total") == 0


@pytest.mark.parametrize(
    "fault", [{"status": status} for status in (401, 403, 429, 500, 503)] + [{"drop_before": True}]
)
def test_git_sync_hears_503_until_it_is_published_and_the_publisher_goes_on_alone(
    world: World, fault: dict[str, Any]
) -> None:
    world.api.faults.append(Fault(f"PATCH .*{PATH}", times=10**6, **fault))
    commit, answer = world.start(patience=0.1).push()
    assert answer.status_code == 503
    assert answer.text.startswith(f"{commit} is not published: writing ConfigMap dev/{NAME}: ")
    assert requests.get(f"{world.probes}/readyz", timeout=5).status_code == 503
    assert (world.sample("git_content_publish_failures_total") or 0) >= 1
    world.api.faults.clear()
    # Nobody asks again.
    assert wait_for(lambda: world.data().get("commit") == commit)
    assert world.tell(commit).status_code == 200


def test_a_short_outage_costs_git_sync_one_answer(world: World) -> None:
    world.api.faults.append(Fault(PATH, times=3, status=503))
    commit, answer = world.start().push()
    assert answer.status_code == 200
    assert world.data()["commit"] == commit


def test_a_write_whose_answer_is_lost_is_not_made_twice(world: World) -> None:
    world.api.faults.append(Fault(f"PATCH .*{PATH}", drop_after=True))
    commit, answer = world.start().push()
    assert answer.status_code == 200
    assert world.api.writes.count(f"update ConfigMap {NAME}") == 1
    assert world.data()["commit"] == commit


def test_retry_after_is_heeded(world: World) -> None:
    world.api.faults.append(Fault(PATH, times=10**6, status=429, headers={"Retry-After": "30"}))
    _, answer = world.start(patience=0.3).push()
    assert answer.status_code == 503
    # One look at the start, before there was anything to publish, asks the API server for nothing.
    assert world.requests("GET") == 1


def test_the_token_is_read_for_each_request(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str | None] = []
    handler = world.api.server.RequestHandlerClass
    serve = handler.serve  # type: ignore[attr-defined]  # an attribute of the fake's handler alone

    def spy(self: Any) -> None:
        seen.append(self.headers["Authorization"])
        serve(self)

    for verb in ("do_GET", "do_PATCH"):
        monkeypatch.setattr(handler, verb, spy)
    world.start().push()
    world.token("second\n")
    world.push(at="2026-03-02T12:00:00Z")
    assert seen == ["Bearer first"] * 2 + ["Bearer second"] * 2


def test_a_token_that_is_missing_for_a_moment_is_waited_for(world: World) -> None:
    (world.account / "token").unlink()
    commit, answer = world.start(patience=0.1).push()
    assert answer.status_code == 503
    world.token("back")
    assert wait_for(lambda: world.data().get("commit") == commit)


def test_an_older_commit_is_never_put_over_a_newer_one(world: World) -> None:
    old = world.repository.push()
    new = world.repository.push(at="2026-03-02T12:00:00Z")
    world.start()
    assert wait_for(lambda: world.data().get("commit") == new)
    # A webhook that was long on its way.
    answer = world.tell(old)
    assert (answer.status_code, answer.text) == (503, f"{old} is not published: git-sync has moved on to {new}\n")
    assert world.data()["commit"] == new


def test_a_webhook_that_is_overtaken_is_told_so_and_the_newest_is_published(world: World) -> None:
    old = world.repository.push()
    world.api.faults.append(Fault(f"PATCH .*{PATH}", delay=0.5, status=500))
    answers: list[requests.Response] = []
    world.start()
    asking = threading.Thread(target=lambda: answers.append(world.tell(old)))
    asking.start()
    assert wait_for(lambda: world.requests("PATCH") == 1)
    new, answer = world.push(at="2026-03-02T12:00:00Z")
    asking.join()
    assert answer.status_code == 200
    assert answers[0].status_code == 503
    assert f"git-sync has moved on to {new}" in answers[0].text
    assert world.data()["commit"] == new


def test_a_write_that_arrives_late_does_not_undo_a_newer_one(world: World) -> None:
    config_map = ConfigMap(world.api.url, "dev", NAME, world.account)
    version = config_map.read()["metadata"]["resourceVersion"]
    commit, _ = world.start().push()
    with pytest.raises(ApiError, match=rf"writing ConfigMap dev/{NAME}: HTTP 409: the object has been modified"):
        config_map.write(version, {ANNOTATION: "0" * 40}, {"commit": "0" * 40})
    assert world.data()["commit"] == commit


def test_a_rewound_branch_is_published_too(world: World) -> None:
    old = world.repository.push()
    world.start().push(at="2026-03-02T12:00:00Z")
    world.repository.show(old)
    assert world.tell(old).status_code == 200
    assert world.data()["commit"] == old


@pytest.mark.parametrize(
    "harm",
    [
        lambda world: world.api.edit("ConfigMap", NAME, "dev", "data/commit", "0" * 40),
        lambda world: world.make(annotations={ANNOTATION: "0" * 40}),
        lambda world: (world.api.drop("ConfigMap", NAME, "dev"), world.make()),
    ],
    ids=["edited", "annotated", "made anew"],
)
def test_what_somebody_else_does_to_the_config_map_is_put_right(world: World, harm: Callable[[World], Any]) -> None:
    commit, _ = world.start(look_again=0.05).push()
    harm(world)
    assert wait_for(lambda: world.data().get("commit") == commit)
    assert wait_for(lambda: world.found()["metadata"]["annotations"][ANNOTATION] == commit)


def test_nothing_but_the_own_fields_is_written(world: World) -> None:
    world.api.edit("ConfigMap", NAME, "dev", "data/theirs", "kept")
    world.start().push()
    assert world.data()["theirs"] == "kept"
    assert {request.split("?")[0] for request in world.api.requests} == {
        f"{verb} /api/v1/namespaces/dev/configmaps/{NAME}" for verb in ("GET", "PATCH")
    }


def test_a_missing_config_map_is_named_with_where_it_comes_from(world: World) -> None:
    world.api.drop("ConfigMap", NAME, "dev")
    _, answer = world.start(patience=0.2).push()
    assert "HTTP 404" in answer.text
    assert "the workload's manifests (component git-content) contain the ConfigMap" in answer.text
    world.make()
    assert wait_for(lambda: bool(world.data()))


def test_content_that_cannot_be_read_is_not_published(world: World) -> None:
    world.repository.link.symlink_to(f".worktrees/{'0' * 40}")
    world.start(patience=0.2)
    answer = world.tell("0" * 40)
    assert answer.status_code == 503
    assert f"reading the time of commit {'0' * 40} in {world.repository.link}: git printed " in answer.text
    assert world.data() == {}


@pytest.mark.parametrize(
    "header", [{}, {"Gitsync-Hash": "abc"}, {"Gitsync-Hash": "G" * 40}, {"Gitsync-Hash": "a" * 41}]
)
def test_only_a_full_commit_is_accepted(world: World, header: dict[str, str]) -> None:
    world.start()
    answer = requests.post(world.hook, headers=header, timeout=5)
    assert answer.status_code == 400
    assert "Gitsync-Hash" in answer.text
    assert requests.post(f"{world.hook}/other", headers={"Gitsync-Hash": "a" * 40}, timeout=5).status_code == 404
    assert requests.get(world.hook, timeout=5).status_code == 501
    assert requests.get(f"{world.probes}/other", timeout=5).status_code == 404


def test_whoever_waits_is_answered_when_the_publisher_ends(world: World) -> None:
    commit = world.repository.push()
    world.api.faults.append(Fault(PATH, times=10**6, status=500))
    world.start(patience=30)
    answers: list[int] = []
    asking = threading.Thread(target=lambda: answers.append(world.tell(commit).status_code))
    asking.start()
    assert wait_for(lambda: world.requests("GET") > 0)
    assert world.publisher is not None
    world.publisher.stop()
    asking.join(timeout=5)
    assert answers == [503]


# --- what git-sync shows ---


def test_a_hash_of_sha256_is_read(tmp_path: Path) -> None:
    link = tmp_path / "content"
    link.symlink_to(f".worktrees/{'a' * 64}")
    assert Content(link).commit() == "a" * 64


def test_no_link_is_nothing_yet_and_anything_else_is_an_error(tmp_path: Path) -> None:
    link = tmp_path / "content"
    with pytest.raises(NothingYet, match="git-sync has not finished its first sync"):
        Content(link).commit()
    link.mkdir()
    with pytest.raises(Unreadable, match="as git-sync's link"):
        Content(link).commit()
    link.rmdir()
    link.symlink_to("latest")
    with pytest.raises(Unreadable, match="points to 'latest', which is not the name of a commit"):
        Content(link).commit()


def test_git_reads_no_configuration_but_the_repository_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = Repository(tmp_path / "repository")
    commit = repository.push(at="2026-03-01T10:00:00Z")
    config = tmp_path / "gitconfig"
    config.write_text("[core]\n\trepositoryformatversion = nonsense\n[this is not\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", str(config))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert Content(repository.link).time(commit) == 1772359200


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (URL, URL),
        ("ssh://git:secret@git.example.com:2222/x.git", "ssh://git@git.example.com:2222/x.git"),
        ("https://user:secret@git.example.com/x.git", "https://git.example.com/x.git"),
        ("https://secret@git.example.com/x.git", "https://git.example.com/x.git"),
        ("https://git.example.com/x.git?private_token=secret#secret", "https://git.example.com/x.git"),
        ("git@git.example.com:x.git", "git@git.example.com:x.git"),
        ("https://[::1]:8443/x.git", "https://[::1]:8443/x.git"),
    ],
)
def test_no_credential_of_the_url_is_published(given: str, shown: str) -> None:
    assert without_credentials(given) == shown


# --- settings and the way to the API server ---

ENVIRON = {
    "WORKLOAD": "site",
    "NAMESPACE": "dev",
    "CONFIG_MAP": NAME,
    "REPOSITORY": "https://secret@git.example.com/x.git",
    "REF": "main",
    "CONTENT_LINK": "/git/repo/content",
}


def test_settings_come_from_the_environment_and_the_url_loses_its_credential() -> None:
    assert Settings.from_environ(ENVIRON).repository == "https://git.example.com/x.git"


def test_missing_settings_are_named() -> None:
    with pytest.raises(ConfigError, match=r"^NAMESPACE, REF must be set"):
        Settings.from_environ({**ENVIRON, "REF": " ", "NAMESPACE": ""})


@pytest.mark.parametrize(
    ("host", "server"), [("10.96.0.1", "https://10.96.0.1:443"), ("fd00::1", "https://[fd00::1]:443")]
)
def test_the_api_server_is_the_one_of_the_pod(host: str, server: str) -> None:
    environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "443"}
    assert ConfigMap.in_cluster("dev", NAME, environ).server == server


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[tuple[ConfigMap, FakeApi]]:
    """Give a ConfigMap behind TLS, its CA not yet in place."""
    subject = ["-subj", "/CN=api", "-addext", "subjectAltName=IP:127.0.0.1"]
    for name in ("good", "other"):
        files = ["-keyout", str(tmp_path / f"{name}.key"), "-out", str(tmp_path / f"{name}.crt")]
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", *files]
        subprocess.run([*command, *subject], check=True, capture_output=True)
    api = FakeApi()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "good.crt", tmp_path / "good.key")
    api.server.socket = context.wrap_socket(api.server.socket, server_side=True)
    api.start()
    (tmp_path / "token").write_text("x")
    api.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME, "namespace": "dev"}})
    yield ConfigMap(api.url.replace("http:", "https:"), "dev", NAME, tmp_path, timeout=5), api
    api.stop()


def test_the_certificate_of_the_api_server_is_checked_each_time(tls: tuple[ConfigMap, FakeApi], tmp_path: Path) -> None:
    config_map, api = tls
    with pytest.raises(ApiError, match="FileNotFoundError"):
        config_map.read()
    (tmp_path / "ca.crt").write_text((tmp_path / "other.crt").read_text())
    with pytest.raises(ApiError, match="CERTIFICATE_VERIFY_FAILED"):
        config_map.read()
    assert api.requests == []
    (tmp_path / "ca.crt").write_text((tmp_path / "good.crt").read_text())
    assert config_map.read()["metadata"]["name"] == NAME


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("", 0),
        ("1048576", 1 << 20),
        ("128Mi", 128 << 20),
        ("1Ki", 1024),
        ("1.5Gi", 3 << 29),
        ("2Ti", 2 << 40),
        ("3k", 3000),
        ("2M", 2_000_000),
        ("1G", 10**9),
    ],
)
def test_a_limit_is_written_as_kubernetes_writes_it(text: str, size: int) -> None:
    assert Settings.from_environ({**ENVIRON, "SIZE_LIMIT": text}).size_limit == size


@pytest.mark.parametrize("text", ["much", "-1", "1MiB", "1 Mi", "set", "0x10", "1K"])
def test_a_limit_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^SIZE_LIMIT must be a number of bytes such as 128Mi or 1.5G, not "):
        Settings.from_environ({**ENVIRON, "SIZE_LIMIT": text})
