# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import copy
import typing as t
from urllib.parse import urlsplit

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._apply_set.apply_set import ApplySet, Options, Outcome
from ansible_collections.drystone.platform.plugins.module_utils._apply_set.parent import PART_OF, SHARED_WITH, Parent
from ansible_collections.drystone.platform.plugins.module_utils._errors import (
    ApiUnavailable,
    Conflict,
    DrystoneError,
    InvalidInput,
    NotReady,
    Refused,
)
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi
from ansible_collections.drystone.platform.plugins.module_utils._kube.config import Endpoint
from ansible_collections.drystone.platform.plugins.module_utils._kube.manifests import gather

if t.TYPE_CHECKING:
    from tests.unit.fake_api import FakeApi

Object = dict[str, t.Any]


class Sets:
    """Apply sets to the fake server. Each call is a separate run."""

    def __init__(self, fake: FakeApi) -> None:
        self.fake = fake

    def options(self, **options: t.Any) -> Options:
        return Options(**{"name": "demo", "namespace": "demo", "timeout": 5, **options})

    def client(self) -> KubeApi:
        host = urlsplit(self.fake.url)
        endpoint = Endpoint(host.hostname or "", host.port or 0)
        return KubeApi.from_endpoint(endpoint, timeout=5, retry_for=0.5, sleep=lambda seconds: None)

    def apply(self, *objects: Object, **options: t.Any) -> Outcome:
        return ApplySet(self.client(), self.options(**options)).present(gather(objects, None))

    def check(self, *objects: Object, **options: t.Any) -> Outcome:
        before = self.fake.versions_of_all()
        outcome = self.apply(*objects, check_mode=True, **options)
        assert self.fake.versions_of_all() == before
        return outcome

    def remove(self, **options: t.Any) -> Outcome:
        return ApplySet(self.client(), self.options(**options)).absent()


@pytest.fixture
def sets(fake_api: FakeApi) -> Sets:
    return Sets(fake_api)


def make(kind: str, name: str, api_version: str = "v1", **more: t.Any) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **more}


def config(name: str, **data: str) -> Object:
    return make("ConfigMap", name, data=data)


def deployment(name: str, **spec: t.Any) -> Object:
    container = {"name": "app", "image": "app:1", "resources": {"limits": {"cpu": "1000m"}}}
    return make("Deployment", name, "apps/v1", spec={"template": {"spec": {"containers": [container]}}, **spec})


def crd(plural: str = "widgets", kind: str = "Widget", **spec: t.Any) -> Object:
    return make(
        "CustomResourceDefinition",
        f"{plural}.shop.example",
        "apiextensions.k8s.io/v1",
        spec={
            "group": "shop.example",
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural},
            "versions": [{"name": "v1", "served": True, "storage": True}],
            **spec,
        },
    )


NAMESPACE = make("Namespace", "demo")


def actions(outcome: Outcome) -> dict[str, str]:
    return {entry["name"]: entry["action"] for entry in outcome.objects}


def live(fake: FakeApi, kind: str, name: str, namespace: str = "demo") -> Object:
    found = fake.find(kind, name, namespace)
    assert found is not None
    return found


# Actions of a run, and the same in check mode


@pytest.mark.parametrize("definition_is_slow", [False, True])
def test_first_run_creates_in_order_and_second_writes_nothing(
    sets: Sets, fake_api: FakeApi, definition_is_slow: bool
) -> None:
    fake_api.establish_after = 0.2 if definition_is_slow else 0.0
    hook = make("ValidatingWebhookConfiguration", "hook", "admissionregistration.k8s.io/v1", webhooks=[])
    objects = [hook, deployment("app"), make("Widget", "w", "shop.example/v1"), config("a"), crd(), NAMESPACE]
    predicted = sets.check(*objects)
    first = sets.apply(*objects)
    assert set(actions(first).values()) == {"created"}
    assert predicted.objects == first.objects
    assert predicted.diff == first.diff
    assert fake_api.writes[:3] == [
        "create Namespace demo",
        "create ConfigMap drystone-demo",
        "create CustomResourceDefinition widgets.shop.example",
    ]
    assert fake_api.writes[-2:] == ["create Deployment app", "create ValidatingWebhookConfiguration hook"]

    written, versions = len(fake_api.writes), fake_api.versions_of_all()
    again = sets.apply(*objects)
    assert not again.changed
    assert not again.diff
    assert set(actions(again).values()) == {"unchanged"}
    assert len(fake_api.writes) == written
    assert fake_api.versions_of_all() == versions


