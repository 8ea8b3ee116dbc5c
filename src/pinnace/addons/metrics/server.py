"""Answers for ``metrics.k8s.io``, from the kubelets, asked when somebody asks.

Nothing is kept and nothing runs in between: an idle cluster pays nothing for it. Kubelets say how much CPU time was
used since they were last asked, if that was a second to a minute ago; where one cannot say yet it is asked again a
second later, so that the first answer is as good as every other. Who asks at the same time shares the kubelets'
answers. A kubelet that does not answer is left out, and the log says why.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import orjson

from pinnace.addons.metrics import usage
from pinnace.addons.metrics.resources import GROUP
from pinnace.addons.metrics.usage import Reading
from pinnace.api import errors, meta
from pinnace.api.errors import ApiError
from pinnace.api.resources import NODES, PODS
from pinnace.api.types import GVR, Object
from pinnace.client.client import Client
from pinnace.core.clock import Clock, timeout
from pinnace.core.cooperate import breathe

log = logging.getLogger(__name__)

#: Seconds between two looks at a counter, so that their difference says something.
APART = 1.05
#: Seconds that a kubelet's rates go back at most.
LONGEST = 60.0
#: Seconds that a kubelet may take, one that answers for many nodes, and how many are asked at the same time.
PATIENCE, MORE_PATIENCE = 10.0, 30.0
AT_ONCE = 32
#: Simulated nodes share a server, which knows of them all.
SIMULATED = "pinnace.dev/simulated"
#: Objects made between two breaths of the event loop.
SLICE = 200


class _Told(NamedTuple):
    """Readings by node, and over how many seconds they were taken."""

    readings: dict[str, Reading]
    window: float


class MetricsServer:
    """A part, and a source of computed resources (``apiserver.resources.computed``)."""

    name = "metrics"

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._asking: dict[str, asyncio.Task[_Told]] = {}
        self._asked_at: dict[str, float] = {}
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def start(self) -> None:
        """Nothing runs before somebody asks."""

    async def stop(self) -> None:
        """Whoever still waits for an answer gets none."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    async def get(self, plural: str, namespace: str, name: str) -> Object:
        """Raises ApiError NotFound for what there is not, and for what is not measured."""
        gvr = _of(plural)
        obj = await self._client.get(gvr, name, namespace)
        found = await self._measured(gvr, [obj])
        if not found:
            missing = f"{namespace}/{name}" if namespace else name
            raise errors.not_found(GROUP, "podmetrics" if gvr == PODS else "nodemetrics", missing)
        return found[0]

    async def list(self, plural: str, namespace: str, labels: str, fields: str) -> Sequence[Object]:
        """Of the Pods or nodes that the selectors choose. Raises ApiError."""
        gvr = _of(plural)
        chosen = await self._client.list(gvr, namespace, label_selector=labels, field_selector=fields)
        found = await self._measured(gvr, chosen["items"])
        return sorted(found, key=lambda obj: (meta.namespace(obj), meta.name(obj)))

    async def _measured(self, gvr: GVR, objects: Sequence[Object]) -> Sequence[Object]:
        nodes = {meta.name(node): node for node in await self._nodes(gvr, objects)}
        told = await self._told(nodes.values())
        found, now = [], self._clock.now()
        for number, obj in enumerate(objects, 1):
            answer = told.get(meta.name(obj) if gvr == NODES else obj["spec"].get("nodeName", ""))
            if answer is not None:
                make = usage.node_metrics if gvr == NODES else usage.pod_metrics
                if (made := make(obj, answer[0], now, answer[1])) is not None:
                    found.append(made)
            if number % SLICE == 0:
                await breathe()
        return found

    async def _nodes(self, gvr: GVR, objects: Sequence[Object]) -> Sequence[Object]:
        """The nodes to ask of the objects: those that are in reach."""
        if gvr == PODS:
            names = {pod["spec"].get("nodeName") for pod in objects} - {None, ""}
            if len(names) == 1:
                objects = (await self._client.list(NODES, field_selector=f"metadata.name={names.pop()}"))["items"]
            else:
                objects = [n for n in (await self._client.list(NODES))["items"] if meta.name(n) in names]
        return [node for node in objects if meta.has_condition(node, "Ready")]

    async def _told(self, nodes: Iterable[Object]) -> dict[str, tuple[Reading, float]]:
        """What each node's kubelet says, with the seconds over which it was measured."""
        servers = {_server_of(node): meta.name(node) for node in nodes}
        answers = await asyncio.gather(*(self._ask(server, name) for server, name in servers.items()))
        return {name: (found, told.window) for told in answers for name, found in told.readings.items()}

    async def _ask(self, server: str, node: str) -> _Told:
        """The answer of a server, by way of one of its nodes; shared by all who ask meanwhile."""
        asking = self._asking.get(server)
        if asking is None:
            asking = self._asking[server] = asyncio.create_task(self._read(server, node), name=f"metrics of {node}")
            asking.add_done_callback(lambda _: self._asking.pop(server, None))
        return await asyncio.shield(asking)

    async def _read(self, server: str, node: str) -> _Told:
        async with self._gate:
            found = await self._readings(server, node)
            before, now = self._asked_at.get(server, 0.0), self._clock.monotonic()
            if not all(reading.complete for reading in found.values()):
                await self._clock.sleep(APART)
                before, now = now, now + APART
                found = await self._readings(server, node)
        self._asked_at = {s: at for s, at in self._asked_at.items() if now - at < LONGEST} | {server: now}
        return _Told(found, now - before if 1.0 <= now - before <= LONGEST else 1.0)

    async def _readings(self, server: str, node: str) -> dict[str, Reading]:
        """By node; empty if the kubelet does not answer."""
        several = server.startswith(SIMULATED)
        path = f"/api/v1/nodes/{node}/proxy/stats/" + ("summaries" if several else "summary")
        try:
            async with timeout(self._clock, MORE_PATIENCE if several else PATIENCE):
                answer = orjson.loads(await self._client.read(path))
            found = [usage.reading(entry) for entry in (answer["items"] if several else [answer])]
        except (ApiError, OSError, TimeoutError) as error:
            log.warning("node %s does not tell what it uses: %s", node, error)
            return {}
        except (KeyError, TypeError, ValueError) as error:
            log.warning("node %s answers %s with what is none: %r", node, path, error)
            return {}
        return {reading.node or node: reading for reading in found}


def _of(plural: str) -> GVR:
    return PODS if plural == "pods" else NODES


def _server_of(node: Object) -> str:
    """Equal for nodes that one server answers for."""
    if meta.annotations(node).get(SIMULATED) != "true":
        return meta.name(node)
    status = node.get("status") or {}
    port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port")
    addresses = [str(e.get("address")) for e in status.get("addresses") or () if e.get("type") == "InternalIP"]
    return f"{SIMULATED} {','.join(addresses)} {port}"
