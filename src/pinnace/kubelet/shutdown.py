"""Graceful node shutdown: Pods end in good order before the machine does.

When logind is about to shut the machine down, Pods end group by group, the least important first, each group within
its period; the API server learns why. logind waits for it because a lock says so (``systemd-inhibit``, as long as its
configuration allows: ``InhibitDelayMaxSec``). A stop, restart or kill of Pinnace is no shutdown of the node.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Sequence

from pinnace.api import meta
from pinnace.api.errors import ApiError
from pinnace.api.types import Object
from pinnace.core.clock import Clock, timeout
from pinnace.kubelet.lifecycle.situation import Waiting
from pinnace.kubelet.node import NodeAgent
from pinnace.kubelet.pods.gate import Gate
from pinnace.kubelet.pods.manager import PodManager
from pinnace.kubelet.pods.worker import PodWorker

log = logging.getLogger(__name__)

WHY = Waiting("Terminated", "Pod was terminated in response to imminent node shutdown.")
PROBLEM = "node is shutting down"
#: Seconds before a listener that ended is started again, and between two looks at Pods that end.
AGAIN, LOOK = 30.0, 0.05
#: Seconds to tell the API server how the Pods ended.
WRITE = 5.0
MATCH = ",".join(
    (
        "type='signal'",
        "interface='org.freedesktop.login1.Manager'",
        "path='/org/freedesktop/login1'",
        "member='PrepareForShutdown'",
    )
)
#: Holds the lock for as long as the listener inside it runs; both end with this process.
LISTENER = (
    "setpriv",
    "--pdeathsig=TERM",
    "systemd-inhibit",
    "--what=shutdown",
    "--mode=delay",
    "--who=kubelet",
    "--why=Kubelet needs time to handle node shutdown",
    "busctl",
    "--system",
    "--json=short",
    f"--match={MATCH}",
    "monitor",
)


def groups(periods: Sequence[tuple[int, int]], pods: Sequence[Object]) -> list[tuple[int, list[Object]]]:
    """Seconds and Pods of each group, in the order in which they end. ``periods`` are priorities, the lowest first,
    with seconds: each is for Pods of at least that priority, the first for those below it too."""
    found: list[tuple[int, list[Object]]] = [(seconds, []) for _, seconds in periods]
    for pod in pods:
        priority = int(pod["spec"].get("priority") or 0)
        position = max((n for n, (least, _) in enumerate(periods) if priority >= least), default=0)
        found[position][1].append(pod)
    return found


class NodeShutdown:
    def __init__(
        self,
        clock: Clock,
        periods: Sequence[tuple[int, int]],
        manager: PodManager,
        agent: NodeAgent,
        gate: Gate,
        written: Callable[[], Awaitable[None]],
    ) -> None:
        """``written()`` returns when all statuses are at the API server."""
        self._clock = clock
        self._periods = periods
        self._manager = manager
        self._agent = agent
        self._gate = gate
        self._written = written
        self._told = False

    async def run(self) -> None:
        """End the node's Pods; return when they have ended or had their time."""
        self._gate.shutting_down = True
        log.warning("the machine shuts down: the node's Pods are ended")
        try:
            await self._agent.report()
        except (ApiError, OSError, TimeoutError) as error:
            log.warning("cannot report that the node shuts down: %s", error)
        workers = {meta.uid(worker.pod): worker for worker in self._manager.workers()}
        for seconds, members in groups(self._periods, [worker.pod for worker in workers.values()]):
            await self._end([workers[meta.uid(pod)] for pod in members], seconds)
        try:
            async with timeout(self._clock, WRITE):
                await self._written()
        except TimeoutError:
            log.warning("the API server could not be told how all Pods ended")

    async def _end(self, workers: Sequence[PodWorker], seconds: int) -> None:
        for worker in workers:
            worker.fail(WHY, disruption=WHY.message, grace=float(seconds))
        deadline = self._clock.monotonic() + seconds
        while any(not worker.ended for worker in workers) and self._clock.monotonic() < deadline:
            await self._clock.sleep(LOOK)

    async def listen(self, command: Sequence[str] = LISTENER) -> None:
        """Hold logind's lock, and end the Pods when it is about to shut down; then let go of it."""
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                told = announced(line)
                if told:
                    await self.run()
                    return
                if told is False and self._gate.shutting_down:
                    log.warning("the machine does not shut down after all")
                    self._gate.shutting_down = False
                    await self._agent.report()
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGTERM)
            await process.wait()
        if not self._told:
            self._told = True
            log.warning("shutdownGracePeriod has no effect: systemd-inhibit and busctl cannot listen to a logind here")
        await self._clock.sleep(AGAIN, routine=True)


def announced(line: bytes) -> bool | None:
    """What a line of ``busctl`` tells: a shutdown begins (True), or is called off; None for anything else."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    if not isinstance(message, dict) or message.get("member") != "PrepareForShutdown":
        return None
    payload = message.get("payload")
    data = payload.get("data") if isinstance(payload, dict) else None
    return data[0] if isinstance(data, list) and len(data) == 1 and isinstance(data[0], bool) else None