def test_the_parent_says_where_members_are(sets: Sets, fake_api: FakeApi) -> None:
    elsewhere = config("b")
    elsewhere["metadata"]["namespace"] = "default"
    outcome = sets.apply(NAMESPACE, deployment("app"), elsewhere)
    parent = live(fake_api, "ConfigMap", "drystone-demo")["metadata"]
    assert parent["labels"] == {"applyset.kubernetes.io/id": outcome.id}
    assert parent["annotations"] == {
        "applyset.kubernetes.io/tooling": "drystone/v1.0.0",
        "applyset.kubernetes.io/contains-group-kinds": "ConfigMap,Deployment.apps,Namespace",
        "applyset.kubernetes.io/additional-namespaces": "default",
    }
    assert live(fake_api, "Deployment", "app")["metadata"]["labels"][PART_OF] == outcome.id


def test_the_id_is_the_one_of_kep_3659() -> None:
    # sha256 of "drystone-demo.demo.ConfigMap.", in unpadded URL-safe base64
    import hashlib

    digest = base64.urlsafe_b64encode(hashlib.sha256(b"drystone-demo.demo.ConfigMap.").digest()).decode()
    assert Parent("demo", "demo").id == f"applyset-{digest.rstrip('=')}-v1"


def test_exactly_what_changed_is_predicted_shown_and_written(sets: Sets, fake_api: FakeApi) -> None:
    sets.apply(NAMESPACE, config("a", k="1"), config("b", k="1"))
    before = len(fake_api.writes)
    wanted = [NAMESPACE, config("a", k="2"), config("b", k="1")]
    predicted = sets.check(*wanted)
    done = sets.apply(*wanted)
    assert predicted.diff == done.diff
    assert [entry["after_header"] for entry in done.diff] == ["v1 ConfigMap demo/a (configured)"]
    changed = set(done.diff[0]["before"].splitlines()) ^ set(done.diff[0]["after"].splitlines())
    assert changed == {"  k: '1'", "  k: '2'"}
    assert fake_api.writes[before:] == ["update ConfigMap a"]


def test_a_field_taken_out_of_the_manifest_goes_and_fields_of_others_stay(sets: Sets, fake_api: FakeApi) -> None:
    sets.apply(NAMESPACE, config("a", mine="1", gone="1"))
    fake_api.put({**config("a", theirs="1"), "metadata": {"name": "a", "namespace": "demo"}}, "other")
    assert sets.apply(NAMESPACE, config("a", mine="1")).changed
    assert live(fake_api, "ConfigMap", "a")["data"] == {"mine": "1", "theirs": "1"}
    assert not sets.apply(NAMESPACE, config("a", mine="1")).changed


def test_drift_is_shown_and_put_right(sets: Sets, fake_api: FakeApi) -> None:
    sets.apply(NAMESPACE, deployment("app", replicas=2))
    fake_api.edit("Deployment", "app", "demo", "spec/replicas", 5)
    fake_api.edit("Deployment", "app", "demo", "metadata/annotations/note", "theirs")
    predicted = sets.check(NAMESPACE, deployment("app", replicas=2))
    assert "replicas: 5" in predicted.diff[0]["before"]
    assert "replicas: 2" in predicted.diff[0]["after"]
    sets.apply(NAMESPACE, deployment("app", replicas=2))
    found = live(fake_api, "Deployment", "app")
    assert found["spec"]["replicas"] == 2
    assert found["metadata"]["annotations"] == {"note": "theirs"}
    assert not sets.apply(NAMESPACE, deployment("app", replicas=2)).changed


