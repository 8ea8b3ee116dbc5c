"""Cluster IPs and node ports where two API servers give them out from ranges that are nearly used up."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.etcd import Etcd
from tests.integration.apiserver import running

from pinnace.api.errors import ApiError
from pinnace.api.resources import SERVICES
from pinnace.apiserver.allocation.services import ServiceAllocator
from pinnace.client.client import Client


async def test_the_last_numbers_go_to_one_each(tmp_path: Path) -> None:
    etcd = Etcd(tmp_path / "etcd", durable=False).start()

    def allocator() -> ServiceAllocator:
        return ServiceAllocator(cidr="10.96.0.0/26", node_ports=(30000, 30049))

    try:
        async with (
            running(tmp_path / "first", etcd.url, allocator=allocator()) as first,
            running(tmp_path / "second", etcd.url, allocator=allocator()) as second,
        ):

            async def create(client: Client, number: int) -> Any:
                spec = {"type": "NodePort", "ports": [{"port": 80}]}
                metadata = {"name": f"s-{number}", "namespace": "default"}
                try:
                    return (await client.create(SERVICES, {"metadata": metadata, "spec": spec}))["spec"]
                except ApiError as error:
                    return str(error)

            clients = [first.client, second.client] * 26
            made = await asyncio.gather(*(create(client, number) for number, client in enumerate(clients)))
            specs = [each for each in made if isinstance(each, dict)]
            full = [each for each in made if isinstance(each, str)]
            assert len(specs) == 50
            assert len({spec["clusterIP"] for spec in specs}) == 50
            assert len({spec["ports"][0]["nodePort"] for spec in specs}) == 50
            assert all("range is full" in each for each in full)
    finally:
        etcd.stop()
