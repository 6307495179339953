"""Versions and texts of releases."""

from __future__ import annotations

import pytest

from scripts.release.image import Images
from scripts.release.plan import Version
from scripts.release.programs import Runner
from scripts.release.repository import authorization


@pytest.mark.parametrize("text", ["1.2", "v1.2.3", "1.2.3-rc1", "01.2.3", "1.2.3\n", "", "1.2.3.4"])
def test_other_texts_are_no_versions(text: str) -> None:
    assert Version.parse(text) is None


def test_versions_are_compared_by_number() -> None:
    assert max(Version(1, 9, 0), Version(1, 10, 0)) == Version.parse("1.10.0")


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
def test_docker_logs_in_to_the_host_of_the_registry(registry: str, host: str, tmp_path: object) -> None:
    class Recorder(Runner):
        def __call__(self, purpose: str, *command: str, given: str = "", environment: object = None) -> str:
            assert command[-1] == host
            assert given == "password"
            assert "password" not in command
            return ""

    Images(Recorder("."), registry, tmp_path).login("robot", "password")  # type: ignore[arg-type]


def test_secrets_are_removed_from_what_programs_print() -> None:
    header = authorization("t0ken")
    secret = header.rpartition(" ")[2]
    code, output, errors = Runner(".", ["t0ken", secret, ""]).attempt("sh", "-c", f"echo t0ken; echo '{header}' >&2")
    assert (code, output, errors) == (0, "***\n", "Authorization: Basic ***\n")


def test_programs_do_not_inherit_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_PASS", "password")
    monkeypatch.setenv("CI_GITHUB_TOKEN", "t0ken")
    assert Runner(".").attempt("sh", "-c", 'echo "${DOCKER_PASS-none} ${CI_GITHUB_TOKEN-none}"')[1] == "none none\n"
