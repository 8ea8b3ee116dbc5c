"""A Service of ten thousand endpoints in the real kernel: what it holds after many changes, and who is chosen."""

from __future__ import annotations

import random
import re
import socket
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from tests.networks import Net, ask_on, ip, node_network

from pinnace.api import meta
from pinnace.api.resources import ENDPOINT_SLICES
from pinnace.api.types import Object

pytestmark = pytest.mark.asyncio(loop_scope="module")
VIP, STICKY_VIP, NODE_PORT = "10.96.1.1", "10.96.1.2", 30080
A, B = "10.244.0.2", "10.244.0.3"


class Slices:
    """A Service's slices of a hundred endpoints each."""

    def __init__(self, net: Net, service: str, addresses: list[str]) -> None:
        self._net, self._service = net, service
        self._addresses = addresses
        self._held: list[Object] = []

    async def create(self) -> None:
        for start in range(0, len(self._addresses), 100):
            self._held.append(
                await self._net.client.create(
                    ENDPOINT_SLICES,
                    {
                        "apiVersion": "discovery.k8s.io/v1",
                        "kind": "EndpointSlice",
                        "metadata": {
                            "name": f"{self._service}-{start}",
                            "namespace": "default",
                            "labels": {"kubernetes.io/service-name": self._service},
                        },
                        "addressType": "IPv4",
                        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
                        "endpoints": [
                            {"addresses": [a], "conditions": {"ready": True}} for a in self._addresses[start:][:100]
                        ],
                    },
                )
            )

    async def change(self, chance: random.Random) -> None:
        """Some of one slice's endpoints are ready, in some order, and the others are not."""
        which = chance.randrange(len(self._held))
        entries = [
            {**entry, "conditions": {"ready": chance.random() < 0.9}} for entry in self._held[which]["endpoints"]
        ]
        if chance.random() < 0.3:
            chance.shuffle(entries)
        changed = {**self._held[which], "endpoints": entries}
        self._held[which] = await self._net.client.update(ENDPOINT_SLICES, changed)

    async def settled(self) -> None:
        for held in self._held:
            await self._net.settled(ENDPOINT_SLICES, meta.name(held), meta.resource_version(held))

    def ready(self) -> set[str]:
        return {e["addresses"][0] for s in self._held for e in s["endpoints"] if e["conditions"]["ready"]}


def listed(map: str, front: str) -> dict[int | str, str]:
    """What the kernel holds of one address and port: values by slot (or number)."""
    command = ["nft", "-n", "list", "map", "ip", "pinnace", map]
    text = subprocess.run(command, check=True, text=True, capture_output=True).stdout
    found = re.findall(rf"{re.escape(front)} \. (\w+) : ([\w.]+(?: \. \d+)?)", text)
    return {int(slot) if slot.isdecimal() else slot: value.partition(" . ")[0] for slot, value in found}


def lead(map: str, front: str) -> int:
    """Among how many slots is chosen."""
    command = ["nft", "-n", "get", "element", "ip", "pinnace", map, f"{{ {front} }}"]
    text = subprocess.run(command, check=True, text=True, capture_output=True).stdout
    found = re.search(r"goto [a-z]+_(\d+)", text)
    assert found, text
    return int(found[1])


def verify(big: Slices, sticky: Slices) -> None:
    for map, leads, front in (
        ("endpoints", "services", f"{VIP} . 6 . 80"),
        ("nodeport_endpoints", "nodeports", f"6 . {NODE_PORT}"),
    ):
        held = listed(map, front)
        assert set(held.values()) == big.ready() and len(held) == len(big.ready()), "each has a slot, and nobody else"
        assert set(held) == set(range(len(held))), "without gaps"
        assert lead(leads, front) == 1 << (len(held) - 1).bit_length()
    front = f"{STICKY_VIP} . 6 . 80"
    numbers, ways = listed("slots", front), listed("sticky", front)
    assert set(ways.values()) == sticky.ready() and set(numbers) == set(range(len(ways)))
    assert {int(number, 16) for number in numbers.values()} == {int(str(number), 16) for number in ways}


async def test_the_kernel_holds_what_is_ready_after_many_changes_and_after_a_new_start(tmp_path: Path) -> None:
    chance = random.Random(5)
    async with node_network(tmp_path, pods=0) as net:
        await net.service("big", VIP, 80, node_port=NODE_PORT)
        await net.service("sticky", STICKY_VIP, 80, sessionAffinity="ClientIP")
        big = Slices(net, "big", [f"10.244.{1 + n // 250}.{1 + n % 250}" for n in range(10000)])
        sticky = Slices(net, "sticky", [f"10.245.1.{1 + n}" for n in range(200)])
        for slices in (big, sticky):
            await slices.create()
            await slices.settled()
        verify(big, sticky)
        for number in range(240):
            await chance.choice([big, big, sticky]).change(chance)
            if number % 120 == 119:
                for slices in (big, sticky):
                    await slices.settled()
                verify(big, sticky)
        await net.network.stop()
        net.network = net.make_network()
        await net.network.start()
        verify(big, sticky)


async def test_every_endpoint_gets_its_share(tmp_path: Path) -> None:
    """Of five endpoints in eight slots: the last one too, which no throw among the first half finds."""
    async with node_network(tmp_path) as net:
        for number, address in enumerate((A, B)):
            for port in (8080, 8081):
                await net.servers.tcp(net.pods[number], address, port, f"{address}:{port}")
        await net.servers.tcp(net.pods[1], B, 8082, f"{B}:8082")
        for affinity, vip in (("None", VIP), ("ClientIP", STICKY_VIP)):
            name = f"five-{affinity.lower()}"
            await net.service(name, vip, 80, sessionAffinity=affinity)
            for port, addresses in ((8080, (A, B)), (8081, (A, B)), (8082, (B,))):
                ports: list[Object] = [{"name": "", "port": port, "protocol": "TCP"}]
                await net.slice(name, f"{name}-{port}", ports, *addresses)
        plain, kept = Counter[str](), Counter[str]()
        for _ in range(800):
            plain[(await net.node.ask(VIP, 80))[0]] += 1
        clients = [f"10.244.{128 + n // 200}.{1 + n % 200}" for n in range(400)]
        ip("".join(f"addr add {address}/32 dev lo\n" for address in clients))
        for address in clients:
            client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            client.bind((address, 0))
            kept[(await ask_on(client, STICKY_VIP, 80))[0]] += 1
        for shares, count in ((plain, 800), (kept, 400)):
            assert len(shares) == 5
            deviation = (count * 0.2 * 0.8) ** 0.5
            assert all(abs(share - count / 5) < 4.5 * deviation for share in shares.values()), shares
