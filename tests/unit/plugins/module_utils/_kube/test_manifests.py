# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import typing as t

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput
from ansible_collections.drystone.platform.plugins.module_utils._kube.diff import (
    fingerprint,
    masked,
    scrubbed,
    secret_values,
    to_censor,
)
from ansible_collections.drystone.platform.plugins.module_utils._kube.manifests import gather, parse


def secret(**more: t.Any) -> dict[str, t.Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, **more}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("v: 2026-01-01", "2026-01-01"),
        ("v: 2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("v: =", "="),
        ("v: [=, '!=']", ["=", "!="]),
        ("v: 12:30", "12:30"),
        ("v: 1:30.5", "1:30.5"),
        ("v: 17", 17),
        ("v: 0o17", "0o17"),
        ("v: 1.5", 1.5),
        ("v: yes", True),
        ("v: null", None),
        ('v: "1"', "1"),
    ],
)
def test_yaml_is_read_as_kubernetes_reads_it(text: str, value: t.Any) -> None:
    assert parse(text, "x") == [{"v": value}]


def test_documents_that_are_empty_are_left_out() -> None:
    assert parse("---\n---\n# nothing\n---\na: 1\n", "x") == [{"a": 1}]


def test_a_mistake_in_yaml_is_placed_without_its_text() -> None:
    with pytest.raises(InvalidInput) as caught:
        gather([], ["a: 1", "b: 1\nsecret: [hunter2"])
    assert caught.value.msg.startswith("manifests[2], line ")
    assert "hunter2" not in caught.value.msg


def test_what_belongs_to_the_server_is_left_out() -> None:
    metadata = {"name": "x", "creationTimestamp": None, "uid": "1", "resourceVersion": "1", "annotations": None}
    given = {"apiVersion": "v1", "kind": "Pod", "metadata": {**metadata, "managedFields": []}, "status": {}}
    assert gather([given], None) == [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}}]
    assert "status" in given


def test_a_list_stands_for_its_items() -> None:
    assert [obj["metadata"]["name"] for obj in gather([{"kind": "List", "items": [secret(), secret()]}], None)] == [
        "s",
        "s",
    ]


def test_string_data_becomes_data() -> None:
    (obj,) = gather([secret(stringData={"a": "1", "b": "2"}, data={"a": "eA==", "c": "eA=="})], None)
    assert obj["data"] == {"a": "MQ==", "b": "Mg==", "c": "eA=="}
    assert "stringData" not in obj


@pytest.mark.parametrize("section", ["data", "stringData"])
def test_a_secret_of_numbers_is_refused_without_its_values(section: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        gather([secret(**{section: {"pin": 73551234}})], None)
    assert f"Secret s: {section} pin: not a string; quote the value" in caught.value.msg
    assert "73551234" not in caught.value.msg


def test_a_shown_secret_has_fingerprints_of_what_is_meant() -> None:
    annotation = "kubectl.kubernetes.io/last-applied-configuration"
    obj = secret(data={"a": base64.b64encode(b"value").decode(), "b": "not base64"})
    obj["metadata"]["annotations"] = {annotation: '{"data":{"a":"dmFsdWU="}}', "other": "shown"}
    shown = masked(obj)
    assert shown["data"] == {"a": fingerprint(b"value"), "b": fingerprint(b"not base64")}
    assert shown["metadata"]["annotations"][annotation].startswith("sha256:")
    assert shown["metadata"]["annotations"]["other"] == "shown"
    assert masked({**obj, "kind": "ConfigMap"})["data"] == obj["data"]


def test_secret_values_are_scrubbed_in_every_form() -> None:
    key = "-----BEGIN KEY-----\nline-one-of-key\nline-two-of-key\n"
    secrets = secret_values([secret(data={"key": base64.b64encode(key.encode()).decode()})])
    told = scrubbed({"msg": ["expected string, got line-one-of-key", base64.b64encode(key.encode()).decode()]}, secrets)
    assert "line-one" not in str(told)
    assert base64.b64encode(key.encode()).decode() not in str(told)
    assert told["msg"][0].startswith("expected string, got sha256:")


def test_what_ansible_censors_leaves_the_result_readable() -> None:
    obj = secret(
        data={"user": base64.b64encode(b"application").decode(), "word": base64.b64encode(b"longer-word").decode()}
    )
    obj["metadata"]["name"] = "application-login"
    assert "application" not in to_censor(secret_values([obj]), [obj])
    assert "longer-word" in to_censor(secret_values([obj]), [obj])
