# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of credentials without writing them, and the removal of replaced credentials."""

from __future__ import annotations

import base64
import typing as t

import pytest

from ansible_collections.drystone.platform.plugins.module_utils import _errors as errors
from ansible_collections.drystone.platform.plugins.module_utils._credentials import git_sync_secret as gss
from ansible_collections.drystone.platform.plugins.module_utils._credentials.git_sync_request import Outcome, Request
from ansible_collections.drystone.platform.plugins.module_utils._credentials.ssh_key import new_key, public_line
from ansible_collections.drystone.platform.plugins.module_utils._git import errors as git_errors
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi

if t.TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.fake_api import FakeApi
    from tests.unit.fake_git import FakeGit

NAME = "site-git-credentials"
PREVIOUS = f"{NAME}-previous"
STAGED = f"{NAME}-staged"
REFUSALS = {"ssh": "permission_denied", "https": "authentication_failed"}
Wishes = dict[str, t.Any]


class Killed(Exception):
    """The end of a run before a write."""


class World:
    """A cluster, a Git server with changing credentials, and a clock."""

    def __init__(self, way: str, api: FakeApi, git: FakeGit, kubeconfig: Path) -> None:
        self.way = way
        self.api = api
        self.git = git
        self.kube = KubeApi.from_kubeconfig(api.kubeconfig(kubeconfig))
        api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "dev"}})
        git.users.clear()
        self.now = 0.0
        self.hidden: set[str] = set()
        self.on_sleep: t.Callable[[], None] = lambda: None
        self.writes_left = 99
        for verb in ("create", "patch", "delete"):
            setattr(self.kube, verb, self._counted(getattr(self.kube, verb)))

    def _counted(self, request: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
        def send(*arguments: t.Any, **options: t.Any) -> t.Any:
            if not self.writes_left:
                raise Killed
            self.writes_left -= 1
            return request(*arguments, **options)

        return send

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.on_sleep()

    @property
    def repository(self) -> Wishes:
        if self.way == "ssh":
            return {"repository": self.git.ssh_url, "known_hosts": self.git.known_hosts}
        return {"repository": self.git.https_url, "ca_cert": self.git.ca_cert}

    def credential(self, *, accepted: bool = True) -> Wishes:
        """Create a credential that the server accepts."""
        key, password = new_key(), f"token-{len(self.git.users)}-of-site"
        if accepted and self.way == "ssh":
            self.git.authorize(public_line(key))
        elif accepted:
            self.git.users = {password: (password, "read-only"), **self.git.users}
        return {"private_key": key} if self.way == "ssh" else {"username": password, "password": password}

    def withdraw(self, credential: Wishes) -> None:
        if self.way == "ssh":
            self.git.withdraw(public_line(credential["private_key"]))
        else:
            del self.git.users[credential["username"]]

    def ensure(self, *, check: bool = False, **wishes: t.Any) -> Outcome:
        request = Request(namespace="dev", name=NAME, **{**self.repository, **wishes})
        hide = self.hidden.update
        return gss.ensure(self.kube, request, check=check, hide=hide, clock=lambda: self.now, sleep=self.sleep)

    def has(self, name: str, credential: Wishes) -> bool:
        """Return whether a Secret contains a credential."""
        found = self.api.find("Secret", name, "dev")
        wanted = credential.get("private_key") or credential["password"]
        return found is not None and base64.b64encode(wanted.encode()).decode() in found["data"].values()


@pytest.fixture(params=["ssh", "https"])
def world(request: pytest.FixtureRequest, fake_api: FakeApi, fake_git: FakeGit, tmp_path: Path) -> World:
    return World(request.param, fake_api, fake_git, tmp_path / "kubeconfig")


# checked


@pytest.mark.parametrize("check", [False, True])
def test_a_given_credential_is_tried_and_nothing_is_written(world: World, check: bool) -> None:
    outcome = world.ensure(state="checked", require_read_only=True, check=check, **world.credential())
    assert (outcome.action, outcome.commit) == ("unchanged", world.git.commit)
    facts = outcome.facts()
    assert (facts["changed"], facts["auth"]) == (False, world.way)
    assert facts["diff"]["before"] == facts["diff"]["after"]
    assert world.api.names("Secret") == []


def test_without_one_the_credential_of_the_secret_is_tried(world: World) -> None:
    credential = world.credential()
    fingerprint = world.ensure(**credential).facts()["fingerprint"]
    versions = world.api.versions_of_all()
    facts = world.ensure(state="checked").facts()
    assert (facts["commit"], facts["fingerprint"]) == (world.git.commit, fingerprint)
    world.withdraw(credential)
    with pytest.raises((git_errors.PermissionDenied, git_errors.AuthenticationFailed)):
        world.ensure(state="checked")
    assert world.api.versions_of_all() == versions


def test_where_there_is_none_to_try_that_is_said(world: World) -> None:
    with pytest.raises(
        errors.InvalidInput, match=f"Secret dev/{NAME} does not exist, and no credential is given"
    ) as caught:
        world.ensure(state="checked")
    assert caught.value.facts["reason"] == "credential_missing"
    world.ensure(**world.credential())
    world.way = {"ssh": "https", "https": "ssh"}[world.way]
    with pytest.raises(errors.InvalidInput, match="There is no credential for") as caught:
        world.ensure(state="checked")
    assert caught.value.facts["reason"] == "auth_differs"


def test_a_refusal_is_waited_for_and_its_reason_returned(world: World) -> None:
    credential = world.credential()
    world.on_sleep = lambda: world.withdraw(credential) if 20 <= world.now < 25 else None
    outcome = world.ensure(state="checked", expect="refused", timeout=60, **credential)
    assert outcome.facts()["reason"] == REFUSALS[world.way]
    assert outcome.commit is None
    assert 20 <= world.now <= 30


def test_a_credential_that_stays_accepted_is_told_at_the_timeout(world: World) -> None:
    with pytest.raises(
        git_errors.StillAccepted, match=r"still accepts it after 60 s\. Revoke it on the server"
    ) as caught:
        world.ensure(state="checked", expect="refused", timeout=60, **world.credential())
    assert caught.value.facts["reason"] == "still_accepted"
    assert 50 <= world.now <= 60


def test_a_ref_that_is_missing_is_no_refusal(world: World) -> None:
    with pytest.raises(git_errors.StillAccepted):
        world.ensure(state="checked", expect="refused", ref="nope", **world.credential())


def test_a_server_that_is_down_proves_no_refusal(world: World) -> None:
    credential = world.credential()
    world.git.set(down="Connection refused")
    world.git.status = 502
    with pytest.raises(git_errors.RemoteUnavailable):
        world.ensure(state="checked", expect="refused", timeout=30, **credential)
    assert world.now > 20


def test_another_server_in_its_place_proves_no_refusal(world: World) -> None:
    repository, credential = world.repository, world.credential()
    if world.way == "ssh":
        world.git.change_host_key()
    else:
        repository["ca_cert"] = None
    with pytest.raises((git_errors.HostKeyChanged, git_errors.TlsNotTrusted)):
        world.ensure(state="checked", expect="refused", timeout=30, **{**repository, **credential})
    assert world.now == 0


# keep_previous and retired


def test_what_is_replaced_is_kept_until_it_is_refused(world: World) -> None:
    old, new = world.credential(), world.credential()
    world.ensure(**old, labels={"team": "site"}, keep_previous=True)
    assert world.api.names("Secret") == [NAME]
    predicted = world.ensure(**new, labels={"team": "site"}, keep_previous=True, check=True)
    done = world.ensure(**new, labels={"team": "site"}, keep_previous=True)
    assert predicted.facts() == done.facts()
    assert (world.has(NAME, new), world.has(PREVIOUS, old)) == (True, True)
    kept = world.api.find("Secret", PREVIOUS, "dev")
    assert kept is not None
    assert kept["metadata"]["labels"] == {
        "team": "site",
        "app.kubernetes.io/managed-by": "drystone",
        "drystone.dev/git-credentials": "previous",
    }
    with pytest.raises(git_errors.StillAccepted):
        world.ensure(state="retired")
    assert world.has(PREVIOUS, old)
    world.withdraw(old)
    retired = world.ensure(state="retired")
    assert (retired.action, retired.facts()["reason"]) == ("deleted", REFUSALS[world.way])
    assert retired.before["previous"]
    assert retired.after["previous"] is None
    assert world.api.names("Secret") == [NAME]
    assert world.ensure(state="retired").action == "unchanged"


def test_check_mode_predicts_the_end_of_what_is_kept_and_asks_nobody(world: World) -> None:
    old = world.credential()
    world.ensure(**old)
    world.ensure(**world.credential(), keep_previous=True)
    assert world.ensure(state="retired", check=True).action == "deleted"
    assert world.has(PREVIOUS, old)


def test_the_refusal_is_waited_for_before_the_end(world: World) -> None:
    old = world.credential()
    world.ensure(**old)
    world.ensure(**world.credential(), keep_previous=True)
    world.on_sleep = lambda: world.withdraw(old) if 20 <= world.now < 25 else None
    assert world.ensure(state="retired", timeout=60).action == "deleted"


def test_nothing_is_kept_that_is_not_replaced_or_not_to_be_kept(world: World) -> None:
    credential = world.credential()
    world.ensure(**credential, keep_previous=True)
    world.ensure(**credential, keep_previous=True, labels={"team": "site"})
    world.ensure(**world.credential())
    world.way = {"ssh": "https", "https": "ssh"}[world.way]
    world.ensure(**world.credential(), keep_previous=True)
    assert world.api.names("Secret") == [NAME]


def test_a_second_replacement_waits_for_the_end_of_the_first(world: World) -> None:
    first, second, third = (world.credential() for _each in range(3))
    world.ensure(**first)
    world.ensure(**second, keep_previous=True)
    with pytest.raises(git_errors.StillAccepted):
        world.ensure(**third, keep_previous=True)
    assert (world.has(NAME, second), world.has(PREVIOUS, first)) == (True, True)
    world.withdraw(first)
    world.ensure(**third, keep_previous=True)
    assert (world.has(NAME, third), world.has(PREVIOUS, second)) == (True, True)


def test_what_somebody_goes_back_to_is_not_expected_to_be_refused(world: World) -> None:
    first, second = world.credential(), world.credential()
    world.ensure(**first)
    world.ensure(**second, keep_previous=True)
    world.ensure(**first)
    outcome = world.ensure(state="retired")
    assert (outcome.action, "reason" in outcome.facts()) == ("deleted", False)
    world.ensure(**second, keep_previous=True)
    world.ensure(**first, keep_previous=True)
    assert (world.has(NAME, first), world.has(PREVIOUS, second)) == (True, True)


@pytest.mark.parametrize("writes", range(4))
def test_a_rotation_that_was_killed_at_any_write_is_ended_by_the_next_run(world: World, writes: int) -> None:
    old, new = world.credential(), world.credential()
    world.ensure(**old)

    def rotate() -> None:
        world.ensure(**new, keep_previous=True)
        if world.way == "ssh":
            world.git.withdraw(public_line(old["private_key"]))
        else:
            world.git.users.pop(old["username"], None)
        world.ensure(state="retired")

    world.writes_left = writes
    try:
        rotate()
    except Killed:
        # At each moment the Secret contains a working credential, and the old one is not lost.
        assert world.ensure(state="checked").commit
        assert world.has(NAME, old) or world.has(PREVIOUS, old)
    world.writes_left = 99
    rotate()
    assert world.has(NAME, new)
    assert world.api.names("Secret") == [NAME]


def test_a_kept_credential_of_another_kind_says_what_to_do(world: World) -> None:
    world.ensure(**world.credential())
    world.ensure(**world.credential(), keep_previous=True)
    world.way = {"ssh": "https", "https": "ssh"}[world.way]
    with pytest.raises(errors.InvalidInput, match=f"Secret dev/{PREVIOUS} is for .* and delete the Secret"):
        world.ensure(state="retired")


def test_absent_deletes_what_is_kept_too(world: World) -> None:
    world.ensure(**world.credential())
    world.ensure(**world.credential(), keep_previous=True)
    assert world.ensure(state="absent").action == "deleted"
    assert world.api.names("Secret") == []


def test_a_generated_key_is_replaced_and_retired(fake_api: FakeApi, fake_git: FakeGit, tmp_path: Path) -> None:
    world = World("ssh", fake_api, fake_git, tmp_path / "kubeconfig")
    for rotate in (False, True):
        staged = world.ensure(state="staged", generate=True, rotate=rotate).facts()
        fake_git.authorize(staged["public_key"])
        world.ensure(generate=True, keep_previous=True)
    assert fake_api.names("Secret") == [NAME, PREVIOUS]
    kept = fake_api.find("Secret", PREVIOUS, "dev")
    assert kept is not None
    fake_git.withdraw(public_line(base64.b64decode(kept["data"]["ssh"]).decode()))
    assert world.ensure(state="retired").facts()["reason"] == "permission_denied"
    assert fake_api.names("Secret") == [NAME]


# Options that do not go together


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"state": "checked", "generate": True}, "generate creates a key, which state=checked does not use"),
        ({"state": "retired", "private_key": "x"}, "uses the replaced credential. Do not give another one"),
        ({"state": "retired", "keep_previous": True}, "keep_previous .* requires state=present"),
        ({"state": "present", "private_key": "x", "expect": "refused"}, "expect=refused requires state=checked"),
        ({"state": "checked", "require_read_only": True, "expect": "refused"}, "and excludes require_read_only"),
    ],
)
def test_options_that_do_not_fit_are_named_before_anything_is_asked(
    fake_api: FakeApi, fake_git: FakeGit, tmp_path: Path, wishes: Wishes, said: str
) -> None:
    world = World("ssh", fake_api, fake_git, tmp_path / "kubeconfig")
    with pytest.raises(errors.InvalidInput, match=said):
        world.ensure(**wishes)
    assert fake_git.ssh_calls() == []
    assert fake_api.requests == []


def test_no_secret_is_shown_and_all_of_what_is_kept_is_hidden(world: World) -> None:
    old = world.credential()
    world.ensure(**old)
    told = repr(world.ensure(**world.credential(), keep_previous=True).facts())
    world.hidden.clear()
    with pytest.raises(git_errors.StillAccepted) as caught:
        world.ensure(state="retired")
    world.withdraw(old)
    told += repr(world.ensure(state="retired").facts()) + f"{caught.value!r} {caught.value.facts}"
    secret = old.get("private_key") or old["password"]
    assert {secret, base64.b64encode(secret.encode()).decode()} <= world.hidden
    assert not any(part in told for part in (old["private_key"].split()[4:-4] if world.way == "ssh" else ()))
