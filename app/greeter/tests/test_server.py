# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the greeter answers, counts and logs, with a clock and a chance that the test sets."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from app.greeter import server


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


def client_of(clock: Callable[[], float] = lambda: 0.0, **options: Any) -> FlaskClient:
    seams = {name: options.pop(name) for name in ("chance", "work", "sleep", "die") if name in options}
    seams.setdefault("work", lambda: None)
    settings = server.Settings(greeting="Grüezi", **options)
    return server.create_app(settings, clock=clock, **seams).test_client()


def sample(client: FlaskClient, name: str, **labels: str) -> float | None:
    """Give one sample of /metrics, or None if there is none with exactly these labels."""
    found = [
        sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    ]
    assert len(found) <= 1
    return found[0] if found else None


def test_greets_with_the_greeting() -> None:
    answer = client_of().get("/")
    assert (answer.status_code, answer.text, answer.mimetype) == (200, "Grüezi\n", "text/plain")


def test_healthy_from_the_start_and_ready_after_the_delay() -> None:
    clock = Clock()
    client = client_of(clock)
    assert client.get("/healthz").status_code == 200
    assert (client.get("/readyz").status_code, client.get("/readyz").text) == (503, "starting: ready in 10.0 s\n")
    clock.pass_by(9.9)
    assert client.get("/readyz").status_code == 503
    clock.pass_by(0.1)
    assert client.get("/readyz").status_code == 200
    assert client.get("/healthz").status_code == 200


def test_the_delay_is_configurable() -> None:
    assert client_of(readiness_delay_sec=0).get("/readyz").status_code == 200


@pytest.mark.parametrize(
    ("fail_rate", "chance", "status"),
    [(0.02, 0.0199, 500), (0.02, 0.02, 200), (0, 0.0, 200), (1, 0.999999, 500)],
)
def test_work_fails_at_the_fail_rate(fail_rate: float, chance: float, status: int) -> None:
    assert client_of(fail_rate=fail_rate, chance=lambda: chance).get("/work").status_code == status


def test_every_request_of_work_is_in_the_histogram_whatever_its_outcome() -> None:
    clock = Clock()
    chances = iter([0.9, 0.9, 0.0])
    client = client_of(clock, chance=lambda: next(chances), work=lambda: clock.pass_by(0.03))
    assert sample(client, "greeter_work_duration_seconds_count", outcome="success") == 0
    assert sample(client, "greeter_work_duration_seconds_count", outcome="failure") == 0
    assert [client.get("/work").status_code for _ in range(3)] == [200, 200, 500]
    assert sample(client, "greeter_work_duration_seconds_count", outcome="success") == 2
    assert sample(client, "greeter_work_duration_seconds_count", outcome="failure") == 1
    assert sample(client, "greeter_work_duration_seconds_sum", outcome="success") == pytest.approx(0.06)
    assert sample(client, "greeter_work_duration_seconds_bucket", outcome="failure", le="0.025") == 0
    assert sample(client, "greeter_work_duration_seconds_bucket", outcome="failure", le="0.05") == 1


def test_work_that_raises_is_counted_as_a_failure() -> None:
    def broken() -> None:
        raise OSError("disk gone")

    client = client_of(work=broken)
    assert client.get("/work").status_code == 500
    assert sample(client, "greeter_work_duration_seconds_count", outcome="failure") == 1
    assert sample(client, "greeter_http_requests_total", method="GET", route="/work", status="500") == 1


def test_requests_are_counted_under_a_bounded_set_of_labels() -> None:
    client = client_of()
    for path in ("/", "/", "/nowhere", "/nowhere/else"):
        client.get(path)
    client.open("/", method="BREW")
    assert sample(client, "greeter_http_requests_total", method="GET", route="/", status="200") == 2
    assert sample(client, "greeter_http_requests_total", method="GET", route="unmatched", status="404") == 2
    assert sample(client, "greeter_http_requests_total", method="other", route="unmatched", status="405") == 1


def test_metrics_tell_the_build_the_configuration_and_the_process() -> None:
    client = client_of(fail_rate=0.25)
    assert sample(client, "greeter_build_info", version=server.VERSION) == 1
    assert sample(client, "greeter_configured_fail_rate") == 0.25
    assert sample(client, "process_resident_memory_bytes")


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
    client = client_of(readiness_delay_sec=0, die=lambda: died.append(True), sleep=lambda _: died.append(True))
    assert client.open(path, method=method).status_code == 404
    assert client.get("/readyz").status_code == client.get("/healthz").status_code == 200
    assert not died


