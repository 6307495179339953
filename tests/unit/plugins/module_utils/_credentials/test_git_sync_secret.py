# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials of git-sync with a real repository over SSH and HTTPS, and Secrets in a fake API server."""

from __future__ import annotations

import base64
import os
import subprocess
import typing as t

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from ansible_collections.drystone.platform.plugins.module_utils import _errors as errors
from ansible_collections.drystone.platform.plugins.module_utils._credentials import git_sync_secret as gss
from ansible_collections.drystone.platform.plugins.module_utils._credentials.git_sync_info import inspect
from ansible_collections.drystone.platform.plugins.module_utils._credentials.git_sync_request import Outcome, Request
from ansible_collections.drystone.platform.plugins.module_utils._credentials.ssh_key import new_key, public_line
from ansible_collections.drystone.platform.plugins.module_utils._git import errors as git_errors
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi

if t.TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.fake_api import FakeApi
    from tests.unit.fake_git import FakeGit

NAME = "site-git-credentials"
LABEL = "drystone.dev/git-credentials"


class World:
    """A cluster, a Git server and a clock."""

    def __init__(self, api: FakeApi, git: FakeGit, kubeconfig: Path) -> None:
        self.api = api
        self.git = git
        self.kube = KubeApi.from_kubeconfig(api.kubeconfig(kubeconfig))
        api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "dev"}})
        self.now = 0.0
        self.hidden: set[str] = set()
        self.on_sleep: t.Callable[[], None] = lambda: None

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.on_sleep()

    def ensure(self, *, check: bool = False, **wishes: t.Any) -> Outcome:
        return gss.ensure(
            self.kube,
            Request(namespace="dev", name=NAME, **wishes),
            check=check,
            hide=self.hidden.update,
            clock=lambda: self.now,
            sleep=self.sleep,
        )

    def ssh(self, **wishes: t.Any) -> Outcome:
        return self.ensure(**{"repository": self.git.ssh_url, "known_hosts": self.git.known_hosts, **wishes})

    def https(self, **wishes: t.Any) -> Outcome:
        given = {"repository": self.git.https_url, "ca_cert": self.git.ca_cert, "username": "site"}
        return self.ensure(**{**given, "password": "correct-horse", **wishes})

    def info(self, *, check: bool = False, **wishes: t.Any) -> dict[str, t.Any]:
        options = {"repository": None, "check_repository": None, "ref": None, **wishes}
        return inspect(self.kube, "dev", NAME, check=check, hide=self.hidden.update, **options)

    def data(self, name: str = NAME) -> dict[str, str] | None:
        found = self.api.find("Secret", name, "dev")
        return {key: base64.b64decode(value).decode() for key, value in found["data"].items()} if found else None

    def public(self, name: str = NAME) -> str:
        data = self.data(name)
        assert data is not None
        return public_line(data["ssh"])

    def put_foreign(self, name: str = NAME) -> None:
        metadata = {"name": name, "namespace": "dev", "labels": {"app.kubernetes.io/managed-by": "drystone"}}
        self.api.put({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"ssh": "eA=="}})

    def authorized_key(self, rights: str = "read-only") -> str:
        key = new_key()
        self.git.authorize(public_line(key), rights)
        return key


@pytest.fixture
def world(fake_api: FakeApi, fake_git: FakeGit, tmp_path: Path) -> World:
    return World(fake_api, fake_git, tmp_path / "kubeconfig")


# Credentials of the user


def test_a_key_is_stored_in_git_syncs_shape_once(world: World) -> None:
    key = world.authorized_key()
    first = world.ssh(private_key=key, labels={"team": "site"})
    stored = world.api.find("Secret", NAME, "dev")
    assert stored is not None
    assert world.data() == {"ssh": key, "known_hosts": world.git.known_hosts}
    assert stored["type"] == "Opaque"
    assert stored["metadata"]["labels"] == {
        "team": "site",
        "app.kubernetes.io/managed-by": "drystone",
        LABEL: "current",
    }
    assert stored["metadata"]["annotations"]["drystone.dev/git-repository"] == world.git.ssh_url
    assert (first.action, first.commit, first.rotated) == ("created", world.git.commit, False)
    versions = world.api.versions_of_all()
    again = world.ssh(private_key=key, labels={"team": "site"})
    assert (again.action, again.facts()["changed"], again.commit) == ("unchanged", False, world.git.commit)
    assert again.before == again.after
    assert world.api.versions_of_all() == versions


