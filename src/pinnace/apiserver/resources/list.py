"""GET a collection: consistent, paged, at a revision, selected."""

from __future__ import annotations

import base64
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import orjson

from pinnace.api import errors
from pinnace.api.errors import ApiError, FieldError, bad_request
from pinnace.api.registry import Resource
from pinnace.api.types import Object
from pinnace.apiserver.request import Request
from pinnace.apiserver.resources import codec, negotiation, render, selection
from pinnace.apiserver.resources.backend import Backend
from pinnace.apiserver.resources.negotiation import PARTIAL, TABLE
from pinnace.apiserver.resources.selection import Selection
from pinnace.apiserver.response import KeptParts, Response
from pinnace.core.cooperate import breathe
from pinnace.store.protocol import CompactedError, FutureRevisionError, KeyValue

#: Objects looked at between two breaths of the event loop.
SLICE = 100
#: Lists up to this many objects are joined without a pause.
AT_ONCE = 2000
#: Longer lists are not indented, whoever asks: it cannot be done in slices.
INDENTED = 500

#: The answer to a list of more objects than this is kept for a moment, for who asks for the same next.
SHARED_FROM = 100

EXPIRED_LIST = "The resourceVersion for the provided list is too old."
EXPIRED_TOKEN = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


class ExpiredTokenError(ApiError):
    """410 that carries a token to go on with, from now."""

    def __init__(self, token: str) -> None:
        super().__init__(410, "Expired", EXPIRED_TOKEN)
        self._token = token

    def status(self) -> Object:
        return {**super().status(), "metadata": {"continue": self._token}}


class Page:
    """What part of the selection to answer with, at which revision (0: now)."""

    __slots__ = ("limit", "revision", "start")

    def __init__(self, start: str, revision: int, limit: int) -> None:
        self.start = start
        self.revision = revision
        self.limit = limit


def parse_version(text: str) -> int:
    """A resourceVersion of a query; "" is 0. Raises ApiError 400."""
    if not text:
        return 0
    if not text.isascii() or not text.isdigit():
        shown = errors.go_quote(text)
        raise bad_request(
            f"resourceVersion: Invalid value: {shown}: strconv.ParseUint: parsing {shown}: invalid syntax"
        )
    return int(text)


def check_not_newer(backend: Backend, version: int) -> None:
    """Raises ApiError 504 if the server has not seen ``version`` yet."""
    if version > backend.store.revision:
        raise ApiError(
            504,
            "Timeout",
            f"Timeout: Too large resource version: {version}, current: {backend.store.revision}",
            details={
                "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
                "retryAfterSeconds": 1,
            },
        )


def encode_token(revision: int, start: str) -> str:
    raw = orjson.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": start})
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode_token(token: str) -> tuple[int, str]:
    """(revision, -1 for now; first key after the prefix). Raises ApiError 400."""
    try:
        raw = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        revision, start = int(raw["rv"]), str(raw["start"])
        version = raw["v"]
    except (ValueError, KeyError, TypeError):
        raise bad_request("continue key is not valid: it is none that a list gave") from None
    if version != "meta.k8s.io/v1":
        raise bad_request("continue key is not valid: server does not recognize this encoded version")
    if ".." in start.split("/") or not start:
        raise bad_request("continue key is not valid: key is invalid")
    return revision, start


def _page(backend: Backend, request: Request, chosen: Selection) -> Page:
    query = request.query
    limit_text = query.get("limit", "")
    try:
        limit = max(int(limit_text or 0), 0)  # a negative one is none, as upstream has it
    except ValueError:
        shown = errors.go_quote(limit_text)
        raise bad_request(f"strconv.ParseInt: parsing {shown}: invalid syntax") from None
    version_text = query.get("resourceVersion", "")
    match = query.get("resourceVersionMatch", "")
    token = query.get("continue", "")
    _check_options(version_text, match, token)
    if token:
        revision, start = decode_token(token)
        at = chosen.start + start if not start.startswith("/") else start
        if revision < 0:
            return Page(at, 0, limit)
        return Page(at, revision, limit)
    version = parse_version(version_text)
    check_not_newer(backend, version)
    exact = match == "Exact" or (version > 0 and limit > 0 and not match)
    return Page(chosen.start, version if exact else 0, limit)


def _check_options(version: str, match: str, token: str) -> None:
    found: list[FieldError] = []
    if match:
        if not version:
            found.append(
                errors.forbidden_field(
                    "resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"
                )
            )
        if token:
            found.append(
                errors.forbidden_field(
                    "resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"
                )
            )
        if match not in ("Exact", "NotOlderThan"):
            found.append(errors.not_supported("resourceVersionMatch", match, ("Exact", "NotOlderThan", "")))
        elif match == "Exact" and version == "0":
            found.append(
                errors.forbidden_field(
                    "resourceVersionMatch", 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
                )
            )
    if found:
        raise errors.invalid("meta.k8s.io", "ListOptions", "", found)
    if token and version not in ("", "0"):
        raise bad_request("specifying resource version is not allowed when using continue")


