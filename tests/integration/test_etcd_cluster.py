"""The API on a three-node etcd cluster with TLS and client certificates, while its leader is killed and comes back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.clusters import Api, Cluster, wait_for
from tests.etcd import Certificates, Etcd

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
MERGE = {"Content-Type": "application/merge-patch+json"}
CLIENTS = 6


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[Etcd]:
    made = Etcd(tmp_path / "etcd", members=3, tls=Certificates(tmp_path / "certs"))
    yield made.start()
    made.stop()


@pytest.fixture
def cluster(etcd: Etcd, tmp_path: Path) -> Iterator[Cluster]:
    made, tls = Cluster(tmp_path / "pinnace"), etcd.tls
    assert tls is not None
    files = ("--etcd-cafile", str(tls.ca), "--etcd-certfile", str(tls.certificate), "--etcd-keyfile", str(tls.key))
    try:
        yield made.up("--parts", "apiserver", "--store", etcd.url, *files)
    finally:
        made.stop_if_running()


@dataclass
class Work:
    """Clients that create, patch and delete ConfigMaps of their own until told to stop, and note every answer."""

    api: Api
    stopping: threading.Event = field(default_factory=threading.Event)
    #: By name: what must be there (uid and count), None for nothing, or "unknown".
    expected: dict[str, Any] = field(default_factory=dict)
    answers: list[tuple[int, bytes]] = field(default_factory=list)

    def client(self, number: int) -> None:
        turn = 0
        while not self.stopping.is_set():
            turn += 1
            name = f"c{number}-{turn}"
            path = f"{CONFIGMAPS}/{name}"
            made = self.call(name, None, "POST", CONFIGMAPS, {"metadata": {"name": name}, "data": {"count": "0"}})
            if made is None:
                continue
            uid = made["metadata"]["uid"]
            self.expected[name] = (uid, "0")
            patched = self.call(name, (uid, "0"), "PATCH", path, {"data": {"count": "1"}}, MERGE)
            if patched is None:
                continue
            self.expected[name] = (uid, "1")
            if turn % 2 and self.call(name, (uid, "1"), "DELETE", path) is not None:
                self.expected[name] = None

    def call(self, name: str, otherwise: Any, method: str, path: str, body: Any = None, headers: Any = None) -> Any:
        """What was answered; None if it failed: then ``otherwise`` is true of the object, unless nobody can tell."""
        answer = self.api(method, path, body, headers=headers)
        self.answers.append((answer.status, answer.body))
        if answer.status < 300:
            return answer.json
        self.expected[name] = "unknown" if answer.status == 504 else otherwise
        assert answer.status in (503, 504), answer.body
        return None

    def done(self) -> int:
        return sum(status < 300 for status, _ in self.answers)


def test_the_leader_killed_under_load(etcd: Etcd, cluster: Cluster) -> None:
    api = cluster.api()
    work = Work(api)
    with api.watch(CONFIGMAPS, resourceVersion=api("GET", CONFIGMAPS).json["metadata"]["resourceVersion"]) as events:
        clients = [threading.Thread(target=work.client, args=(number,)) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            for _ in range(2):
                start = work.done()
                wait_for(lambda start=start: work.done() > start + 60, "work before")  # type: ignore[misc]
                etcd.leader().kill()
                start = work.done()
                wait_for(lambda start=start: work.done() > start + 60, "work without the leader", 40.0)  # type: ignore[misc]
                etcd.start()
        finally:
            work.stopping.set()
            for client in clients:
                client.join()
        end = api("POST", CONFIGMAPS, {"metadata": {"name": "end"}}).json["metadata"]
        held: dict[str, Any] = {}
        last = 0
        for event in events:
            obj = event["object"]
            name, revision = obj["metadata"]["name"], int(obj["metadata"]["resourceVersion"])
            assert revision > last, "the watch goes on in order"
            last = revision
            held[name] = (
                None if event["type"] == "DELETED" else (obj["metadata"]["uid"], (obj.get("data") or {}).get("count"))
            )
            if name == "end" or revision >= int(end["resourceVersion"]):
                break
    there = {item["metadata"]["name"]: item for item in api("GET", CONFIGMAPS).json["items"]}
    for name, expected in work.expected.items():
        item = there.get(name)
        found = (item["metadata"]["uid"], item["data"]["count"]) if item is not None else None
        assert held.get(name) == found, f"{name}: the watch said {held.get(name)}"
        if expected != "unknown":
            assert found == expected, name
    failed = [answer for answer in work.answers if answer[0] >= 300]
    assert len(failed) <= 2 * CLIENTS, failed
