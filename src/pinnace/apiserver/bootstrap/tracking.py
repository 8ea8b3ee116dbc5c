"""Who owns the fields of what the API server makes for itself: as if it had sent them to itself, as upstream's does."""

from __future__ import annotations

from typing import Any

from pinnace.api import meta, schema_table
from pinnace.api.apply import apply, managers, reset, typed, update
from pinnace.api.apply.typed import Type
from pinnace.api.types import GVK, Object, split_api_version

API_SERVER = "kube-apiserver"
FLOW_CONTROL = "api-priority-and-fairness-config-producer-v1"
SERVICE_RANGES = "kubernetes-service-cidr-controller"
ROLE_AGGREGATION = "clusterrole-aggregation-controller"

_MANAGERS = {"FlowSchema": FLOW_CONTROL, "PriorityLevelConfiguration": FLOW_CONTROL}
#: What is only filled in on the way to the store, and so nobody's.
_FILLED_IN = {"Namespace": ("finalizers",), "Service": ("clusterIPs", "ipFamilies")}


class OneVersion:
    """A built-in kind in its only version (``api.apply.update.Versions``)."""

    changeable = False

    def __init__(self, gvk: GVK) -> None:
        self._version = gvk.api_version
        self._type = typed.of_definition(schema_table.of_kind(gvk))

    def type_of(self, api_version: str) -> Type | None:
        return self._type if api_version == self._version else None

    def convert(self, obj: Object, api_version: str) -> Object:
        return obj


def _gvk(obj: Object) -> GVK:
    return GVK(*split_api_version(obj["apiVersion"]), obj["kind"])


def _sent(obj: Object) -> Object:
    """``obj`` as it would have been sent."""
    filled = _FILLED_IN.get(obj["kind"], ())
    made = {name: value for name, value in obj.items() if name != "status"}
    if filled:
        made["spec"] = {name: value for name, value in obj["spec"].items() if name not in filled}
        if not made["spec"]:
            del made["spec"]
    return made


def track_new(obj: Object, now: str) -> None:
    """Set ``managedFields`` of an object that is not there yet; its metadata is the caller's own."""
    gvk = _gvk(obj)
    who = managers.identity(_MANAGERS.get(obj["kind"], API_SERVER), managers.UPDATE, gvk.api_version)
    type_ = typed.of_definition(schema_table.of_kind(gvk))
    entries = update.created(type_, _sent(obj), who, gvk.api_version, now, reset.fields(gvk, ""))
    if entries:
        obj["metadata"]["managedFields"] = entries
    if obj["kind"] == "ServiceCIDR":
        _apply_part(obj, "status", _without_empty(obj["status"]), SERVICE_RANGES, now, "status")
    elif obj.get("aggregationRule") and obj.get("rules"):
        _apply_part(obj, "rules", obj["rules"], ROLE_AGGREGATION, now)


def _apply_part(obj: Object, name: str, value: Any, manager: str, now: str, subresource: str = "") -> None:
    """A field of ``obj`` is what another manager has applied, as ``value``, when the object was there."""
    before = {field: held for field, held in obj.items() if field != name}
    config = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], name: value}
    obj["metadata"]["managedFields"] = applied(before, config, manager, now, subresource)["metadata"]["managedFields"]


def _without_empty(status: Object) -> Object:
    conditions = [{k: v for k, v in condition.items() if v} for condition in status["conditions"]]
    return {**status, "conditions": conditions}


def track_change(new: Object, old: Object, now: str) -> None:
    """Set ``managedFields`` of ``new``, which is made of ``old``; its metadata is the caller's own. Objects that have
    none are not tracked."""
    held = meta.metadata(old).get("managedFields")
    new["metadata"].pop("managedFields", None)
    if not held:
        return
    gvk = _gvk(new)
    who = managers.identity(_MANAGERS.get(new["kind"], API_SERVER), managers.UPDATE, gvk.api_version)
    bare = {**old, "metadata": {name: value for name, value in old["metadata"].items() if name != "managedFields"}}
    managed = update.updated(OneVersion(gvk), bare, new, managers.read(held), who, now, reset.fields(gvk, ""))
    if entries := managers.write(managed):
        new["metadata"]["managedFields"] = entries


def applied(obj: Object, config: Object, manager: str, now: str, subresource: str = "") -> Object:
    """``obj``, which is left alone, with ``config`` applied to it by force."""
    gvk = _gvk(obj)
    who = managers.identity(manager, managers.APPLY, gvk.api_version, subresource)
    ignored = reset.fields(gvk, subresource)
    return apply.apply(OneVersion(gvk), gvk, obj, config, who, now, ignored, force=True)
