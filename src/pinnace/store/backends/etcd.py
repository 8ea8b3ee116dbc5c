"""The store on an etcd cluster (3.4 or newer), which other servers may use at the same time.

Revisions are etcd's own. Values are kept there without their revision, which is not known before they are committed,
and are stamped when they enter the view. Reads and watches are the view's, which one watch feeds (``etcd_feed``).
``commit`` is one transaction of etcd's (``etcd_commit``) and returns when the view holds it. ``sync`` is one
linearizable read for everybody who waits for it: a call is served by the first read that begins after it.

This server's history is bounded as any store's, by ``Policy``; etcd's is cut by one of the servers
(``etcd_compaction``).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from pinnace.core.clock import Clock
from pinnace.core.cooperate import breathe
from pinnace.core.supervisor import Tasks
from pinnace.store.backends.etcd_client import Attempts, EtcdClient, RefusedError
from pinnace.store.backends.etcd_commit import Commits
from pinnace.store.backends.etcd_compaction import Compaction
from pinnace.store.backends.etcd_feed import Feed
from pinnace.store.backends.etcd_keys import Keys
from pinnace.store.backends.etcd_messages import StatusRequest
from pinnace.store.backends.etcd_options import EtcdOptions
from pinnace.store.compactor import Compactor, Policy
from pinnace.store.mvcc import View
from pinnace.store.packer import Packer
from pinnace.store.protocol import Committed, Event, Stamp, StoreError, Txn
from pinnace.store.reads import Reads

#: The oldest etcd that has all that is used here.
OLDEST = (3, 4)
#: Events freed in one go by a compaction.
SLICE = 200


class EtcdStore(Reads):
    """Implements ``protocol.Store``. ``open_etcd`` makes it."""

    def __init__(
        self, client: EtcdClient, keys: Keys, *, stamp: Stamp, clock: Clock, policy: Policy | None = None
    ) -> None:
        policy = policy or Policy()
        self._client = client
        super().__init__(View())
        self._feed = Feed(client, keys, self._view, stamp, self._applied)
        self._commits = Commits(client, keys, self._view, self._feed, stamp)
        self._packer = Packer(self._view, clock)
        self._compactor = Compactor(self._view, clock, policy, self._forget)
        self._compaction = Compaction(client, keys, self._view, clock, policy.max_age)
        self._forgetting = asyncio.Lock()
        self._tasks = Tasks("etcd-store", clock)
        self._waiting: list[asyncio.Future[int]] = []  # for the next read
        self._reading = False
        self._at_work = 0  # commits
        self._idle = asyncio.Event()
        self._idle.set()

    async def open(self) -> None:
        """Raises StoreError."""
        await self._feed.open()
        self._tasks.spawn(self._compaction.run(), name="compaction")
        self._compactor.changed()

    @property
    def refusal(self) -> str | None:
        if self._closed:
            return "the store is closed"
        return self._feed.broken or self._client.sick

    # -- reading what others have written

    async def sync(self) -> int:
        self._check()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        self._waiting.append(future)
        if not self._reading:
            self._reading = True
            # Not at once: whoever else became ready in this turn of the loop joins.
            loop.call_soon(self._read_later)
        return await future

    def _read_later(self) -> None:
        self._tasks.spawn(self._read(), name="sync")

    async def _read(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            try:
                revision = (await self._client.revision()).revision
                if self._view.revision < revision:
                    self._tell_when(revision, waiting)
                else:
                    _tell(waiting, None, self._view.revision)
            except StoreError as error:
                _tell(waiting, error, 0)
            except BaseException:
                _tell(waiting, StoreError("the store is closed"), 0)
                raise
        self._reading = False

    def _tell_when(self, revision: int, waiting: list[asyncio.Future[int]]) -> None:
        """Answer ``waiting`` when the view holds ``revision``; the next read need not wait for that."""

        def reached(future: asyncio.Future[None]) -> None:
            error = None if future.cancelled() else future.exception()
            _tell(waiting, error, self._view.revision)

        self._feed.reached(revision).add_done_callback(reached)

    # -- writing

    async def commit(self, txn: Txn) -> Committed:
        self._check()
        self._at_work += 1
        self._idle.clear()
        try:
            return await self._commits.commit(txn)
        finally:
            self._at_work -= 1
            if not self._at_work:
                self._idle.set()

    def _check(self) -> None:
        if self._closed or self._feed.broken is not None:
            raise StoreError(self._feed.broken or "the store is closed")

    def _applied(self, events: Sequence[Event]) -> None:
        if events:
            self._watchers.dispatch(events)
            self._compactor.changed()
            self._packer.changed()

    # -- forgetting

    async def compact(self, revision: int) -> None:
        self._check()
        self._view.check(revision)
        if revision > self._view.compacted:
            await self._compaction.to(revision)
        await self._forget(revision)

    async def _forget(self, revision: int) -> None:
        """In this process."""
        async with self._forgetting:
            if revision > self._view.compacted:
                self._view.compact(revision)
            while self._view.trim(SLICE) is not None:
                await breathe()

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._packer.stop()
        await self._compactor.stop()
        await self._idle.wait()
        self._watchers.close()
        await self._tasks.stop()
        await self._feed.stop()
        await self._client.close()


def _tell(waiting: list[asyncio.Future[int]], error: BaseException | None, revision: int) -> None:
    for future in waiting:
        if future.done():
            continue
        if error is None:
            future.set_result(revision)
        else:
            future.set_exception(error)


async def open_etcd(
    addresses: Sequence[str],
    *,
    options: EtcdOptions,
    stamp: Stamp,
    clock: Clock,
    policy: Policy | None = None,
) -> EtcdStore:
    """The store in the etcd cluster whose members are at ``addresses`` (host:port). Raises StoreError: it cannot be
    reached or trusted, refuses access, is too old, or is full."""
    keys = Keys(options.prefix, options.root)
    client = EtcdClient(addresses, options, clock, probe=keys.internal("progress"))
    store: EtcdStore | None = None
    try:
        await _greet(client, options)
        store = EtcdStore(client, keys, stamp=stamp, clock=clock, policy=policy)
        await store.open()
        return store
    except BaseException as error:
        await (client if store is None else store).close()
        if isinstance(error, RefusedError):
            raise StoreError(_refused(error, options)) from error
        raise


async def _greet(client: EtcdClient, options: EtcdOptions) -> None:
    """Find a member that answers and see whether it will do."""
    attempts = Attempts(client)
    while True:
        endpoint = client.endpoint
        try:
            status = await client.attempt("Status", StatusRequest(), attempts.limit)
            break
        except RefusedError:
            raise
        except StoreError as error:
            advice, hopeless = _advice(str(error), options)
            if hopeless or not await attempts.again(error):
                raise StoreError(f"cannot use {error}{advice}") from error
    version = re.match(r"(\d+)\.(\d+)", status.version)
    if version is None or (int(version[1]), int(version[2])) < OLDEST:
        raise StoreError(f"etcd at {endpoint.address} is version {status.version or 'unknown'}: 3.4 or newer is needed")
    if full := [text for text in status.errors if "NOSPACE" in text]:
        raise StoreError(
            f"etcd at {endpoint.address} takes no writes, its database is full ({full[0].strip()}): compact and "
            "defragment it, or raise its --quota-backend-bytes, then run 'etcdctl alarm disarm'"
        )


def _advice(message: str, options: EtcdOptions) -> tuple[str, bool]:
    """What to do about a connection that does not come about, and whether it surely will not by itself."""
    broken = "Socket closed" in message or "reset by peer" in message
    if not options.tls:
        return (": it seems to want TLS; give --etcd-cafile" if broken else ""), False
    if "WRONG_VERSION_NUMBER" in message or "Handshake read failed" in message:
        return ": it does not speak TLS there; leave out --etcd-cafile, --etcd-certfile and --etcd-keyfile", True
    if "TSI_DATA_CORRUPTED" in message or broken:
        return ": it wants another client certificate; give --etcd-certfile and --etcd-keyfile", not broken
    if "SSL_ERROR" in message or "handshake" in message.lower():
        return f": its certificate is not of the authority in {options.ca or 'the system'}, or for another name", True
    return "", False


def _refused(error: RefusedError, options: EtcdOptions) -> str:
    return (
        f"{error}: access is refused; give a client certificate (--etcd-certfile, --etcd-keyfile) of an etcd user that "
        f"may read and write {options.prefix}"
    )
