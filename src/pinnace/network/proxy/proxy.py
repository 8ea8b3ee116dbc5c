"""The Service proxy of a node: what Services, EndpointSlices and Pods' host ports ask for, kept in the kernel's tables.

At start the whole table is replaced in one transaction; from then on only differences go to the kernel, at once for
the first change and together for those that come in while a transaction runs. If the kernel refuses a difference
(someone else emptied the table), the whole table is replaced again, after a back-off. Everything that blocks runs in
one thread, in order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from pinnace.api import meta
from pinnace.api.resources import ENDPOINT_SLICES, PODS, SERVICES
from pinnace.api.types import Object
from pinnace.client.informer import Informers
from pinnace.core.backoff import Backoff
from pinnace.core.clock import Clock
from pinnace.core.cooperate import breathe
from pinnace.core.supervisor import Tasks
from pinnace.network import conntrack
from pinnace.network.proxy import firewall, health, hostports, nft, skeleton
from pinnace.network.proxy.book import Book
from pinnace.network.proxy.chains import Chains
from pinnace.network.proxy.fronts import Place
from pinnace.network.proxy.health import HealthServers
from pinnace.network.proxy.skeleton import Layout
from pinnace.network.proxy.table import Change, Element
from pinnace.network.slices import index_by_service, service_of, slices_of

log = logging.getLogger(__name__)
T = TypeVar("T")

#: Changes computed before the event loop gets its turn, and slices of a Service from which on a thread computes it.
TURN, LARGE = 20, 4
#: Seconds between two looks whether the table is still there.
CHECK = 30.0


class Proxy:
    """In the network namespace of the thread that starts it."""

    def __init__(self, informers: Informers, clock: Clock, layout: Layout, place: Place) -> None:
        self._node = place.node
        self._informers = informers
        self._clock = clock
        self._layout = layout
        self._tasks = Tasks("proxy", clock)
        self._backoff = Backoff(base=0.1, cap=30.0)
        self._book = Book(place)
        self._chains = Chains()  # the table has them, or will when it is next replaced
        self._services_changed: set[str] = set()
        self._slices_changed: dict[str, set[str]] = {}  # by Service
        self._pods_changed: set[str] = set()
        self._wakeup = asyncio.Event()
        self._health = HealthServers(clock)
        self._gone: set[conntrack.Gone] = set()  # ways that ended, their connections not yet forgotten
        self._intact = False  # whether the kernel holds what the book says
        self._missing = False  # the table was, when someone looked
        self._thread: ThreadPoolExecutor | None = None
        self._nft: nft.Nft | None = None
        #: Once stopped: whether other tools rely on the host's forwarding.
        self.others_forward = False
        #: Set while the kernel holds all that the caches hold.
        self.current = asyncio.Event()

    async def start(self) -> None:
        """Return once the kernel holds the rules of everything that was there. Raises NftError."""
        services = self._informers.of(SERVICES)
        slices = self._informers.of(ENDPOINT_SLICES)
        index_by_service(slices)
        self._services, self._slices = services, slices
        self._pods = self._informers.of(PODS, field_selector=f"spec.nodeName={self._node}")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="nftables")
        self._nft = await self._blocking(nft.Nft)
        await self._blocking(partial(firewall.let_through, self._nft, self._layout))
        services.add_handler(self._service_changed)
        slices.add_handler(self._slice_changed)
        self._pods.add_handler(self._pod_changed)
        for informer in (services, slices, self._pods):
            await informer.synced.wait()
        await self._sync()
        self._tasks.forever(self._run, name="sync")
        self._tasks.forever(self._check, name="check")

    async def stop(self) -> None:
        """Remove the table. Idempotent."""
        await self._tasks.stop()
        self._health.close()
        thread, ruleset = self._thread, self._nft
        self._thread = self._nft = None
        if thread is None:
            return
        try:
            if ruleset is not None:
                self.others_forward = await asyncio.get_running_loop().run_in_executor(thread, remove, ruleset)
                ruleset.close()
        finally:
            thread.shutdown(wait=False)

    async def _blocking(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    # -- what changed

    def _service_changed(self, old: Object | None, new: Object | None) -> None:
        self._services_changed.add(meta.key(new or old or {}))
        self._wake()

    def _slice_changed(self, old: Object | None, new: Object | None) -> None:
        for slice in (old, new):
            if slice is not None and (service := service_of(slice)):
                self._slices_changed.setdefault(service, set()).add(meta.key(slice))
                self._wake()

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        pod = new if new is not None else old
        if pod is not None and (hostports.wants(old) or hostports.wants(new)):
            self._pods_changed.add(meta.key(pod))
            self._wake()

    def _wake(self) -> None:
        self.current.clear()
        self._wakeup.set()

    @property
    def _behind(self) -> int:
        return len(self._services_changed) + len(self._slices_changed) + len(self._pods_changed)

    # -- into the kernel

    async def _run(self) -> None:
        while True:
            await self._wakeup.wait()
            try:
                await self._sync()
            except (nft.NftError, OSError) as error:
                delay = self._backoff.next("")
                log.error("the kernel's rules could not be changed, trying again in %.1f s: %s", delay, error)
                await self._clock.sleep(delay)
                self._wakeup.set()

    async def _sync(self) -> None:
        """Bring the kernel to what the caches say. Raises NftError, OSError; call again then."""
        self._wakeup.clear()
        change, replace = Change(), not self._intact or self._missing
        self._intact = self._missing = False  # until the kernel has all that the book takes over now
        checks: dict[str, tuple[int, health.Check] | None] = {}
        for number in range(self._behind):  # those that come meanwhile are the next transaction's
            change.extend(await self._next(checks))
            if number % TURN == TURN - 1:
                await breathe()
        await self._health.update(checks)
        chains = self._chains.covering(change.add.values())
        if change or replace:
            await self._write(change, chains, replace=replace or chains != self._chains)
        self._intact = True
        if not self._behind:
            self.current.set()

    async def _next(self, checks: dict[str, tuple[int, health.Check] | None]) -> Change:
        """Take over one of the changes that wait, and note what its Service answers to health checks."""
        if self._pods_changed:
            key = self._pods_changed.pop()
            return self._book.pod(key, self._pods.by_key(key))
        if self._services_changed:  # before its slices, which are then known
            key = self._services_changed.pop()
            change = await self._service(key)
        else:
            key = next(iter(self._slices_changed))  # the one that waits longest
            names = self._slices_changed.pop(key)
            changed = {name: self._slice(key, name) for name in names}
            change = (
                self._book.slices(key, changed)
                if len(changed) < LARGE
                else await self._blocking(partial(self._book.slices, key, changed))
            )
        checks[key] = self._check_of(key)
        return change

    async def _service(self, key: str) -> Change:
        slices = slices_of(self._slices, key)
        named = {} if key in self._book else {meta.key(slice): slice for slice in slices}
        work = partial(self._book.service, key, self._services.by_key(key), named)
        return work() if len(slices) < LARGE else await self._blocking(work)

    def _slice(self, service: str, name: str) -> Object | None:
        """As it is now, if it is that Service's."""
        slice = self._slices.by_key(name)
        return slice if slice is not None and service_of(slice) == service else None

    async def _write(self, change: Change, chains: Chains, *, replace: bool) -> None:
        self._gone = (self._gone | ways(change.remove) | newly_served(change)) - ways(change.add)
        if replace:
            self._chains = chains
            await self._apply(lambda: skeleton.full(self._layout, self._book.elements(), chains))
        else:
            await self._apply(lambda: skeleton.commands(change))
        self._intact = True
        self._backoff.forget("")
        if gone := frozenset(self._gone):
            await self._blocking(lambda: conntrack.forget_udp(gone))
            self._gone -= gone

    def _check_of(self, key: str) -> tuple[int, health.Check] | None:
        service = self._services.by_key(key)
        if service is None or not service["spec"].get("healthCheckNodePort"):
            return None
        return health.check(service, self._book.local(key))

    async def _apply(self, commands: Callable[[], str]) -> None:
        ruleset = self._nft
        assert ruleset is not None
        await self._blocking(lambda: ruleset.run(commands()))

    async def _check(self) -> None:
        """Notice that someone else removed the table, or set up a firewall."""
        seen = -1
        while True:
            await self._clock.sleep(CHECK)
            if self._nft is None or not self._intact or (now := nft.generation()) == seen:
                continue
            seen = now
            try:
                await self._blocking(partial(firewall.let_through, self._nft, self._layout))
                await self._blocking(partial(self._nft.run, f"list chain {skeleton.TABLE} dispatch"))
            except nft.NftError as error:
                log.warning("the table '%s' is gone and is made again: %s", skeleton.TABLE, error)
                self._missing = True
                self._wakeup.set()