def test_kubectl_scale_is_drift_too(sets: Sets, fake_api: FakeApi) -> None:
    sets.apply(NAMESPACE, deployment("app", replicas=2))
    scaled = make("Deployment", "app", "apps/v1", spec={"replicas": 5})
    scaled["metadata"]["namespace"] = "demo"
    fake_api.put(scaled, "kubectl", subresource="scale")
    assert actions(sets.apply(NAMESPACE, deployment("app", replicas=2)))["app"] == "configured"
    assert live(fake_api, "Deployment", "app")["spec"]["replicas"] == 2


def test_a_deleted_object_is_made_again(sets: Sets, fake_api: FakeApi) -> None:
    sets.apply(NAMESPACE, config("a"), config("b"))
    fake_api.drop("ConfigMap", "a", "demo")
    assert actions(sets.apply(NAMESPACE, config("a"), config("b"))) == {
        "demo": "unchanged",
        "a": "created",
        "b": "unchanged",
    }


def test_a_change_by_somebody_else_during_the_dry_run_is_not_shown_as_ours(sets: Sets, fake_api: FakeApi) -> None:
    sets.apply(NAMESPACE, config("a", k="1"))
    hooked = sets.client()
    real = hooked.list

    def list_then_change(*args: t.Any, **kwargs: t.Any) -> t.Any:
        found = real(*args, **kwargs)
        fake_api.edit("ConfigMap", "a", "demo", "data/theirs", str(len(fake_api.requests)))
        return found

    hooked.list = list_then_change  # type: ignore[method-assign]  # the test must act between two requests
    outcome = ApplySet(hooked, sets.options()).present(gather([NAMESPACE, config("a", k="1")], None))
    assert actions(outcome)["a"] == "unchanged"


# Ownership


@pytest.mark.parametrize(("operation", "subresource"), [("Apply", ""), ("Update", "scale")])
def test_conflicts_of_members_with_those_who_go_on_ruling_a_field(
    sets: Sets, fake_api: FakeApi, operation: str, subresource: str
) -> None:
    sets.apply(NAMESPACE, deployment("app"), config("z", k="1"))
    other = make("Deployment", "app", "apps/v1", spec={"replicas": 4})
    other["metadata"]["namespace"] = "demo"
    fake_api.put(other, "kube-controller-manager", operation, subresource)
    versions = fake_api.versions_of_all()
    with pytest.raises(Conflict) as caught:
        sets.apply(NAMESPACE, deployment("app", replicas=2), config("z", k="2"), config("new"))
    assert "Deployment demo/app: .spec.replicas is owned by kube-controller-manager" in caught.value.msg
    assert caught.value.facts["conflicts"] == [
        {
            "object": "Deployment demo/app",
            "field": ".spec.replicas",
            "manager": "kube-controller-manager",
            "subresource": subresource,
            "operation": operation,
        }
    ]
    assert fake_api.versions_of_all() == versions
    assert actions(sets.apply(NAMESPACE, deployment("app", replicas=2), force_conflicts=True))["app"] == "configured"
    assert live(fake_api, "Deployment", "app")["spec"]["replicas"] == 2


def test_every_conflict_is_named_before_anything_is_written(sets: Sets, fake_api: FakeApi) -> None:
    for name in ("a", "b"):
        theirs = config(name, k="theirs")
        theirs["metadata"]["namespace"] = "default"
        fake_api.put(theirs, f"owner-of-{name}")
    versions = fake_api.versions_of_all()
    with pytest.raises(Conflict) as caught:
        sets.apply(config("a", k="1"), config("b", k="1"), config("c"), namespace="default")
    assert "ConfigMap default/a: .data.k is owned by owner-of-a" in caught.value.msg
    assert "ConfigMap default/b: .data.k is owned by owner-of-b" in caught.value.msg
    assert "force_conflicts=true" in caught.value.msg
    assert fake_api.versions_of_all() == versions


