# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Downloads from a fake publisher: correct, wrong, missing, truncated, unreachable and already present files."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.drystone.platform.plugins.module_utils._artifacts.fetch import Fetcher, Outcome, Wanted
from ansible_collections.drystone.platform.plugins.module_utils._artifacts.lock import Lock, read_lock
from ansible_collections.drystone.platform.plugins.module_utils._errors import FetchFailed, InvalidInput
from ansible_collections.drystone.platform.plugins.modules import artifact_fetch

if t.TYPE_CHECKING:
    from tests.unit.fake_upstream import FakeUpstream

TOOL = b"\x7fELF a tool" * 1000
ARCHIVE = "owner/part/archive/refs/tags/v1.2.0.tar.gz"
REPOSITORY = {
    "part-1.2.0/README.md": b"read\n",
    "part-1.2.0/manifests/base/one.yaml": b"kind: One\n",
    "part-1.2.0/manifests/two.yaml": b"kind: Two\n",
}
# The result of dirhash.HashDir of Go for the directory manifests without a prefix.
TREE_SUM = "h1:dKtz5cZ8ZQ5/GnJDoC/6VRGPhAtSq1H26M0iHmhXZJU="


class Site:
    """A publisher with one tool, and a cache that needs it."""

    def __init__(self, root: Path, upstream: FakeUpstream) -> None:
        self.root = root
        self.upstream = upstream
        self.waited: list[float] = []
        self.tool = Wanted("tool", upstream.url, "v1/tool", str(root / "bin/tool"), "v1/tool.sha256", setting="the_pin")
        upstream.add_file("v1/tool", TOOL, "v1/tool.sha256")

    def fetch(self, *files: Wanted, lock: Lock | None = None, check: bool = False) -> Outcome:
        fetcher = Fetcher(lock, timeout=2, sleep=self.waited.append)
        return fetcher.fetch(files or [self.tool], check=check)

    def fail(self, *files: Wanted, lock: Lock | None = None) -> FetchFailed:
        with pytest.raises(FetchFailed) as caught:
            self.fetch(*files, lock=lock)
        return caught.value

    @property
    def found(self) -> dict[str, bytes]:
        return {str(path.relative_to(self.root)): path.read_bytes() for path in self.root.rglob("*") if path.is_file()}


@pytest.fixture
def site(tmp_path: Path, fake_upstream: FakeUpstream) -> Site:
    return Site(tmp_path, fake_upstream)


@pytest.fixture
def tree(site: Site) -> Wanted:
    """Publish a directory of a repository at a tag as an archive that is created on demand."""
    site.upstream.add_file(ARCHIVE, site.upstream.tar_gz(REPOSITORY))
    return Wanted(
        "part",
        site.upstream.url,
        ARCHIVE,
        str(site.root / "manifests/part"),
        extract="part-1.2.0/manifests/",
        tree_sum=TREE_SUM,
        setting="the_pin",
    )


def test_the_right_file_is_put_there_and_can_be_run(site: Site) -> None:
    outcome = site.fetch()
    tool = site.root / "bin/tool"
    assert tool.read_bytes() == TOOL
    assert tool.stat().st_mode & 0o777 == 0o755
    assert (outcome.fetched, outcome.unlocked) == (["tool"], ["tool"])
    assert (outcome.before, outcome.after) == ({"tool": "absent"}, {"tool": "v1/tool"})
    assert sorted(site.found) == ["bin/.tool-upstream", "bin/tool"]