def test_a_password_is_stored_in_git_syncs_shape_once(world: World) -> None:
    first = world.https()
    assert world.data() == {"username": "site", "password": "correct-horse", "ca.crt": world.git.ca_cert}
    assert (first.action, first.commit) == ("created", world.git.commit)
    assert first.facts()["public_key"] is None
    versions = world.api.versions_of_all()
    assert world.https().action == "unchanged"
    assert world.api.versions_of_all() == versions


def test_check_mode_proves_and_predicts_and_writes_nothing(world: World) -> None:
    key = world.authorized_key()
    predicted = world.ssh(private_key=key, check=True)
    assert world.data() is None
    done = world.ssh(private_key=key)
    assert predicted.facts() == done.facts()
    with pytest.raises(git_errors.PermissionDenied):
        world.ssh(private_key=new_key(), check=True)


def test_another_key_replaces_the_old_one_in_one_request_and_says_so(world: World) -> None:
    world.ssh(private_key=world.authorized_key())
    world.api.requests.clear()
    outcome = world.ssh(private_key=world.authorized_key())
    assert (outcome.action, outcome.rotated) == ("configured", True)
    assert [line.split()[0] for line in world.api.requests if not line.startswith("GET")] == ["PATCH"]
    assert outcome.before["current"]["fingerprint"] != outcome.after["current"]["fingerprint"]


def test_ssh_gives_way_to_https_and_leaves_no_key_behind(world: World) -> None:
    world.ssh(private_key=world.authorized_key())
    world.api.edit("Secret", NAME, "dev", "data/cookie_file", "eA==")
    outcome = world.https()
    data = world.data()
    assert data is not None
    assert sorted(data) == ["ca.crt", "cookie_file", "password", "username"]
    assert outcome.rotated
    assert (outcome.before["current"]["auth"], outcome.after["current"]["auth"]) == ("ssh", "https")


def test_labels_and_annotations_of_others_stay(world: World) -> None:
    key = world.authorized_key()
    world.ssh(private_key=key)
    world.api.edit("Secret", NAME, "dev", "metadata/labels", {"theirs": "yes"})
    assert world.ssh(private_key=key, labels={"team": "site"}).action == "configured"
    stored = world.api.find("Secret", NAME, "dev")
    assert stored is not None
    assert stored["metadata"]["labels"] == {
        "theirs": "yes",
        "team": "site",
        LABEL: "current",
        "app.kubernetes.io/managed-by": "drystone",
    }


def test_the_same_key_written_in_another_way_is_the_same_key(world: World) -> None:
    key = world.authorized_key()
    world.ssh(private_key=key)
    assert world.ssh(private_key=f"\n{key.strip()}").action == "unchanged"
    assert world.ssh(private_key=key.replace("\n", "\r\n")).action == "unchanged"


def test_a_key_without_its_last_line_break_is_stored_as_openssh_wants_it(world: World) -> None:
    world.ssh(private_key=world.authorized_key().strip())
    data = world.data()
    assert data is not None
    assert data["ssh"].endswith("-----END OPENSSH PRIVATE KEY-----\n")


def test_only_the_lines_of_the_repositorys_host_are_kept(world: World) -> None:
    known_hosts = f"# mine\nother.example {world.git.state['host_key']}\n{world.git.known_hosts}"
    outcome = world.ssh(private_key=world.authorized_key(), known_hosts=known_hosts)
    data = world.data()
    assert data is not None
    assert data["known_hosts"] == world.git.known_hosts
    assert outcome.facts()["host_key_fingerprints"] == [f"ssh-ed25519 {world.git.state['host_key_fingerprint']}"]


# Verification


@pytest.mark.parametrize("ref", ["main", "v1", "HEAD", "refs/heads/main", "COMMIT"])
def test_the_ref_may_be_whatever_git_sync_takes(world: World, ref: str) -> None:
    world.git.git("--git-dir", str(world.git.repository), "tag", "-a", "-m", "One", "v1", "main")
    outcome = world.ssh(private_key=world.authorized_key(), ref=world.git.commit if ref == "COMMIT" else ref)
    assert outcome.commit == world.git.commit


@pytest.mark.parametrize(
    ("ref", "said"), [("nope", "no branch or tag nope. It has the branches main"), ("f" * 40, "no commit ffff")]
)
@pytest.mark.parametrize("way", ["ssh", "https"])
def test_a_ref_that_is_not_there_is_named_with_those_that_are(world: World, way: str, ref: str, said: str) -> None:
    given = {"private_key": world.authorized_key()} if way == "ssh" else {}
    with pytest.raises(git_errors.RefNotFound, match=said):
        getattr(world, way)(ref=ref, **given)
    assert world.data() is None


