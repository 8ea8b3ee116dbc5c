"""GET with watch=true: changes as they happen.

A watch begins with the state (resourceVersion "" or 0, or sendInitialEvents) or with the events after a revision, then
joins the group of its selection and format. Objects that come to match or cease to match are ADDED and DELETED to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from pinnace.api import errors
from pinnace.api.errors import ApiError
from pinnace.api.registry import Resource
from pinnace.api.types import Object
from pinnace.apiserver.request import Request
from pinnace.apiserver.resources import negotiation, render, selection
from pinnace.apiserver.resources.backend import Backend
from pinnace.apiserver.resources.eyes import BytesEye, Eye, ObjectEye, ShapedEye
from pinnace.apiserver.resources.list import check_not_newer, parse_version
from pinnace.apiserver.resources.selection import Selection
from pinnace.apiserver.resources.watchhub import Group
from pinnace.apiserver.response import Outlet
from pinnace.core.clock import Timer
from pinnace.core.cooperate import breathe
from pinnace.store.protocol import CompactedError, Event, KeyValue

BOOKMARK_SECONDS = 60.0
#: A watch without timeoutSeconds ends after this many seconds (upstream: 30 to 60 minutes at random).
DEFAULT_TIMEOUT = 2400.0
SLICE = 50


class Watch:
    """One watch (``response.WatchAnswer``)."""

    def __init__(
        self,
        backend: Backend,
        eye: Eye,
        *,
        since: int | None,
        bookmarks: bool,
        initial_end: bool,
        timeout: float,
    ) -> None:
        self.content_type = eye.content_type
        self._backend = backend
        self.eye = eye
        self.since = since  # None: begin with the state
        self._bookmarks = bookmarks
        self.initial_end = initial_end
        self._timeout = timeout
        self._outlet: Outlet | None = None
        self._group: Group | None = None
        self._timers: list[Timer] = []
        self._stopped = False
        self._catching_up: asyncio.Task[None] | None = None

    def start(self, outlet: Outlet) -> None:
        self._outlet = outlet
        chosen, store = self.eye.chosen, self._backend.store
        clock = self._backend.clock
        self._timers.append(clock.call_later(self._timeout, self._time_over, routine=self._timeout == DEFAULT_TIMEOUT))
        if self.since is None:
            found = store.range(chosen.start, chosen.end)
            if len(found.items) > SLICE:
                self._catching_up = asyncio.get_running_loop().create_task(self._catch_up(found.items, found.revision))
                return
            if found.items:
                self._deliver_state(found.items)
            self._follow(found.revision, after_state=True)
        else:
            self._follow(self.since, after_state=False)

    def _deliver_state(self, items: Sequence[KeyValue]) -> None:
        if self._outlet is not None and (data := self.eye.state(items)) and (not isinstance(data, tuple) or data[0]):
            self._outlet.deliver(data)

    async def _catch_up(self, items: Sequence[KeyValue], revision: int) -> None:
        for at in range(0, len(items), SLICE):
            if self._stopped:
                return
            self._deliver_state(items[at : at + SLICE])
            await breathe()
            if self._outlet is not None:
                await self._outlet.drained()
        if not self._stopped:
            self._follow(revision, after_state=True)

    def _follow(self, revision: int, *, after_state: bool) -> None:
        """Deliver the events after ``revision``, then join those who are up to date."""
        chosen, hub, store = self.eye.chosen, self._backend.hub, self._backend.store
        outlet = self._outlet
        if outlet is None:
            return
        if revision < store.revision:
            past: list[Event] = []

            def gather(events: Sequence[Event] | None) -> None:
                past.extend(events or ())

            try:
                store.watch(chosen.start, chosen.end, revision, gather).cancel()
            except CompactedError as error:
                gone = errors.expired(f"too old resource version: {revision} ({error.compacted})")
                outlet.finish(gone)
                return
            if past and (data := self.eye.events(past)) is not None:
                outlet.deliver(data)
            hub.spent(past)
        if self._stopped:
            return
        if after_state and self.initial_end:
            self._bookmark(initial_end=True)
        key = (type(self.eye), chosen.key) if self.eye.shareable else self
        self._group = hub.group(key, chosen.start, chosen.end, self.eye.events)
        self._group.join(outlet)
        if self._bookmarks:
            self._timers.append(self._backend.clock.call_later(BOOKMARK_SECONDS, self._bookmark_again, routine=True))

    def _bookmark(self, *, initial_end: bool = False) -> None:
        if self._outlet is None:
            return
        if self._group is not None:
            self._group.catch_up(self._outlet)
        self._outlet.deliver(self.eye.single("BOOKMARK", self.bookmark(initial_end=initial_end)))

    def bookmark(self, *, initial_end: bool) -> Object:
        """The object of a BOOKMARK event."""
        row = self.eye.row
        metadata: Object = {"resourceVersion": str(self._backend.store.revision), "creationTimestamp": None}
        if initial_end:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        return {"kind": row.kind, "apiVersion": row.api_version, "metadata": metadata}

    def _bookmark_again(self) -> None:
        self._bookmark()
        if not self._stopped:
            self._timers.append(self._backend.clock.call_later(BOOKMARK_SECONDS, self._bookmark_again, routine=True))
            del self._timers[1:-1]

    def _time_over(self) -> None:
        if self._bookmarks and self._group is not None:
            self._bookmark()
        if self._outlet is not None:
            self._outlet.finish()

    def error(self, error: ApiError) -> Any:
        """The ERROR event for ``error``."""
        return self.eye.single("ERROR", error.status())

    def stop(self) -> None:
        self._stopped = True
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        if self._catching_up is not None and self._catching_up is not _current_task():
            self._catching_up.cancel()
        outlet, self._outlet = self._outlet, None
        if self._group is not None and outlet is not None:
            self._group.leave(outlet)
            self._group = None


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # called from outside a task's loop: while the server is torn down
        return None


def watch(backend: Backend, request: Request, row: Resource) -> Watch:
    """The watch that ``request`` asks for."""
    query = request.query
    chosen = selection.of(request, row)
    text = query.get("resourceVersion", "")
    initial = query.get("sendInitialEvents", "")
    match = query.get("resourceVersionMatch", "")
    bookmarks = request.asks("allowWatchBookmarks")
    initially = request.asks("sendInitialEvents")
    _check_options(initial, match, bookmarks=bookmarks)
    version = parse_version(text)
    check_not_newer(backend, version)
    since: int | None = version
    if initially or (not initial and version == 0):
        since = None
    elif version == 0:
        since = backend.store.revision
    return Watch(
        backend,
        _eye(backend, request, row, chosen),
        since=since,
        bookmarks=bookmarks,
        initial_end=initially and bookmarks,
        timeout=_timeout(query.get("timeoutSeconds", "")),
    )


def _eye(backend: Backend, request: Request, row: Resource, chosen: Selection) -> Eye:
    if request.shared:
        return ObjectEye(row, chosen)
    wanted = negotiation.of(request)
    if wanted.shape == negotiation.OBJECT and not wanted.yaml:
        return BytesEye(row, chosen)
    return ShapedEye(row, chosen, wanted, render.include_object(request), backend.clock.now)


def _check_options(initial: str, match: str, *, bookmarks: bool) -> None:
    found = []
    if initial and match != "NotOlderThan":
        found.append(
            errors.forbidden_field(
                "resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            )
        )
    if match and not initial:
        found.append(
            errors.forbidden_field(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            )
        )
    if found:
        raise errors.invalid("meta.k8s.io", "ListOptions", "", found)


def _timeout(text: str) -> float:
    if not text:
        return DEFAULT_TIMEOUT
    try:
        return float(int(text)) or DEFAULT_TIMEOUT
    except ValueError:
        shown = errors.go_quote(text)
        raise errors.bad_request(f"strconv.ParseInt: parsing {shown}: invalid syntax") from None