def test_the_architecture_is_filled_in_wherever_it_differs(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.upstream.add_file("v1/tool-arm64.tar.gz", site.upstream.tar_gz({"linux-arm64/tool": TOOL}), "v1/arm64.sha256")
    file = {
        "name": "tool",
        "publisher": "here",
        "path": "v1/tool-{arch}.tar.gz",
        "checksums": "v1/{arch}.sha256",
        "extract": "linux-{arch}/tool",
        "dest": "bin/tool",
    }
    arguments = {"directory": str(site.root), "bases": {"here": site.upstream.url}, "files": [file], "arch": "arm64"}
    with patch_module_args(arguments), pytest.raises(SystemExit) as left:
        artifact_fetch.main()
    assert left.value.code == 0, capsys.readouterr().out
    assert (site.root / "bin/tool").read_bytes() == TOOL


def test_a_second_run_compares_and_asks_nobody(site: Site) -> None:
    site.fetch()
    site.upstream.stop()
    outcome = site.fetch()
    assert (outcome.fetched, outcome.unlocked) == ([], ["tool"])


@pytest.mark.parametrize("damage", ["altered", "gone", "no record", "broken record"])
def test_what_was_damaged_since_is_fetched_again(site: Site, damage: str) -> None:
    site.fetch()
    tool, record = site.root / "bin/tool", site.root / "bin/.tool-upstream"
    if damage == "altered":
        tool.write_bytes(b"something else")
    elif damage == "gone":
        tool.unlink()
    elif damage == "no record":
        record.unlink()
    else:
        record.write_text("[")
    assert site.fetch(check=True).fetched == ["tool"]
    assert site.fetch().fetched == ["tool"]
    assert tool.read_bytes() == TOOL
    assert site.fetch().fetched == []


def test_check_mode_predicts_without_the_network_and_writes_nothing(site: Site) -> None:
    site.upstream.stop()
    assert site.fetch(check=True).fetched == ["tool"]
    assert site.found == {}


def test_another_version_replaces_the_file(site: Site) -> None:
    site.fetch()
    site.upstream.add_file("v2/tool", b"newer", "v2/tool.sha256")
    outcome = site.fetch(dataclasses.replace(site.tool, path="v2/tool", checksums="v2/tool.sha256"))
    assert (outcome.before, outcome.after) == ({"tool": "v1/tool"}, {"tool": "v2/tool"})
    assert site.found["bin/tool"] == b"newer"


def test_the_build_s_record_is_dropped_so_that_it_does_not_believe_its_own_tool_is_there(site: Site) -> None:
    (site.root / "bin").mkdir()
    (site.root / "bin/.tool-0123456789ab").touch()
    (site.root / "bin/tool").write_bytes(b"built here")
    assert site.fetch().before == {"tool": "something else"}
    assert sorted(site.found) == ["bin/.tool-upstream", "bin/tool"]


def test_a_wrong_checksum_is_told_with_both_and_changes_nothing(site: Site) -> None:
    site.fetch()
    site.upstream.files.clear()
    wrong = "0" * 64
    seen = site.upstream.add_file("v2/tool", b"not what was published", "v2/tool.sha256", sha256=wrong)
    assert seen == wrong
    before = site.found
    error = site.fail(dataclasses.replace(site.tool, path="v2/tool", checksums="v2/tool.sha256"))
    actual = hashlib.sha256(b"not what was published").hexdigest()
    assert f"Downloading tool from {site.upstream.url}/v2/tool: its checksum is {actual}, but" in error.msg
    assert f"the publisher's {site.upstream.url}/v2/tool.sha256 requires {wrong}" in error.msg
    [failure] = error.facts["failures"]
    assert (failure["reason"], failure["expected"], failure["seen"]) == ("checksum", wrong, actual)
    assert site.found == before


def test_a_missing_file_names_the_setting_and_is_not_tried_again(site: Site) -> None:
    site.upstream.files.pop("/v1/tool")
    error = site.fail()
    assert f"Downloading tool from {site.upstream.url}/v1/tool: the server answered 404 Not Found" in error.msg
    assert "Check the_pin and artifacts_upstream_bases" in error.msg
    assert site.waited == []
    assert site.found == {}


def test_a_missing_list_of_checksums_is_told_as_such(site: Site) -> None:
    site.upstream.files.pop("/v1/tool.sha256")
    assert f"the checksum of tool from {site.upstream.url}/v1/tool.sha256: the server answered 404" in site.fail().msg
    assert site.upstream.asked["/v1/tool"] == 0


def test_a_truncated_file_is_tried_again_and_then_told_with_its_sizes(site: Site) -> None:
    site.upstream.faults["/v1/tool"] = "cut"
    error = site.fail()
    assert f"the connection ended after {len(TOOL) // 2} of {len(TOOL)} bytes, 3 times" in error.msg
    assert site.upstream.asked["/v1/tool"] == 3
    assert site.waited == [1.0, 2.0]
    assert site.found == {}


def test_a_server_that_is_busy_once_is_asked_again(site: Site) -> None:
    site.upstream.faults["/v1/tool"] = "once"
    assert site.fetch().fetched == ["tool"]
    assert site.waited == [1.0]


@pytest.mark.parametrize(("status", "reason", "attempts"), [(503, "busy", 3), (403, "refused", 1), (410, "missing", 1)])
def test_other_answers_are_told_apart(site: Site, status: int, reason: str, attempts: int) -> None:
    site.upstream.faults["/v1/tool"] = status
    error = site.fail()
    assert error.facts["failures"][0]["reason"] == reason
    assert f"the server answered {status}" in error.msg
    assert site.upstream.asked["/v1/tool"] == attempts


def test_an_unreachable_host_is_told_with_what_to_look_at(site: Site) -> None:
    site.upstream.stop()
    error = site.fail()
    assert "no answer in 3 attempts" in error.msg
    assert "Connection refused" in error.msg
    assert "https_proxy" in error.msg
    assert error.facts["failures"][0]["reason"] == "unreachable"


def test_all_failures_are_told_at_once_and_the_rest_is_there(site: Site) -> None:
    site.upstream.add_file("v1/other", b"other", "v1/other.sha256")
    other = Wanted("other", site.upstream.url, "v1/other", str(site.root / "bin/other"), "v1/other.sha256")
    absent = [dataclasses.replace(other, name=name, path=f"v1/{name}") for name in ("gone", "lost")]
    error = site.fail(absent[0], other, absent[1])
    assert error.msg.startswith("2 downloads failed:\n- Downloading gone from ")
    assert [failure["name"] for failure in error.facts["failures"]] == ["gone", "lost"]
    assert site.found["bin/other"] == b"other"


def test_a_lock_goes_before_the_publisher(site: Site) -> None:
    site.upstream.files.pop("/v1/tool.sha256")
    lock = Lock("the.lock", {"v1/tool": hashlib.sha256(TOOL).hexdigest()}, {})
    assert site.fetch(lock=lock).unlocked == []
    assert site.fetch(lock=lock).fetched == []
    error = site.fail(lock=Lock("the.lock", {"v1/tool": "f" * 64}, {}))
    assert f"but the lock the.lock requires {'f' * 64}" in error.msg
    assert site.found["bin/tool"] == TOOL


def test_what_has_no_published_checksum_is_unlocked_until_a_lock_has_it(site: Site) -> None:
    chart = {"part/Chart.yaml": b"name: part\n", "part/charts/sub/Chart.yaml": b"name: sub\n"}
    packed = site.upstream.tar_gz(chart)
    digest = site.upstream.add_file("v1/part.tgz", packed)
    place = str(site.root / "charts/part")
    part = Wanted("part", site.upstream.url, "v1/part.tgz", place, extract="part/", setting="the_pin")
    (site.root / "charts").mkdir()
    (site.root / "charts/.part-0123456789ab").touch()
    outcome = site.fetch(part)
    assert (outcome.fetched, outcome.unlocked) == (["part"], ["part"])
    expected = {f"charts/{name}": content for name, content in chart.items()}
    assert {name: it for name, it in site.found.items() if "/." not in name} == expected
    assert [name for name in site.found if "/." in name] == ["charts/.part-upstream"]
    assert site.fetch(part).fetched == []
    outcome = site.fetch(part, lock=Lock("the.lock", {"v1/part.tgz": digest}, {}))
    assert (outcome.fetched, outcome.unlocked) == ([], [])
    error = site.fail(part, lock=Lock("the.lock", {"v1/part.tgz": "f" * 64}, {}))
    assert f"its checksum is {digest}, but the lock the.lock requires {'f' * 64}" in error.msg
    assert expected.items() <= site.found.items()


def test_nothing_slips_past_a_lock(site: Site) -> None:
    with pytest.raises(InvalidInput, match=r"Looking up the file v1/tool in the lock the\.lock: there is no entry"):
        site.fetch(lock=Lock("the.lock", {}, {}))


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("{sha256}", True),
        ("{sha256} *tool\n", True),
        ("{other}  tool.asc\n{sha256}  ./tool\n", True),
        ("{other}  another\n", False),
        ("<html>log in</html>", False),
        ("", False),
        ("{sha256}  tool\n{other}  tool\n", False),
    ],
)
def test_lists_of_checksums_are_read_in_every_shape_they_have(site: Site, text: str, accepted: bool) -> None:
    text = text.format(sha256=hashlib.sha256(TOOL).hexdigest(), other="0" * 64)
    site.upstream.files["/v1/tool.sha256"] = text.encode()
    if accepted:
        assert site.fetch().fetched == ["tool"]
    else:
        assert "the response contains no SHA-256 of tool" in site.fail().msg


