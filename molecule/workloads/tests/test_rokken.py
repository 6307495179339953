"""Rokken stores items in PostgreSQL behind the ingress, and its database accepts only its backend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from drystone_testing import Kubectl, wait_until

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


def test_an_item_outlives_the_pod_of_the_database(client: Client, kubectl: Kubectl) -> None:
    path = f"/api/items/{client.ask('POST', '/api/items', json={'name': 'kept'}).json()['id']}"
    kubectl("delete", "pod", "--selector=app.kubernetes.io/name=rokken-database", NAMESPACE)
    assert wait_until(lambda: client.ask("GET", path).status_code == 200, timeout=90)
    # Each backend reconnects by itself, so the next one may still answer 503.
    assert wait_until(lambda: client.ask("DELETE", path).status_code == 204, timeout=30)
