"""Canonical bytes (design D2): an object is encoded once, when it is committed.

The form is ``{"kind":..,"apiVersion":..,"metadata":{"resourceVersion":"", ...``: the store's ``stamp`` finds the hole
for the revision near the start, however large the object is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import orjson

from pinnace.api import meta
from pinnace.api.errors import bad_request
from pinnace.api.registry import Resource
from pinnace.api.types import Object
from pinnace.apiserver.resources.sharing import share
from pinnace.store.protocol import KeyValue

_HOLE = b'"metadata":{"resourceVersion":"'
#: How what kube-apiserver stores begins: protobuf, encrypted.
_FOREIGN = (b"k8s\0", b"k8s:enc:")
#: The hole comes after kind and apiVersion only.
_WITHIN = 1024

#: Kinds whose objects are written and hardly ever read: decoded they would only take room.
_SELDOM_READ = ("/registry/events/", "/registry/events.k8s.io/", "/registry/coordination.k8s.io/leases/")

dumps = orjson.dumps
loads = orjson.loads


def encode(obj: Object) -> bytes:
    """The bytes of ``obj``, with an empty resourceVersion for ``stamp`` to fill. Raises ApiError 400 for an object
    that is nested too deeply for orjson (254 levels), less what a list or a table wraps around it later."""
    metadata = {"resourceVersion": "", **obj["metadata"]}
    metadata["resourceVersion"] = ""
    whole = {"kind": "", "apiVersion": "", "metadata": None, **obj}
    whole["metadata"] = metadata
    try:
        return orjson.dumps([[[[[[[[whole]]]]]]]])[8:-8]
    except orjson.JSONEncodeError as error:
        if str(error) != "Recursion limit reached":
            raise
        raise bad_request("the object is nested too deeply: exceeded max depth") from None


def stamp(value: bytes, revision: int) -> bytes:
    """``value`` with its resourceVersion, whatever that was; values that are not objects stay as they are. Raises
    ValueError for what kube-apiserver stores."""
    at = value.find(_HOLE, 0, _WITHIN)
    if at < 0:
        if value.startswith(_FOREIGN):
            raise ValueError(
                "kube-apiserver wrote it, in a form that Pinnace does not read; choose another --etcd-prefix"
            )
        return value
    at += len(_HOLE)
    return b"%b%d%b" % (value[:at], revision, value[value.index(b'"', at) :])


def decoded(kv: KeyValue) -> Object:
    """The object of ``kv``, parsed at most once; shared and read-only."""
    obj = kv.decoded
    if obj is None:
        obj = orjson.loads(kv.value)
        keep(kv, obj)
    return cast(Object, obj)


def keep(kv: KeyValue, obj: Object, before: KeyValue | None = None) -> None:
    """Have ``obj``, which ``kv`` says and nobody changes any more, at hand for who reads it next. It may have parts of
    ``before``'s."""
    if not kv.key.startswith(_SELDOM_READ):
        share(obj, before.decoded if before is not None else None)
        kv.decoded = obj


class NotConvertedError(Exception):
    """What is stored as ``item`` has to be converted by a webhook before it can be read in the version asked for."""

    def __init__(self, item: KeyValue) -> None:
        super().__init__(item.key)
        self.item = item


class NotTranslatedError(Exception):
    """``obj``, of no revision yet, has to be converted by a webhook to see in ``api_version`` who owns its fields."""

    def __init__(self, key: tuple[bytes, str], obj: Object) -> None:
        super().__init__(key[1])
        self.key = key
        self.obj = obj


def needs_conversion(kv: KeyValue, row: Resource) -> bool:
    """Whether a webhook has yet to convert ``kv`` for ``row``'s version."""
    custom = row.custom
    if custom is None or custom.webhook is None or (kv.key, kv.mod_revision) in custom.converted:
        return False
    return decoded(kv).get("apiVersion") != row.api_version


def is_stored_form(row: Resource) -> bool:
    """Whether objects are stored in this version."""
    storage = row.storage
    return row.version == storage.version and row.group == storage.group


def all_as_stored(items: Sequence[KeyValue], row: Resource) -> bool:
    """Whether the stored bytes of all ``items`` are known to be what ``row``'s version has to say of them."""
    if not is_stored_form(row):
        return False
    custom = row.custom
    return custom is None or all(item.mod_revision > custom.revised for item in items)


def _as_stored(kv: KeyValue, row: Resource) -> bool:
    """Whether the stored bytes of ``kv`` are what ``row``'s version has to say of it."""
    if not is_stored_form(row):
        return False
    custom = row.custom
    if custom is None or kv.mod_revision > custom.revised or custom.settled.get(kv.key) == kv.mod_revision:
        return True
    _converted(kv, row)
    return custom.settled.get(kv.key) == kv.mod_revision


def up_to_date(kv: KeyValue, row: Resource) -> bool:
    """Whether ``kv`` is stored as it would be now. Of custom resources it may not be: an update that changes nothing
    then writes it anew, which is how objects are moved to another version to be stored in."""
    if row.custom is None:
        return True
    if decoded(kv).get("apiVersion") != row.storage.api_version:
        return False
    return not is_stored_form(row) or _as_stored(kv, row)


def _converted(kv: KeyValue, row: Resource) -> Object:
    """A new object of ``kv`` in ``row``'s version. Raises NotConvertedError."""
    stored = decoded(kv)
    if needs_conversion(kv, row):
        raise NotConvertedError(kv)
    ready = row.custom.converted.get((kv.key, kv.mod_revision)) if row.custom is not None else None
    obj: Object = meta.copy(stored if ready is None else ready)
    obj["apiVersion"] = row.api_version
    obj["kind"] = row.kind
    row.from_storage(obj)
    if row.custom is not None and is_stored_form(row) and obj == stored:
        row.custom.settled[kv.key] = kv.mod_revision
    return obj


def read(kv: KeyValue, row: Resource) -> Object:
    """The object of ``kv`` as ``row``'s version has it; shared and read-only."""
    return decoded(kv) if _as_stored(kv, row) else _converted(kv, row)


def rendered(kv: KeyValue, row: Resource) -> bytes:
    """The bytes of ``kv`` as ``row``'s version has it."""
    return kv.value if _as_stored(kv, row) else orjson.dumps(_converted(kv, row))


def to_stored(obj: Object, row: Resource) -> bytes:
    """``obj``, in ``row``'s version, as the bytes to commit."""
    if is_stored_form(row):
        return encode(obj)
    stored: Any = meta.copy(obj)
    stored["apiVersion"] = row.storage.api_version
    row.to_storage(stored)
    return encode(stored)


def deleted_bytes(previous: KeyValue, row: Resource, revision: int) -> bytes:
    """The last state of a deleted object, with the revision of its deletion, as a watch reports it."""
    if _as_stored(previous, row):
        return stamp(previous.value, revision)
    return orjson.dumps(deleted(previous, row, revision))


def deleted(previous: KeyValue, row: Resource, revision: int) -> Object:
    """As ``deleted_bytes``, as an object of its own."""
    obj = dict(read(previous, row))
    obj["metadata"] = {**obj["metadata"], "resourceVersion": str(revision)}
    return obj