def test_a_name_that_only_ends_like_the_branch_is_not_the_branch(world: World) -> None:
    world.git.add_commit("refs/heads/team/topic")
    with pytest.raises(git_errors.RefNotFound):
        world.https(ref="topic")


def test_an_empty_repository_is_told_from_a_wrong_ref(world: World) -> None:
    world.git.git("--git-dir", str(world.git.repository), "update-ref", "-d", "refs/heads/main")
    with pytest.raises(git_errors.RefNotFound, match=r"no branch\. Push a first commit"):
        world.https()


def _ssh_with(world: World, **wishes: t.Any) -> Outcome:
    return world.ssh(**{"private_key": world.authorized_key(), **wishes})


SSH_FAILURES: dict[str, tuple[type[errors.DrystoneError], str, t.Callable[[World], t.Any]]] = {
    "wrong key": (
        git_errors.PermissionDenied,
        "does not accept the key SHA256:",
        lambda w: w.ssh(private_key=new_key()),
    ),
    "host key changed": (
        git_errors.HostKeyChanged,
        "Ask its operator for the fingerprint .the server presents SHA256:",
        lambda w: _after(w, w.git.known_hosts, w.git.change_host_key),
    ),
    "host key of another host": (
        errors.InvalidInput,
        r"no host key for \[git-server.git.svc\]:2222.*keys for other.example",
        lambda w: _ssh_with(w, known_hosts=f"other.example {w.git.state['host_key']}"),
    ),
    "no host key": (
        errors.InvalidInput,
        "There is no host key for .* Set it in known_hosts",
        lambda w: _ssh_with(w, known_hosts=None),
    ),
    "no repository": (
        git_errors.RepositoryNotFound,
        "does not appear to be a git repository.* Check the path",
        lambda w: _ssh_with(w, repository=w.git.ssh_url.replace("site-content", "nothing")),
    ),
    "down": (
        git_errors.RemoteUnavailable,
        "Connection refused.* Check that the Git server runs",
        lambda w: _while_down(w, "Connection refused"),
    ),
    "no route": (
        git_errors.RemoteUnavailable,
        "The server did not answer in time",
        lambda w: _while_down(w, "Connection timed out"),
    ),
    "may write": (
        git_errors.WriteAllowed,
        "may not write to ssh://.*: it may, because the server accepted a push",
        lambda w: w.ssh(private_key=w.authorized_key("read-write"), require_read_only=True),
    ),
}


def _while_down(world: World, said: str) -> Outcome:
    world.git.set(down=said)
    return _ssh_with(world)


def _after(world: World, known_hosts: str, change: t.Callable[[], None]) -> Outcome:
    change()
    return _ssh_with(world, known_hosts=known_hosts)


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("case", SSH_FAILURES)
def test_each_failure_over_ssh_has_its_class_and_leaves_the_secret_alone(
    world: World, case: str, existing: bool
) -> None:
    kind, said, do = SSH_FAILURES[case]
    if existing:
        # Use other keys and hosts than in the failing run, which could otherwise fall back to these.
        world.https()
    versions = world.api.versions_of_all()
    with pytest.raises(kind, match=said) as caught:
        do(world)
    assert caught.value.__class__ is kind
    assert caught.value.facts["reason"]
    assert world.api.versions_of_all() == versions


def _answering(status: int) -> t.Callable[[World], t.Any]:
    def do(world: World) -> Outcome:
        world.git.status = status
        return world.https()

    return do


def _stopped(world: World) -> Outcome:
    world.git.stop()
    try:
        return world.https()
    finally:
        world.git.server.shutdown = lambda: None  # type: ignore[method-assign]  # the server is already down


HTTPS_FAILURES: dict[str, tuple[type[errors.DrystoneError], str, t.Callable[[World], t.Any]]] = {
    "wrong token": (
        git_errors.AuthenticationFailed,
        "does not accept the password or token of site: it is wrong, revoked, expired",
        lambda w: w.https(password="expired-token"),
    ),
    "unknown user": (git_errors.AuthenticationFailed, "token of nobody", lambda w: w.https(username="nobody")),
    "forbidden": (git_errors.AuthenticationFailed, "has no permission for this repository", _answering(403)),
    "no repository": (
        git_errors.RepositoryNotFound,
        "Check the path",
        lambda w: w.https(repository=w.git.https_url.replace("site-content", "nothing")),
    ),
    "server error": (git_errors.RemoteUnavailable, "not from a working Git server", _answering(502)),
    "down": (git_errors.RemoteUnavailable, "Check that the Git server runs", _stopped),
    "authority not known": (git_errors.TlsNotTrusted, "certificate is not trusted", lambda w: w.https(ca_cert=None)),
    "may write": (
        git_errors.WriteAllowed,
        "it may, because the server accepted a push",
        lambda w: w.https(username="editor", password="battery-staple", require_read_only=True),
    ),
}