def test_what_was_there_before_is_shared_and_never_deleted(sets: Sets, fake_api: FakeApi) -> None:
    theirs = config("shared", theirs="1")
    theirs["metadata"]["namespace"] = "default"
    fake_api.put(theirs, "someone")
    outcome = sets.apply(config("shared", ours="1"), config("own"), namespace="default")
    assert actions(outcome) == {"shared": "configured", "own": "created"}
    found = live(fake_api, "ConfigMap", "shared", "default")
    assert found["data"] == {"theirs": "1", "ours": "1"}
    assert PART_OF not in found["metadata"].get("labels", {})
    assert found["metadata"]["annotations"][SHARED_WITH] == outcome.id
    assert not sets.apply(config("shared", ours="1"), config("own"), namespace="default").changed
    assert actions(sets.apply(config("own"), namespace="default")) == {"own": "unchanged"}
    assert actions(sets.remove(namespace="default")) == {"own": "pruned"}
    assert fake_api.names("ConfigMap") == ["shared"]


@pytest.mark.parametrize("there_before", [False, True])
def test_an_object_of_another_set_is_refused_with_the_set(sets: Sets, fake_api: FakeApi, there_before: bool) -> None:
    if there_before:
        theirs = config("x", theirs="1")
        theirs["metadata"]["namespace"] = "default"
        fake_api.put(theirs)
    first = sets.apply(config("x", k="1"), name="first", namespace="default")
    versions = fake_api.versions_of_all()
    with pytest.raises(Refused) as caught:
        sets.apply(config("x", k="2"), config("y"), name="second", namespace="default", force_conflicts=True)
    assert f"ConfigMap default/x belongs to apply set {first.id}" in caught.value.msg
    assert "default/drystone-first" in caught.value.msg
    assert fake_api.versions_of_all() == versions


def test_a_parent_that_is_not_ours_is_refused(sets: Sets, fake_api: FakeApi) -> None:
    theirs = config("drystone-demo", k="1")
    theirs["metadata"]["namespace"] = "default"
    fake_api.put(theirs)
    for run in (lambda: sets.apply(config("a"), namespace="default"), lambda: sets.remove(namespace="default")):
        with pytest.raises(Refused, match="ConfigMap default/drystone-demo exists, but it is not the parent"):
            run()
    assert fake_api.names("ConfigMap") == ["drystone-demo"]


# Pruning and removal


def test_what_leaves_the_set_is_pruned_in_every_namespace_and_kind(sets: Sets, fake_api: FakeApi) -> None:
    elsewhere = config("b")
    elsewhere["metadata"]["namespace"] = "default"
    bystander = config("bystander")
    bystander["metadata"]["namespace"] = "demo"
    sets.apply(NAMESPACE, config("a"), deployment("app"), elsewhere)
    fake_api.put(bystander)
    predicted = sets.check(NAMESPACE, config("a"))
    done = sets.apply(NAMESPACE, config("a"))
    assert actions(done) == {"demo": "unchanged", "a": "unchanged", "app": "pruned", "b": "pruned"}
    assert predicted.objects == done.objects
    assert predicted.diff == done.diff
    assert done.diff[-1]["after"] == ""
    assert fake_api.names("Deployment") == []
    assert fake_api.names("ConfigMap") == ["a", "bystander", "drystone-demo"]
    annotations = live(fake_api, "ConfigMap", "drystone-demo")["metadata"]["annotations"]
    assert annotations["applyset.kubernetes.io/contains-group-kinds"] == "ConfigMap,Namespace"
    assert annotations["applyset.kubernetes.io/additional-namespaces"] == ""
    assert not sets.apply(NAMESPACE, config("a")).changed


def test_without_prune_members_stay_until_a_run_that_prunes(sets: Sets, fake_api: FakeApi) -> None:
    sets.apply(NAMESPACE, config("a"), deployment("app"))
    assert not sets.apply(NAMESPACE, config("a"), prune=False).changed
    assert fake_api.names("Deployment") == ["app"]
    assert actions(sets.apply(NAMESPACE, config("a")))["app"] == "pruned"


