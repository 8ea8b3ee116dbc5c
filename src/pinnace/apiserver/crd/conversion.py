"""Conversion of custom resources between versions by their definition's webhook.

Reading an object in another version than it is stored in needs an answer from the webhook, and reading happens where
nothing can be waited for. So a read of an object that has not been converted raises ``codec.NotConvertedError``; who
serves the request (``served``) has it converted, keeps the result with the row, and begins the request again. Writes
are converted before they are committed; lists and watches have all their objects converted at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from pinnace.api import errors, meta
from pinnace.api.errors import ApiError, go_quote
from pinnace.api.registry import Resource
from pinnace.api.types import Object
from pinnace.apiserver.request import Request
from pinnace.apiserver.resources import codec, selection
from pinnace.apiserver.resources.backend import Backend, Converter
from pinnace.apiserver.resources.watch import Watch
from pinnace.apiserver.response import Answer, Outlet
from pinnace.apiserver.webhooks import WebhookClient, WebhookError
from pinnace.core.clock import Clock
from pinnace.store.protocol import CompactedError, Event, KeyValue, Store
from pinnace.store.protocol import Watch as StoreWatch

log = logging.getLogger(__name__)

TIMEOUT = 30.0
#: Objects sent in one review.
AT_ONCE = 500
#: Converted objects kept of one version.
KEPT = 10_000
#: Times that a request is begun again because another object turned up that has not been converted.
TRIES = 100
#: Objects of writes kept in other versions: what one request needs, and a few.
TRANSLATED = 64
_REVIEW = "apiextensions.k8s.io"


class WebhookConverter:
    """Calls webhooks (``backend.Converter``)."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._webhooks = WebhookClient(store, clock)

    async def ensure(self, row: Resource, items: Sequence[KeyValue]) -> None:
        """Have what ``row`` needs converted of ``items`` at hand. Raises ApiError 500 if the webhook fails."""
        custom = row.custom
        assert custom is not None
        wanted = [kv for kv in items if codec.needs_conversion(kv, row)]
        if len(custom.converted) + len(wanted) > KEPT:
            custom.converted.clear()
        for at in range(0, len(wanted), AT_ONCE):
            part = wanted[at : at + AT_ONCE]
            made = await self.convert(row, [codec.decoded(kv) for kv in part], row.api_version)
            for kv, obj in zip(part, made, strict=True):
                custom.converted[kv.key, kv.mod_revision] = obj

    async def convert(self, row: Resource, objects: list[Object], api_version: str) -> list[Object]:
        """``objects`` in that version, in the same order. Raises ApiError 500."""
        custom = row.custom
        assert custom is not None
        assert custom.webhook is not None
        first = objects[0]
        failed = f"conversion webhook for {first['apiVersion']}, Kind={first['kind']}"
        uid = meta.new_uid()
        version = next((v for v in custom.webhook["conversionReviewVersions"] if v in ("v1", "v1beta1")), "v1")
        review = {
            "kind": "ConversionReview",
            "apiVersion": f"{_REVIEW}/{version}",
            "request": {"uid": uid, "desiredAPIVersion": api_version, "objects": objects},
        }
        try:
            answer = await self._webhooks.post(custom.webhook["clientConfig"], review, TIMEOUT)
            converted = _converted(answer, uid, version)
        except (WebhookError, ValueError) as error:
            raise errors.internal(f"{failed} failed: {error}") from error
        if len(converted) != len(objects):
            raise errors.internal(f"{failed} returned {len(converted)} objects, expected {len(objects)}")
        made = []
        for index, (before, after) in enumerate(zip(objects, converted, strict=True)):
            if why := _wrong(before, after, api_version):
                raise errors.internal(f"{failed} returned invalid converted object at index {index}: {why}")
            made.append(_with_metadata(before, after))
        return made

    def close(self) -> None:
        self._webhooks.close()


def _converted(answer: Any, uid: str, version: str) -> list[Any]:
    if not isinstance(answer, dict) or answer.get("apiVersion") != f"{_REVIEW}/{version}":
        got = answer.get("apiVersion") if isinstance(answer, dict) else "no object"
        raise ValueError(f"expected webhook response of {_REVIEW}/{version}, Kind=ConversionReview, got {got}")
    response = answer.get("response")
    if not isinstance(response, dict):
        raise ValueError("no response provided")
    if version == "v1" and response.get("uid") != uid:
        raise ValueError(f"expected response.uid={go_quote(uid)}, got {go_quote(response.get('uid') or '')}")
    result = response.get("result") or {}
    if result.get("status") != "Success":
        said = f"response.result.status was '{result.get('status') or ''}', not 'Success'"
        raise ValueError(result.get("message") or said)
    found = response.get("convertedObjects") or []
    if not isinstance(found, list):
        raise ValueError("convertedObjects is no list")
    return found