@pytest.mark.parametrize("case", HTTPS_FAILURES)
def test_each_failure_over_https_has_its_class_and_leaves_the_secret_alone(world: World, case: str) -> None:
    kind, said, do = HTTPS_FAILURES[case]
    world.ssh(private_key=world.authorized_key())
    versions = world.api.versions_of_all()
    with pytest.raises(kind, match=said) as caught:
        do(world)
    assert caught.value.__class__ is kind
    assert world.api.versions_of_all() == versions


def test_a_certificate_for_another_name_is_not_trusted(world: World) -> None:
    port = world.git.server.server_address[1]
    with pytest.raises(git_errors.TlsNotTrusted, match="use a name that the certificate contains"):
        world.https(repository=f"https://127.0.0.1:{port}/site-content.git")


@pytest.mark.parametrize("way", ["ssh", "https"])
def test_a_credential_that_may_only_read_meets_require_read_only(world: World, way: str) -> None:
    given = {"private_key": world.authorized_key()} if way == "ssh" else {}
    assert getattr(world, way)(require_read_only=True, **given).commit == world.git.commit
    assert world.git.git("--git-dir", str(world.git.repository), "for-each-ref", "--format=%(refname)") == (
        "refs/heads/main"
    )


@pytest.mark.parametrize(
    "refusal",
    [
        "ERROR: The key you are authenticating with has been marked as read only.",
        "remote: ERROR: This deploy key does not have write access to this project.",
        "Gitea: Unauthorized\nUser permission denied for writing.",
        "fatal: remote error: access denied or repository not exported: /x",
    ],
)
def test_servers_words_for_no_write_access_are_understood(world: World, refusal: str) -> None:
    world.git.set(refusal=refusal)
    assert _ssh_with(world, require_read_only=True).action == "created"


def test_an_answer_that_is_no_refusal_proves_nothing(world: World) -> None:
    world.git.set(refusal="Internal error, please come back later")
    with pytest.raises(errors.CommandFailed, match=r"may not write to .*Internal error") as caught:
        _ssh_with(world, require_read_only=True)
    assert not isinstance(caught.value, git_errors.WriteAllowed)
    assert world.data() is None


def test_a_key_that_may_write_is_taken_where_that_is_not_asked(world: World) -> None:
    assert world.ssh(private_key=world.authorized_key("read-write")).action == "created"


def test_the_repository_is_proved_by_this_hosts_way_under_the_pods_name(world: World) -> None:
    key = world.authorized_key()
    here = "ssh://git@127.0.0.1:2322/srv/git/site-content.git"
    world.ssh(private_key=key, check_repository=here)
    used = " ".join(world.git.ssh_calls()[-1]["argv"])
    assert "git@127.0.0.1" in used
    assert "-p 2322" in used
    assert f"HostKeyAlias={world.git.ssh_name}" in used
    stored = world.api.find("Secret", NAME, "dev")
    assert stored is not None
    assert stored["metadata"]["annotations"]["drystone.dev/git-repository"] == world.git.ssh_url


@pytest.mark.parametrize("way", ["ssh", "https"])
def test_a_credential_that_is_not_authorised_yet_is_waited_for(world: World, way: str) -> None:
    key = new_key()

    def authorise() -> None:
        if world.now >= 20:
            world.git.authorize(public_line(key))
            world.git.users["late"] = ("late-token", "read-only")

    world.on_sleep = authorise
    given = {"private_key": key} if way == "ssh" else {"username": "late", "password": "late-token"}
    assert getattr(world, way)(timeout=60, **given).action == "created"
    assert 20 <= world.now <= 30


def test_waiting_ends_at_the_timeout_with_the_last_reason(world: World) -> None:
    with pytest.raises(git_errors.PermissionDenied):
        world.ssh(private_key=new_key(), timeout=60)
    assert 50 <= world.now <= 60


def test_what_waiting_cannot_mend_is_not_waited_for(world: World) -> None:
    with pytest.raises(git_errors.RefNotFound):
        _ssh_with(world, ref="nope", timeout=600)
    assert world.now == 0


