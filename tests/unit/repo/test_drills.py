"""The drills: one frame for all, a restore for each, and an alert that no drill makes fire is an error."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "playbooks/drills"
DRILLS = sorted(path.stem for path in FOLDER.glob("*.yml") if path.stem not in ("all", "restore"))
# It removes the cluster, so it has two plays around site.yml and runs only when asked for.
DESTRUCTIVE = {"cluster_lost"}
# Alerts that nothing can make fire without harm, with the reason
NOT_PROVED: dict[str, str] = {}


def plays(drill: str) -> list[dict[str, Any]]:
    """Return the plays of a drill after the check of the inventory."""
    check = "../shared/require_host.yml"
    loaded: list[dict[str, Any]] = yaml.safe_load((FOLDER / f"{drill}.yml").read_text())
    return [play for play in loaded if play.get("ansible.builtin.import_playbook") != check]


def variables(drill: str) -> dict[str, Any]:
    found: dict[str, Any] = dict(plays(drill)[0].get("vars", {}))
    own = FOLDER / f"vars/{drill}.yml"
    return found | (yaml.safe_load(own.read_text()) if own.exists() else {})


def alerts() -> set[str]:
    """Return the alerts of the platform, and those that workloads and the charts define."""
    groups = yaml.safe_load((ROOT / "roles/kube_prometheus_stack/files/alerts.yml").read_text())
    files = [path for folder in ("deploy", "bundle") for path in (ROOT / folder).rglob("*.y*ml") if path.is_file()]
    others = [re.findall(r"^\s*-? *alert: *(\w+)", path.read_text(), re.MULTILINE) for path in files]
    return {name for group in groups.values() for name in group} | {name for found in others for name in found}


def test_a_drill_makes_each_alert_fire() -> None:
    proved = {name for drill in DRILLS for name in variables(drill)["drill_alerts"]}
    assert alerts() - proved == set(NOT_PROVED)
    assert proved - alerts() == set()


def test_all_runs_each_drill_that_keeps_the_cluster() -> None:
    imported = [Path(play["ansible.builtin.import_playbook"]).stem for play in plays("all")]
    assert sorted(imported) == sorted(set(DRILLS) - DESTRUCTIVE)


@pytest.mark.parametrize("drill", DRILLS)
def test_it_has_its_name_and_a_restore_that_the_next_drill_can_run(drill: str) -> None:
    assert variables(drill)["drill_name"] == drill
    assert (FOLDER / f"restore/{drill}.yml").is_file()
    assert f"| `{drill}` |" in (ROOT / "docs/drills.md").read_text()


@pytest.mark.parametrize("drill", sorted(set(DRILLS) - DESTRUCTIVE))
def test_it_is_prepared_and_ends_in_the_same_way(drill: str) -> None:
    (play,) = plays(drill)
    files = [task.get("ansible.builtin.import_tasks") for task in play["tasks"]]
    assert files[0] == "shared/prepare.yml"
    assert files[-2] == "shared/begin.yml"  # immediately before the block with the fault
    run = play["tasks"][-1]
    assert [task["ansible.builtin.import_tasks"] for task in run["rescue"]] == ["shared/failed.yml"]
    assert [task["ansible.builtin.import_tasks"] for task in run["always"]] == ["shared/end.yml"]
    events = [task["vars"]["drill_event"] for task in run["block"] if "drill_event" in task.get("vars", {})]
    assert [event for event in events if event != "step"] == ["fault", "symptom", "remedy", "recovery"]
    loads = any(task.get("ansible.builtin.import_tasks") == "shared/load_alerts.yml" for task in run["block"])
    assert loads == bool(variables(drill)["drill_alerts"])


def test_drills_with_alerts_need_prometheus() -> None:
    parts = {drill: variables(drill)["drill_parts"] for drill in DRILLS if variables(drill)["drill_alerts"]}
    assert [drill for drill, needed in parts.items() if "kube_prometheus_stack" not in needed] == []


def test_a_drill_that_loses_the_cluster_asks_first() -> None:
    for drill in DESTRUCTIVE:
        assert (
            plays(drill)[0]["tasks"][0]["ansible.builtin.assert"]["that"]
            == "drill_lose_cluster | default(false) | bool"
        )
