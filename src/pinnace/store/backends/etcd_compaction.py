"""Compaction of etcd by one of all servers that use it.

Every ``interval`` seconds each server tries to put the key ``compaction`` if it still has the version that this server
saw last. One succeeds; it compacts etcd to the revision of its attempt before, which is an interval old. The others
take note of the version and try again an interval later. While nothing is written, nothing is done.
"""

from __future__ import annotations

import logging
from typing import Any

from pinnace.core.clock import Clock
from pinnace.store.backends.etcd_client import ATTEMPT, EtcdClient, RefusedError
from pinnace.store.backends.etcd_keys import Keys
from pinnace.store.backends.etcd_messages import VERSION, CompactionRequest, TxnRequest
from pinnace.store.mvcc import View
from pinnace.store.protocol import StoreError

log = logging.getLogger(__name__)


class Compaction:
    """``run`` it for ever; ``to`` compacts at once."""

    def __init__(self, client: EtcdClient, keys: Keys, view: View, clock: Clock, interval: float) -> None:
        self._client = client
        self._key = keys.internal("compaction")
        self._view = view
        self._clock = clock
        self._interval = interval
        self._version = 0  # of the key, as of the last attempt
        self._revision = 0  # of etcd then

    async def run(self) -> None:
        while True:
            await self._clock.sleep(self._interval)
            if self._view.revision <= self._revision:
                continue  # nothing has been written since
            try:
                await self.attempt()
            except StoreError as error:
                log.warning("cannot compact etcd, trying again later: %s", error)

    async def attempt(self) -> None:
        """Be the one that compacts, if it is time and nobody else was. Raises StoreError."""
        request = TxnRequest()
        request.compare.add(target=VERSION, key=self._key, version=self._version)
        put = request.success.add().request_put
        put.key, put.value = self._key, b"%d" % self._revision
        request.failure.add().request_range.key = self._key
        answer: Any = await self._client.attempt("Txn", request, ATTEMPT)
        before, self._revision = self._revision, answer.header.revision
        if not answer.succeeded:
            kvs = answer.responses[0].response_range.kvs
            self._version = kvs[0].version if kvs else 0
            return
        self._version += 1
        if before:
            await self.to(before)

    async def to(self, revision: int) -> None:
        """Have etcd forget what is older than ``revision``, unless it has. Raises StoreError."""
        try:
            await self._client.read("Compact", CompactionRequest(revision=revision))
        except RefusedError as error:
            if "has been compacted" not in str(error):
                raise