def test_nothing_is_waited_for_by_default(world: World) -> None:
    with pytest.raises(git_errors.PermissionDenied):
        world.ssh(private_key=new_key())
    assert world.now == 0


# Host keys


def test_a_host_key_is_obtained_and_pinned_only_on_request(world: World) -> None:
    key = world.authorized_key()
    with pytest.raises(errors.InvalidInput, match="set accept_host_key"):
        world.ssh(private_key=key, known_hosts=None)
    outcome = world.ssh(private_key=key, known_hosts=None, accept_host_key=True)
    data = world.data()
    assert data is not None
    assert data["known_hosts"] == world.git.known_hosts
    assert outcome.facts()["host_key_fingerprints"] == [f"ssh-ed25519 {world.git.state['host_key_fingerprint']}"]


def test_an_obtained_host_key_is_pinned_under_the_pods_name(world: World) -> None:
    here = "ssh://git@127.0.0.1:2322/srv/git/site-content.git"
    _ssh_with(world, known_hosts=None, accept_host_key=True, check_repository=here)
    data = world.data()
    assert data is not None
    assert data["known_hosts"] == world.git.known_hosts


def test_a_pinned_host_key_is_kept_and_a_changed_one_never_accepted_by_itself(world: World) -> None:
    key = world.authorized_key()
    world.ssh(private_key=key, known_hosts=None, accept_host_key=True)
    assert world.ssh(private_key=key, known_hosts=None).action == "unchanged"
    world.git.change_host_key()
    with pytest.raises(git_errors.HostKeyChanged):
        world.ssh(private_key=key, known_hosts=None, accept_host_key=True)
    outcome = world.ssh(private_key=key)
    assert (outcome.action, outcome.rotated) == ("configured", False)


def test_a_server_that_shows_no_host_key_is_down(world: World) -> None:
    world.git.set(down="Connection refused")
    with pytest.raises(
        git_errors.RemoteUnavailable, match=r"Obtaining the host keys of ssh://.*ssh-keyscan found none"
    ):
        _ssh_with(world, known_hosts=None, accept_host_key=True)


# Generated keys


def test_a_generated_key_is_staged_then_authorised_then_used(world: World) -> None:
    staged = world.ensure(state="staged", generate=True)
    assert (staged.action, staged.staged) == ("staged", True)
    assert world.data() is None
    public = staged.facts()["public_key"]
    assert public.endswith(f" dev/{NAME}")
    assert world.ensure(state="staged", generate=True).facts()["public_key"] == public
    world.git.authorize(public)
    used = world.ssh(generate=True, require_read_only=True)
    assert (used.action, used.staged, used.facts()["public_key"]) == ("created", False, public)
    assert world.api.names("Secret") == [NAME]
    versions = world.api.versions_of_all()
    assert world.ssh(generate=True).action == "unchanged"
    assert world.ensure(state="staged", generate=True).facts()["public_key"] == public
    assert world.api.versions_of_all() == versions


def test_a_staged_secret_is_labelled_as_ours_and_holds_no_more_than_the_key(world: World) -> None:
    world.ensure(state="staged", generate=True, labels={"team": "site"})
    stored = world.api.find("Secret", f"{NAME}-staged", "dev")
    assert stored is not None
    assert stored["metadata"]["labels"] == {
        "team": "site",
        LABEL: "staged",
        "app.kubernetes.io/managed-by": "drystone",
    }
    assert list(stored["data"]) == ["ssh"]


def test_present_without_any_key_stages_one_and_says_whom_to_tell(world: World) -> None:
    with pytest.raises(
        git_errors.PermissionDenied, match=r"Authorize this key to read the repository.*ssh-ed25519"
    ) as caught:
        world.ssh(generate=True)
    facts = caught.value.facts
    assert (facts["changed"], facts["staged"]) == (True, True)
    assert facts["public_key"].split()[:2] == world.public(f"{NAME}-staged").split()
    assert world.data() is None
    with pytest.raises(git_errors.PermissionDenied) as again:
        world.ssh(generate=True)
    assert (again.value.facts["changed"], again.value.facts["public_key"]) == (False, facts["public_key"])
    world.git.authorize(facts["public_key"])
    assert world.ssh(generate=True).action == "created"


def test_present_waits_for_the_key_it_has_just_made(world: World) -> None:
    world.on_sleep = lambda: world.git.authorize(world.public(f"{NAME}-staged"))
    outcome = world.ssh(generate=True, timeout=60)
    assert (outcome.action, world.api.names("Secret")) == ("created", [NAME])


