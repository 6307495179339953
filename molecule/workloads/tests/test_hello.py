"""Hello answers through the ingress only requests with the token of its environment."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import requests

from drystone_testing import Kubectl

HOSTS = {"dev": "dev.example.com", "production": "example.com"}


def ask(variables: dict[str, Any], host: str, **headers: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        url = f"http://127.0.0.1:{variables['http_port']}/app"
        return session.get(url, headers={"Host": host, **headers}, timeout=10)


def token(kubectl: Kubectl, environment: str) -> str:
    data = kubectl.json("get", "secret", "hello", f"--namespace={environment}")["data"]
    return base64.b64decode(data["token"]).decode()


@pytest.mark.parametrize("environment", HOSTS)
def test_only_the_token_of_the_environment_opens_the_application(
    kubectl: Kubectl, variables: dict[str, Any], environment: str
) -> None:
    (other,) = {*HOSTS} - {environment}
    host, right, foreign = HOSTS[environment], token(kubectl, environment), token(kubectl, other)
    assert right != foreign
    assert ask(variables, host, **{"X-Auth-Token": right}).status_code == 200
    for headers in ({}, {"X-Auth-Token": foreign}, {"X-Auth-Token": right[:-1]}):
        answer = ask(variables, host, **headers)
        assert answer.status_code == 401
        assert right not in answer.text


@pytest.mark.parametrize("environment", HOSTS)
def test_it_is_a_rollout_that_the_autoscaler_scales(kubectl: Kubectl, environment: str) -> None:
    where = f"--namespace={environment}"
    rollout = kubectl.json("get", "rollouts.argoproj.io", "hello", where)
    assert rollout["status"]["phase"] == "Healthy"
    scaler = kubectl.json("get", "horizontalpodautoscaler", "hello", where)
    target = scaler["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Rollout", "hello")
    active = {one["type"]: one["status"] for one in scaler["status"]["conditions"]}
    assert active["ScalingActive"] == "True"


@pytest.mark.parametrize("environment", HOSTS)
def test_no_log_contains_the_token(kubectl: Kubectl, variables: dict[str, Any], environment: str) -> None:
    secret = token(kubectl, environment)
    assert ask(variables, HOSTS[environment], **{"X-Auth-Token": secret}).status_code == 200
    lines = kubectl("logs", "--selector=app.kubernetes.io/name=hello", f"--namespace={environment}", "--tail=-1")
    assert lines
    assert secret not in lines
