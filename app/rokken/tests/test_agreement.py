# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page, nginx, the images, compose.yaml and the manifests agree with the backend and with each other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.rokken.backend import VERSION
from app.rokken.backend.__main__ import GRACE_SEC
from app.rokken.backend.items import LARGEST_PAGE
from app.rokken.backend.models import DESCRIPTION_LENGTH, NAME_LENGTH
from app.rokken.backend.service import LARGEST_BODY
from app.rokken.backend.settings import Settings

ROKKEN = Path(__file__).parents[1]
BASE = ROKKEN.parents[1] / "deploy/workloads/rokken/base"
NGINX = re.sub(r"^\s*#.*$", "", (ROKKEN / "frontend/nginx.conf").read_text("utf-8"), flags=re.MULTILINE)
HTML = (ROKKEN / "frontend/static/index.html").read_text("utf-8")
SCRIPT = (ROKKEN / "frontend/static/app.js").read_text("utf-8")
STYLE = (ROKKEN / "frontend/static/style.css").read_text("utf-8")
Object = dict[str, Any]


def directives(name: str) -> list[str]:
    return re.findall(rf"^\s*{re.escape(name)}\s+(.*?);", NGINX, re.MULTILINE | re.DOTALL)


def manifest(path: str) -> Object:
    loaded: Object = yaml.safe_load((BASE / path).read_text("utf-8"))
    return loaded


def pod(path: str) -> Object:
    found: Object = manifest(path)["spec"]["template"]["spec"]
    return found


@pytest.fixture(scope="module")
def compose() -> Object:
    loaded: Object = yaml.safe_load((ROKKEN / "compose.yaml").read_text("utf-8"))["services"]
    return loaded


def test_the_page_limits_what_the_backend_limits() -> None:
    limits = dict(re.findall(r'<(?:input|textarea) id="(\w+)"[^>]* maxlength="(\d+)"', HTML))
    assert limits == {"name": str(NAME_LENGTH), "description": str(DESCRIPTION_LENGTH)}
    (size,) = re.findall(r"PAGE_SIZE = (\d+);", SCRIPT)
    assert int(size) <= LARGEST_PAGE
    assert directives("client_max_body_size") == [f"{LARGEST_BODY // 1024}k"]
    assert f"larger than {LARGEST_BODY} bytes" in NGINX


def test_the_page_loads_nothing_from_elsewhere_and_has_no_inline_code() -> None:
    text = HTML + STYLE + SCRIPT.replace("https://www.gnu.org/licenses/gpl-3.0.txt", "")
    assert re.findall(r"https?://|//\w+\.\w+|url\(|@import", text) == []
    assert re.findall(r"<script(?![^>]*src=)|<style| on\w+=| style=", HTML) == []
    assert re.findall(r"innerHTML|insertAdjacentHTML|document\.write|eval\(", SCRIPT) == []
    (policy,) = [value for value in directives("add_header") if value.startswith("Content-Security-Policy")]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy


def test_every_element_that_the_script_uses_exists() -> None:
    used = set(re.findall(r'element\("([\w-]+)"\)', SCRIPT))
    assert used <= set(re.findall(r' id="([\w-]+)"', HTML))


def test_nginx_writes_only_to_memory() -> None:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = directives("pid") + [place for kind in kinds for place in directives(f"{kind}_temp_path")]
    assert len(places) == 1 + len(kinds)
    assert all(place.startswith("/dev/shm/") for place in places)


def test_no_location_of_nginx_loses_the_headers() -> None:
    # add_header in a location would take all of the others away from it.
    assert len(directives("add_header")) == len(re.findall(r"^ {8}add_header", NGINX, re.MULTILINE)) == 4


def test_nginx_waits_longer_than_the_backend_waits_for_the_database() -> None:
    settings = Settings(host="", password_file=Path())
    (seconds,) = directives("proxy_read_timeout")
    assert int(seconds.removesuffix("s")) > settings.retry_sec + settings.statement_timeout_sec
    (milliseconds,) = re.findall(r"TIMEOUT_MS = ([\d_]+);", SCRIPT)
    assert int(milliseconds) > int(seconds.removesuffix("s")) * 1000


def test_nginx_finds_the_backend_by_the_same_name_everywhere(compose: Object) -> None:
    (address,) = re.findall(r"server (\S+:\d+);", NGINX)
    service = manifest("backend/service.yaml")
    assert address == f"{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"
    assert address.split(":")[0] in compose
    dockerfile = (ROKKEN / "frontend/Dockerfile").read_text("utf-8")
    assert f"127.0.0.1 {address.split(':')[0]} >> /etc/hosts" in dockerfile


