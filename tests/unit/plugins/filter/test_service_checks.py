# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.drystone.platform.plugins.filter.service_checks import PATHS, PORT, FilterModule

checks = FilterModule().filters()["service_checks"]
HTTP, METRICS = {"name": "http", "port": 8000}, {"name": "metrics", "port": 9000}


def service(annotations: dict[str, str] | None, *ports: dict[str, t.Any], name: str = "greeter") -> dict[str, t.Any]:
    metadata: dict[str, t.Any] = {"name": name, "namespace": "dev"}
    if annotations is not None:
        metadata["annotations"] = annotations
    return {"kind": "Service", "metadata": metadata, "spec": {"ports": list(ports)}}


def urls(*services: dict[str, t.Any]) -> list[str]:
    return [one["http"]["url"] for check in checks(list(services)) for one in check["conditions"]]


def test_each_path_is_asked_through_the_api_server() -> None:
    base = "/api/v1/namespaces/dev/services/greeter:8000/proxy"
    found = checks([service({PATHS: "/healthz  /work?n=1&x=y"}, HTTP)])
    conditions = [{"http": {"url": f"{base}/healthz"}}, {"http": {"url": f"{base}/work?n=1&x=y"}}]
    assert found == [{"namespace": "dev", "service": "greeter", "conditions": conditions}]


@pytest.mark.parametrize("port", ["metrics", "9000"])
def test_of_several_ports_one_is_named(port: str) -> None:
    assert urls(service({PATHS: "/", PORT: port}, HTTP, METRICS)) == [
        f"/api/v1/namespaces/dev/services/greeter:{port}/proxy/"
    ]


@pytest.mark.parametrize("annotations", [None, {}, {"other": "x"}, {PORT: "http"}, {PATHS: " "}])
def test_a_service_without_paths_is_there_and_not_asked(annotations: dict[str, str] | None) -> None:
    assert checks([service(annotations, HTTP)]) == [{"namespace": "dev", "service": "greeter", "conditions": []}]


@pytest.mark.parametrize(
    ("annotations", "ports", "said"),
    [
        (
            {PATHS: "/"},
            (HTTP, METRICS),
            "it has 2 ports. Set the port to check in the annotation drystone.dev/check-port",
        ),
        ({PATHS: "/"}, (), "it has 0 ports"),
        ({PATHS: "/", PORT: "web"}, (HTTP,), "is 'web', but its ports are 8000, http"),
        ({PATHS: "healthz"}, (HTTP,), "contains 'healthz', which is not a plain path"),
        ({PATHS: "/a/../../secrets"}, (HTTP,), "not a plain path"),
        ({PATHS: "/%2e%2e/secrets"}, (HTTP,), "not a plain path"),
        ({PATHS: "//host/@x"}, (HTTP,), "not a plain path"),
        ({PATHS: "/a#b"}, (HTTP,), "not a plain path"),
    ],
)
def test_what_cannot_be_asked_names_the_service(annotations: t.Any, ports: t.Any, said: str) -> None:
    with pytest.raises(AnsibleFilterError, match=r"^Service dev/greeter: ") as error:
        checks([service(annotations, *ports)])
    assert said in str(error.value)


def test_no_service_is_no_check() -> None:
    assert checks([]) == []
