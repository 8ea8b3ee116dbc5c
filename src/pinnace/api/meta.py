"""Reading and building the metadata every object has."""

import os
from collections.abc import Iterable
from typing import Any, cast

import orjson

from pinnace.api.types import GVK, Object, split_api_version

#: The alphabet of generated suffixes: no vowels and no digits that look like letters (apimachinery ``util/rand``).
SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
#: A letter for every random byte; the bytes that would make some letters likelier than others are left out.
_LETTERS = bytes(ord(SUFFIX_ALPHABET[byte % len(SUFFIX_ALPHABET)]) for byte in range(256))
_UNFAIR = bytes(range(256 - 256 % len(SUFFIX_ALPHABET), 256))


def metadata(obj: Object) -> Object:
    return cast(Object, obj.get("metadata") or {})


def name(obj: Object) -> str:
    return str(metadata(obj).get("name") or "")


def namespace(obj: Object) -> str:
    """``""`` for cluster-scoped objects."""
    return str(metadata(obj).get("namespace") or "")


def uid(obj: Object) -> str:
    return str(metadata(obj).get("uid") or "")


def resource_version(obj: Object) -> str:
    return str(metadata(obj).get("resourceVersion") or "")


def generation(obj: Object) -> int:
    return int(metadata(obj).get("generation") or 0)


def labels(obj: Object) -> dict[str, str]:
    return cast(dict[str, str], metadata(obj).get("labels") or {})


def annotations(obj: Object) -> dict[str, str]:
    return cast(dict[str, str], metadata(obj).get("annotations") or {})


def finalizers(obj: Object) -> list[str]:
    return cast(list[str], metadata(obj).get("finalizers") or [])


def is_deleting(obj: Object) -> bool:
    return bool(metadata(obj).get("deletionTimestamp"))


def key(obj: Object) -> str:
    """``namespace/name``, or ``name`` for cluster-scoped objects: the key of informers and work queues."""
    space = namespace(obj)
    return f"{space}/{name(obj)}" if space else name(obj)


def split_key(text: str) -> tuple[str, str]:
    """``(namespace, name)`` of a ``key``; the namespace is ``""`` if it has none."""
    space, _, leaf = text.rpartition("/")
    return space, leaf


def gvk(obj: Object) -> GVK:
    return GVK(*split_api_version(str(obj.get("apiVersion") or "")), str(obj.get("kind") or ""))


def owner_references(obj: Object) -> list[Object]:
    return cast(list[Object], metadata(obj).get("ownerReferences") or [])


def controller_of(obj: Object) -> Object | None:
    """The owner reference with ``controller: true``, of which there is at most one."""
    return next((ref for ref in owner_references(obj) if ref.get("controller")), None)


def owner_reference(owner: Object, *, controller: bool = True, block_deletion: bool = True) -> Object:
    """A reference to ``owner`` for an object it controls."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name(owner),
        "uid": uid(owner),
        "controller": controller,
        "blockOwnerDeletion": block_deletion,
    }


def copy(value: Any) -> Any:
    """A deep copy of JSON data, for changing what is shared."""
    if not isinstance(value, dict | list):
        return value
    try:
        return orjson.loads(orjson.dumps(value))  # four times as fast as walking it in Python
    except TypeError:  # what orjson does not write: integers of more than 64 bits, very deep data
        return _copy(value)


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _copy(v) if isinstance(v, dict | list) else v for k, v in value.items()}
    if isinstance(value, list):
        return [_copy(v) if isinstance(v, dict | list) else v for v in value]
    return value


#: The digit that a random one becomes where a UUID says its variant.
_VARIANT = {digit: "89ab"[at % 4] for at, digit in enumerate("0123456789abcdef")}


def new_uid() -> str:
    """A random UUID (RFC 9562, version 4)."""
    text = os.urandom(16).hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:]}"


def random_suffix(length: int = 5) -> str:
    """``length`` characters of the alphabet, each as likely as any other."""
    found = b""
    while len(found) < length:
        found += os.urandom(length + 3).translate(_LETTERS, _UNFAIR)
    return found[:length].decode()


def generate_name(base: str) -> str:
    """A name from ``generateName``: at most 63 characters, ending in five random ones."""
    return base[:58] + random_suffix()


def condition(obj: Object, type: str) -> Object | None:
    """The entry of ``status.conditions`` of that type."""
    conditions: Iterable[Object] = (obj.get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c.get("type") == type), None)


def has_condition(obj: Object, type: str, status: str = "True") -> bool:
    found = condition(obj, type)
    return found is not None and found.get("status") == status