def test_one_file_is_taken_out_of_an_archive(site: Site) -> None:
    packed = site.upstream.tar_gz({"linux/README": b"read", "linux/tool": TOOL})
    site.upstream.add_file("v1/tool.tar.gz", packed, "v1/sums")
    packed_tool = dataclasses.replace(site.tool, path="v1/tool.tar.gz", checksums="v1/sums", extract="linux/tool")
    assert site.fetch(packed_tool).fetched == ["tool"]
    assert site.found["bin/tool"] == TOOL
    assert (
        "the archive does not contain linux/gone"
        in site.fail(dataclasses.replace(packed_tool, extract="linux/gone", name="b")).msg
    )


def test_what_is_no_archive_is_told(site: Site) -> None:
    assert "the archive cannot be unpacked" in site.fail(dataclasses.replace(site.tool, extract="tool")).msg
    assert site.found == {}


def test_a_folder_is_checked_against_its_sum_even_with_a_lock(site: Site, tree: Wanted) -> None:
    outcome = site.fetch(tree, lock=Lock("the.lock", {}, {}))
    assert (outcome.fetched, outcome.unlocked) == (["part"], [])
    found = {name: content for name, content in site.found.items() if name.startswith("manifests/part/")}
    assert found == {"manifests/part/base/one.yaml": b"kind: One\n", "manifests/part/two.yaml": b"kind: Two\n"}
    assert site.fetch(tree).fetched == []