def test_labels_copied_by_a_controller_do_not_make_a_member(sets: Sets, fake_api: FakeApi) -> None:
    outcome = sets.apply(NAMESPACE, config("a"))
    copied = config("copied")
    copied["metadata"] = {"name": "copied", "namespace": "demo", "labels": {PART_OF: outcome.id}}
    fake_api.put(copied, "some-controller")
    assert not sets.apply(NAMESPACE, config("a")).changed
    assert "copied" in fake_api.names("ConfigMap")


def test_what_holds_data_is_released_and_not_deleted(sets: Sets, fake_api: FakeApi) -> None:
    claim = make("PersistentVolumeClaim", "data", spec={"storageClassName": "standard"})
    sets.apply(NAMESPACE, crd(), claim, config("a"))
    predicted = sets.check(NAMESPACE, config("a"))
    done = sets.apply(NAMESPACE, config("a"))
    assert actions(done) == {
        "demo": "unchanged",
        "a": "unchanged",
        "data": "released",
        "widgets.shop.example": "released",
    }
    assert predicted.diff == done.diff
    assert PART_OF not in live(fake_api, "PersistentVolumeClaim", "data")["metadata"].get("labels", {})
    assert not sets.apply(NAMESPACE, config("a")).changed
    assert actions(sets.remove()) == {"a": "pruned", "demo": "released"}
    assert fake_api.names("PersistentVolumeClaim") == ["data"]


def test_what_holds_data_is_deleted_on_request_last_of_all(sets: Sets, fake_api: FakeApi) -> None:
    sets.apply(NAMESPACE, crd(), make("PersistentVolumeClaim", "data"), make("Widget", "w", "shop.example/v1"))
    done = sets.remove(prune_protected=True)
    assert set(actions(done).values()) == {"pruned"}
    assert fake_api.writes[-2:] == ["delete CustomResourceDefinition widgets.shop.example", "delete Namespace demo"]
    assert not sets.remove(prune_protected=True).changed


def test_members_of_a_kind_that_is_gone_do_not_stop_a_run(sets: Sets, fake_api: FakeApi) -> None:
    sets.apply(NAMESPACE, crd(), make("Widget", "w", "shop.example/v1"))
    del fake_api.kinds["shop.example", "widgets"]
    del fake_api.versions["shop.example"]
    fake_api.drop("CustomResourceDefinition", "widgets.shop.example")
    assert actions(sets.apply(NAMESPACE)) == {"demo": "unchanged"}


# Definitions and namespaces


def test_check_mode_before_namespace_and_kind_exist(sets: Sets) -> None:
    widget = make("Widget", "w", "shop.example/v1")
    gadget = {**make("Gadget", "g", "other.example/v1"), "metadata": {"name": "g", "namespace": "later"}}
    outcome = sets.check(NAMESPACE, crd(), widget, deployment("app"), gadget)
    assert set(actions(outcome).values()) == {"created"}
    assert any("does not serve other.example/v1 Gadget yet" in warning for warning in outcome.warnings)
    assert any("Namespace later does not exist yet" in warning for warning in outcome.warnings)


def test_a_definition_that_changes_is_in_force_before_its_objects(sets: Sets, fake_api: FakeApi, fault: t.Any) -> None:
    widget = make("Widget", "w", "shop.example/v1", spec={"size": 1})
    sets.apply(NAMESPACE, crd(), widget)
    larger = crd(extra="schema")
    bigger = make("Widget", "w", "shop.example/v1", spec={"size": 2})
    refusal = {"match": r"PATCH .*/widgets/w", "status": 400, "message": "unknown field"}
    fake_api.faults.append(fault(times=1, **refusal))
    predicted = sets.check(NAMESPACE, larger, bigger)
    fake_api.faults.append(fault(times=1, **refusal))
    done = sets.apply(NAMESPACE, larger, bigger)
    assert actions(predicted) == actions(done)
    assert actions(done) == {"demo": "unchanged", "widgets.shop.example": "configured", "w": "configured"}
    assert live(fake_api, "Widget", "w")["spec"] == {"size": 2}


