# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ApplicationSet deploys each folder by Kustomize, or by Helm if its workload has a chart."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import validate

ROOT = Path(__file__).resolve().parents[4]
TEMPLATE = "workloads/templates/applications.yml.j2"
Object = dict[str, Any]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> list[Object]:
    """Return the ApplicationSets for two environments and for none."""
    cases = [{"variables": {"drystone_environments": names}, "templates": [TEMPLATE]} for names in (["dev", "qa"], [])]
    folder = tmp_path_factory.mktemp("applications")
    command = [sys.executable, str(ROOT / "tests/parts/read.py"), str(ROOT), str(folder)]
    done = subprocess.run(command, input=json.dumps(cases), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [yaml.safe_load(case[TEMPLATE]) for case in json.loads(done.stdout)]


def params(path: str, chart: str | None = None, release: str | None = None) -> Object:
    """Return the parameters that Argo CD's generators give for a folder."""

    def described(folder: str) -> Object:
        return {"path": folder, "basename": folder.rpartition("/")[2], "segments": folder.split("/")}

    given = {"path": described(path)} | ({"chart": {"path": described(chart)}} if chart else {})
    return given | ({"release": {"path": {"filename": "hello.yaml"}}, "revision": release} if release else {})


def fill(tmp_path: Path, text: str, given: Object) -> Any:
    """Fill in a template like Argo CD. Helm has the same template language and functions."""
    try:
        helm = validate.find_tool("helm", None)
    except validate.Unusable as error:
        pytest.skip(f"needs the real helm, which `make up` and `make test` provide: {error}")
    (tmp_path / "templates").mkdir(exist_ok=True)
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: filled\nversion: 1.0.0\n")
    (tmp_path / "templates/filled.yaml").write_text(f"{{{{ with .Values.params }}}}\n{text}\n{{{{ end }}}}\n")
    values = f"--set-json=params={json.dumps(given)}"
    done = subprocess.run([helm, "template", str(tmp_path), values], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)


def test_each_environment_has_its_folders_its_releases_and_the_charts_of_their_workloads(sets: list[Object]) -> None:
    generators = [[child["git"] for child in one["merge"]["generators"]] for one in sets[0]["spec"]["generators"]]
    assert [[child.get("directories") or child["files"] for child in children] for children in generators] == [
        [
            [{"path": f"deploy/environments/{name}/*"}],
            [{"path": "deploy/workloads/*/chart"}],
            [{"path": f"releases/{name}/*.yaml"}],
        ]
        for name in ("dev", "qa")
    ]


def test_no_environment_has_no_application(sets: list[Object]) -> None:
    assert sets[1]["spec"]["generators"] == [{"list": {"elements": []}}]


def test_a_folder_the_chart_and_the_release_of_its_workload_are_merged_by_name(
    sets: list[Object], tmp_path: Path
) -> None:
    (generator, _) = sets[0]["spec"]["generators"]
    assert generator["merge"]["mergeKeys"] == ["values"]
    children = [child["git"] for child in generator["merge"]["generators"]]
    assert [child.get("pathParamPrefix") for child in children] == [None, "chart", "release"]
    given = params("deploy/environments/dev/hello", "deploy/workloads/hello/chart", "5b3d2b0")
    named = [fill(tmp_path, yaml.safe_dump(child["values"], width=1000), given) for child in children]
    assert named == [{"workload": "hello"}] * 3


@pytest.mark.parametrize(("release", "revision"), [(None, "main"), ("5b3d2b0", "5b3d2b0")])
def test_the_commit_of_the_release_is_deployed_and_otherwise_the_branch(
    sets: list[Object], tmp_path: Path, release: str | None, revision: str
) -> None:
    source = sets[0]["spec"]["template"]["spec"]["source"]
    text = yaml.safe_dump({"revision": source["targetRevision"]}, width=1000)
    given = params("deploy/environments/dev/hello", release=release)
    assert fill(tmp_path, text, given) == {"revision": revision}


def test_a_folder_of_a_workload_without_chart_is_the_source(sets: list[Object], tmp_path: Path) -> None:
    patch = fill(tmp_path, sets[0]["spec"]["templatePatch"], params("deploy/environments/dev/greeter"))
    assert patch == {"spec": {"source": {"path": "deploy/environments/dev/greeter"}}}


def test_the_chart_is_the_source_with_the_values_of_the_folder(sets: list[Object], tmp_path: Path) -> None:
    given = params("deploy/environments/dev/hello", "deploy/workloads/hello/chart")
    assert fill(tmp_path, sets[0]["spec"]["templatePatch"], given)["spec"]["source"] == {
        "path": "deploy/workloads/hello/chart",
        "helm": {"releaseName": "hello", "valueFiles": ["/deploy/environments/dev/hello/values.yaml"]},
    }


def test_a_retry_deploys_the_newest_commit(sets: list[Object]) -> None:
    assert sets[0]["spec"]["template"]["spec"]["syncPolicy"]["retry"]["refresh"] is True
