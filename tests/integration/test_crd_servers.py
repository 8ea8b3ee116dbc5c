"""Two API servers on one store serve what either of them was told to define."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.crds import definition
from tests.integration.apiserver import ADMIN, running

from pinnace.api import builtin
from pinnace.api.errors import ApiError
from pinnace.api.types import GVR
from pinnace.apiserver.server import ApiServer
from pinnace.client.client import Client
from pinnace.core.clock import RealClock

DEFINITIONS = GVR("apiextensions.k8s.io", "v1", "customresourcedefinitions")


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not await condition():
            await asyncio.sleep(0.005)


async def test_both_serve_it_at_once(tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        other = ApiServer(api.store, builtin.registry(), RealClock(), tls=None, listen=[])
        await other.start()
        try:
            theirs = Client(other.transport(ADMIN))
            made = await api.client.create(DEFINITIONS, definition(group="two.example.com"))
            name, widgets = made["metadata"]["name"], GVR("two.example.com", "v1", "widgets")

            async def established() -> bool:
                found = await theirs.get(DEFINITIONS, name)
                return any(c["type"] == "Established" for c in (found.get("status") or {}).get("conditions") or ())

            await until(established)
            obj = {
                "apiVersion": "two.example.com/v1",
                "kind": "Widget",
                "metadata": {"name": "a", "namespace": "default"},
            }
            await theirs.create(widgets, obj)
            assert (await api.client.get(widgets, "a", "default"))["kind"] == "Widget"
            await theirs.delete(DEFINITIONS, name)

            async def gone() -> bool:
                for client in (api.client, theirs):
                    try:
                        await client.list(widgets)
                    except ApiError as error:
                        assert error.code == 404
                    else:
                        return False
                return True

            await until(gone)
        finally:
            await other.stop()