def list_objects(backend: Backend, request: Request, row: Resource) -> Response | Coroutine[Any, Any, Response]:
    """Answered at once where all objects go out as they are; else in slices."""
    chosen = selection.of(request, row)
    page = _page(backend, request, chosen) if request.query_string or request.shared else Page(chosen.start, 0, 0)
    if not request.shared and chosen.everything and negotiation.of(request).plain:
        whole = page.start == chosen.start and not page.limit and not page.revision
        if whole and (parts := backend.lists.get(chosen.key)) is not None:
            return Response(200, parts, headers=render.warnings(request))
        items, metadata = _take(backend, chosen, page)
        if len(items) <= AT_ONCE and codec.all_as_stored(items, row):
            parts = KeptParts((_opening(row, metadata), b",".join([item.value for item in items]), b"]}\n"))
            if whole and len(items) > SHARED_FROM:
                backend.lists.put(chosen.key, parts)
            return Response(200, parts, headers=render.warnings(request))
        if whole and row.custom is None:
            return _whole(backend, request, row, chosen, metadata, items)
        return _slices(request, row, metadata, items)
    return _selected(backend, request, row, chosen, page)


def _opening(row: Resource, metadata: Object) -> bytes:
    return orjson.dumps(render.list_head(row, metadata))[:-1] + b',"items":['


async def _whole(
    backend: Backend, request: Request, row: Resource, chosen: Selection, metadata: Object, items: list[KeyValue]
) -> Response:
    """The same as others get who ask meanwhile, unless something has been written since."""
    answer = await _slices(request, row, metadata, items)
    if metadata["resourceVersion"] == str(backend.store.revision) and isinstance(answer.body, KeptParts):
        backend.lists.put(chosen.key, answer.body)
    return answer


async def _slices(request: Request, row: Resource, metadata: Object, items: list[KeyValue]) -> Response:
    parts = KeptParts((_opening(row, metadata),))
    for at in range(0, len(items), SLICE):
        values = [codec.rendered(item, row) for item in items[at : at + SLICE]]
        parts.append((b"," if at else b"") + b",".join(values))
        await breathe()
    parts.append(b"]}\n")
    return Response(200, parts, headers=render.warnings(request))


def _take(backend: Backend, chosen: Selection, page: Page) -> tuple[list[KeyValue], Object]:
    """The page's objects where every object counts, and the list's metadata."""
    found = _read(backend, chosen, page, page.start, page.limit)
    metadata: Object = {"resourceVersion": str(found.revision)}
    if found.more and page.limit:
        last = found.items[-1].key
        metadata["continue"] = encode_token(found.revision, last.removeprefix(chosen.start) + "\0")
        metadata["remainingItemCount"] = found.count - len(found.items)
    return found.items, metadata


def _read(backend: Backend, chosen: Selection, page: Page, start: str, limit: int) -> Any:
    """A range at the page's revision; raises ApiError 410 where that is gone."""
    try:
        return backend.store.range(start, chosen.end, revision=page.revision, limit=limit)
    except CompactedError:
        if page.start != chosen.start:
            raise ExpiredTokenError(encode_token(-1, start.removeprefix(chosen.start))) from None
        raise errors.expired(EXPIRED_LIST) from None
    except FutureRevisionError:
        check_not_newer(backend, page.revision)
        raise


async def _selected(backend: Backend, request: Request, row: Resource, chosen: Selection, page: Page) -> Response:
    items, metadata = await collect(backend, row, chosen, page)
    if request.shared:
        objects = []
        for at in range(0, len(items), SLICE):
            objects += [codec.read(item, row) for item in items[at : at + SLICE]]
            if at:
                await breathe()
        return Response(200, object={**render.list_head(row, metadata), "items": objects})
    wanted = negotiation.of(request)
    if wanted.shape == negotiation.OBJECT and not wanted.yaml and (not wanted.pretty or len(items) > INDENTED):
        return await _slices(request, row, metadata, items)
    head, field, encode = _form(request, row, metadata, wanted, backend.clock.now())
    if not wanted.yaml and len(items) <= (INDENTED if wanted.pretty else SLICE):
        return render.data(request, 200, {**head, field: encode(items)}, wanted)
    parts: list[bytes] = []
    for at in range(0, len(items), SLICE):
        made = encode(items[at : at + SLICE])
        parts.append(render.dump_list(made, first=at == 0, yaml=wanted.yaml))
        await breathe()
    before, after = render.dump_around(head, field, wanted, empty=not items)
    return Response(200, [before, *parts, after], content_type=wanted.content_type, headers=render.warnings(request))


def _form(
    request: Request, row: Resource, metadata: Object, wanted: negotiation.Format, now: float
) -> tuple[Object, str, Callable[[Sequence[KeyValue]], list[Object]]]:
    """What is around the objects in the format asked for, the name of the list, and what makes its elements."""
    if wanted.shape == TABLE:
        include = render.include_object(request)
        head = render.table([], row, metadata, include, now)
        del head["rows"]
        return head, "rows", lambda items: render.rows([codec.read(item, row) for item in items], row, include, now)
    if wanted.shape == PARTIAL:
        head = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
        return head, "items", lambda items: [render.partial(codec.read(item, row)) for item in items]
    return render.list_head(row, metadata), "items", lambda items: [codec.read(item, row) for item in items]


async def collect(backend: Backend, row: Resource, chosen: Selection, page: Page) -> tuple[list[KeyValue], Object]:
    """The page's objects, and the list's metadata."""
    if chosen.everything:
        return _take(backend, chosen, page)
    found = _read(backend, chosen, page, page.start, 0)
    metadata = {"resourceVersion": str(found.revision)}
    items: list[KeyValue] = []
    for at, item in enumerate(found.items):
        if chosen.matches(codec.read(item, row)):
            items.append(item)
            if page.limit and len(items) == page.limit and at + 1 < len(found.items):
                metadata["continue"] = encode_token(found.revision, item.key.removeprefix(chosen.start) + "\0")
                break
        if at % SLICE == SLICE - 1:
            await breathe()
    return items, metadata
