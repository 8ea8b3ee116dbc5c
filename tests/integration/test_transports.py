"""The client over HTTPS and inside the process: the same answers, errors and watches."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
import yaml
from tests.integration.apiserver import Api, running

from pinnace.api.errors import ApiError, is_reason
from pinnace.api.resources import CONFIG_MAPS, SERVICE_ACCOUNTS
from pinnace.apiserver.request import User
from pinnace.client.client import Client
from pinnace.client.https import Credentials, Https, from_kubeconfig
from pinnace.core.clock import RealClock


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Api]:
    async with running(tmp_path) as api:
        yield api


@pytest.fixture(params=["https", "in-process"])
def client(served: Api, request: pytest.FixtureRequest) -> Client:
    return served.https if request.param == "https" else served.client


def config_map(name: str, **data: str) -> dict[str, object]:
    return {"metadata": {"name": name, "namespace": "default", "labels": {"app": name}}, "data": data}


async def test_verbs(client: Client) -> None:
    made = await client.create(CONFIG_MAPS, config_map("a", x="1"))
    assert (made["kind"], made["apiVersion"]) == ("ConfigMap", "v1")
    assert await client.get(CONFIG_MAPS, "a", "default") == made
    changed = await client.patch(CONFIG_MAPS, "a", {"data": {"y": "2"}}, "default")
    assert changed["data"] == {"x": "1", "y": "2"}
    with pytest.raises(ApiError, match="the object has been modified") as stale:
        await client.update(CONFIG_MAPS, {**made, "data": {}})
    assert is_reason(stale.value, "Conflict")
    await client.create(CONFIG_MAPS, config_map("b"))
    page = await client.list(CONFIG_MAPS, "default", limit=1)
    rest = await client.list(CONFIG_MAPS, "default", limit=1, continue_token=page["metadata"]["continue"])
    names = [item["metadata"]["name"] for item in [*page["items"], *rest["items"]]]
    assert names[:2] == ["a", "b"]
    selected = await client.list(CONFIG_MAPS, "default", label_selector="app=b")
    assert [item["metadata"]["name"] for item in selected["items"]] == ["b"]
    status = await client.delete(CONFIG_MAPS, "a", "default")
    assert (status["status"], status["details"]["name"]) == ("Success", "a")
    with pytest.raises(ApiError) as missing:
        await client.get(CONFIG_MAPS, "a", "default")
    assert missing.value.status()["details"] == {"name": "a", "kind": "configmaps"}
    assert await client.read("/livez") == b"ok"


async def test_watches(served: Api, client: Client) -> None:
    made = await client.create(CONFIG_MAPS, config_map("a", x="1"))
    version = made["metadata"]["resourceVersion"]
    seen = []

    async def follow() -> None:
        async with aclosing(client.watch(CONFIG_MAPS, "default", resource_version=version)) as batches:
            async for batch in batches:
                for event in batch:
                    seen.append((event.type, event.object["metadata"]["name"], event.object.get("data")))
                    if event.type == "DELETED":
                        return

    following = asyncio.create_task(follow())
    await client.patch(CONFIG_MAPS, "a", {"data": {"x": "2"}}, "default")
    await client.delete(CONFIG_MAPS, "a", "default")
    async with asyncio.timeout(10):
        await following
    assert seen == [("MODIFIED", "a", {"x": "2"}), ("DELETED", "a", {"x": "2"})]
    assert served.server.backend.hub.watchers in (0, 1)  # the server notices a closed connection a moment later


async def test_a_watch_from_a_compacted_revision_is_expired(served: Api, client: Client) -> None:
    for number in range(5):
        await client.create(CONFIG_MAPS, config_map(f"c{number}"))
    await served.store.compact(served.store.revision)
    with pytest.raises(ApiError) as gone:
        async with aclosing(client.watch(CONFIG_MAPS, "default", resource_version="1")) as batches:
            async for _ in batches:
                pass
    assert (gone.value.code, gone.value.reason) == (410, "Expired")


async def test_in_process_the_identity_is_as_weak_as_it_says(served: Api) -> None:
    nobody = Client(served.server.transport(User("jane", groups=("system:authenticated",))))
    with pytest.raises(ApiError, match='User "jane" cannot list resource "configmaps" in API group ""') as refused:
        await nobody.list(CONFIG_MAPS, "default")
    assert refused.value.code == 403


async def test_bearer_token_and_kubeconfig(served: Api, tmp_path: Path) -> None:
    await served.client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "bot", "namespace": "default"}})
    answer = await served.client.create(SERVICE_ACCOUNTS, {}, name="bot", subresource="token", namespace="default")
    file = tmp_path / "token"
    file.write_text(answer["status"]["token"])
    bot = Client(Https(Credentials(served.url, served.authority, token_file=file), RealClock()))
    with pytest.raises(ApiError, match='User "system:serviceaccount:default:bot" cannot list'):
        await bot.list(CONFIG_MAPS, "default")
    await bot.close()

    def inline(path: Path) -> str:
        return base64.b64encode(path.read_bytes()).decode()

    config = yaml.safe_load(served.kubeconfig.read_text())
    config["clusters"][0]["cluster"] = {"server": served.url, "certificate-authority-data": inline(served.authority)}
    config["users"][0]["user"] = {
        "client-certificate-data": inline(served.certificate),
        "client-key-data": inline(served.key),
    }
    written = tmp_path / "inline"
    written.write_text(yaml.safe_dump(config))
    for path in (served.kubeconfig, written):
        admin = Client(Https(from_kubeconfig(path), RealClock()))
        assert (await admin.list(CONFIG_MAPS, "default"))["kind"] == "ConfigMapList"
        await admin.close()


async def test_large_lists_are_whole_in_every_format(served: Api) -> None:
    """They are put together in slices."""
    names = sorted(f"m{number}" for number in range(250))
    for name in names:
        await served.client.create(CONFIG_MAPS, config_map(name))
    path = "/api/v1/namespaces/default/configmaps"
    plain = (await served.call("GET", path)).json()
    assert [item["metadata"]["name"] for item in plain["items"]] == names
    listed = yaml.safe_load((await served.call("GET", path, headers={"Accept": "application/yaml"})).body)
    assert listed == plain
    for shape, field in (("Table", "rows"), ("PartialObjectMetadataList", "items")):
        accept = f"application/json;as={shape};v=v1;g=meta.k8s.io"
        shaped = (await served.call("GET", path, headers={"Accept": accept})).json()
        assert shaped["kind"] == shape
        assert len(shaped[field]) == len(names)
    table = await served.call("GET", path, headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"})
    assert [row["cells"][0] for row in table.json()["rows"]] == names
    selected = (await served.call("GET", f"{path}?labelSelector=app")).json()
    assert selected["items"] == plain["items"]
    pretty = await served.call("GET", f"{path}?pretty=true")
    assert pretty.json() == plain
    assert b'\n  "items"' in pretty.body
