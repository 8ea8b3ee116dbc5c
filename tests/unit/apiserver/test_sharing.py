"""Equal parts of objects become the same ones; what an object says stays as it is."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from pinnace.apiserver.resources import codec, sharing
from pinnace.apiserver.resources.sharing import share
from pinnace.store.protocol import KeyValue


def pod(number: int) -> dict[str, Any]:
    conditions = {'k:{"type":"Ready"}': {".": {}, "f:status": {}}}
    owned = {"f:status": {"f:conditions": conditions, "f:podIPs": {f"k:{number}": {}}, "f:phase": {}}}
    return {
        "kind": "Pod",
        "metadata": {"name": f"p{number}", "managedFields": [{"manager": "m", "fieldsV1": owned}]},
        "spec": {"containers": [{"name": f"c{number}"}]},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "podIPs": [{"ip": str(number)}],
            "phase": "Running",
        },
    }


def kept(number: int, kind: str = "pods") -> KeyValue:
    return KeyValue(f"/registry/{kind}/default/p{number}", orjson.dumps(pod(number)), 1, 1, 1)


def test_what_is_equal_is_shared_and_nothing_else_changes() -> None:
    items = [kept(number) for number in range(3)]
    first, second, third = (codec.decoded(item) for item in items)
    assert first["status"]["conditions"] is second["status"]["conditions"] is third["status"]["conditions"]
    fields = [obj["metadata"]["managedFields"][0]["fieldsV1"]["f:status"] for obj in (first, second)]
    assert fields[0]["f:conditions"] is fields[1]["f:conditions"]
    assert fields[0]["f:phase"] is fields[1]["f:phase"]
    for number, item in enumerate(items):
        assert codec.decoded(item) == pod(number)
        assert codec.decoded(item) is item.decoded


def test_events_are_not_kept_decoded() -> None:
    event = kept(1, "events")
    assert codec.decoded(event) == pod(1)
    assert event.decoded is None


@pytest.mark.parametrize("fields", [None, {}, [], "x", {"f:a": 1}, {"f:a": {"f:b": 1, "f:c": {}}}])
def test_managed_fields_of_any_form(fields: Any) -> None:
    obj = {"metadata": {"managedFields": [{"fieldsV1": fields}]}, "status": None, "spec": []}
    text = orjson.dumps(obj)
    share(obj)
    assert orjson.dumps(obj) == text


def test_what_is_large_is_not_kept_for_others() -> None:
    first, second = ({"metadata": {}, "status": {"told": [{"text": "x" * 10_000}]}} for _ in range(2))
    for obj in (first, second):
        share(obj)
    assert first == second
    assert first["status"]["told"] is not second["status"]["told"]


def templated(number: int) -> Any:
    """A Pod as one of many of a template: its token's volume and its address are its own."""
    name = f"kube-api-access-{number:05}"
    container = {"name": "main", "ports": [{"containerPort": 80}], "volumeMounts": [{"name": name}]}
    owned = {"f:spec": {"f:containers": {'k:{"name":"main"}': {".": {}, "f:image": {}}}}}
    made = {
        "kind": "Pod",
        "metadata": {
            "name": f"web-{number}",
            "labels": {"app": "web"},
            "managedFields": [{"manager": "kubectl", "time": "2026-11-21T12:00:00Z", "fieldsV1": owned}],
        },
        "spec": {
            "containers": [container],
            "volumes": [{"name": name, "projected": {"sources": [{"configMap": {}}]}}],
            "tolerations": [{"key": "node.kubernetes.io/not-ready"}],
            "securityContext": {},
        },
        "status": {"conditions": [{"type": "Ready"}], "podIPs": [{"ip": f"10.0.0.{number}"}]},
    }
    return orjson.loads(orjson.dumps(made))


def test_pods_of_one_template_share_it() -> None:
    one, two = templated(1), templated(2)
    said = orjson.dumps(one), orjson.dumps(two)
    for obj in (one, two):
        share(obj)
    assert (orjson.dumps(one), orjson.dumps(two)) == said
    assert one["metadata"]["labels"] is two["metadata"]["labels"]
    assert one["metadata"]["managedFields"][0] is two["metadata"]["managedFields"][0]
    assert one["spec"]["containers"][0]["ports"] is two["spec"]["containers"][0]["ports"]
    assert one["spec"]["volumes"][0]["projected"] is two["spec"]["volumes"][0]["projected"]
    assert one["spec"]["tolerations"] is two["spec"]["tolerations"]


def test_what_a_change_left_as_it_was_is_not_looked_at_again() -> None:
    old = templated(3)
    new = {**old, "status": {**old["status"], "phase": "Running"}}
    spec, conditions = old["spec"], old["status"]["conditions"]
    tolerations = spec["tolerations"]
    share(new, old)
    assert new["spec"] is spec
    assert spec["tolerations"] is tolerations
    assert new["status"]["conditions"] is conditions


def test_what_json_tells_apart_is_not_shared() -> None:
    one, two = templated(4), templated(4)
    one["spec"]["affinity"], two["spec"]["affinity"] = {"weight": 1}, {"weight": True}
    for obj in (one, two):
        share(obj)
    assert [orjson.dumps(obj["spec"]["affinity"]) for obj in (one, two)] == [b'{"weight":1}', b'{"weight":true}']


def test_what_is_remembered_is_bounded() -> None:
    for number in range(3_000):
        obj = templated(5)
        obj["spec"]["nodeSelector"] = {f"key-{number}": "x" * 600}
        share(obj)
    assert sum(map(len, sharing._seen)) <= sharing._REMEMBERED + 8192
    assert len(sharing._words) <= sharing._WORDS
