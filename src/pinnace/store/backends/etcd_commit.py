"""Transactions on etcd, and what became of one whose answer was lost.

Each transaction is one of etcd's, many are under way at once. One that certainly was not executed is sent again. One
that may have been is sent again only if that is harmless: if it compares the revision of a key that it writes, at most
one of its copies can ever succeed. If a copy succeeds, that is the answer. If it fails its compares, an earlier copy
may be why: then the change that ended the compared revision is in the view by now, and either is this transaction's
(the same bytes under the same keys in one revision), or it is not, and this one can never succeed any more. Deletions
look the same whoever made them, so their outcome stays unknown, which is what the caller is told.
"""

from __future__ import annotations

from typing import Any

from pinnace.store.backends.etcd_client import Attempts, EtcdClient, RefusedError
from pinnace.store.backends.etcd_feed import Feed
from pinnace.store.backends.etcd_keys import Keys
from pinnace.store.backends.etcd_messages import MOD, TxnRequest
from pinnace.store.mvcc import View
from pinnace.store.protocol import (
    Committed,
    CompactedError,
    Compare,
    Delete,
    Event,
    KeyValue,
    OutcomeUnknownError,
    Put,
    Stamp,
    StoreError,
    Txn,
    UnavailableError,
    check_txn,
)

#: Operations in one level of a transaction: etcd's default is that a level and what is nested in it have at most 128.
FLAT = 128
NESTED = 64


class Commits:
    """The transactions of one store."""

    def __init__(self, client: EtcdClient, keys: Keys, view: View, feed: Feed, stamp: Stamp) -> None:
        self._client = client
        self._keys = keys
        self._view = view
        self._feed = feed
        self._stamp = stamp

    async def commit(self, txn: Txn) -> Committed:
        """As ``Store.commit``."""
        check_txn(txn)
        request = self._request(txn)
        since = self._view.revision
        answer, doubtful = await self._send(txn, request)
        revision = int(answer.header.revision)
        try:
            if self._view.revision < revision:
                await self._feed.reached(revision)
            if answer.succeeded:
                return Committed(True, revision, self._puts(txn, revision))
            return self._found(txn, since) if doubtful else Committed(False, revision)
        except (StoreError, CompactedError) as error:
            if not answer.succeeded and not doubtful:
                raise UnavailableError(str(error)) from error
            what = f"it was, at revision {revision}, but" if answer.succeeded else "and"
            raise OutcomeUnknownError(f"cannot tell what became of a write: {what} {error}") from error

    async def _send(self, txn: Txn, request: Any) -> tuple[Any, bool]:
        """etcd's answer, and whether an earlier copy of the transaction may have been executed before."""
        attempts = Attempts(self._client)
        doubtful = False
        while True:
            try:
                return await self._client.attempt("Txn", request, attempts.limit), doubtful
            except RefusedError as error:
                if doubtful:
                    raise OutcomeUnknownError(str(error)) from error
                raise
            except StoreError as error:
                doubtful = doubtful or not isinstance(error, UnavailableError)
                repeatable = not doubtful or _guard(txn) is not None
                if not repeatable or not await attempts.again(error):
                    if doubtful:
                        raise OutcomeUnknownError(f"cannot tell what became of a write: {error}") from error
                    raise

    def _request(self, txn: Txn) -> Any:
        request = TxnRequest()
        for compare in txn.compares:
            request.compare.add(target=MOD, key=self._keys.there(compare.key), mod_revision=compare.mod_revision)
        writes = txn.writes
        if len(writes) <= FLAT:
            self._add(request, writes)
        else:
            for at in range(0, len(writes), NESTED):
                self._add(request.success.add().request_txn, writes[at : at + NESTED])
        return request

    def _add(self, request: Any, writes: Any) -> None:
        for write in writes:
            operation = request.success.add()
            key = self._keys.there(write.key)
            if isinstance(write, Put):
                self._stamp(write.value, 0)  # what it refuses must not get into etcd
                operation.request_put.key = key
                operation.request_put.value = write.value
            else:
                operation.request_delete_range.key = key

    def _puts(self, txn: Txn, revision: int) -> list[KeyValue]:
        """What the view holds of the transaction that was committed at ``revision``. Raises CompactedError."""
        found: list[KeyValue] = []
        for write in txn.writes:
            if not isinstance(write, Put):
                continue
            item = self._view.current.get(write.key)
            if item is None or item.mod_revision != revision:
                item = self._view.get(write.key, revision)
            assert item is not None
            found.append(item)
        return found

    def _found(self, txn: Txn, since: int) -> Committed:
        """The outcome of a transaction of which a copy may have been committed after ``since``, and of which no copy
        can be any more. Raises CompactedError if the view does not know, OutcomeUnknownError if nobody can."""
        guard = _guard(txn)
        assert guard is not None
        if since < self._view.compacted:
            raise CompactedError(self._view.compacted)
        for event in self._view.events(guard.key, guard.key + "\0", since):
            if (event.previous.mod_revision if event.previous is not None else 0) == guard.mod_revision:
                if not self._is(txn, event):
                    break
                if not any(isinstance(write, Put) for write in txn.writes):
                    raise OutcomeUnknownError(f"deleted at revision {event.revision}, by this request or by another")
                return Committed(True, event.revision, self._puts(txn, event.revision))
        return Committed(False, self._view.revision)

    def _is(self, txn: Txn, event: Event) -> bool:
        """Whether the revision of ``event`` holds just what ``txn`` writes."""
        revision = event.revision
        for write in txn.writes:
            item = self._view.get(write.key, revision)
            if isinstance(write, Delete):
                if item is not None:
                    return False
            elif item is None or item.mod_revision != revision or item.value != self._stamp(write.value, revision):
                return False
        return True


def _guard(txn: Txn) -> Compare | None:
    """A compare that fails once ``txn`` has been executed; None if there is none."""
    written = {write.key for write in txn.writes if isinstance(write, Put)}
    removed = {write.key for write in txn.writes if isinstance(write, Delete)}
    for compare in txn.compares:
        if compare.key in written or (compare.mod_revision and compare.key in removed):
            return compare
    return None