@pytest.mark.parametrize("path", ["/readyz", "/healthz"])
def test_probes_can_be_switched(path: str) -> None:
    client = client_of(faults_enabled=True, readiness_delay_sec=0)
    assert client.get(f"{path}/disable").status_code == 405
    assert client.post(f"{path}/disable").status_code == 202
    assert (client.get(path).status_code, f"{path}/disable" in client.get(path).text) == (503, True)
    other = ({"/readyz", "/healthz"} - {path}).pop()
    assert client.get(other).status_code == 200
    assert client.post(f"{path}/enable").status_code == 202
    assert client.get(path).status_code == 200


def test_enabling_does_not_shorten_the_readiness_delay() -> None:
    client = client_of(faults_enabled=True)
    client.post("/readyz/enable")
    assert client.get("/readyz").status_code == 503


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


def test_access_log_tells_the_request_and_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    client = client_of(chance=lambda: 0.0)
    client.get("/work?token=s3cret", headers={"Authorization": "Bearer s3cret", "X-Request-Id": "abc"})
    lines = [json.loads(server.JsonFormatter().format(record)) for record in caplog.records]
    (line,) = [line for line in lines if line["logger"] == "greeter.access"]
    assert (line["method"], line["path"], line["status"], line["request_id"]) == ("GET", "/work", 500, "abc")
    assert "s3cret" not in json.dumps(lines)
    assert "Grüezi" not in json.dumps(lines, ensure_ascii=False)


def test_probes_are_logged_only_when_they_fail(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="greeter.access")
    client = client_of()
    for path in ("/healthz", "/metrics", "/readyz"):
        client.get(path)
    assert [record.__dict__["fields"]["path"] for record in caplog.records] == ["/readyz"]


def test_an_exception_is_logged_on_one_line(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> None:
        raise OSError("disk gone")

    client_of(work=broken).get("/work")
    (record,) = [record for record in caplog.records if record.exc_info]
    line = server.JsonFormatter().format(record)
    assert "\n" not in line
    assert "disk gone" in json.loads(line)["exception"]


def test_settings_default_as_documented() -> None:
    assert server.Settings.from_environ({"GREETING": "Hi"}) == server.Settings("Hi", 10, 0.02, False)


def test_settings_are_read() -> None:
    environ = {"GREETING": "Hi", "READINESS_DELAY_SEC": "0.5", "FAIL_RATE": "1", "FAULTS_ENABLED": "true"}
    assert server.Settings.from_environ(environ) == server.Settings("Hi", 0.5, 1, True)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({}, "GREETING must be set to the text to greet with (in Kubernetes: a key of a Secret)"),
        ({"GREETING": " "}, "GREETING must be set to the text to greet with (in Kubernetes: a key of a Secret)"),
        ({"FAIL_RATE": "2%"}, "FAIL_RATE must be a number from 0 to 1, not '2%' (default: 0.02)"),
        ({"FAIL_RATE": "1.01"}, "FAIL_RATE must be a number from 0 to 1, not '1.01' (default: 0.02)"),
        ({"FAIL_RATE": "-0.1"}, "FAIL_RATE must be a number from 0 to 1, not '-0.1' (default: 0.02)"),
        ({"FAIL_RATE": "nan"}, "FAIL_RATE must be a number from 0 to 1, not 'nan' (default: 0.02)"),
        ({"FAIL_RATE": ""}, "FAIL_RATE must be a number from 0 to 1, not '' (default: 0.02)"),
        (
            {"READINESS_DELAY_SEC": "inf"},
            "READINESS_DELAY_SEC must be a number of at least 0, not 'inf' (default: 10)",
        ),
        ({"FAULTS_ENABLED": "yes"}, "FAULTS_ENABLED must be 'true' or 'false', not 'yes' (default: 'false')"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(environ: dict[str, str], message: str) -> None:
    if environ and "GREETING" not in environ:
        environ = {"GREETING": "Hi", **environ}
    with pytest.raises(server.ConfigError) as caught:
        server.Settings.from_environ(environ)
    assert str(caught.value) == message
