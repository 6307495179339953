"""Both ways of the role artifacts, the build graph and upstream, make the same things under the same names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml


@pytest.fixture(scope="module")
def artifacts(root: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((root / "roles/artifacts/vars/main.yml").read_text())
    return loaded


@pytest.fixture(scope="module")
def graph(root: Path) -> str:
    return (root / "bundle/Makefile").read_text().replace("\\\n", " ")


@pytest.fixture(scope="module")
def references(root: Path) -> dict[str, str]:
    loaded: dict[str, str] = yaml.safe_load((root / "roles/common/defaults/main.yml").read_text())["drystone_images"]
    return loaded


def words(pattern: str, graph: str) -> set[str]:
    found = re.search(pattern, graph, re.MULTILINE)
    assert found, pattern
    return set(found[1].split())


def part_of(image: dict[str, Any]) -> str:
    found = re.search(r"drystone_images\.(\w+)", image["target"])
    return found[1] if found else ""


def test_every_image_comes_from_upstream_and_from_the_build(
    artifacts: dict[str, Any], graph: str, references: dict[str, str]
) -> None:
    served = [image for image in artifacts["__artifacts_upstream_images"] if not image.get("engine")]
    assert {part_of(image) for image in served} == references.keys()
    # A record of the one way is found by the other one only under the same name.
    assert {image["name"] for image in served} == words(r"^published := (.*)$", graph)


def test_an_image_has_upstream_s_tag_and_names_the_setting_it_comes_from(
    artifacts: dict[str, Any], references: dict[str, str]
) -> None:
    for image in artifacts["__artifacts_upstream_images"]:
        if part_of(image) and not image.get("context"):
            tag = references[part_of(image)].split(":", 1)[1]
            assert image["path"].split(":", 1)[1] == tag, image["name"]
            assert image["setting"] in tag, image["name"]


def test_manifests_and_the_chart_come_from_upstream_and_from_the_build(artifacts: dict[str, Any], graph: str) -> None:
    places = {file["dest"]: file["name"] for file in artifacts["__artifacts_upstream_files"]}
    manifests = words(r"^manifest_targets := \$\(foreach name,([^,]*),", graph)
    charts = words(r"^chart_target := \$\(CHARTS\)/\.(\S+)-\$\(call", graph)
    folders = {f"manifests/{name}": name for name in manifests} | {f"charts/{name}": name for name in charts}
    assert {place: name for place, name in places.items() if not place.startswith("bin/")} == folders


def test_every_publisher_has_an_address(artifacts: dict[str, Any]) -> None:
    wanted = artifacts["__artifacts_upstream_files"] + artifacts["__artifacts_upstream_images"]
    assert {it["publisher"] for it in wanted} == artifacts["__artifacts_upstream_hosts"].keys()


def test_every_publisher_is_asked_whether_it_answers(artifacts: dict[str, Any]) -> None:
    asked = set(re.findall(r"__artifacts_bases\.(\w+)", artifacts["__artifacts_upstream_endpoints"]))
    assert asked == artifacts["__artifacts_upstream_hosts"].keys()


def test_every_stand_in_is_told(artifacts: dict[str, Any], root: Path) -> None:
    there = [path for folder in ("standins", "charts") for path in (root / "bundle" / folder).iterdir()]
    assert set(artifacts["__artifacts_standins"].values()) == {str(path.relative_to(root)) for path in there}