def test_how_a_folder_was_packed_does_not_matter(site: Site, tree: Wanted) -> None:
    again = {name: REPOSITORY[name] for name in reversed(REPOSITORY)} | {"part-1.2.0/CHANGES": b"more\n"}
    assert site.upstream.tar_gz(again) != site.upstream.tar_gz(REPOSITORY)
    site.upstream.add_file(ARCHIVE, site.upstream.tar_gz(again))
    assert site.fetch(tree).fetched == ["part"]


def test_another_sum_has_the_folder_fetched_again(site: Site, tree: Wanted) -> None:
    site.fetch(tree)
    assert site.fetch(dataclasses.replace(tree, tree_sum="h1:another"), check=True).fetched == ["part"]


def test_a_folder_is_replaced_as_a_whole(site: Site, tree: Wanted) -> None:
    (site.root / "manifests/part").mkdir(parents=True)
    (site.root / "manifests/part/stale.yaml").write_text("kind: Stale\n")
    site.fetch(tree)
    assert not (site.root / "manifests/part/stale.yaml").exists()
    (site.root / "manifests/part/added.yaml").write_text("kind: Added\n")
    assert site.fetch(tree, check=True).fetched == ["part"]


@pytest.mark.parametrize(
    "change",
    [
        {"part-1.2.0/manifests/two.yaml": b"kind: Evil\n"},
        {"part-1.2.0/manifests/three.yaml": b"kind: Evil\n"},
    ],
)
def test_a_folder_with_an_altered_or_added_file_is_refused(site: Site, tree: Wanted, change: dict[str, bytes]) -> None:
    site.fetch(tree)
    before = site.found
    site.upstream.add_file(ARCHIVE, site.upstream.tar_gz(REPOSITORY | change))
    (site.root / "manifests/.part-upstream").unlink()
    error = site.fail(tree)
    assert f"but tree_sum (only valid for one the_pin) requires {TREE_SUM}" in error.msg
    assert error.facts["failures"][0]["seen"].startswith("h1:")
    assert {name: it for name, it in before.items() if name.startswith("manifests/part/")} == site.found


