# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hello answers, counts and logs, with a clock and a chance that the test sets."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from app.hello import server

TOKEN = "T1&eWbYXNWG1w1^YGKDPxAWJ@^et^&kX"
AUTH = {"X-Auth-Token": TOKEN}
REFUSAL = "The header X-Auth-Token is missing or wrong.\n"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


def client_of(clock: Callable[[], float] = lambda: 0.0, **options: Any) -> FlaskClient:
    seams = {name: options.pop(name) for name in ("chance", "sleep", "die") if name in options}
    settings = server.Settings(**{"token": TOKEN, **options})
    return server.create_app(settings, clock=clock, **seams).test_client()


def sample(client: FlaskClient, name: str, **labels: str) -> float | None:
    """Return one sample of /metrics, or None if there is none with exactly these labels."""
    found = [
        sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    ]
    assert len(found) <= 1
    return found[0] if found else None


def test_the_right_token_gets_the_answer() -> None:
    answer = client_of().get("/app", headers=AUTH)
    assert (answer.status_code, answer.text, answer.mimetype) == (200, "Hello World\n", "text/plain")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Auth-Token": ""},
        {"X-Auth-Token": TOKEN[:-1]},
        {"X-Auth-Token": TOKEN.lower()},
        {"X-Auth-Token": f"{TOKEN},{TOKEN}"},
        {"X-Auth-Token": "Grüße €".encode().decode("latin-1")},
        {"Authorization": TOKEN},
    ],
)
def test_a_missing_and_a_wrong_token_get_401_and_the_same_sentence(headers: dict[str, str]) -> None:
    answer = client_of().get("/app", headers=headers)
    assert (answer.status_code, answer.text) == (401, REFUSAL)
    assert answer.headers["WWW-Authenticate"] == 'Token realm="hello"'


def test_a_token_of_any_printable_text_is_compared_by_its_bytes() -> None:
    sent = "Grüße €".encode().decode("latin-1")  # WSGI decodes what the client sends as Latin-1
    assert client_of(token="Grüße €").get("/app", headers={"X-Auth-Token": sent}).status_code == 200


def test_the_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(given: bytes, expected: bytes) -> bool:
        compared.append((given, expected))
        return False

    monkeypatch.setattr("hmac.compare_digest", compare)
    assert client_of().get("/app", headers=AUTH).status_code == 401
    assert compared == [(TOKEN.encode(), TOKEN.encode())]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/version", "/metrics"])
def test_other_paths_need_no_token(path: str) -> None:
    assert client_of().get(path).status_code == 200


def test_the_version_is_that_of_the_file() -> None:
    client = client_of()
    assert client.get("/version").text == f"{server.VERSION}\n"
    assert sample(client, "hello_build_info", version=server.VERSION) == 1


@pytest.mark.parametrize(
    ("fail_rate", "chance", "status"),
    [(0, 0.0, 200), (0.25, 0.2499, 500), (0.25, 0.25, 200), (1, 0.999999, 500)],
)
def test_authorized_requests_fail_at_the_fail_rate(fail_rate: float, chance: float, status: int) -> None:
    client = client_of(fail_rate=fail_rate, chance=lambda: chance)
    assert client.get("/app", headers=AUTH).status_code == status
    assert client.get("/app").status_code == 401


def test_a_delay_holds_up_authorized_requests_only() -> None:
    slept: list[float] = []
    client = client_of(delay_sec=0.7, sleep=slept.append)
    assert client.get("/app").status_code == 401
    assert slept == []
    assert client.get("/app", headers=AUTH).status_code == 200
    assert slept == [0.7]


def test_every_request_of_the_app_is_in_the_histogram_with_its_outcome() -> None:
    clock = Clock()
    chances = iter([0.9, 0.9, 0.0])
    client = client_of(clock, delay_sec=0.03, fail_rate=0.5, chance=lambda: next(chances), sleep=clock.pass_by)
    for outcome in ("success", "refused", "failure"):
        assert sample(client, "hello_app_duration_seconds_count", outcome=outcome) == 0
    assert [client.get("/app", headers=AUTH).status_code for _ in range(3)] == [200, 200, 500]
    assert client.get("/app").status_code == 401
    assert sample(client, "hello_app_duration_seconds_count", outcome="success") == 2
    assert sample(client, "hello_app_duration_seconds_count", outcome="failure") == 1
    assert sample(client, "hello_app_duration_seconds_count", outcome="refused") == 1
    assert sample(client, "hello_app_duration_seconds_sum", outcome="success") == pytest.approx(0.06)
    assert sample(client, "hello_app_duration_seconds_bucket", outcome="failure", le="0.025") == 0
    assert sample(client, "hello_app_duration_seconds_bucket", outcome="failure", le="0.05") == 1


def test_an_exception_is_counted_as_a_failure() -> None:
    def broken() -> float:
        raise OSError("disk gone")

    client = client_of(chance=broken)
    assert client.get("/app", headers=AUTH).status_code == 500
    assert sample(client, "hello_app_duration_seconds_count", outcome="failure") == 1
    assert sample(client, "hello_http_requests_total", method="GET", route="/app", status="500") == 1


def test_requests_are_counted_under_a_bounded_set_of_labels() -> None:
    client = client_of()
    for path in ("/app", "/app", "/nowhere", "/nowhere/else"):
        client.get(path)
    client.open("/app", method="BREW")
    assert sample(client, "hello_http_requests_total", method="GET", route="/app", status="401") == 2
    assert sample(client, "hello_http_requests_total", method="GET", route="unmatched", status="404") == 2
    assert sample(client, "hello_http_requests_total", method="other", route="unmatched", status="405") == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/readyz/disable"),
        ("POST", "/healthz/disable"),
        ("GET", "/panic"),
        ("GET", "/delay/1"),
        ("GET", "/status/503"),
    ],
)
def test_faults_are_absent_unless_enabled(method: str, path: str) -> None:
    died: list[bool] = []
    client = client_of(die=lambda: died.append(True), sleep=lambda _: died.append(True))
    assert client.open(path, method=method).status_code == 404
    assert client.get("/readyz").status_code == client.get("/healthz").status_code == 200
    assert not died


