"""Where other API servers write to the same store: what a request must see, and what it is told when the store is away.

The view of a shared store follows a moment behind. A request first waits until it holds everything that any server had
answered before (``Store.sync``; those that wait share one read), so that two servers are as good as one. Reads that
name a resourceVersion need only that one: ``0`` is served from the view as it is, also while the store is away.

A creation that succeeds has needed nothing newer than what admission goes by (as upstream's, which goes by caches): it
is tried at once, and waits only before it is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from pinnace.api import errors
from pinnace.api.errors import ApiError
from pinnace.api.registry import Resource
from pinnace.apiserver.request import OutrunError, Request
from pinnace.apiserver.resources.backend import Backend
from pinnace.apiserver.response import Answer
from pinnace.store.protocol import OutcomeUnknownError, StoreError, UnavailableError

Result = Answer | Coroutine[Any, Any, Answer]
Handler = Callable[[Backend, Request, Resource], Result]
#: Times that a request is handled again because another API server was faster.
TRIES = 100
_READS = frozenset(("get", "list", "watch"))


def handle(handler: Handler, backend: Backend, request: Request, row: Resource, *, creates: bool) -> Result:
    """What ``handler``, which ``creates`` an object or does something else, answers from a view that is new enough.
    Raises ApiError."""
    if _is_new_enough(backend, request):
        return handler(backend, request, row)
    return (_create if creates else _later)(handler, backend, request, row)


async def _create(handler: Handler, backend: Backend, request: Request, row: Resource) -> Answer:
    warned = len(request.warnings)
    try:
        result = handler(backend, request, row)
        return await result if isinstance(result, Coroutine) else result
    except (ApiError, OutrunError):
        del request.warnings[warned:]
        return await _later(handler, backend, request, row)
    except StoreError as error:
        raise failure(error) from error


def _is_new_enough(backend: Backend, request: Request) -> bool:
    """Whether the view will do as it is."""
    if request.info.verb not in _READS or not (request.query_string or request.shared):
        return False
    query = request.query
    version = query.get("resourceVersion", "")
    if not version.isdecimal() or query.get("continue"):
        return False
    return int(version) <= backend.store.revision


async def _later(handler: Handler, backend: Backend, request: Request, row: Resource) -> Answer:
    warned = len(request.warnings)
    try:
        for _ in range(TRIES):
            await backend.store.sync()
            try:
                result = handler(backend, request, row)
                return await result if isinstance(result, Coroutine) else result
            except OutrunError:
                del request.warnings[warned:]
    except StoreError as error:
        raise failure(error) from error
    raise errors.internal("other API servers were faster each time")


def failure(error: StoreError) -> ApiError:
    """What to answer when the store failed. Only what was surely not done is said to be worth repeating."""
    if isinstance(error, UnavailableError):
        details = {"retryAfterSeconds": 1}
        return ApiError(503, "ServiceUnavailable", str(error), details=details, headers={"Retry-After": "1"})
    if isinstance(error, OutcomeUnknownError):
        return errors.timed_out(str(error))
    return errors.internal(str(error))