def test_the_host_key_obtained_for_a_staged_key_stays_pinned(world: World) -> None:
    with pytest.raises(git_errors.PermissionDenied):
        world.ssh(generate=True, known_hosts=None, accept_host_key=True)
    world.git.authorize(world.public(f"{NAME}-staged"))
    world.git.change_host_key()
    with pytest.raises(git_errors.HostKeyChanged):
        world.ssh(generate=True, known_hosts=None, accept_host_key=True)


def test_check_mode_stages_nothing(world: World) -> None:
    assert world.ensure(state="staged", generate=True, check=True).action == "staged"
    assert world.ssh(generate=True, check=True).action == "staged"
    assert world.api.names("Secret") == []


def test_check_mode_predicts_that_the_staged_key_comes_into_use(world: World) -> None:
    world.git.authorize(world.ensure(state="staged", generate=True).facts()["public_key"])
    predicted = world.ssh(generate=True, check=True)
    assert world.api.names("Secret") == [f"{NAME}-staged"]
    assert predicted.facts() == world.ssh(generate=True).facts()


def _with_generated_key(world: World) -> str:
    world.git.authorize(world.ensure(state="staged", generate=True).facts()["public_key"])
    world.ssh(generate=True)
    return world.public()


def test_rotation_has_a_working_credential_at_every_write(world: World) -> None:
    old = _with_generated_key(world)
    readable: list[bool] = []
    # Read at each request of the rotation: the credential that git-sync would use at that moment.
    world.api.on_write = lambda _count: readable.append(world.public() in world.git.state["authorized"])
    staged = world.ensure(state="staged", generate=True, rotate=True)
    new = staged.facts()["public_key"]
    assert world.public() == old
    assert new.split()[:2] != old.split()
    with pytest.raises(git_errors.PermissionDenied):
        world.ssh(generate=True)
    assert world.public() == old
    world.git.authorize(new)
    outcome = world.ssh(generate=True)
    world.git.withdraw(old)
    assert (outcome.action, outcome.rotated) == ("configured", True)
    assert world.public() == " ".join(new.split()[:2])
    assert readable == [True, True]
    assert world.ssh(generate=True).action == "unchanged"
    assert world.api.names("Secret") == [NAME]


def test_rotate_stages_one_key_until_it_is_used(world: World) -> None:
    _with_generated_key(world)
    first = world.ensure(state="staged", generate=True, rotate=True)
    second = world.ensure(state="staged", generate=True, rotate=True)
    assert (first.action, second.action) == ("staged", "unchanged")
    assert first.facts()["public_key"] == second.facts()["public_key"]


def test_a_run_that_ended_between_its_two_writes_is_ended_by_the_next(world: World) -> None:
    _with_generated_key(world)
    new = world.ensure(state="staged", generate=True, rotate=True).facts()["public_key"]
    world.git.authorize(new)
    leftover = world.api.find("Secret", f"{NAME}-staged", "dev")
    assert leftover is not None
    world.ssh(generate=True)
    del leftover["metadata"]["managedFields"]
    world.api.put(leftover, "drystone")
    outcome = world.ssh(generate=True)
    assert (outcome.action, outcome.rotated, outcome.facts()["changed"]) == ("configured", False, True)
    assert world.api.names("Secret") == [NAME]
    world.api.put(leftover, "drystone")
    again = world.ensure(state="staged", generate=True, rotate=True)
    assert again.action == "staged"
    assert again.facts()["public_key"] != new
    assert world.public(f"{NAME}-staged") != world.public()


def test_a_revoked_key_is_told_and_can_be_replaced(world: World) -> None:
    world.git.withdraw(_with_generated_key(world))
    with pytest.raises(git_errors.PermissionDenied, match="revoked"):
        world.ssh(generate=True)
    world.git.authorize(world.ensure(state="staged", generate=True, rotate=True).facts()["public_key"])
    assert world.ssh(generate=True).rotated


def test_a_generated_key_takes_over_from_a_password(world: World) -> None:
    world.https()
    world.git.authorize(world.ensure(state="staged", generate=True).facts()["public_key"])
    outcome = world.ssh(generate=True)
    assert outcome.rotated
    assert sorted(world.data() or {}) == ["known_hosts", "ssh"]


# Ownership


@pytest.mark.parametrize("name", [NAME, f"{NAME}-staged", f"{NAME}-previous"])
@pytest.mark.parametrize("state", ["present", "staged", "checked", "retired", "absent"])
def test_a_secret_that_is_not_ours_is_refused_in_every_state(world: World, state: str, name: str) -> None:
    world.put_foreign(name)
    versions = world.api.versions_of_all()
    with pytest.raises(errors.Refused, match=f"Secret dev/{name} exists, but this module did not create it") as caught:
        world.ssh(state=state, generate=state in ("present", "staged"))
    assert caught.value.facts["reason"] == "not_ours"
    assert world.api.versions_of_all() == versions


