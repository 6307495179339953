"""The acceptance test proves every requirement on the cluster, and its report shows what it saw."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from drystone_testing import Kubectl, Playbook

SOAK = bool(os.environ.get("DRYSTONE_SOAK"))


def verify(directory: Path, **variables: object) -> Playbook:
    given = {"verify_all": False, "acceptance_report_dir": str(directory), **variables}
    return Playbook("playbooks/verify.yml", given)


def test_every_row_holds_and_the_report_has_no_secret(kubectl: Kubectl, tmp_path: Path) -> None:
    done = verify(tmp_path)
    assert done.code == 0, done.output
    told = json.loads((tmp_path / "report.json").read_text())
    rows = {row["id"]: row["result"] for row in told["rows"]}
    assert {*rows.values()} <= {"holds", "partly", "skipped"}
    assert {"C3", "K1", "G4", "H6", "F2", "R3"} <= rows.keys()
    page = (tmp_path / "report.html").read_text()
    assert "no row fails" in page
    # The page needs nothing from a network.
    assert "http" not in page.partition("<body>")[0]
    secrets = kubectl.json("get", "secrets", "--namespace=dev")["items"]
    assert {"hello", "site-git-credentials"} <= {one["metadata"]["name"] for one in secrets}
    for one in secrets:
        for key, value in (one.get("data") or {}).items():
            text = base64.b64decode(value).decode(errors="replace")
            # Short values are names of users, and host keys are public.
            if len(text) >= 16 and key not in ("known_hosts", "ca.crt", "greeting"):
                assert text not in page + json.dumps(told) + done.output, f"{one['metadata']['name']}: {key}"


def test_a_row_that_fails_is_named_and_the_report_is_written(tmp_path: Path) -> None:
    done = verify(tmp_path, acceptance_http_url="http://127.0.0.1:9", verify_rows="H6,K1", acceptance_patience=5)
    assert done.code != 0
    assert "1 of 2 rows fail" in done.output
    assert "no answer" in done.output
    rows = {row["id"]: row["result"] for row in json.loads((tmp_path / "report.json").read_text())["rows"]}
    assert rows == {"H6": "fails", "K1": "holds"}
    assert "rows that fail: 1" in (tmp_path / "report.html").read_text()


def test_an_unknown_row_is_refused(tmp_path: Path) -> None:
    done = verify(tmp_path, verify_rows="H6,Z9")
    assert done.code != 0
    assert "there is no row Z9" in " ".join(done.output.split())
    assert not (tmp_path / "report.json").exists()


@pytest.mark.skipif(not SOAK, reason="takes ten minutes: pushes, promotes, and sends requests for minutes")
def test_slow_rows_hold(tmp_path: Path) -> None:
    done = verify(tmp_path, acceptance_slow=True)
    assert done.code == 0, done.output
    rows = {row["id"]: row["result"] for row in json.loads((tmp_path / "report.json").read_text())["rows"]}
    assert "skipped" not in rows.values()
