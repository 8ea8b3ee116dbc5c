"""What the writer of a definition, or of a custom resource, is warned of."""

from __future__ import annotations

from collections.abc import Iterator

from pinnace.api import formats as f
from pinnace.api import meta
from pinnace.api.crd import formats, schemas
from pinnace.api.errors import go_quote
from pinnace.api.types import GVK, Object

_STANDARD_FINALIZERS = frozenset(("orphan", "foregroundDeletion", "kubernetes"))


def definition(gvk: GVK, new: Object, old: Object | None) -> list[str]:
    """Of a CustomResourceDefinition: what is new in it and will not do what it seems to."""
    before = set(_odd_formats(old) if old is not None else ())
    found = [warning for warning in _odd_formats(new) if warning not in before]
    known = set(_odd_sets(old) if old is not None else ())
    return found + sorted(set(_odd_sets(new)) - known)


def _schemas(obj: Object) -> Iterator[Object]:
    for version in (obj.get("spec") or {}).get("versions") or ():
        yield from schemas.walk((version.get("schema") or {}).get("openAPIV3Schema"))


def _odd_formats(obj: Object) -> Iterator[str]:
    for node in _schemas(obj):
        name = node.get("format")
        if name and not formats.recognized(name, node.get("type") or ""):
            yield f"unrecognized format {go_quote(name)}"


def _odd_sets(obj: Object) -> Iterator[str]:
    for node in _schemas(obj):
        items = node.get("items")
        kind = items.get("type") if isinstance(items, dict) else None
        if node.get("x-kubernetes-list-type") == "set" and kind in ("object", "array"):
            yield (
                f'x-kubernetes-list-type: set for items of type "{kind}" is not supported by server-side apply or CEL '
                "validation rules"
            )


def custom(new: Object, old: Object | None) -> list[str]:
    """Of a custom resource: finalizers that others may have chosen too."""
    held = set(meta.finalizers(old)) if old is not None else set()
    found: list[str] = []
    for name in sorted(set(meta.finalizers(new)) - held):
        found += [f"metadata.finalizers: {go_quote(name)}: {problem}" for problem in f.label_key(name)]
        if "/" not in name and name not in _STANDARD_FINALIZERS:
            path = " including a path (/)" if "." in name else ""
            found.append(
                f"metadata.finalizers: {go_quote(name)}: prefer a domain-qualified finalizer name{path} to avoid "
                "accidental conflicts with other finalizer writers"
            )
    return found
