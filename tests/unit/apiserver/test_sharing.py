"""Equal parts of objects become the same ones; what an object says stays as it is."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from pinnace.apiserver.resources import codec
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