def test_absent_deletes_both_and_then_has_nothing_to_do(world: World) -> None:
    _with_generated_key(world)
    world.ensure(state="staged", generate=True, rotate=True)
    predicted = world.ensure(state="absent", check=True)
    assert len(world.api.names("Secret")) == 2
    done = world.ensure(state="absent")
    assert predicted.facts() == done.facts()
    assert (done.action, done.after) == ("deleted", {"current": None, "staged": None, "previous": None})
    assert world.api.names("Secret") == []
    assert world.ensure(state="absent").action == "unchanged"


def test_a_secret_written_by_somebody_else_meanwhile_is_left_alone(world: World) -> None:
    world.ssh(private_key=world.authorized_key())
    key = new_key()

    def meanwhile() -> None:
        world.api.edit("Secret", NAME, "dev", "data/ssh", "eA==")
        world.git.authorize(public_line(key))

    world.on_sleep = meanwhile
    with pytest.raises(errors.Conflict, match="another client changed it while its credential was tested"):
        world.ssh(private_key=key, timeout=30)
    assert (world.data() or {})["ssh"] == "x"


def test_a_namespace_that_is_missing_is_told(world: World) -> None:
    world.api.drop("Namespace", "dev")
    with pytest.raises(errors.ApiError, match=r'Creating Secret dev/.*namespaces "dev" not found'):
        world.https()


# Conflicting options


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"auth": "https", "private_key": "x"}, "auth is https, but the repository ssh://"),
        ({}, "Exactly one of private_key"),
        ({"private_key": "x", "generate": True}, "Exactly one of private_key"),
        ({"private_key": "x", "username": "site"}, "username cannot be used, because the repository uses ssh"),
        ({"generate": True, "rotate": True}, "rotate generates a new key"),
        ({"state": "staged"}, "state=staged is only for generated SSH keys"),
        ({"private_key": "x", "check_repository": "https://localhost/x"}, "tested in the way in which pods use it"),
        ({"private_key": "x", "repository": "file:///srv/git/x.git"}, "other schemes support no credentials"),
        ({"private_key": "x", "repository": "http://h/x.git"}, "or send them unencrypted"),
        ({"private_key": "x", "repository": "ssh://git@:22/x"}, "has no host or no path"),
        ({"private_key": "x", "repository": "ssh://git@h:port/x"}, "its port cannot be read"),
        ({"private_key": "x", "repository": "ssh://git@-oProxyCommand=x/x"}, "has no host or no path"),
    ],
)
def test_options_that_do_not_fit_are_named_before_anything_is_asked(
    world: World, wishes: dict[str, t.Any], said: str
) -> None:
    with pytest.raises(errors.InvalidInput, match=said):
        world.ssh(**wishes)
    assert world.git.ssh_calls() == []
    assert world.api.requests == []


def test_ssh_options_are_no_use_with_https(world: World) -> None:
    with pytest.raises(errors.InvalidInput, match=r"accept_host_key, known_hosts cannot be used.*uses https"):
        world.https(known_hosts="x", accept_host_key=True)


# Confidentiality


def test_nothing_secret_is_in_arguments_or_the_environment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/nowhere/agent")
    monkeypatch.setenv("GIT_SSH_COMMAND", "false")
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'credential.helper'='!false'")
    seen: list[str] = []

    class Watching(subprocess.Popen[str]):
        def __init__(self, command: list[str], **options: t.Any) -> None:
            seen.append(repr((command, options.get("env"))))
            super().__init__(command, **options)

    monkeypatch.setattr("subprocess.Popen", Watching)
    key = world.authorized_key()
    world.ssh(private_key=key, require_read_only=True)
    world.https(require_read_only=True)
    assert len([line for line in seen if "ls-remote" in line]) == 2
    for line in [*seen, *map(repr, world.git.ssh_calls())]:
        assert "correct-horse" not in line
        assert not any(part in line for part in key.split()[4:-4])
    environment = world.git.ssh_calls()[-1]["env"]
    assert set(environment) & {"SSH_AUTH_SOCK", "SSH_ASKPASS", "GIT_CONFIG_PARAMETERS"} <= {"GIT_CONFIG_PARAMETERS"}
    assert "!false" not in environment.get("GIT_CONFIG_PARAMETERS", "")


