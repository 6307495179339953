# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions and texts of releases."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from scripts.release.__main__ import Settings
from scripts.release.image import Images
from scripts.release.plan import Commit, Version, next_version, notes
from scripts.release.programs import ReleaseError, Runner
from scripts.release.repository import Repository, authorization

if t.TYPE_CHECKING:
    from tests.unit.fake_git import FakeGit

Environment = t.Mapping[str, str] | None


@pytest.mark.parametrize("text", ["1.2", "v1.2.3", "1.2.3-rc1", "01.2.3", "1.2.3\n", "", "1.2.3.4"])
def test_other_texts_are_no_versions(text: str) -> None:
    assert Version.parse(text) is None


def test_versions_are_compared_by_number() -> None:
    assert max(Version(1, 9, 0), Version(1, 10, 0)) == Version.parse("1.10.0")


@pytest.mark.parametrize(
    ("trailers", "version"),
    [
        ([], None),
        (["none"], None),
        ([""], "1.3.0"),
        (["patch"], "1.2.4"),
        (["patch", "none", "patch"], "1.2.4"),
        (["patch", ""], "1.3.0"),
        (["patch", "major", "minor"], "2.0.0"),
    ],
)
def test_the_greatest_step_of_the_commits_decides_the_version(trailers: list[str], version: str | None) -> None:
    commits = [Commit("0" * 40, "Answer", trailer) for trailer in trailers]
    found = next_version(Version(1, 2, 3), Version(1, 2, 3), commits)
    assert found == (Version.parse(version) if version else None)


def test_commits_that_release_nothing_are_not_in_the_notes() -> None:
    commits = [Commit("0" * 40, "Answer in English", ""), Commit("1" * 40, "Reformat", "none")]
    assert notes(commits) == "- Answer in English\n"


@pytest.mark.parametrize(
    ("registry", "host"),
    [
        ("docker.io/acme", "docker.io"),
        ("acme/images", "docker.io"),
        ("registry.example.com/acme", "registry.example.com"),
        ("localhost/acme", "localhost"),
        ("registry:5000/acme", "registry:5000"),
        ("registry.example.com", "registry.example.com"),
    ],
)
def test_docker_logs_in_to_the_host_of_the_registry(registry: str, host: str, tmp_path: Path) -> None:
    class Recorder(Runner):
        def __call__(self, purpose: str, *command: str, given: str = "", environment: Environment = None) -> str:
            assert command[-1] == host
            assert given == "password"
            assert "password" not in command
            return ""

    Images(Recorder("."), registry, tmp_path).login("robot", "password")


def test_secrets_are_removed_from_what_programs_print() -> None:
    header = authorization("t0ken")
    secret = header.rpartition(" ")[2]
    code, output, errors = Runner(".", ["t0ken", secret, ""]).attempt("sh", "-c", f"echo t0ken; echo '{header}' >&2")
    assert (code, output, errors) == (0, "***\n", "Authorization: Basic ***\n")


def test_programs_do_not_inherit_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_PASS", "password")
    monkeypatch.setenv("CI_GITHUB_TOKEN", "t0ken")
    assert Runner(".").attempt("sh", "-c", 'echo "${DOCKER_PASS-none} ${CI_GITHUB_TOKEN-none}"')[1] == "none none\n"


SETTINGS = {
    "DOCKER_REGISTRY": "docker.io/acme",
    "DOCKER_USER": "robot",
    "DOCKER_PASS": "two words",
    "CI_GITHUB_TOKEN": "t0ken",
    "GITHUB_REPOSITORY": "acme/drystone",
}


def test_settings_come_from_the_environment() -> None:
    settings = Settings.read({**SETTINGS, "GITHUB_API_URL": "https://github.example.com/api/v3"})
    assert settings.api == "https://github.example.com/api/v3"
    assert (settings.registry, settings.user, settings.password, settings.token, settings.repository) == (
        "docker.io/acme",
        "robot",
        "two words",
        "t0ken",
        "acme/drystone",
    )
    assert Settings.read(SETTINGS).api == "https://api.github.com"


@pytest.mark.parametrize("name", SETTINGS)
def test_missing_settings_are_named(name: str) -> None:
    with pytest.raises(ReleaseError, match=f"Cannot release: {name} is not set"):
        Settings.read({**SETTINGS, name: ""})


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("DOCKER_REGISTRY", "https://docker.io/acme", "DOCKER_REGISTRY must be a host and a path without https://"),
        ("DOCKER_REGISTRY", "docker.io/acme\n", "DOCKER_REGISTRY must be one line without spaces"),
        ("DOCKER_PASS", "one\ntwo", "DOCKER_PASS must be one line"),
        ("CI_GITHUB_TOKEN", "one two", "CI_GITHUB_TOKEN must be one line without spaces"),
        ("GITHUB_REPOSITORY", "drystone", "GITHUB_REPOSITORY must be OWNER/NAME"),
    ],
)
def test_invalid_settings_are_refused_without_their_value(name: str, value: str, reason: str) -> None:
    with pytest.raises(ReleaseError) as refused:
        Settings.read({**SETTINGS, name: value})
    assert reason in str(refused.value)
    assert f"{value}" not in str(refused.value)


@pytest.fixture
def over_https(fake_git: FakeGit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGit:
    """A server that lets a token push, and a clone of its repository."""
    fake_git.users["x-access-token"] = ("t0ken", "read-write")
    fake_git.git("clone", "--quiet", str(fake_git.repository), str(tmp_path / "clone"))
    certificate = tmp_path / "ca.crt"
    certificate.write_text(fake_git.ca_cert)
    monkeypatch.setenv("GIT_SSL_CAINFO", str(certificate))
    return fake_git


def test_git_uses_the_token_over_https(over_https: FakeGit, tmp_path: Path) -> None:
    repository = Repository(Runner(str(tmp_path / "clone")), over_https.https_url, "t0ken")
    repository.push_tag(Version(1, 1, 0), "- Answer in English\n")
    assert repository.push_branch("release/hello-1.1.0", repository.head)
    assert repository.versions() == {Version(1, 1, 0): repository.head}
    assert (
        over_https.git("--git-dir", str(over_https.repository), "rev-parse", "release/hello-1.1.0") == repository.head
    )


@pytest.mark.parametrize("token", ["wrong-t0ken", None])
def test_git_fails_at_once_without_the_right_token(over_https: FakeGit, tmp_path: Path, token: str | None) -> None:
    repository = Repository(Runner(str(tmp_path / "clone")), over_https.https_url, token)
    with pytest.raises(ReleaseError, match=r"Cannot push the tag hello-v1\.1\.0 to https://localhost") as refused:
        repository.push_tag(Version(1, 1, 0), "- Answer in English\n")
    assert "wrong-t0ken" not in str(refused.value)