def test_the_backend_finds_the_database_by_the_same_name_everywhere(compose: Object) -> None:
    name = manifest("database/service.yaml")["metadata"]["name"]
    assert name in compose
    assert compose["rokken-backend"]["environment"]["DATABASE_HOST"] == name
    for container in (pod("backend/deployment.yaml")[key][0] for key in ("initContainers", "containers")):
        assert {one["name"]: one["value"] for one in container["env"]}["DATABASE_HOST"] == name


@pytest.mark.parametrize(
    ("part", "path", "signal", "shutdown"),
    [
        ("backend", "backend/deployment.yaml", None, GRACE_SEC),
        ("frontend", "frontend/deployment.yaml", "SIGQUIT", 20),
        ("database", "database/stateful-set.yaml", "SIGINT", 45),
    ],
)
def test_a_pod_has_the_user_of_its_image_and_time_to_end(
    compose: Object, part: str, path: str, signal: str | None, shutdown: int
) -> None:
    dockerfile = (ROKKEN / part / "Dockerfile").read_text("utf-8")
    spec = pod(path)
    user = spec["securityContext"]
    assert f"\nUSER {user['runAsUser']}:{user['runAsGroup']}\n" in dockerfile
    assert re.findall(r"^STOPSIGNAL (\w+)$", dockerfile, re.MULTILINE) == ([signal] if signal else [])
    pause = spec["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    assert pause + shutdown < spec["terminationGracePeriodSeconds"]
    given = int(compose[f"rokken-{part}"]["stop_grace_period"].removesuffix("s"))
    assert given == spec["terminationGracePeriodSeconds"]
    (port,) = spec["containers"][0]["ports"]
    assert f"\nEXPOSE {port['containerPort']}\n" in dockerfile


def test_nginx_ends_before_its_pod_is_killed() -> None:
    assert directives("worker_shutdown_timeout") == ["20s"]


def test_the_database_has_a_connection_for_every_pool() -> None:
    spec = manifest("backend/deployment.yaml")["spec"]
    most = spec["replicas"] + spec["strategy"]["rollingUpdate"]["maxSurge"]
    # One more per replica for readiness, three that PostgreSQL keeps for administrators
    needed = most * (Settings(host="", password_file=Path()).pool_size + 1) + 3
    arguments = pod("database/stateful-set.yaml")["containers"][0]["args"]
    (limit,) = [int(one.split("=")[1]) for one in arguments if one.startswith("max_connections=")]
    assert limit >= needed


def test_liveness_does_not_depend_on_the_database_and_readiness_does() -> None:
    (container,) = pod("backend/deployment.yaml")["containers"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_the_password_is_in_a_file_and_in_no_variable(compose: Object) -> None:
    for service in compose.values():
        assert not [name for name in service.get("environment", {}) if name.endswith("PASSWORD")]
    for path in ("backend/deployment.yaml", "database/stateful-set.yaml"):
        for container in [*pod(path).get("initContainers", []), *pod(path)["containers"]]:
            assert all("valueFrom" not in one for one in container["env"])


def test_compose_lets_only_the_frontend_out_and_the_backend_in(compose: Object) -> None:
    assert [name for name, service in compose.items() if "ports" in service] == ["rokken-frontend"]
    assert compose["rokken-frontend"]["ports"][0].startswith("127.0.0.1:")
    assert [name for name, service in compose.items() if "data" in service["networks"]] == [
        "rokken-database",
        "rokken-migrate",
        "rokken-backend",
    ]


def test_the_backend_s_image_installs_python_on_a_base_without_it() -> None:
    dockerfile = (ROKKEN / "backend/Dockerfile").read_text("utf-8")
    assert "\nARG BASE=ubuntu:24.04\n" in dockerfile
    assert "\nARG PYTHON=python3.12\n" in dockerfile
    assert re.search(r'apt-get install .*"\$\{PYTHON\}"', dockerfile)


def test_the_version_is_that_of_the_manifests() -> None:
    images = {one["name"]: one["newTag"] for one in manifest("kustomization.yaml")["images"]}
    assert images["drystone.local/rokken-backend"] == images["drystone.local/rokken-frontend"] == VERSION
