"""What a handler answers with. The HTTP layer and the in-process transport each know how to deliver all of them."""

from __future__ import annotations

from asyncio import Future
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeAlias

import orjson

from pinnace.api.errors import ApiError
from pinnace.api.types import Object

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"


#: Characters of all warnings of an answer, and of each if they are more (as upstream).
WARNING_TOTAL, WARNING_ITEM = 4096, 256


def warning_headers(texts: Sequence[str]) -> list[tuple[str, str]]:
    """Warning headers (RFC 7234), each text once, within upstream's limits."""
    told = list(dict.fromkeys(texts))
    if sum(map(len, told)) > WARNING_TOTAL:
        told = [text[:WARNING_ITEM] for text in told][: WARNING_TOTAL // WARNING_ITEM]
    return [("Warning", f"299 - {orjson.dumps(text).decode()}") for text in told]


class KeptParts(list[bytes]):
    """Slices of a body that several answers share; compressed at most once."""

    packed: Future[bytes] | None = None


class Response:
    """An answer that is complete. ``body`` is bytes or slices of it; ``object`` is set instead of the body for shared
    (in-process) requests."""

    __slots__ = ("body", "content_type", "headers", "object", "status")

    def __init__(
        self,
        status: int,
        body: bytes | list[bytes] = b"",
        *,
        content_type: str = JSON,
        headers: Sequence[tuple[str, str]] = (),
        object: Object | None = None,
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = headers
        self.object = object


class Stream:
    """An answer whose body is made while it is sent (container logs). ``chunks`` is closed if the client goes."""

    __slots__ = ("chunks", "content_type", "headers", "status")

    def __init__(
        self,
        status: int,
        chunks: AsyncGenerator[bytes, None],
        *,
        content_type: str = TEXT,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.status = status
        self.chunks = chunks
        self.content_type = content_type
        self.headers = headers


class Outlet(Protocol):
    """Where a watch's batches go."""

    def deliver(self, batch: Any) -> None:
        """Take what the watch's format renders; never blocks. Ends the watch itself if it cannot keep up."""

    async def drained(self) -> None:
        """Return once the outlet has room for more; at once if it is not the kind that has none."""

    def finish(self, error: ApiError | None = None) -> None:
        """The watch has ended, because of ``error`` or because its time is over."""


class WatchAnswer(Protocol):
    """A watch that has not begun."""

    content_type: str

    def start(self, outlet: Outlet) -> None:
        """Deliver what has happened already, and from now on what happens."""

    def stop(self) -> None:
        """The outlet is not called again. Idempotent."""

    def error(self, error: ApiError) -> Any:
        """The batch with the ERROR event for ``error``."""


class Pipe(Protocol):
    """The raw connection of a request that was taken over."""

    async def read(self) -> bytes:
        """The next bytes from the client, first those read with the request; b"" at the end."""

    async def write(self, data: bytes) -> None:
        """Returns when the client has taken enough of it. Raises ConnectionError if it is gone."""

    def close(self) -> None: ...


class Takeover:
    """The handler wants the raw connection (exec, port-forward); it writes its own response head."""

    __slots__ = ("run",)

    def __init__(self, run: Callable[[Pipe], Awaitable[None]]) -> None:
        self.run = run


Answer: TypeAlias = Response | Stream | WatchAnswer | Takeover


def of_error(error: ApiError, *, shared: bool = False) -> Response:
    """The Status that tells of ``error``."""
    status = error.status()
    headers = tuple(error.headers.items())
    if shared:
        return Response(error.code, object=status, headers=headers)
    return Response(error.code, orjson.dumps(status) + b"\n", headers=headers)


def text(status: int, body: str) -> Response:
    return Response(status, body.encode(), content_type=TEXT, headers=(("X-Content-Type-Options", "nosniff"),))
