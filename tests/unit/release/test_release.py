# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases of hello from a clone of a bare repository, with a registry and an API of this host."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import typing as t
from pathlib import Path
from unittest import mock

import pytest
import yaml

from scripts.release.__main__ import main
from scripts.release.places import CHANGELOG, raised
from scripts.release.plan import Version
from tests.unit.release.services import PASSWORD, TOKEN, USER, Services

ROOT = Path(__file__).resolve().parents[3]
# All that a release reads. The tests start with these files as they are.
FILES = (
    "app/hello",
    "deploy/environments/dev/hello/values.yaml",
    "deploy/environments/production/hello/values.yaml",
    "deploy/workloads/hello/chart/Chart.yaml",
    "roles/common/README.md",
    "roles/common/defaults/main.yml",
    "roles/common/meta/argument_specs.yml",
)
FIRST = Version(1, 0, 0)


class Result(t.NamedTuple):
    """The end of a run."""

    code: int
    stdout: str
    stderr: str


class Site:
    """A clone with its remote, and the environment of a release."""

    def __init__(self, directory: Path, services: Services | None = None) -> None:
        self.services = services or Services()
        self.remote = directory / "remote.git"
        self.clone = directory / "clone"
        self.docker = directory / "docker"
        self.environment = {
            **{
                name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "GITHUB_", "DOCKER_"))
            },
            "PATH": f"{directory / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "FAKE_DOCKER": str(self.docker),
            "DOCKER_REGISTRY": f"{self.services.address}/acme",
            "DOCKER_USER": USER,
            "DOCKER_PASS": PASSWORD,
            "CI_GITHUB_TOKEN": TOKEN,
            "GITHUB_REPOSITORY": "acme/drystone",
            "GITHUB_API_URL": f"http://{self.services.address}",
        }

    def create(self) -> None:
        """Fill the directory with the programs and the repositories. The first version has a tag and nothing else."""
        self.docker.mkdir()
        programs = self.docker.with_name("bin")
        programs.mkdir()
        shutil.copy(Path(__file__).with_name("fake_docker"), programs / "docker")
        self.git("init", "--quiet", "--bare", "--initial-branch=main", str(self.remote), at=self.docker)
        # A relative address stays valid in a copy of the directory.
        self.git("init", "--quiet", "--initial-branch=main", str(self.clone), at=self.docker)
        self.git("remote", "add", "origin", "../remote.git")
        for name in FILES:
            target = self.clone / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__", "CHANGELOG.md"))
            else:
                shutil.copy(ROOT / name, target)
        # The tests do not depend on the version that the project has now.
        paths = [path.relative_to(self.clone).as_posix() for path in self.clone.rglob("*") if path.is_file()]
        older = raised(paths, lambda path: (self.clone / path).read_text(), FIRST, "", "")
        for path, content in older.items():
            (self.clone / path).write_text(content)
        (self.clone / CHANGELOG).unlink()
        self.commit("Add hello")
        self.git("push", "--quiet", "origin", f"HEAD:refs/tags/{FIRST.tag}")

    def git(self, *arguments: str, at: Path | None = None) -> str:
        identity = ("-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgSign=false")
        done = subprocess.run(
            ["git", *identity, *arguments],
            cwd=at or self.clone,
            env=self.environment,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def commit(self, message: str, path: str = "app/hello/server.py", *, push: bool = True) -> str:
        """Change a file, commit and push."""
        with (self.clone / path).open("a") as file:
            file.write(f"# {message.splitlines()[0]}\n")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        if push:
            self.git("push", "--quiet", "origin", "HEAD")
        return self.git("rev-parse", "HEAD")

    def run(self, *arguments: str, **environment: str) -> Result:
        output, errors = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, {**self.environment, **environment}, clear=True),
            contextlib.chdir(self.clone),
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(errors),
        ):
            code = main(arguments)
        return Result(code, output.getvalue(), errors.getvalue())

    def release(self) -> str:
        done = self.run()
        assert done.code == 0, done.stderr
        assert done.stderr == ""
        return done.stdout

    def refusal(self, *arguments: str, **environment: str) -> str:
        done = self.run(*arguments, **environment)
        assert done.code == 1, done.stdout
        return done.stderr

    def refs(self) -> dict[str, str]:
        """The branches and tags of the remote; a tag is at its commit."""
        listed = self.git("ls-remote", str(self.remote)).splitlines()
        refs = {name: commit for commit, name in (line.split("\t") for line in listed) if name != "HEAD"}
        peeled = {name.removesuffix("^{}"): commit for name, commit in refs.items() if name.endswith("^{}")}
        return {**{name: commit for name, commit in refs.items() if not name.endswith("^{}")}, **peeled}

    def calls(self) -> list[dict[str, t.Any]]:
        """The calls of docker with their environments."""
        path = self.docker / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def show(self, ref: str, path: str) -> str:
        return self.git("show", f"{ref}:{path}", at=self.remote)

    def state(self) -> tuple[t.Any, ...]:
        services = self.services
        return (
            self.refs(),
            dict(services.manifests),
            list(services.releases),
            list(services.pulls),
            list(services.writes),
        )


