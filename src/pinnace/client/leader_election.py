"""Leader election on a Lease: of many processes that may do a work, one at a time does it.

As client-go does it: who sees a Lease that has not changed for its duration, by the own clock, may take it; the holder
renews it every ``RETRY_PERIOD`` seconds and gives up when it could not for ``RENEW_DEADLINE``, which is before anybody
else may take it. So clocks need not agree, only run at about the same speed. Writes carry the resourceVersion that was
read: of two takers one wins.

    holder   renews ... renews --- cannot ---------- 10 s: stops
    another                    sees no change --------------------- 15 s: takes it
"""

from __future__ import annotations

import logging
from random import Random

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_reason
from pinnace.api.resources import LEASES
from pinnace.api.types import Object
from pinnace.client.client import Client
from pinnace.client.recorder import NORMAL, Recorder
from pinnace.core.backoff import jitter
from pinnace.core.clock import Clock, timeout, timestamp_micro

log = logging.getLogger(__name__)

LEASE_DURATION = 15.0
RENEW_DEADLINE = 10.0
RETRY_PERIOD = 2.0
#: Retries come up to this fraction of the period later, so that candidates do not ask all at once.
_SPREAD = 1.2


class LeaderElector:
    """One candidate for the Lease ``namespace/name``. ``identity`` is this process's and no other's."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        recorder: Recorder,
        *,
        name: str,
        identity: str,
        namespace: str = "kube-system",
        random: Random | None = None,
    ) -> None:
        self._client = client
        self._clock = clock
        self._recorder = recorder
        self._name = name
        self._namespace = namespace
        self._identity = identity
        self._random = random or Random()
        self._observed: Object | None = None
        self._observed_at = 0.0  # when it was first seen as it is
        self._told = ""

    @property
    def is_leader(self) -> bool:
        """Whether this process held the Lease when it looked last."""
        return self._observed is not None and self._observed["spec"].get("holderIdentity") == self._identity

    async def acquire(self) -> None:
        """Return once this process is the leader."""
        while not await self._try():
            await self._clock.sleep(jitter(RETRY_PERIOD, _SPREAD, self._random), routine=True)
        message = f"{self._identity} became leader"
        log.info("%s/%s: %s", self._namespace, self._name, message)
        assert self._observed is not None
        lease = {"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", **self._observed}
        self._recorder.event(lease, NORMAL, "LeaderElection", message)

    async def hold(self) -> None:
        """Renew, and return when that has failed for ``RENEW_DEADLINE`` seconds: what the leader does must end now."""
        while True:
            await self._clock.sleep(RETRY_PERIOD, routine=True)
            try:
                async with timeout(self._clock, RENEW_DEADLINE):
                    while not await self._try():
                        if not self.is_leader:
                            return  # somebody else has it
                        await self._clock.sleep(RETRY_PERIOD)
            except TimeoutError:
                log.error("failed to renew lease %s/%s: context deadline exceeded", self._namespace, self._name)
                return

    async def release(self) -> None:
        """Let another candidate have it at once. What goes wrong is only logged: the Lease ends by itself."""
        held = self._observed
        if held is None or not self.is_leader:
            return
        now = timestamp_micro(self._clock.now())
        spec = {
            "holderIdentity": "",
            "leaseDurationSeconds": 1,
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": held["spec"].get("leaseTransitions", 0),
        }
        try:
            async with timeout(self._clock, RETRY_PERIOD):
                await self._client.update(LEASES, {**held, "spec": spec})
        except (ApiError, OSError, TimeoutError) as error:
            log.warning("cannot release lease %s/%s: %s", self._namespace, self._name, error)
        self._observed = None

    async def _try(self) -> bool:
        """Take or renew the Lease; whether this process has it now."""
        try:
            return await self._take_or_renew()
        except (ApiError, OSError, TimeoutError) as error:
            if not is_reason(error, "Conflict", "AlreadyExists"):
                log.warning("error retrieving or updating lease %s/%s: %s", self._namespace, self._name, error)
        return False

    async def _take_or_renew(self) -> bool:
        if self._observed is not None and self.is_leader:
            try:
                self._saw(await self._client.update(LEASES, self._mine(self._observed)))
                return True
            except ApiError as error:
                if not is_reason(error, "Conflict", "NotFound"):
                    raise
        try:
            held = await self._client.get(LEASES, self._name, self._namespace)
        except ApiError as error:
            if not is_reason(error, "NotFound"):
                raise
            metadata = {"name": self._name, "namespace": self._namespace}
            lease = {"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": metadata}
            self._saw(await self._client.create(LEASES, self._mine(lease)))
            return True
        self._saw(held)
        spec = held.get("spec") or {}
        holder = str(spec.get("holderIdentity") or "")
        duration = float(spec.get("leaseDurationSeconds") or 0)
        if holder and holder != self._identity and self._observed_at + duration > self._clock.monotonic():
            self._tell(holder)
            return False
        self._saw(await self._client.update(LEASES, self._mine(held)))
        self._told = ""
        return True

    def _mine(self, lease: Object) -> Object:
        """``lease`` as taken or renewed now."""
        before: Object = lease.get("spec") or {}
        now = timestamp_micro(self._clock.now())
        mine = before.get("holderIdentity") == self._identity
        transitions = int(before.get("leaseTransitions") or 0)
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(LEASE_DURATION),
            "acquireTime": before.get("acquireTime", now) if mine else now,
            "renewTime": now,
            "leaseTransitions": transitions + (1 if before and not mine else 0),
        }
        return {**lease, "spec": spec}

    def _saw(self, lease: Object) -> None:
        if self._observed is None or meta.resource_version(self._observed) != meta.resource_version(lease):
            self._observed_at = self._clock.monotonic()
        self._observed = lease

    def _tell(self, holder: str) -> None:
        if holder != self._told:
            self._told = holder
            log.info("lease %s/%s is held by %s: waiting", self._namespace, self._name, holder)