def _wrong(before: Object, after: Any, api_version: str) -> str:
    if not isinstance(after, dict) or not isinstance(after.get("metadata"), dict):
        return "missing metadata in converted object"
    if after.get("apiVersion") != api_version:
        return f"invalid groupVersion (expected {api_version}, received {after.get('apiVersion')})"
    if after.get("kind") != before["kind"]:
        return f"invalid kind (expected {before['kind']}, received {after.get('kind')})"
    for field in ("name", "namespace", "uid"):
        ours, theirs = before["metadata"].get(field) or "", after["metadata"].get(field) or ""
        if ours != theirs:
            return f"must have the same {'UID' if field == 'uid' else field}: {ours} != {theirs}"
    return ""


def _with_metadata(before: Object, after: Object) -> Object:
    """``after`` with the metadata of ``before``, but for labels and annotations, which a webhook may change."""
    metadata = dict(before["metadata"])
    for field in ("labels", "annotations"):
        metadata.pop(field, None)
        if after["metadata"].get(field):
            metadata[field] = after["metadata"][field]
    return {**after, "metadata": metadata}


Handler = Callable[[Backend, Request, Resource], Any]


def served(handler: Handler, backend: Backend, request: Request, row: Resource) -> Any:
    """The answer of ``handler``, whatever has to be converted for it."""
    if backend.converter is None:
        backend.converter = WebhookConverter(backend.store, backend.clock)
    converter = backend.converter
    if request.info.verb == "watch" and not request.info.subresource:
        return ConvertedWatch(handler(backend, request, row), converter, backend, row)
    return _served(converter, handler, backend, request, row)


async def _served(converter: Converter, handler: Handler, backend: Backend, request: Request, row: Resource) -> Answer:
    if request.info.verb in ("list", "deletecollection"):
        chosen = selection.of(request, row)
        await converter.ensure(row, backend.store.range(chosen.start, chosen.end).items)
    warned = list(request.warnings)
    for _ in range(TRIES):
        try:
            result = handler(backend, request, row)
            answer: Answer = await result if isinstance(result, Coroutine) else result
        except codec.NotConvertedError as missing:
            await converter.ensure(row, [missing.item])
            request.warnings[:] = warned
            continue
        except codec.NotTranslatedError as missing:
            await _translate(converter, row, missing)
            request.warnings[:] = warned
            continue
        return answer
    raise errors.conflict(row.group, row.plural, request.info.name)


async def _translate(converter: Converter, row: Resource, missing: codec.NotTranslatedError) -> None:
    custom = row.custom
    assert custom is not None
    made = await converter.convert(row, [missing.obj], missing.key[1])
    if len(custom.translated) >= TRANSLATED:
        custom.translated.clear()
    custom.translated[missing.key] = made[0]


class ConvertedWatch:
    """A watch whose objects are converted before they are shown (``response.WatchAnswer``). Not shared with others:
    what it costs is the webhook's calls."""

    def __init__(self, inner: Watch, converter: Converter, backend: Backend, row: Resource) -> None:
        self.content_type = inner.content_type
        self._inner = inner
        self._converter = converter
        self._backend = backend
        self._row = row
        self._outlet: Outlet | None = None
        self._events: deque[Event] = deque()
        self._wakeup = asyncio.Event()
        self._watch: StoreWatch | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._task = asyncio.get_running_loop().create_task(self._run(outlet), name="watch/converted")

    async def _run(self, outlet: Outlet) -> None:
        try:
            await self._follow(outlet)
        except ApiError as error:
            if self._outlet is not None:
                outlet.finish(error)

    async def _follow(self, outlet: Outlet) -> None:
        eye, store = self._inner.eye, self._backend.store
        revision = self._inner.since
        if revision is None:
            found = store.range(eye.chosen.start, eye.chosen.end)
            revision = found.revision
            await self._converter.ensure(self._row, found.items)
            if found.items:
                outlet.deliver(eye.state(found.items))
        try:
            self._watch = store.watch(eye.chosen.start, eye.chosen.end, revision, self._take)
        except CompactedError as error:
            raise errors.expired(f"too old resource version: {revision} ({error.compacted})") from None
        if self._inner.since is None and self._inner.initial_end:
            outlet.deliver(eye.single("BOOKMARK", self._inner.bookmark(initial_end=True)))
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            events = list(self._events)
            self._events.clear()
            seen = [kv for event in events for kv in (event.current, event.previous) if kv is not None]
            await self._converter.ensure(self._row, seen)
            if events and (batch := eye.events(events)) is not None:
                outlet.deliver(batch)

    def _take(self, events: Sequence[Event] | None) -> None:
        if events is None:
            if self._outlet is not None:
                self._outlet.finish()
            return
        self._events += events
        self._wakeup.set()

    def error(self, error: ApiError) -> Any:
        return self._inner.error(error)

    def stop(self) -> None:
        self._outlet = None
        if self._watch is not None:
            self._watch.cancel()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        self._inner.stop()
