"""Rokken stores items in PostgreSQL behind the ingress, and its database accepts only its backend."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from drystone_testing import Kubectl, Playbook, Users, wait_until

NAMESPACE = "--namespace=dev"


class Client(requests.Session):
    """A client of the ingress with the host of Rokken."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.trust_env = False
        self.headers["Host"] = "rokken.localhost"
        self.base = f"http://127.0.0.1:{port}"

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.request(method, f"{self.base}{path}", timeout=15, **options)


@pytest.fixture
def client(variables: dict[str, Any]) -> Iterator[Client]:
    with Client(variables["http_port"]) as made:
        yield made


def test_items_are_created_listed_updated_and_deleted(client: Client) -> None:
    created = client.ask("POST", "/api/items", json={"name": "stone", "description": "round"})
    assert created.status_code == 201
    path = f"/api/items/{created.json()['id']}"
    assert "stone" in {one["name"] for one in client.ask("GET", "/api/items").json()["items"]}
    assert client.ask("PUT", path, json={"name": "pebble"}).json()["name"] == "pebble"
    assert client.ask("DELETE", path).status_code == 204
    assert client.ask("GET", path).status_code == 404
    assert client.ask("POST", "/api/items", json={"name": ""}).status_code == 422


def test_the_page_is_served(client: Client) -> None:
    page = client.ask("GET", "/")
    assert page.status_code == 200
    assert "<title>Rokken" in page.text


def test_three_backends_use_one_migrated_database(kubectl: Kubectl) -> None:
    backend = kubectl.json("get", "deployment", "rokken-backend", NAMESPACE)
    assert backend["status"]["availableReplicas"] == 3


def items(client: Client) -> dict[int, str]:
    """Return the names of all items by id."""
    found: dict[int, str] = {}
    while True:
        page = client.ask("GET", f"/api/items?limit=100&offset={len(found)}").json()
        found |= {one["id"]: one["name"] for one in page["items"]}
        if not page["items"]:
            assert len(found) == page["total"]
            return found


def removed(client: Client, chosen: set[int]) -> bool:
    """Delete items, and return whether all are gone. Each backend reconnects by itself, so one may still answer 503."""
    return all(client.ask("DELETE", f"/api/items/{one}").status_code in (204, 404) for one in chosen)


class Writers(Users):
    """Users who create items until they are stopped. They record the answers and the items that were acknowledged."""

    def __init__(self, port: int) -> None:
        self.answers: Counter[int | str] = Counter()
        self.acknowledged: dict[int, str] = {}
        self._port = port
        super().__init__(4)

    def act(self, number: int) -> None:
        with Client(self._port) as client:
            for count in itertools.count():
                if self.stopped.wait(0.1):
                    return
                name = f"writer {number} item {count}"
                try:
                    answer = client.ask("POST", "/api/items", json={"name": name})
                except requests.RequestException as error:
                    self.answers[type(error).__name__] += 1
                    continue
                self.answers[answer.status_code] += 1
                if answer.status_code == 201:
                    self.acknowledged[answer.json()["id"]] = name


def test_no_acknowledged_item_is_lost_while_the_database_restarts_under_load(
    client: Client, kubectl: Kubectl, variables: dict[str, Any]
) -> None:
    def pods() -> set[str]:
        """Return the UIDs of the Pods of the database. There is none until the StatefulSet replaces a deleted one."""
        found = kubectl.items("pods", NAMESPACE, "--field-selector=metadata.name=rokken-database-0")
        return {pod["metadata"]["uid"] for pod in found}

    with Writers(variables["http_port"]) as writers:
        assert wait_until(lambda: writers.answers[201] > 50, timeout=60)
        before = pods()
        kubectl("delete", "pod", "rokken-database-0", NAMESPACE, "--wait=false")
        assert wait_until(lambda: bool(pods() - before), timeout=90)
        kubectl("wait", "pod/rokken-database-0", "--for=condition=Ready", "--timeout=90s", NAMESPACE)
        count = writers.answers[201]
        assert wait_until(lambda: writers.answers[201] > count + 50, timeout=90)
    assert set(writers.answers) <= {201, 503}, writers.answers
    assert wait_until(lambda: client.ask("GET", "/api/items").status_code == 200, timeout=30)
    found = items(client)
    try:
        assert {one: found.get(one) for one in writers.acknowledged} == writers.acknowledged
    finally:
        assert wait_until(lambda: removed(client, found.keys() & writers.acknowledged.keys()), timeout=60)


def test_a_restored_backup_has_the_items_that_were_deleted_since(
    client: Client, kubectl: Kubectl, tmp_path: Path
) -> None:
    backup = {"workloads_database_backup": str(tmp_path / "deep/rokken.dump")}
    missing = Playbook("playbooks/restore_database.yml", backup)
    assert missing.code != 0
    assert "so the database in dev was not changed" in " ".join(missing.output.split())
    created = client.ask("POST", "/api/items", json={"name": "kept"}).json()["id"]
    saved = Playbook("playbooks/backup_database.yml", backup)
    assert saved.code == 0, saved.output
    assert client.ask("DELETE", f"/api/items/{created}").status_code == 204
    later = client.ask("POST", "/api/items", json={"name": "later"}).json()["id"]
    restored = Playbook("playbooks/restore_database.yml", backup)
    assert restored.code == 0, restored.output
    previous = re.search(r"previous database is kept as (\w+)", " ".join(restored.output.split()))
    assert previous, restored.output
    assert wait_until(lambda: client.ask("GET", "/api/items").status_code == 200, timeout=60)
    found = items(client)
    assert found[created] == "kept"
    assert found.get(later) != "later"
    assert wait_until(lambda: removed(client, {created}), timeout=30)
    kubectl("exec", "statefulset/rokken-database", NAMESPACE, "--", "dropdb", "--username=postgres", previous[1])
