"""From objects to answers in the format asked for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import orjson

from pinnace.api import meta
from pinnace.api.registry import Resource
from pinnace.api.types import Object
from pinnace.apiserver.request import Request
from pinnace.apiserver.resources import codec, negotiation
from pinnace.apiserver.resources.negotiation import PARTIAL, TABLE, Format
from pinnace.apiserver.response import Response, warning_headers
from pinnace.store.protocol import KeyValue


def warnings(request: Request) -> Sequence[tuple[str, str]]:
    """The Warning headers for what was noticed on the way."""
    return warning_headers(request.warnings) if request.warnings else ()


def plain(request: Request, status: int, obj: Object) -> Response:
    """An object that is no resource's own (Status, Scale, Table, ...)."""
    if request.shared:
        return Response(status, object=obj)
    return data(request, status, obj, negotiation.of(request))


def data(request: Request, status: int, obj: Object, wanted: Format) -> Response:
    if request.shared:
        return Response(status, object=obj, headers=warnings(request))
    return Response(status, dump(obj, wanted), content_type=wanted.content_type, headers=warnings(request))


def dump(obj: Object, wanted: Format) -> bytes:
    if wanted.yaml:
        return _yaml(obj)
    if wanted.pretty:
        return orjson.dumps(obj, option=orjson.OPT_INDENT_2) + b"\n"
    return orjson.dumps(obj) + b"\n"


def stored(request: Request, status: int, kv: KeyValue, row: Resource, now: float) -> Response:
    """One object as the store has it."""
    if request.shared:
        return Response(status, object=codec.read(kv, row), headers=warnings(request))
    wanted = negotiation.of(request)
    if wanted is negotiation.PLAIN:
        return Response(status, codec.rendered(kv, row), headers=warnings(request) if request.warnings else ())
    return one(request, status, codec.read(kv, row), row, wanted, now)


def one(request: Request, status: int, obj: Object, row: Resource, wanted: Format, now: float) -> Response:
    """One object of ``row`` in any format."""
    if not request.shared:
        if wanted.shape == TABLE:
            obj = table([obj], row, {"resourceVersion": meta.resource_version(obj)}, include_object(request), now)
        elif wanted.shape == PARTIAL:
            obj = partial(obj)
    return data(request, status, obj, wanted)


def partial(obj: Object) -> Object:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def include_object(request: Request) -> str:
    """``includeObject`` of a table: None, Metadata (the default) or Object."""
    return request.query.get("includeObject", "Metadata") or "Metadata"


def dump_list(elements: list[Object], *, first: bool, yaml: bool) -> bytes:
    """Some elements of a list, to follow others unless they are the ``first``."""
    if yaml:
        return _yaml(elements)
    return (b"" if first else b",") + orjson.dumps(elements)[1:-1]


def dump_around(head: Object, field: str, wanted: Format, *, empty: bool) -> tuple[bytes, bytes]:
    """What comes before and after the elements of list ``field`` of the object that else is ``head``."""
    if not wanted.yaml:
        return orjson.dumps(head)[:-1] + b',"%b":[' % field.encode(), b"]}\n"
    before = {name: value for name, value in head.items() if name < field}
    after = {name: value for name, value in head.items() if name > field}
    listed = f"{field}: []\n" if empty else f"{field}:\n"
    return _yaml(before) + listed.encode(), _yaml(after)


def _yaml(data: Any) -> bytes:
    import yaml

    text: str = yaml.dump(data, Dumper=_dumper(), default_flow_style=False, sort_keys=True, allow_unicode=True)
    return text.encode()


@cache
def _dumper() -> Any:
    """What objects share is written out in each: no anchors and aliases."""
    import yaml

    base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return type("Dumper", (base,), {"ignore_aliases": lambda self, data: True})


def table(
    objects: Sequence[Object],
    row: Resource,
    metadata: Object,
    include: str,
    now: float,
    *,
    columns: bool = True,
) -> Object:
    """A meta.k8s.io/v1 Table of ``objects``."""
    from pinnace.api import table as tables

    return tables.table(row, objects, now, include, metadata, columns=columns)


def rows(objects: Sequence[Object], row: Resource, include: str, now: float) -> list[Object]:
    """The rows of a Table."""
    from pinnace.api import table as tables

    return [tables.row(row, obj, now, include) for obj in objects]


def list_head(row: Resource, metadata: Object) -> dict[str, Any]:
    kind = row.custom.list_kind if row.custom is not None else row.kind + "List"
    return {"kind": kind, "apiVersion": row.api_version, "metadata": metadata}