def test_nothing_is_left_of_the_private_directory(world: World) -> None:
    _ssh_with(world)
    with pytest.raises(git_errors.PermissionDenied):
        world.ssh(private_key=new_key())
    words = [call["argv"] for call in world.git.ssh_calls()]
    for argv in words:
        [key] = [word.partition("=")[2] for word in argv if word.startswith("IdentityFile=")]
        assert not _exists(key.strip('"'))
    assert words


def _exists(path: str) -> bool:
    return os.path.exists(path) or os.path.exists(os.path.dirname(path))


def test_a_server_that_repeats_what_it_was_sent_tells_nobody(world: World) -> None:
    world.git.status, world.git.body = 403, "You sent AUTHORIZATION"
    with pytest.raises(git_errors.AuthenticationFailed) as caught:
        world.https()
    told = f"{caught.value!r} {caught.value} {caught.value.facts}"
    assert "correct-horse" not in told
    assert base64.b64encode(b"site:correct-horse").decode() not in told


def test_no_representation_shows_a_secret(world: World) -> None:
    key = world.authorized_key()
    outcome = world.ssh(private_key=key)
    request = Request(namespace="dev", name=NAME, private_key=key, password="correct-horse")
    told = f"{outcome!r} {request!r} {outcome.facts()!r}"
    assert "correct-horse" not in told
    assert not any(part in told for part in key.split()[4:-4])


def test_what_is_hidden_has_every_form_of_the_secret_and_nothing_that_is_shown(world: World) -> None:
    key = world.authorized_key()
    facts = world.ssh(private_key=key).facts()
    assert {key, key.strip(), *key.split("\n")[1:-2]} <= world.hidden
    assert base64.b64encode(key.encode()).decode() in world.hidden
    assert not any(secret in repr(facts) for secret in world.hidden)


def test_the_public_half_of_an_rsa_key_is_not_taken_for_a_secret(world: World) -> None:
    from cryptography.hazmat.primitives import serialization as s

    # In PKCS#8, some lines of the private key are also lines of the public key.
    private = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    pem = private.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()).decode()
    public = private.public_key().public_bytes(s.Encoding.OpenSSH, s.PublicFormat.OpenSSH).decode()
    world.git.authorize(public)
    facts = world.ssh(private_key=pem).facts()
    assert facts["public_key"].startswith(public)
    assert not any(secret in facts["public_key"] for secret in world.hidden)
    assert (world.data() or {})["ssh"].startswith("-----BEGIN OPENSSH PRIVATE KEY-----")


# Information about credentials


def test_info_says_what_there_is(world: World) -> None:
    assert world.info() == {
        "exists": False,
        "ours": False,
        "auth": None,
        "public_key": None,
        "fingerprint": None,
        "host_key_fingerprints": [],
        "staged_public_key": None,
        "staged_fingerprint": None,
        "previous_fingerprint": None,
        "repository": None,
        "ref": "main",
    }
    public = _with_generated_key(world)
    staged = world.ensure(state="staged", generate=True, rotate=True).facts()
    facts = world.info()
    assert (facts["exists"], facts["ours"], facts["auth"]) == (True, True, "ssh")
    assert facts["public_key"].startswith(public)
    assert facts["staged_public_key"] == staged["public_key"]
    assert facts["staged_fingerprint"] == staged["fingerprint"]
    assert (facts["repository"], facts["ref"]) == (world.git.ssh_url, "main")


@pytest.mark.parametrize("way", ["ssh", "https"])
def test_info_tries_the_credential_on_request(world: World, way: str) -> None:
    getattr(world, way)(**({"private_key": world.authorized_key()} if way == "ssh" else {}))
    checked = world.info(check=True)
    assert (checked["readable"], checked["commit"], checked["reason"]) == (True, world.git.commit, None)
    world.git.set(authorized={})
    world.git.users.clear()
    checked = world.info(check=True)
    reason = {"ssh": "permission_denied", "https": "authentication_failed"}[way]
    assert (checked["readable"], checked["commit"], checked["reason"]) == (False, None, reason)
    assert "Reading main of" in checked["problem"]


def test_info_of_what_cannot_be_tried_says_why(world: World) -> None:
    assert world.info(check=True)["reason"] == "credential_missing"
    world.put_foreign()
    facts = world.info(check=True, repository=world.git.ssh_url)
    assert (facts["exists"], facts["ours"], facts["reason"]) == (True, False, "key_unreadable")
    with pytest.raises(errors.InvalidInput, match="does not name its repository"):
        world.info(check=True)
