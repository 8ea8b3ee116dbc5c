"""Makes requests go the way that ``faults`` says: in front of the API server's handlers, for HTTPS and in-process
requests alike. Knows the watches that are open, so that they can be ended."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

from pinnace.api.errors import ApiError
from pinnace.apiserver.pipeline import Result
from pinnace.apiserver.request import Request
from pinnace.apiserver.response import Answer, Outlet, Pipe, Response, Stream, Takeover, WatchAnswer
from pinnace.core.clock import Clock
from pinnace.testing import faults
from pinnace.testing.faults import Effect, Fault, Faults
from pinnace.testing.outside import Outside


class Interceptor:
    """Implements ``apiserver.pipeline.Interceptor``."""

    def __init__(self, clock: Clock, faults: Faults, outside: Outside) -> None:
        self._clock = clock
        self._faults = faults
        self._outside = outside
        self._watches: set[OpenWatch] = set()

    def __call__(self, request: Request, proceed: Callable[[Request], Result]) -> Result:
        chosen = self._faults
        if not request.shared:
            self._outside.heard()
        if not len(chosen) and request.info.verb != "watch":
            return proceed(request)
        asked = _asked(request)
        fault = chosen.first(asked)
        if fault is None:
            result = proceed(request)
            return self._known(asked, request, result) if asked.verb == "watch" else result
        if fault.effect is Effect.FAIL:
            raise _error(fault, asked)
        if fault.effect is Effect.DROP and not fault.done:
            return _dropped(request)
        return self._hit(fault, asked, request, proceed)

    async def _hit(
        self, fault: Fault, asked: faults.Request, request: Request, proceed: Callable[[Request], Result]
    ) -> Answer:
        if fault.effect is Effect.DELAY or not fault.done:
            await self._clock.sleep(fault.seconds)
            if fault.effect is Effect.DELAY:
                return await _answer(self._known(asked, request, proceed(request)))
            raise _error(fault, asked)
        with contextlib.suppress(ApiError):  # whatever it would have been answered
            await _answer(proceed(request))
        if fault.effect is Effect.DROP:
            return _dropped(request)
        await self._clock.sleep(fault.seconds)
        raise _error(fault, asked)

    def _known(self, asked: faults.Request, request: Request, result: Result) -> Result:
        """``result``, remembered if it is a watch."""
        if isinstance(result, Coroutine):
            return self._known_later(asked, request, result)
        if isinstance(result, Response | Stream | Takeover):
            return result
        return OpenWatch(asked, result, self._watches, None if request.shared else self._outside.told)

    async def _known_later(
        self, asked: faults.Request, request: Request, result: Coroutine[Any, Any, Answer]
    ) -> Answer:
        return await _answer(self._known(asked, request, await result))

    async def end_watches(self, fault: Fault) -> None:
        """End those that are open and that ``fault`` selects."""
        for watch in sorted(self._watches, key=lambda watch: watch.number):
            if fault.takes(watch.asked):
                watch.end(_error(fault, watch.asked) if fault.error is not None else None)


class OpenWatch:
    """A watch (``apiserver.response.WatchAnswer``) that can be ended from outside."""

    def __init__(
        self,
        asked: faults.Request,
        watch: WatchAnswer,
        among: set[OpenWatch],
        told: Callable[[], None] | None,
    ) -> None:
        self._told = told
        self.asked = asked
        self.content_type = watch.content_type
        self.number = 0
        self._watch = watch
        self._among = among
        self._outlet: Outlet | None = None

    def start(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self.number = max((watch.number for watch in self._among), default=0) + 1
        self._among.add(self)
        self._watch.start(outlet if self._told is None else _Telling(outlet, self._told))

    def stop(self) -> None:
        self._among.discard(self)
        self._outlet = None
        self._watch.stop()

    def error(self, error: ApiError) -> Any:
        return self._watch.error(error)

    def end(self, error: ApiError | None) -> None:
        if self._outlet is not None:
            self._outlet.finish(error)


class _Telling:
    """The outlet of a client outside: says when something goes out (``apiserver.response.Outlet``)."""

    def __init__(self, outlet: Outlet, told: Callable[[], None]) -> None:
        self._outlet = outlet
        self._told = told

    def deliver(self, batch: Any) -> None:
        if b'"type":"BOOKMARK"' not in batch[0][:32]:
            self._told()
        self._outlet.deliver(batch)

    async def drained(self) -> None:
        await self._outlet.drained()

    def finish(self, error: ApiError | None = None) -> None:
        self._outlet.finish(error)


def _asked(request: Request) -> faults.Request:
    info = request.info
    return faults.Request(
        info.verb,
        info.resource,
        info.subresource,
        info.group,
        info.namespace,
        info.name,
        request.user.name,
        request.headers.get("user-agent", ""),
    )


def _error(fault: Fault, asked: faults.Request) -> ApiError:
    assert fault.error is not None, fault.effect
    return fault.error(asked)


async def _answer(result: Result) -> Answer:
    return await result if isinstance(result, Coroutine) else result


def _dropped(request: Request) -> Takeover:
    if request.shared:
        raise ConnectionResetError("the connection was dropped, as the test asked")

    async def close(pipe: Pipe) -> None:
        pipe.close()

    return Takeover(close)