@pytest.fixture
def services() -> t.Iterator[Services]:
    with Services() as running:
        yield running


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("release")
    Site(directory).create()
    return directory


@pytest.fixture
def site(template: Path, tmp_path: Path, services: Services) -> Site:
    """A site whose first version has a tag."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return Site(tmp_path, services)


def test_the_first_release_has_the_version_of_the_file(site: Site, services: Services) -> None:
    site.git("push", "--quiet", "origin", ":refs/tags/hello-v1.0.0")
    head = site.git("rev-parse", "HEAD")
    site.release()
    assert site.refs()["refs/tags/hello-v1.0.0"] == head
    assert list(services.manifests) == ["acme/hello:1.0.0"]
    assert [one["tag_name"] for one in services.releases] == ["hello-v1.0.0"]
    # Nothing but the changelog changes, because the files have the version already.
    assert site.git("diff", "--name-only", head, "release/hello-1.0.0", at=site.remote) == CHANGELOG


def test_a_commit_leads_to_a_tag_an_image_a_release_and_a_pull_request(site: Site, services: Services) -> None:
    head = site.commit("Answer in English")
    output = site.release()

    assert site.refs()["refs/tags/hello-v1.1.0"] == head
    assert site.git("cat-file", "-t", "hello-v1.1.0", at=site.remote) == "tag"
    assert "- Answer in English" in site.git("tag", "--list", "--format=%(contents)", "hello-v1.1.0", at=site.remote)

    digest = services.digest("acme/hello:1.1.0")
    config = json.loads(services.blobs[json.loads(services.manifests["acme/hello:1.1.0"])["config"]["digest"]])
    assert config["config"]["Labels"] == {
        "org.opencontainers.image.revision": head,
        "org.opencontainers.image.version": "1.1.0",
    }
    image = f"{services.address}/acme/hello:1.1.0@{digest}"
    assert image in output

    release = services.releases[-1]
    assert release["tag_name"] == "hello-v1.1.0"
    assert "- Answer in English" in release["body"]
    assert image in release["body"]
    request = services.pulls[-1]
    assert (request["head"], request["base"]) == ("release/hello-1.1.0", "main")
    assert image in request["body"]


def test_the_branch_of_the_pull_request_raises_every_place_of_the_version(site: Site) -> None:
    head = site.commit("Answer in English")
    site.release()
    branch = "release/hello-1.1.0"
    assert site.git("rev-parse", f"{branch}~", at=site.remote) == head
    changed = site.git("diff", "--name-only", head, branch, at=site.remote).splitlines()
    assert changed == sorted(["app/hello/CHANGELOG.md", "app/hello/VERSION", *FILES[1:]])
    for environment in ("dev", "production"):
        values = site.show(branch, f"deploy/environments/{environment}/hello/values.yaml")
        assert yaml.safe_load(values)["image"]["tag"] == "1.1.0"
    assert yaml.safe_load(site.show(branch, "deploy/workloads/hello/chart/Chart.yaml"))["appVersion"] == "1.1.0"
    assert yaml.safe_load(site.show(branch, "roles/common/defaults/main.yml"))["drystone_hello_version"] == "1.1.0"
    specs = yaml.safe_load(site.show(branch, "roles/common/meta/argument_specs.yml"))
    assert specs["argument_specs"]["main"]["options"]["drystone_hello_version"]["default"] == "1.1.0"
    assert "| `drystone_hello_version` | str | `1.1.0` |" in site.show(branch, "roles/common/README.md")
    assert site.show(branch, "app/hello/VERSION") == "1.1.0"
    # Each file changes in this one line.
    lines = site.git("diff", "--numstat", head, branch, "--", *FILES[1:], at=site.remote).splitlines()
    assert {tuple(line.split("\t")[:2]) for line in lines} == {("1", "1")}


def test_the_changelog_has_the_newest_version_first(site: Site) -> None:
    site.commit("Answer in English")
    site.release()
    site.git("pull", "--quiet", "origin", "release/hello-1.1.0")
    site.commit("Answer in German\n\nRelease: patch")
    date = site.git("log", "-1", "--date=format-local:%Y-%m-%d", "--format=%cd")
    site.release()
    assert site.show("release/hello-1.1.1", CHANGELOG) == (
        f"# Changes of hello\n\n## 1.1.1 ({date})\n\n- Answer in German\n\n## 1.1.0 ({date})\n\n- Answer in English"
    )


def test_merging_the_pull_request_releases_nothing(site: Site) -> None:
    site.commit("Answer in English")
    site.release()
    site.git("pull", "--quiet", "origin", "release/hello-1.1.0")
    site.git("push", "--quiet", "origin", "main")
    before = site.state()
    assert "Nothing to release" in site.release()
    assert site.state() == before


@pytest.mark.parametrize("path", ["app/hello/tests/test_server.py", "app/hello/README.md", "roles/common/README.md"])
def test_a_commit_that_leaves_the_image_as_it_is_releases_nothing(site: Site, path: str) -> None:
    site.commit("Explain hello", path)
    before = site.state()
    assert "Nothing to release" in site.release()
    assert site.state() == before


def test_a_higher_version_in_the_file_wins(site: Site) -> None:
    (site.clone / "app/hello/VERSION").write_text("3.0.0\n")
    site.commit("Promise a stable interface")
    site.release()
    assert "refs/tags/hello-v3.0.0" in site.refs()


def test_a_trailer_with_another_value_is_refused_until_a_tag_decides(site: Site, services: Services) -> None:
    site.commit("Answer\n\nRelease: huge")
    before = site.state()
    said = site.refusal()
    assert '("Answer") has the trailer "Release: huge"' in said
    assert "none, patch, minor, major" in said
    assert site.state() == before
    site.git("push", "--quiet", "origin", "HEAD:refs/tags/hello-v1.4.0")
    site.release()
    assert "acme/hello:1.4.0" in services.manifests


def test_a_second_run_for_the_same_commit_writes_nothing(site: Site) -> None:
    site.commit("Answer in English")
    site.release()
    before = site.state()
    site.release()
    assert site.state() == before
    assert [one["command"][0] for one in site.calls()].count("build") == 1


@pytest.mark.parametrize("docker", ["build", "push"])
def test_a_release_that_docker_interrupts_can_be_repeated(site: Site, services: Services, docker: str) -> None:
    head = site.commit("Answer in English")
    (site.docker / "fail").write_text(docker)
    said = site.refusal()
    assert f"Cannot {docker} the image {services.address}/acme/hello:1.1.0" in said
    assert f"docker cannot {docker} now" in said
    # A tag without an image would be worse than none, but a tag must exist before the image is pushed.
    assert ("refs/tags/hello-v1.1.0" in site.refs()) == (docker == "push")
    assert services.pulls == []
    (site.docker / "fail").unlink()
    site.release()
    assert site.refs()["refs/tags/hello-v1.1.0"] == head
    assert "acme/hello:1.1.0" in services.manifests
    assert len(services.pulls) == 1


def test_an_image_that_may_not_be_read_is_not_replaced(site: Site, services: Services) -> None:
    site.commit("Answer in English")
    services.refused = {"GET /v2/acme/"}
    before = site.state()
    said = site.refusal()
    assert "Cannot tell whether the registry has" in said
    assert "DOCKER_USER must be able to pull too" in said
    assert site.state() == before


@pytest.mark.parametrize(
    "refused", ["PUT /v2/", "POST /repos/acme/drystone/releases", "POST /repos/acme/drystone/pulls"]
)
def test_a_release_that_a_server_interrupts_can_be_repeated(site: Site, services: Services, refused: str) -> None:
    site.commit("Answer in English")
    services.refused = {refused}
    assert "the disk is full" in site.refusal()
    services.refused = set()
    site.release()
    state = site.state()
    assert [one["tag_name"] for one in services.releases] == ["hello-v1.1.0"]
    assert [one["head"] for one in services.pulls] == ["release/hello-1.1.0"]
    site.release()
    assert site.state() == state


def test_a_repeated_release_of_an_older_commit_completes_it_but_does_not_deploy_it(
    site: Site, services: Services
) -> None:
    older = site.commit("Answer in English")
    (site.docker / "fail").write_text("push")
    site.refusal()
    (site.docker / "fail").unlink()
    site.commit("Answer in German")
    site.release()
    site.git("checkout", "--quiet", "-B", "main", older)
    assert "a later version is released" in site.release()
    assert {"acme/hello:1.1.0", "acme/hello:1.2.0"} <= set(services.manifests)
    assert "release/hello-1.1.0" not in [one["head"] for one in services.pulls]


def test_an_older_commit_of_main_without_a_tag_is_not_released(site: Site) -> None:
    older = site.commit("Answer in English")
    site.commit("Answer in German")
    site.release()
    site.git("checkout", "--quiet", "-B", "main", older)
    before = site.state()
    assert "Nothing to release" in site.release()
    assert site.state() == before


def test_a_branch_that_somebody_changed_is_kept(site: Site, services: Services) -> None:
    site.commit("Answer in English")
    services.refused = {"POST /repos/acme/drystone/pulls"}
    site.refusal()
    services.refused = set()
    changed = site.git("commit-tree", "-p", "HEAD", "HEAD^{tree}", "-m", "Correct the changelog")
    site.git("push", "--quiet", "--force", "origin", f"{changed}:refs/heads/release/hello-1.1.0")
    assert "exists with other commits" in site.release()
    assert site.refs()["refs/heads/release/hello-1.1.0"] == changed
    assert services.pulls[-1]["head"] == "release/hello-1.1.0"


def test_a_rejected_pull_request_is_not_opened_again(site: Site, services: Services) -> None:
    site.commit("Answer in English")
    site.release()
    site.git("push", "--quiet", "origin", ":release/hello-1.1.0")
    site.release()
    assert "refs/heads/release/hello-1.1.0" not in site.refs()
    assert len(services.pulls) == 1


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (
            ["switch", "--quiet", "--create", "feature"],
            "the checkout is at the branch feature, and only main is released",
        ),
        (["checkout", "--quiet", "--detach"], "the checkout is at a detached commit, and only main is released"),
        (["rm", "--quiet", "app/hello/README.md"], "the checkout has changes"),
    ],
)
def test_only_a_clean_main_branch_is_released(site: Site, prepare: list[str], reason: str) -> None:
    before = site.state()
    site.git(*prepare)
    assert reason in site.refusal()
    assert site.state() == before
    assert site.calls() == []


def test_a_commit_that_is_not_pushed_is_refused(site: Site) -> None:
    before = site.state()
    site.commit("Answer in English", push=False)
    assert "is not in main of origin. Push it first." in site.refusal()
    assert site.state() == before


def test_a_shallow_clone_is_refused(site: Site, tmp_path: Path) -> None:
    site.commit("Answer in English")
    site.clone = tmp_path / "shallow"
    site.git("clone", "--quiet", "--depth=1", site.remote.as_uri(), str(site.clone), at=tmp_path)
    assert "git fetch --unshallow" in site.refusal()


def test_a_tag_of_another_history_is_refused(site: Site) -> None:
    other = site.git("commit-tree", "HEAD^{tree}", "-m", "Start again")
    site.git("push", "--quiet", "origin", f"{other}:refs/tags/hello-v1.7.0")
    site.commit("Answer in English")
    before = site.state()
    assert f"the tag hello-v1.7.0 of origin is at commit {other[:12]}" in site.refusal()
    assert site.state() == before


def test_an_image_of_another_commit_is_never_replaced(site: Site, services: Services) -> None:
    site.commit("Answer in English")
    site.release()
    services.manifests["acme/hello:1.2.0"] = services.manifests["acme/hello:1.1.0"]
    site.commit("Answer in German")
    before = site.state()
    assert f"the registry has {services.address}/acme/hello:1.2.0 already, from commit" in site.refusal()
    assert site.state() == before


def test_a_tag_that_another_run_pushes_meanwhile_is_never_moved(site: Site, services: Services) -> None:
    head = site.git("rev-parse", "HEAD")
    site.commit("Answer in English")
    # The remote refuses tags, as if another run had just pushed this one.
    hook = site.remote / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\ngrep -q refs/tags/ && { echo the tag exists >&2; exit 1; } || exit 0\n")
    hook.chmod(0o755)
    said = site.refusal()
    assert "Cannot push the tag hello-v1.1.0 to origin" in said
    assert "the tag exists" in said
    assert services.manifests == {}
    assert site.git("tag", "--list") == ""
    assert site.git("rev-parse", "HEAD~") == head


def test_missing_settings_are_found_before_anything_runs(site: Site) -> None:
    before = site.state()
    assert "Cannot release: DOCKER_USER is not set; CI_GITHUB_TOKEN is not set." in site.refusal(
        DOCKER_USER="", CI_GITHUB_TOKEN=""
    )
    assert site.state() == before
    assert site.calls() == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("DOCKER_PASS", "unauthorized: incorrect username or password"),
        ("CI_GITHUB_TOKEN", "CI_GITHUB_TOKEN is wrong or has expired"),
    ],
)
def test_wrong_credentials_are_found_before_anything_is_created(site: Site, name: str, reason: str) -> None:
    before = site.state()
    said = site.refusal(**{name: "wrong-s3cret"})
    assert reason in said
    assert "wrong-s3cret" not in said
    assert site.state() == before


def test_no_secret_is_in_arguments_output_or_the_environment_of_programs(site: Site) -> None:
    output = site.release()
    assert output.count(PASSWORD) == output.count(TOKEN) == 0
    calls = json.dumps(site.calls())
    assert "login" in calls
    assert PASSWORD not in calls
    assert TOKEN not in calls
    assert list(site.docker.glob("config.json")) == []


def test_a_dry_run_shows_the_release_and_needs_no_credentials(site: Site) -> None:
    head = site.commit("Answer in English")
    site.git("fetch", "--quiet", "--tags")
    site.git("checkout", "--quiet", "--detach")
    site.git("remote", "set-url", "origin", "https://example.invalid/")
    before = site.state()
    secrets = dict.fromkeys(("DOCKER_REGISTRY", "DOCKER_USER", "DOCKER_PASS", "CI_GITHUB_TOKEN"), "")
    done = site.run("--dry-run", **secrets)
    assert done.code == 0, done.stderr
    for line in (
        f"  {head[:12]} minor Answer in English",
        "Version to release: 1.1.0",
        f"Tag: hello-v1.1.0 at {head}",
        "Image: <DOCKER_REGISTRY>/hello:1.1.0",
        "Branch of the pull request: release/hello-1.1.0, with this change:",
        "+- Answer in English",
        "-  tag: 1.0.0",
        "+  tag: 1.1.0",
    ):
        assert line in done.stdout.splitlines()
    assert site.state() == before
    assert site.git("status", "--porcelain") == ""


def test_a_place_without_the_version_is_named(site: Site, services: Services) -> None:
    (site.clone / "deploy/environments/dev/hello/values.yaml").write_text("image: {}\n")
    site.commit("Answer in English")
    said = site.refusal("--dry-run")
    assert "Cannot raise the version of hello in deploy/environments/dev/hello/values.yaml" in said
    assert "acme/hello:1.1.0" not in services.manifests