def remove(ruleset: nft.Nft) -> bool:
    """Take everything out of the kernel; whether other tools' rules for forwarding remain. Blocks. Raises NftError."""
    ruleset.run(skeleton.removal())
    firewall.remove(ruleset)
    return firewall.forwards_for_others(ruleset)


def ways(elements: Mapping[Element, str]) -> set[conntrack.Gone]:
    """The ways that UDP packets take by these elements. Pure."""
    found: set[conntrack.Gone] = set()
    for (of, key), value in elements.items():
        if not of.endswith(("endpoints", "sticky")) or "udp" not in key:
            continue
        parts = key.split(" . ")
        address = "" if "nodeport" in of else parts[0]
        found.add(conntrack.Gone(address, int(parts[-2]), value.partition(" . ")[0]))
    return found


def newly_served(change: Change) -> set[conntrack.Gone]:
    """UDP packets to what had no endpoints, and has now, may have made connections that lead nowhere. Pure."""
    found: set[conntrack.Gone] = set()
    for element in change.add.keys() - change.remove.keys():
        parts = element.key.split(" . ")
        if element.of in ("services", "inside") and parts[1] == "udp":
            found.add(conntrack.Gone(parts[0], int(parts[2]), conntrack.NOWHERE))
        elif element.of in ("nodeports", "inside_nodeports") and parts[0] == "udp":
            found.add(conntrack.Gone("", int(parts[1]), conntrack.NOWHERE))
    return found