def test_a_definition_that_is_new_is_tried_in_check_mode_only(sets: Sets, fake_api: FakeApi) -> None:
    def tried() -> list[str]:
        return [one for one in fake_api.requests if "dryRun" in one and "/customresourcedefinitions/" in one]

    sets.apply(NAMESPACE, crd())
    assert tried() == []
    assert not sets.apply(NAMESPACE, crd()).changed
    before = len(tried())
    assert before > 0  # an existing definition is compared with the result of a dry run
    sets.check(NAMESPACE, crd(), {**crd(), "metadata": {"name": "gadgets.shop.example"}})
    assert any("/gadgets.shop.example?" in one for one in tried()[before:])


def test_a_definition_that_is_never_established_is_named(sets: Sets, fake_api: FakeApi) -> None:
    fake_api.establish_after = None
    with pytest.raises(NotReady, match=r"CustomResourceDefinition widgets\.shop\.example was applied, but is not Est"):
        sets.apply(NAMESPACE, crd(), make("Widget", "w", "shop.example/v1"), timeout=1)
    fake_api.establish("widgets.shop.example")
    assert actions(sets.apply(NAMESPACE, crd(), make("Widget", "w", "shop.example/v1")))["w"] == "created"


# Errors before the first write


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ([make("Deploymnt", "x", "apps/v1")], "serves no apps/v1 Deploymnt"),
        ([make("Thing", "x", "nowhere.example/v1")], "serves no nowhere.example/v1 Thing"),
        ([make("Widget", "x", "shop.example/v2"), crd()], "serves no shop.example/v2 Widget"),
        ([config("x"), config("x", k="1")], "ConfigMap default/x (v1) is in the set more than once"),
        ([{"kind": "ConfigMap", "metadata": {"name": "x"}}], "without apiVersion (ConfigMap x)"),
        ([{"apiVersion": "v1", "metadata": {"name": "x"}}], "without kind"),
        ([{"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "x-"}}], "a Pod without metadata.name; gen"),
        ([{"apiVersion": "v1", "kind": "Pod"}], "a Pod without metadata.name"),
        ([config("x"), make("Deployment", "y", "apps/v1", spec={"bogus": 1})], 'unknown field "spec.bogus"'),
        ([{**config("x"), "metadata": {"name": "x", "namespace": "absent"}}], "namespace absent does not exist"),
        ([make("ConfigMap", "x") | {"metadata": {"name": "x", "labels": {"a": 1}}}], "metadata.labels a: not a string"),
    ],
)
def test_refused_before_anything_is_written(sets: Sets, fake_api: FakeApi, objects: list[Object], message: str) -> None:
    with pytest.raises(DrystoneError) as caught:
        sets.apply(config("ok"), *objects, namespace="default")
    assert message in caught.value.msg
    assert not fake_api.writes


def test_everything_wrong_is_told_at_once(sets: Sets) -> None:
    with pytest.raises(InvalidInput) as caught:
        sets.apply({"kind": "A"}, {"apiVersion": "v1"}, namespace="default")
    assert [problem.split(":")[0] for problem in caught.value.facts["problems"]] == ["objects[1]", "objects[2]"]


def test_an_object_that_is_being_deleted_is_not_applied_to(sets: Sets, fake_api: FakeApi) -> None:
    sets.apply(NAMESPACE, config("a"))
    for stored in fake_api.store.values():
        if stored.object["metadata"]["name"] == "a":
            stored.object["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["wait.example/x"])
    with pytest.raises(NotReady, match=r"ConfigMap demo/a has been terminating since .*; finalizers: wait\.example/x"):
        sets.apply(NAMESPACE, config("a", k="1"))


# Secrets


def test_secrets_are_shown_as_fingerprints_only(sets: Sets, fake_api: FakeApi) -> None:
    def secret(value: str) -> Object:
        return make("Secret", "login", stringData={"password": value, "user": "same-user-name"})

    first = sets.apply(NAMESPACE, secret("first-password"))
    second = sets.apply(NAMESPACE, secret("second-password"))
    shown = str(first.diff) + str(second.diff) + str(second.objects)
    for value in ("first-password", "second-password", "same-user-name"):
        assert value not in shown
        assert base64.b64encode(value.encode()).decode() not in shown
    assert second.diff[0]["before"].count("sha256:") == 2
    changed = set(second.diff[0]["before"].splitlines()) ^ set(second.diff[0]["after"].splitlines())
    assert all(line.startswith("  password: sha256:") for line in changed)
    assert len(changed) == 2
    found = live(fake_api, "Secret", "login")
    assert base64.b64decode(found["data"]["password"]) == b"second-password"
    assert "stringData" not in found
    sets.apply(NAMESPACE, make("Secret", "login", stringData={"user": "same-user-name"}))
    assert set(live(fake_api, "Secret", "login")["data"]) == {"user"}


# Busy or unavailable servers


def test_a_busy_server_is_asked_again(sets: Sets, fake_api: FakeApi, fault: t.Any) -> None:
    fake_api.faults += [
        fault("PATCH .*configmaps/a.*dryRun", status=429, headers={"Retry-After": "0"}, times=2),
        fault("PATCH .*configmaps/a.*fieldValidation=Strict$", status=500),
        fault("PATCH .*configmaps/b.*fieldValidation=Strict$", drop_after=True),
        fault("GET .*namespaces", drop_before=True),
    ]
    assert set(actions(sets.apply(NAMESPACE, config("a"), config("b"))).values()) == {"created"}
    assert not [left for left in fake_api.faults if left.times]
    assert not sets.apply(NAMESPACE, config("a"), config("b")).changed


def test_an_error_midway_says_that_it_is_half_done(sets: Sets, fake_api: FakeApi, fault: t.Any) -> None:
    fake_api.faults.append(fault("PATCH .*deployments/app.*Strict$", status=403, message="quota exceeded", times=9))
    with pytest.raises(DrystoneError) as caught:
        sets.apply(NAMESPACE, config("a"), deployment("app"))
    assert "Applying Deployment demo/app: the API server answered 403: quota exceeded" in caught.value.msg
    assert "Set demo was applied in part. Fix the cause and run the task again" in caught.value.msg
    fake_api.faults.clear()
    assert actions(sets.apply(NAMESPACE, config("a"), deployment("app"))) == {
        "demo": "unchanged",
        "a": "unchanged",
        "app": "created",
    }


@pytest.mark.parametrize("write", range(1, 12))
def test_stopped_after_any_write_the_next_run_converges(sets: Sets, fake_api: FakeApi, write: int) -> None:
    sets.apply(NAMESPACE, config("old"), deployment("old"))
    before = len(fake_api.writes)
    objects = [NAMESPACE, crd(), make("Widget", "w", "shop.example/v1"), *(config(name) for name in "abc")]

    def die(count: int) -> None:
        fake_api.dead = count >= before + write

    fake_api.on_write = die
    try:
        sets.apply(*copy.deepcopy(objects))
    except ApiUnavailable:
        pass
    else:
        assert len(fake_api.writes) - before < write or write > 8
    fake_api.on_write, fake_api.dead = lambda count: None, False
    # The set is reduced before it was complete. The objects of the killed run must still be found.
    sets.apply(NAMESPACE, config("a"))
    assert fake_api.names("ConfigMap") == ["a", "drystone-demo"]
    assert fake_api.names("Deployment") == fake_api.names("Widget") == []
    assert not sets.apply(NAMESPACE, config("a")).changed


def test_five_hundred_objects_cost_few_requests_each_and_few_connections(sets: Sets, fake_api: FakeApi) -> None:
    objects = [NAMESPACE, *(config(f"c{number}", k="1") for number in range(500))]
    fake_api.page = 100
    assert len(sets.apply(*objects).objects) == 501
    fake_api.requests.clear()
    fake_api.connections = 0
    assert not sets.apply(*objects).changed
    assert len(fake_api.requests) < 501 + 20
    assert fake_api.connections < 80
