"""The client's transport inside the server's process: below HTTP, through the same pipeline, with a fixed identity.

Objects it returns are shared and read-only. A watch that is not read holds at most ``WATCH_EVENTS`` events and then
ends with 410 Expired, so that its reader lists again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from typing import Any, cast

from pinnace.api import errors
from pinnace.api.errors import ApiError
from pinnace.api.types import Object
from pinnace.apiserver.pipeline import Pipeline
from pinnace.apiserver.request import Request, User
from pinnace.apiserver.response import Answer, Response, Stream, Takeover
from pinnace.client.transport import WatchEvent

WATCH_EVENTS = 100_000


class InProcess:
    """Implements ``client.transport.Transport``."""

    __slots__ = ("_closed", "_pipeline", "_user", "_user_agent")

    def __init__(self, pipeline: Pipeline, user: User, user_agent: str = "pinnace") -> None:
        self._pipeline = pipeline
        self._user_agent = user_agent
        self._user = user
        self._closed = False

    async def _send(self, request: Request) -> Answer:
        if self._closed:
            raise ConnectionError("the API server's in-process connection is closed")
        result = self._pipeline.handle_as(request, self._user)
        return await result if isinstance(result, Coroutine) else result

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] = {},
        body: Object | list[Object] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        answer = await self._send(self._request(method, path, query, body, content_type))
        if not isinstance(answer, Response):
            raise errors.bad_request(f"{method} {path} does not answer with an object")
        obj = answer.object
        if obj is None:
            import orjson

            if answer.status == 404 and answer.content_type.startswith("text/"):  # no such group or version
                raise errors.path_not_found()
            obj = cast(Object, orjson.loads(_joined(answer)))
        if answer.status >= 400:
            raise ApiError.from_status(obj)
        return obj

    def _request(
        self, method: str, path: str, query: Mapping[str, str], body: Any = None, content_type: str = ""
    ) -> Request:
        headers = {"content-type": content_type, "user-agent": self._user_agent} if body is not None else {}
        request = Request(method, path, "", headers, body, shared=True)
        request.set_query(query)
        return request

    async def read(self, path: str, *, query: Mapping[str, str] = {}) -> bytes:
        request = self._request("GET", path, query)
        if query:
            from urllib.parse import urlencode

            request.query_string = urlencode(query)
        answer = await self._send(request)
        if isinstance(answer, Stream):
            try:
                return b"".join([chunk async for chunk in answer.chunks])
            finally:
                await answer.chunks.aclose()
        if not isinstance(answer, Response):
            raise errors.bad_request(f"{path} cannot be read: it is a watch or a raw stream")
        if answer.status >= 400:
            if answer.object is not None:
                raise ApiError.from_status(answer.object)
            raise ApiError(answer.status, "", _joined(answer).decode("utf-8", "replace").strip())
        if answer.object is not None:
            import orjson

            return orjson.dumps(answer.object)
        return _joined(answer)

    async def watch(self, path: str, *, query: Mapping[str, str] = {}) -> AsyncGenerator[Sequence[WatchEvent], None]:
        answer = await self._send(self._request("GET", path, {**query, "watch": "true"}))
        if isinstance(answer, Response | Stream | Takeover):
            if isinstance(answer, Response) and answer.status == 404:  # not even the resource's version is known
                raise errors.path_not_found()
            raise errors.bad_request(f"{path} cannot be watched")
        outlet = _Outlet(answer)
        answer.start(outlet)
        try:
            while True:
                batch = await outlet.take()
                if batch is None:
                    return
                yield batch
        finally:
            answer.stop()

    async def close(self) -> None:
        self._closed = True


def _joined(answer: Response) -> bytes:
    return b"".join(answer.body) if isinstance(answer.body, list) else answer.body


class _Outlet:
    """Batches on their way to one reader."""

    def __init__(self, watch: Any) -> None:
        self._watch = watch
        self._batches: deque[Sequence[WatchEvent]] = deque()
        self._count = 0
        self._ended = False
        self._error: ApiError | None = None
        self._wakeup: asyncio.Future[None] | None = None

    def deliver(self, batch: Sequence[WatchEvent]) -> None:
        if self._ended:
            return
        self._batches.append(batch)
        self._count += len(batch)
        if self._count > WATCH_EVENTS:
            self._batches.clear()
            self._watch.stop()
            self.finish(errors.expired("the watch was not read and is too far behind"))
        self._wake()

    async def drained(self) -> None:
        return

    def finish(self, error: ApiError | None = None) -> None:
        self._ended = True
        self._error = error
        self._watch.stop()
        self._wake()

    def _wake(self) -> None:
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    async def take(self) -> Sequence[WatchEvent] | None:
        """All that has come in, or None at the end. Raises the error that the watch ended with."""
        while not self._batches:
            if self._ended:
                if self._error is not None:
                    raise self._error
                return None
            self._wakeup = asyncio.get_running_loop().create_future()
            await self._wakeup
        self._count = 0
        if len(self._batches) == 1:
            return self._batches.popleft()
        merged = [event for batch in self._batches for event in batch]
        self._batches.clear()
        return merged