@pytest.mark.parametrize("path", ["/readyz", "/healthz"])
def test_probes_can_be_switched(path: str) -> None:
    client = client_of(faults_enabled=True)
    assert client.get(f"{path}/disable").status_code == 405
    assert client.post(f"{path}/disable").status_code == 202
    assert (client.get(path).status_code, f"{path}/disable" in client.get(path).text) == (503, True)
    other = ({"/readyz", "/healthz"} - {path}).pop()
    assert client.get(other).status_code == 200
    assert client.post(f"{path}/enable").status_code == 202
    assert client.get(path).status_code == 200


def test_panic_delay_and_status() -> None:
    died: list[bool] = []
    slept: list[float] = []
    client = client_of(faults_enabled=True, die=lambda: died.append(True), sleep=slept.append)
    client.get("/panic")
    assert died == [True]
    assert client.get("/delay/7").status_code == 200
    assert client.get("/delay/301").status_code == 400
    assert slept == [7]
    assert client.get("/status/418").status_code == 418
    assert client.get("/status/199").status_code == client.get("/status/600").status_code == 400


def test_the_log_tells_the_request_and_no_token(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client = client_of()
    client.get(f"/app?token={TOKEN}", headers={**AUTH, "X-Request-Id": "abc"})
    client.get("/app", headers={"X-Auth-Token": "wrong-s3cret"})
    lines = [json.loads(server.JsonFormatter().format(record)) for record in caplog.records]
    first, second = [line for line in lines if line["logger"] == "hello.access"]
    assert (first["method"], first["path"], first["status"], first["request_id"]) == ("GET", "/app", 200, "abc")
    assert second["status"] == 401
    assert TOKEN not in json.dumps(lines)
    assert "s3cret" not in json.dumps(lines)


def test_the_settings_do_not_show_the_token() -> None:
    assert TOKEN not in repr(server.Settings(TOKEN))


def test_probes_are_logged_only_when_they_fail(caplog: pytest.LogCaptureFixture) -> None:
    client = client_of(faults_enabled=True)
    client.post("/readyz/disable")
    caplog.clear()
    caplog.set_level(logging.INFO, logger="hello.access")
    for path in ("/healthz", "/metrics", "/readyz"):
        client.get(path)
    assert [record.__dict__["fields"]["path"] for record in caplog.records] == ["/readyz"]


def test_an_exception_is_logged_on_one_line(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> float:
        raise OSError("disk gone")

    client_of(chance=broken).get("/app", headers=AUTH)
    (record,) = [record for record in caplog.records if record.exc_info]
    line = server.JsonFormatter().format(record)
    assert "\n" not in line
    assert "disk gone" in json.loads(line)["exception"]


def test_settings_default_as_documented() -> None:
    assert server.Settings.from_environ({"AUTH_TOKEN": TOKEN}) == server.Settings(TOKEN, 0, 0, False)


def test_settings_are_read() -> None:
    environ = {"AUTH_TOKEN": TOKEN, "FAIL_RATE": "1", "DELAY_SEC": "0.5", "FAULTS_ENABLED": "true"}
    assert server.Settings.from_environ(environ) == server.Settings(TOKEN, 1, 0.5, True)


@pytest.mark.parametrize(
    "token", ["T1&eWbYXNWG1w1^YGKDPxAWJ@^et^&kX", "a b", "Grüße €", "'\"$(x)`{{ y }}\\n", "#", "x" * 4096]
)
def test_any_printable_line_is_a_token(token: str) -> None:
    assert server.Settings.from_environ({"AUTH_TOKEN": token}).token == token


@pytest.mark.parametrize("token", [None, "", " ", "one\ntwo", "one\n", "one\r", " one", "one ", "one\ttwo", "one\0two"])
def test_an_invalid_token_is_refused_with_one_message_that_does_not_show_it(token: str | None) -> None:
    with pytest.raises(server.ConfigError) as caught:
        server.Settings.from_environ({} if token is None else {"AUTH_TOKEN": token})
    assert str(caught.value) == (
        "AUTH_TOKEN must be one line of printable text without spaces at its ends (in Kubernetes: a key of a Secret)"
    )


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"FAIL_RATE": "2%"}, "FAIL_RATE must be a number from 0 to 1, not '2%' (default: 0)"),
        ({"FAIL_RATE": "1.01"}, "FAIL_RATE must be a number from 0 to 1, not '1.01' (default: 0)"),
        ({"FAIL_RATE": "-0.1"}, "FAIL_RATE must be a number from 0 to 1, not '-0.1' (default: 0)"),
        ({"FAIL_RATE": "nan"}, "FAIL_RATE must be a number from 0 to 1, not 'nan' (default: 0)"),
        ({"DELAY_SEC": "inf"}, "DELAY_SEC must be a number from 0 to 300, not 'inf' (default: 0)"),
        ({"DELAY_SEC": ""}, "DELAY_SEC must be a number from 0 to 300, not '' (default: 0)"),
        ({"FAULTS_ENABLED": "yes"}, "FAULTS_ENABLED must be 'true' or 'false', not 'yes' (default: 'false')"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(environ: dict[str, str], message: str) -> None:
    with pytest.raises(server.ConfigError) as caught:
        server.Settings.from_environ({"AUTH_TOKEN": TOKEN, **environ})
    assert str(caught.value) == message