def test_a_folder_with_a_file_missing_is_refused(site: Site, tree: Wanted) -> None:
    fewer = {name: it for name, it in REPOSITORY.items() if not name.endswith("two.yaml")}
    site.upstream.add_file(ARCHIVE, site.upstream.tar_gz(fewer))
    assert site.fail(tree).facts["failures"][0]["reason"] == "checksum"
    assert site.found == {}


def test_what_is_no_archive_of_a_repository_is_told(site: Site, tree: Wanted) -> None:
    site.upstream.add_file(ARCHIVE, b"<html>")
    assert "the archive cannot be unpacked" in site.fail(tree).msg
    site.upstream.add_file(ARCHIVE, site.upstream.tar_gz({"part-1.2.0/README.md": b"read\n"}))
    assert "does not contain part-1.2.0/manifests/" in site.fail(tree).msg


def test_an_archive_cannot_write_outside_of_its_place(site: Site, tree: Wanted) -> None:
    evil = {"part-1.2.0/manifests/../../../evil": b"evil"}
    site.upstream.add_file(ARCHIVE, site.upstream.tar_gz(evil))
    assert "leads outside the target" in site.fail(tree).msg
    assert not (site.root / "evil").exists()


def test_what_a_killed_run_left_is_in_nobody_s_way(site: Site) -> None:
    (site.root / "bin/.tool.partial").mkdir(parents=True)
    (site.root / "bin/.tool.partial/download").write_bytes(b"half")
    assert site.fetch().fetched == ["tool"]
    assert sorted(site.found) == ["bin/.tool-upstream", "bin/tool"]


@pytest.mark.parametrize("text", ["{", "a list", "files: {}"])
def test_a_lock_that_cannot_be_read_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "lock.yml").write_text(text)
    with pytest.raises(InvalidInput, match=f"Reading the lock {tmp_path}/lock.yml"):
        read_lock(str(tmp_path / "lock.yml"))


def test_a_lock_need_not_be_there(tmp_path: Path) -> None:
    assert read_lock(None) is None
    assert read_lock(str(tmp_path / "none.yml")) is None
    (tmp_path / "lock.yml").write_text("files: {a: b}\nimages: {}\n")
    lock = read_lock(str(tmp_path / "lock.yml"))
    assert lock is not None
    assert lock.file("a") == "b"


def test_the_module_tells_all_of_it(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    file = {"name": "tool", "publisher": "us", "path": "v1/tool", "checksums": "v1/tool.sha256", "dest": "bin/tool"}
    arguments = {"directory": str(site.root), "bases": {"us": site.upstream.url}, "files": [file]}

    def call() -> dict[str, t.Any]:
        with patch_module_args(arguments), pytest.raises(SystemExit):
            artifact_fetch.main()
        result: dict[str, t.Any] = json.loads(capsys.readouterr().out)
        return result

    first, second = call(), call()
    assert (first["changed"], first["msg"]) == (True, "downloaded tool; unlocked: tool")
    assert (second["changed"], second["msg"]) == (False, "everything is present; unlocked: tool")
    file["publisher"] = "them"
    assert call()["msg"] == "Looking up the publisher them: bases only contains us."
    file["publisher"] = "us"
    (site.root / "bin/tool").unlink()
    site.upstream.files.pop("/v1/tool")
    failed = call()
    assert failed["failed"]
    assert failed["failures"] == [{"name": "tool", "url": f"{site.upstream.url}/v1/tool", "reason": "missing"}]
