"""Both sources of the role artifacts, the build graph and upstream, provide the same artefacts with the same names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml


@pytest.fixture(scope="module")
def artifacts(root: Path) -> dict[str, Any]:
    """Return the role's variables. The contracts of all parts replace the lookup."""
    loaded: dict[str, Any] = yaml.safe_load((root / "roles/artifacts/vars/main.yml").read_text())
    parts = [yaml.safe_load(path.read_text()) for path in sorted((root / "roles").glob("*/meta/part.yml"))]
    loaded["__artifacts_upstream_files"] = loaded["__artifacts_tools"] + [
        one for part in parts for one in part.get("files", [])
    ]
    loaded["__artifacts_upstream_images"] = loaded["__artifacts_engine_images"] + [
        one for part in parts for one in part.get("images", [])
    ]
    pins = [*loaded["__artifacts_own_pins"], *(name for part in parts for name in part.get("pins", {}))]
    assert len(pins) == len(set(pins))
    loaded["__artifacts_pins"] = pins
    return loaded


@pytest.fixture(scope="module")
def graph(root: Path) -> str:
    return (root / "bundle/Makefile").read_text().replace("\\\n", " ")


# No package registry has what these are built from. Only upstream's chart uses them.
ONLY_UPSTREAM = {"grafana", "grafana-sidecar"}


@pytest.fixture(scope="module")
def references(root: Path) -> dict[str, str]:
    loaded: dict[str, str] = yaml.safe_load((root / "roles/common/defaults/main.yml").read_text())["drystone_images"]
    return loaded


def words(pattern: str, graph: str) -> set[str]:
    found = re.search(pattern, graph, re.MULTILINE)
    assert found, pattern
    return set(found[1].split())


def test_every_image_comes_from_upstream_and_from_the_build(
    artifacts: dict[str, Any], graph: str, references: dict[str, str]
) -> None:
    served = [image for image in artifacts["__artifacts_upstream_images"] if not image.get("engine")]
    assert {f"drystone.local/{image['target']}" for image in served} == set(references.values())
    # Each source finds the records of the other one only if both use the same names.
    built = words(r"^published := (.*)$", graph)
    assert {image["name"] for image in served} - built == ONLY_UPSTREAM
    assert built <= {image["name"] for image in served}


def test_an_image_has_upstream_s_tag_and_names_the_setting_it_comes_from(artifacts: dict[str, Any]) -> None:
    for image in artifacts["__artifacts_upstream_images"]:
        if not image.get("engine") and not image.get("context"):
            tag = image["target"].split(":", 1)[1]
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


def test_the_build_graph_gets_every_pin_that_it_reads(artifacts: dict[str, Any], graph: str) -> None:
    # The cache is not a pin, and a mirror may be empty.
    assert {"CACHE", *artifacts["__artifacts_pins"]} - {"DEBIAN_MIRROR"} == words(r"^pins := (.*)$", graph)


def test_every_stand_in_is_told(artifacts: dict[str, Any], root: Path) -> None:
    there = [path for folder in ("standins", "charts") for path in (root / "bundle" / folder).iterdir()]
    assert set(artifacts["__artifacts_standins"].values()) == {str(path.relative_to(root)) for path in there}
