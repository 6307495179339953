# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import tarfile
import typing as t
from pathlib import Path

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput
from ansible_collections.drystone.platform.plugins.plugin_utils._chart_values import (
    chart_defaults,
    merged,
    unknown_keys,
)

DEFAULTS: dict[str, t.Any] = {
    "replicas": 1,
    "image": {"registry": "quay.io", "tag": ""},
    "podLabels": {"job": "x"},
    "securityContext": {"runAsNonRoot": True},
    "extra": {},
    "tolerations": [{"operator": "Exists"}],
    "secret": None,
    "server": {"spec": {"retention": "10d", "image": {"tag": ""}}, "config": {"global": {"a": 1}}},
}


@pytest.mark.parametrize(
    "values",
    [
        {"replicas": 3},
        {"image": {"tag": "1"}},
        {"podLabels": {"team": "a"}},
        {"securityContext": {"runAsUser": 1000}},
        {"extra": {"anything": {"at": "all"}}},
        {"tolerations": []},
        {"secret": {"name": "x"}},
        {"server": {"config": {"route": {"receiver": "x"}}}},
        {"image": None},
        {},
    ],
)
def test_known_keys_and_what_the_chart_leaves_open_may_be_set(values: dict[str, t.Any]) -> None:
    assert unknown_keys(values, DEFAULTS) == []


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"replica": 3}, "replica: the chart does not have this key; the most similar key is replicas"),
        (
            {"server": {"spec": {"retentoin": "1d"}}},
            "server.spec.retentoin: the chart does not have this key; the most similar key is server.spec.retention",
        ),
        # A correct key in the wrong place
        (
            {"retention": "1d"},
            "retention: the chart does not have this key; the most similar key is server.spec.retention",
        ),
        (
            {"server": {"spec": {"registry": "x"}}},
            "server.spec.registry: the chart does not have this key; the most similar key is image.registry",
        ),
        ({"image": "nginx:1"}, "image: the chart expects a mapping with the keys registry, tag, not a str"),
    ],
)
def test_a_key_that_the_chart_does_not_have_is_told_with_the_nearest(values: dict[str, t.Any], problem: str) -> None:
    assert unknown_keys(values, DEFAULTS) == [problem]


def test_every_mistake_is_told_at_once() -> None:
    assert len(unknown_keys({"replica": 1, "image": {"tagg": "x"}, "extra": {"a": 1}}, DEFAULTS)) == 2


def test_the_nearest_key_is_named_even_if_none_is_near() -> None:
    (problem,) = unknown_keys({"image": {"zzz": 1}}, DEFAULTS)
    assert problem.rpartition(" ")[2] in ("image.registry", "image.tag")


def test_values_are_merged_as_helm_does() -> None:
    assert merged({"a": {"x": 1, "y": [1, 2]}, "b": 1}, {"a": {"y": [3]}, "c": 2}) == {
        "a": {"x": 1, "y": [3]},
        "b": 1,
        "c": 2,
    }


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """Create a chart with a subchart in a directory (with an alias) and a packed subchart."""
    (tmp_path / "Chart.yaml").write_text(
        "name: parent\ndependencies: [{name: child, alias: kid}, {name: packed}, {name: absent}]\n"
    )
    (tmp_path / "values.yaml").write_text("own: =\nkid: {size: 2}\nglobal: {registry: ''}\n")
    (tmp_path / "charts/child").mkdir(parents=True)
    (tmp_path / "charts/child/Chart.yaml").write_text("name: child\n")
    (tmp_path / "charts/child/values.yaml").write_text("size: 1\ncolour: red\n")
    with tarfile.open(tmp_path / "charts/packed-1.0.0.tgz", "w:gz") as archive:
        text = b"inside: 1\n"
        entry = tarfile.TarInfo("packed/values.yaml")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    return tmp_path


def test_the_values_of_subcharts_count_under_their_names(chart: Path) -> None:
    assert chart_defaults(str(chart)) == {
        "own": "=",
        "kid": {"size": 2, "colour": "red", "global": {}},
        "packed": {"inside": 1},
        "global": {"registry": ""},
    }


def test_a_chart_without_values_takes_only_global_ones(tmp_path: Path) -> None:
    (tmp_path / "Chart.yaml").write_text("name: bare\n")
    assert unknown_keys({"global": {"a": 1}}, chart_defaults(str(tmp_path))) == []
    assert unknown_keys({"a": 1}, chart_defaults(str(tmp_path))) != []


def test_a_directory_without_a_chart_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"Reading the Helm chart .*no Chart\.yaml"):
        chart_defaults(str(tmp_path))


def test_values_that_are_no_mapping_are_refused(tmp_path: Path) -> None:
    (tmp_path / "Chart.yaml").write_text("name: x\n")
    (tmp_path / "values.yaml").write_text("- a\n")
    with pytest.raises(InvalidInput, match=r"values\.yaml contains a list, expected a mapping"):
        chart_defaults(str(tmp_path))
