# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API answers, with a real PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest

from app.rokken.tests.postgres import PostgresServer
from app.rokken.tests.serving import Client


def test_a_created_item_can_be_read_at_its_location(client: Client) -> None:
    body = {"name": "Bread", "description": "Two loaves\nfrom the corner"}
    created = client.request("POST", "/api/items", json=body)
    assert created.status_code == 201
    assert created.headers["Location"] == "/api/items/1"
    item = created.json()
    assert item.items() >= {"id": 1, **body}.items()
    assert item["created_at"] == item["updated_at"]
    assert client.request("GET", "/api/items/1").json() == item


def test_a_new_item_needs_no_description_and_loses_surrounding_space(client: Client) -> None:
    item = client.create("  Grüezi 🧀 ")
    assert (item["name"], item["description"]) == ("Grüezi 🧀", "")


def test_the_list_has_pages_with_the_newest_item_first(client: Client) -> None:
    for number in range(5):
        client.create(f"Item {number}")
    page = client.request("GET", "/api/items", params={"limit": 2, "offset": 2}).json()
    assert [item["name"] for item in page["items"]] == ["Item 2", "Item 1"]
    assert (page["total"], page["limit"], page["offset"]) == (5, 2, 2)
    assert client.request("GET", "/api/items", params={"offset": 9}).json()["items"] == []
    assert client.request("GET", "/api/items").json()["limit"] == 20


def test_an_update_changes_name_description_and_time(client: Client) -> None:
    item = client.create("Bread", "Two loaves")
    updated = client.request("PUT", "/api/items/1", json={"name": "Cheese"})
    assert updated.status_code == 200
    assert updated.json().items() >= {"id": 1, "name": "Cheese", "description": ""}.items()
    assert updated.json()["created_at"] == item["created_at"]
    assert updated.json()["updated_at"] > item["updated_at"]
    assert client.request("GET", "/api/items/1").json() == updated.json()


def test_a_deleted_item_is_gone_and_its_number_is_not_used_again(client: Client) -> None:
    client.create()
    deleted = client.request("DELETE", "/api/items/1")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert client.request("GET", "/api/items").json()["total"] == 0
    assert client.create()["id"] == 2


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_an_item_that_does_not_exist_is_not_found(client: Client, method: str) -> None:
    response = client.request(method, "/api/items/7", json={"name": "x"})
    assert (response.status_code, response.json()) == (404, {"detail": "Item 7 does not exist."})


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({}, "name", "field required"),
        ({"name": " "}, "name", "string should have at least 1 character"),
        ({"name": "x" * 101}, "name", "string should have at most 100 characters"),
        ({"name": 7}, "name", "input should be a valid string"),
        ({"name": "a\0b"}, "name", "must not contain control characters"),
        ({"name": "a\nb"}, "name", "must not contain control characters"),
        ({"name": "x", "description": "y" * 1001}, "description", "string should have at most 1000 characters"),
        ({"name": "x", "description": "a\0b"}, "description", "must not contain the character NUL"),
        ({"name": "x", "id": 3}, "id", "extra inputs are not permitted"),
    ],
)
def test_an_invalid_item_is_refused_with_its_field_and_changes_nothing(
    client: Client, body: dict[str, Any], field: str, message: str
) -> None:
    before = client.create("Before")
    for method, path in (("POST", "/api/items"), ("PUT", "/api/items/1")):
        response = client.request(method, path, json=body)
        assert response.status_code == 422
        assert response.json()["fields"] == {field: message}
        assert response.json()["detail"] == f"The request is invalid. {field}: {message}."
    assert client.request("GET", "/api/items").json()["items"] == [before]


@pytest.mark.parametrize("body", ["{", "", "[]", '"name"', '{"name": "\\ud800"}'])
def test_a_body_that_is_no_item_is_refused(client: Client, body: str) -> None:
    response = client.request("POST", "/api/items", data=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 422
    assert response.json()["detail"].startswith("The request is invalid. ")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "offset=-1", "limit=x", "offset=9223372036854775808", "offset=1.5"]
)
def test_a_page_that_cannot_exist_is_refused(client: Client, query: str) -> None:
    assert client.request("GET", f"/api/items?{query}").status_code == 422


@pytest.mark.parametrize("number", ["0", "-1", "9223372036854775808", "x"])
def test_a_number_that_no_item_can_have_is_refused(client: Client, number: str) -> None:
    assert client.request("GET", f"/api/items/{number}").status_code == 422


def test_the_longest_item_is_accepted_however_it_is_written(client: Client) -> None:
    item = client.create("🧀" * 100, "🧀" * 1000)
    assert (len(item["name"]), len(item["description"])) == (100, 1000)


def test_a_large_request_is_refused(client: Client) -> None:
    response = client.request("POST", "/api/items", data=b" " * 20_000)
    assert response.status_code == 413
    assert response.json() == {"detail": "The request is larger than 16384 bytes."}
    streamed = client.request("POST", "/api/items", data=(b" " * 1000 for _ in range(30)))
    assert streamed.status_code == 413


def test_a_name_is_stored_as_text_and_not_executed(client: Client, server: PostgresServer) -> None:
    name = "'); DROP TABLE items; --"
    assert client.create(name)["name"] == name
    assert server.execute("SELECT name FROM items") == [(name,)]


def test_requests_are_counted_by_route_and_not_by_path(client: Client) -> None:
    route = {"method": "GET", "route": "/api/items/{item_id}", "status": "404"}
    before = client.sample("rokken_http_requests_total", **route) or 0
    for number in (71, 72):
        client.request("GET", f"/api/items/{number}")
    client.request("BREW", "/unknown/path")
    assert client.sample("rokken_http_requests_total", **route) == before + 2
    assert client.sample("rokken_http_requests_total", method="other", route="unmatched", status="404") == 1
    assert client.sample("rokken_build_info", version="1.0.0") == 1
    assert client.sample("rokken_database_connections", state="limit") == 10


def test_no_page_of_the_api_loads_anything_from_elsewhere(client: Client) -> None:
    assert client.request("GET", "/docs").status_code == 404
    assert client.request("GET", "/redoc").status_code == 404
    assert set(client.request("GET", "/api/openapi.json").json()["paths"]) == {"/api/items", "/api/items/{item_id}"}
