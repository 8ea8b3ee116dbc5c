"""The view of an etcd cluster: loaded once, then kept equal to it by one watch.

Loading begins in the past, at the oldest revision that etcd still has or ``HISTORY`` revisions ago, and the watch
replays what came after it. So a restarted server, or a second one, knows the same history as the first: revisions in
the past can be read, and watches resume, on any of them.

The watch is begun again after ``view.revision`` whenever it breaks. If etcd has compacted that away meanwhile, the
state is read anew and compared: watchers get the difference as events (a key that was deleted and created again gets
both), and the view is compacted there, since what happened in between is not known.

``reach`` waits until the view holds a revision. That may be one that changed nothing under the prefix, which the watch
does not tell of; progress requests cannot be trusted to come after the events they speak of (etcd before 3.4.25 and
3.5.8). So if the watch stays silent for a moment, a key beside the objects is written, and that does come in order.

Rule: the view changes in ``_take`` and ``_compare`` only, followed at once by the watchers.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any, TypeVar

import grpc
import grpc.aio

from pinnace.core.clock import Timer
from pinnace.core.cooperate import breathe
from pinnace.core.supervisor import Tasks
from pinnace.store.backends.etcd_client import ATTEMPT, LONGEST_PAUSE, PATIENCE, PAUSE, EtcdClient, RefusedError
from pinnace.store.backends.etcd_keys import Keys
from pinnace.store.backends.etcd_messages import DELETE, RangeRequest, TxnRequest, WatchRequest
from pinnace.store.mvcc import View
from pinnace.store.protocol import Event, KeyValue, Stamp, StoreError, UnavailableError

log = logging.getLogger(__name__)
T = TypeVar("T")
_revision_of: Callable[[Event], int] = attrgetter("revision")

#: Most revisions of history that are loaded.
HISTORY = 5_000
#: Events taken in at once.
SLICE = 200
#: Keys per page.
PAGE = 1_000
#: Seconds that a watch may be silent about a revision that is waited for. Fewer for some time after writes elsewhere
#: in etcd were why.
SILENCE, FOREIGN_SILENCE = 0.1, 0.002
FOREIGN_SECONDS = 60.0


class _CompactedError(Exception):
    """The watch asked for what etcd no longer has."""

    def __init__(self, oldest: int) -> None:
        super().__init__(f"etcd has been compacted to revision {oldest}")
        self.oldest = oldest


class _ForeignError(StoreError):
    """Somebody else keeps objects where ours are."""


class _ReplacedError(StoreError):
    """This is not the etcd that was loaded."""


def _in_slices(items: Sequence[T], revision_of: Callable[[T], int]) -> Iterator[Sequence[T]]:
    """``items``, in order of their revisions, some at a time but never a part of a revision."""
    start = 0
    while start < len(items):
        end = start + SLICE
        while end < len(items) and revision_of(items[end]) == revision_of(items[end - 1]):
            end += 1
        yield items[start:end]
        start = end


class Feed:
    """See the module's docstring. ``applied`` is called with each batch of events once it is in the view."""

    def __init__(
        self, client: EtcdClient, keys: Keys, view: View, stamp: Stamp, applied: Callable[[Sequence[Event]], None]
    ) -> None:
        self._client = client
        self._keys = keys
        self._view = view
        self._stamp = stamp
        self._applied = applied
        self._cluster = 0
        #: Why this store can never serve again (it is another database now); None as long as it can.
        self.broken: str | None = None
        self._tasks = Tasks("etcd", client.clock)
        self._call: Any = None  # the watch
        self._switching = False  # it is being ended because another endpoint is to be used
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []  # a heap
        self._order = itertools.count()
        self._timer: Timer | None = None
        self._stuck_at = 0  # the lowest revision waited for when the timer was set, and since when it is
        self._stuck_since = 0.0
        self._foreign_until = 0.0
        self._following = False
        self._nudging: asyncio.Task[Any] | None = None
        client.on_switch = self._switch

    # -- beginning and end

    async def open(self) -> None:
        """Load the view and go on feeding it. Raises StoreError."""
        header = await self._client.revision()
        self._cluster = header.cluster_id
        base = max(1, header.revision - HISTORY)
        while True:
            try:
                base, items = await self._load(base)
                break
            except RefusedError as error:
                if error.code is not grpc.StatusCode.OUT_OF_RANGE:
                    raise
                base = await self._oldest(base)
        self._view.restore(items, base)
        self._tasks.spawn(self._run(), name="watch")
        await self.reach(header.revision)

    async def stop(self) -> None:
        await self._tasks.stop()
        if self._timer is not None:
            self._timer.cancel()
        self._fail(UnavailableError("the store is closed"))

    async def _load(self, revision: int) -> tuple[int, list[KeyValue]]:
        """The state at ``revision`` (0: now), page by page, and that revision."""
        items: list[KeyValue] = []
        start = self._keys.start
        while True:
            asked = RangeRequest(key=start, range_end=self._keys.end, limit=PAGE, revision=revision)
            answer = await self._client.read("Range", asked)
            revision = revision or answer.header.revision
            for raw in answer.kvs:
                key = self._keys.here(raw.key)
                if key is not None:
                    items.append(self._item(key, raw))
            if not answer.more:
                return revision, items
            start = answer.kvs[-1].key + b"\0"

    async def _oldest(self, revision: int) -> int:
        """The oldest revision that etcd still has, where ``revision`` is compacted."""
        call = self._client.endpoint.stream("Watch")
        try:
            await call.write(self._watch_from(revision))
            async for answer in call:
                if answer.canceled and answer.compact_revision:
                    return int(answer.compact_revision)
        except grpc.aio.AioRpcError as error:
            raise UnavailableError(f"etcd: {error.details()}") from error
        finally:
            call.cancel()
        raise UnavailableError("etcd ended a watch without saying why")

    def _item(self, key: str, raw: Any) -> KeyValue:
        """Raises _ForeignError."""
        revision = raw.mod_revision
        try:
            value = self._stamp(raw.value, revision)
        except ValueError as error:
            raise _ForeignError(f"what etcd holds under {raw.key.decode()} cannot be read: {error}") from error
        return KeyValue(key, value, raw.create_revision, revision, raw.version)

    # -- following

    async def _run(self) -> None:
        pause = PAUSE
        behind = False  # etcd no longer has what comes next
        while self.broken is None:
            endpoint = self._client.endpoint
            try:
                self._check(await self._client.revision())
                if behind:
                    await self._relist()
                    behind = False
                pause = PAUSE
                await self._follow(endpoint)
            except _CompactedError as error:
                log.warning("%s, newer than what was seen last: reading everything anew", error)
                behind = True
            except (_ForeignError, _ReplacedError) as error:
                self._break(str(error))
            except StoreError as error:
                log.info("the watch of etcd waits: %s", error)
            except grpc.aio.AioRpcError as error:
                log.info("the watch of etcd at %s ended: %s", endpoint.address, error.details())
                self._client.blame(endpoint)
            except Exception as error:
                log.exception("the view of etcd cannot go on")
                self._break(f"what etcd holds cannot be read ({error}): restart Pinnace")
            await self._client.clock.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _check(self, header: Any) -> None:
        """Raises _ReplacedError for another database than the one that was loaded: its revisions mean other things."""
        if header.cluster_id != self._cluster:
            raise _ReplacedError("etcd is another cluster now (restored from a backup?): restart Pinnace")
        if header.revision < self._view.revision:
            raise _ReplacedError(
                f"etcd has gone back from revision {self._view.revision} to {header.revision} (restored from a "
                "backup?): restart Pinnace"
            )

    def _break(self, why: str) -> None:
        log.error("%s", why)
        self.broken = why
        self._fail(StoreError(why))

    def _watch_from(self, revision: int) -> Any:
        request = WatchRequest()
        wanted = request.create_request
        wanted.key, wanted.range_end = self._keys.start, self._keys.end
        wanted.start_revision = revision
        wanted.progress_notify = True
        return request

    async def _follow(self, endpoint: Any) -> None:
        """Feed the view until the watch ends. Raises AioRpcError, _CompactedError."""
        self._switching = False
        self._call = call = endpoint.stream("Watch")
        try:
            await call.write(self._watch_from(self._view.revision + 1))
            async for answer in call:
                if answer.events:
                    for events in _in_slices(answer.events, lambda event: int(event.kv.mod_revision)):
                        self._take(events)
                        if len(events) < len(answer.events):
                            await breathe()
                elif answer.canceled:
                    if answer.compact_revision:
                        raise _CompactedError(answer.compact_revision)
                    raise UnavailableError(f"etcd at {endpoint.address} ended the watch: {answer.cancel_reason}")
                elif answer.created:
                    self._following = True
                elif answer.header.revision > self._view.revision:
                    self._advance([], answer.header.revision)
            raise UnavailableError(f"etcd at {endpoint.address} ended the watch")
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._switching or (task is not None and task.cancelling()):
                raise
        finally:
            self._following = False
            self._call = None
            call.cancel()

    def _switch(self) -> None:
        if self._call is not None:
            self._switching = True
            self._call.cancel()

    def _take(self, changes: Iterable[Any]) -> None:
        view = self._view
        current, revision = view.current, view.revision
        known = revision
        events: list[Event] = []
        batch: dict[str, KeyValue | None] = {}  # what the events so far say
        for change in changes:
            raw = change.kv
            if raw.mod_revision <= known:
                continue
            revision = raw.mod_revision
            key = self._keys.here(raw.key)
            if key is None:
                continue
            old = batch[key] if key in batch else current.get(key)
            if change.type == DELETE:
                if old is None:
                    continue
                new = None
            else:
                new = self._item(key, raw)
            batch[key] = new
            events.append(Event(key, revision, new, old))
        self._advance(events, revision)

    def _advance(self, events: Sequence[Event], revision: int) -> None:
        if revision > self._view.revision:
            self._view.apply(events, revision)
            self._applied(events)
            self._wake()

    async def _relist(self) -> None:
        """Find out what has changed, where etcd no longer tells. Raises StoreError."""
        revision, items = await self._load(0)
        for events in _in_slices(self._compare({item.key: item for item in items}, revision), _revision_of):
            self._advance(events, events[-1].revision)
            await breathe()
        self._advance([], revision)
        self._view.compact(revision)

    def _compare(self, found: dict[str, KeyValue], revision: int) -> list[Event]:
        """Events that lead from the view to ``found``, the state at ``revision``. A deletion that was not seen gets the
        newest revision at which it can have happened."""
        current = self._view.current
        events = [Event(key, revision, None, old) for key, old in current.items() if key not in found]
        for key, new in found.items():
            old = current.get(key)
            if old is not None and old.mod_revision == new.mod_revision:
                continue
            if old is not None and old.create_revision != new.create_revision:
                events.append(Event(key, new.create_revision - 1, None, old))
                old = None
            events.append(Event(key, new.mod_revision, new, old))
        events.sort(key=lambda event: event.revision)
        return events

    # -- waiting

    async def reach(self, revision: int) -> None:
        """Return once the view holds ``revision``, which etcd has. Raises StoreError after a while."""
        if self._view.revision < revision:
            await self.reached(revision)

    def reached(self, revision: int) -> asyncio.Future[None]:
        """Done when the view holds ``revision``; fails with StoreError after a while."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.broken is not None:
            future.set_exception(StoreError(self.broken))
            return future
        heapq.heappush(self._waiting, (revision, next(self._order), future))
        if self._timer is None:
            self._stuck_since = self._client.clock.monotonic()
            self._set_timer()
        return future

    def _set_timer(self) -> None:
        clock = self._client.clock
        self._stuck_at = self._waiting[0][0]
        silence = FOREIGN_SILENCE if clock.monotonic() < self._foreign_until else SILENCE
        self._timer = clock.call_later(silence, self._silent)

    def _silent(self) -> None:
        """The timer has fired: is what was waited for then still not there?"""
        self._timer = None
        now = self._client.clock.monotonic()
        if self._view.revision >= self._stuck_at:
            self._stuck_since = now
        elif now - self._stuck_since > PATIENCE:
            self._fail(UnavailableError("etcd answers, but its watch is silent"))
        elif self._following and self._nudging is None:
            self._nudging = self._tasks.spawn(self._nudge(self._stuck_at), name="nudge")
        if self._waiting:
            self._set_timer()

    async def _nudge(self, revision: int) -> None:
        request = TxnRequest()
        put = request.success.add().request_put
        put.key = self._keys.internal("progress")
        try:
            await self._client.attempt("Txn", request, ATTEMPT)
            await self.reach(revision)
            self._foreign_until = self._client.clock.monotonic() + FOREIGN_SECONDS
        except StoreError as error:
            log.info("cannot make etcd's watch speak: %s", error)
        finally:
            self._nudging = None

    def _wake(self) -> None:
        waiting, revision = self._waiting, self._view.revision
        while waiting and waiting[0][0] <= revision:
            future = heapq.heappop(waiting)[2]
            if not future.done():
                future.set_result(None)

    def _fail(self, error: StoreError) -> None:
        waiting, self._waiting = self._waiting, []
        for _, _, future in waiting:
            if not future.done():
                future.set_exception(error)
