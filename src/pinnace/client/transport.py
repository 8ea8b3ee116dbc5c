"""What a ``Client`` needs of a connection to an API server.

Two implementations: ``pinnace.apiserver.inprocess`` enters the request pipeline below HTTP (the objects it returns are
shared and read-only); ``pinnace.client.https`` speaks HTTPS to any conformant API server.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import NamedTuple, Protocol

from pinnace.api.types import Object


class WatchEvent(NamedTuple):
    """``type`` is ADDED, MODIFIED, DELETED or BOOKMARK; an ERROR event is raised as ApiError instead."""

    type: str
    object: Object


class Transport(Protocol):
    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] = {},
        body: Object | list[Object] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        """One request for an object. Raises ApiError for every answer of 400 and above, ConnectionError (OSError) if
        the server cannot be reached, TimeoutError after the transport's own limit."""

    async def read(self, path: str, *, query: Mapping[str, str] = {}) -> bytes:
        """GET something that is not an object (logs, /healthz). Raises as ``request``."""

    def watch(self, path: str, *, query: Mapping[str, str] = {}) -> AsyncGenerator[Sequence[WatchEvent], None]:
        """Watch ``path`` (``watch=true`` is added); yields what has come in since, never an empty sequence; ends when
        the server ends the watch. Raises ApiError (410 Expired: list again). Close it with ``aclosing``."""

    async def close(self) -> None: ...
