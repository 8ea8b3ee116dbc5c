"""``kill -9`` at any moment: nothing that was answered is lost, and the next ``up`` carries on."""

from __future__ import annotations

import http.client
import json
import os
import random
import resource
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.clusters import PINNACE, Api, Cluster, pinnace, wait_for

from pinnace.cluster.errors import Exit

PATH = "/api/v1/namespaces/default/configmaps"
WRITERS = 4


class Writer(threading.Thread):
    """Creates objects and changes the one before, over one connection, until that breaks. What was answered is in
    ``answered``: name -> object; ``asked`` is the number behind every object's value that may have been written."""

    def __init__(self, api: Api, name: str) -> None:
        super().__init__(name=name)
        self._api = api
        self.answered: dict[str, Any] = {}
        self.asked: dict[str, int] = {}
        self.refused: list[bytes] = []

    def run(self) -> None:
        connection = self._api.connect()
        try:
            for number in range(100_000):
                name = f"{self.name}-{number}"
                self._send(connection, "POST", PATH, {"metadata": {"name": name}, "data": {"n": "0"}}, name, 0)
                for change in range(1, 4):
                    target = f"{PATH}/{name}"
                    self._send(connection, "PATCH", target, {"data": {"n": str(change)}}, name, change)
        except (OSError, http.client.HTTPException):
            pass  # killed
        finally:
            connection.close()

    def _send(
        self, connection: http.client.HTTPSConnection, method: str, path: str, body: Any, name: str, number: int
    ) -> None:
        kind = "application/json" if method == "POST" else "application/merge-patch+json"
        self.asked[name] = number
        connection.request(method, path, json.dumps(body), {"Content-Type": kind})
        response = connection.getresponse()
        answer = response.read()
        if response.status not in (200, 201):
            self.refused.append(answer)
            raise OSError("refused")
        self.answered[name] = json.loads(answer)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path).up()
    yield cluster
    cluster.stop_if_running()


def test_nothing_answered_is_lost(own: Cluster) -> None:
    chance = random.Random(4)
    start = own.api()("GET", PATH).json["metadata"]["resourceVersion"]
    answered: dict[str, Any] = {}
    for round in range(4):
        writers = [Writer(own.api(), f"round{round}-{number}") for number in range(WRITERS)]
        for writer in writers:
            writer.start()
        busy = chance.randint(20, 200)
        wait_for(lambda writers=writers, busy=busy: sum(len(w.answered) for w in writers) >= busy, "writes")
        own.kill()
        for writer in writers:
            writer.join()
            assert not writer.refused
            answered |= writer.answered
        own.up()
        stored = {item["metadata"]["name"]: item for item in own.api()("GET", PATH).json["items"]}
        for writer in writers:
            for name, last in writer.answered.items():
                now = stored[name]
                if now["metadata"]["resourceVersion"] == last["metadata"]["resourceVersion"]:
                    assert now["data"] == last["data"]
                else:  # one more change was under way, written but not answered
                    assert int(now["data"]["n"]) == int(last["data"]["n"]) + 1 == writer.asked[name]
            unknown = {name for name in stored if name.startswith(writer.name + "-")} - set(writer.answered)
            assert len(unknown) <= 1  # written, not answered
    assert len(answered) > 80

    # A watch from before the first crash sees every write, in order, once.
    events = 0
    versions: list[int] = []
    last: dict[str, int] = {}
    with own.api().watch(PATH, resourceVersion=start, timeoutSeconds="1") as seen:
        for event in seen:
            found = event["object"]
            versions.append(int(found["metadata"]["resourceVersion"]))
            if found["metadata"]["name"].startswith("round"):
                events += 1
                number = int(found["data"]["n"])
                assert number == last.get(found["metadata"]["name"], -1) + 1
                last[found["metadata"]["name"]] = number
    assert versions == sorted(set(versions))
    assert set(answered) <= set(last)


def test_controllers_carry_on(own: Cluster) -> None:
    """A roll-out under way is completed, a deletion under way too."""
    kubectl = own.kubectl()
    kubectl("create", "deployment", "d", "--image=nginx:1", "--replicas=12")
    kubectl("create", "namespace", "ending")
    kubectl("create", "configmap", "c", "-n", "ending")
    kubectl("rollout", "status", "deployment/d", "--timeout=20s")
    kubectl("set", "image", "deployment/d", "nginx=nginx:2")
    kubectl("delete", "namespace", "ending", "--wait=false")
    own.kill()
    own.up()
    kubectl = own.kubectl()
    kubectl("rollout", "status", "deployment/d", "--timeout=30s")
    pods = json.loads(kubectl("get", "pods", "-o", "json"))["items"]
    running = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    assert {pod["spec"]["containers"][0]["image"] for pod in running} == {"nginx:2"}
    assert len(running) == 12
    kubectl("wait", "--for=delete", "namespace/ending", "--timeout=20s")


def test_what_a_crash_leaves_does_no_harm(own: Cluster) -> None:
    own.kubectl()("create", "configmap", "kept")
    own.kill()
    (own.data_dir / "run.json").write_text('{"pid"')
    (own.data_dir / ".run.json.123").write_text('{"pid"')
    own.up()
    own.kubectl()("get", "configmap", "kept")


@pytest.mark.parametrize("file", ["lock", "pki/ca.crt", "pki/sa.key", "store/cluster.db", "run.json"])
def test_killed_during_the_very_first_start(tmp_path: Path, file: str) -> None:
    """The moment that ``file`` is there."""
    cluster = Cluster(tmp_path)
    command = [
        *(str(PINNACE), "up", "--data-dir", str(cluster.data_dir), "--listen", "127.0.0.1:0"),
        *("--kubeconfig", str(cluster.kubeconfig), "--parts", "apiserver"),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as starting:
        wait_for((cluster.data_dir / file).exists, file)
        starting.kill()
    try:
        cluster.up("--parts", "apiserver")
        assert cluster.kubectl()("get", "namespace", "default", "-o", "name") == "namespace/default\n"
    finally:
        cluster.stop_if_running()


def test_a_disk_that_fails(own: Cluster) -> None:
    """From then on writes are refused and say why, reads go on; the next start has all that was answered."""
    pid, api = own.facts["pid"], own.api()
    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    largest = max(file.stat().st_size for file in own.data_dir.glob("store/*"))
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (largest + 2_000_000, most))
    taken = []
    for number in range(40):
        answer = api("POST", PATH, {"metadata": {"name": f"c{number}"}, "data": {"a": "x" * 200_000}})
        if answer.status != 201:
            break
        taken.append(f"c{number}")
    assert (answer.status, answer.json["reason"]) == (500, "InternalError")
    assert f"cannot write {own.data_dir / 'store' / 'cluster.db'}" in answer.json["message"]
    assert taken
    assert api("GET", f"{PATH}/{taken[-1]}").status == 200
    assert api("GET", f"{PATH}/c{len(taken)}").status == 404
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))
    again = api("POST", PATH, {"metadata": {"name": "again"}})
    assert again.json["message"].endswith("no more are accepted: check the disk, then restart Pinnace")
    assert api("GET", "/livez").status == 200
    unwell = api("GET", "/readyz")
    assert unwell.status == 500
    assert b"[-]store failed: cannot write" in unwell.body
    status = pinnace("status", "--data-dir", str(own.data_dir))
    assert status.returncode == Exit.ERROR
    assert "running, not ready" in status.stdout
    own.kill()
    own.up()
    stored = {item["metadata"]["name"] for item in own.api()("GET", PATH).json["items"]}
    assert set(taken) <= stored
    assert own.api()("POST", PATH, {"metadata": {"name": "again"}}).status == 201


def test_down_does_not_wait_for_ever(own: Cluster) -> None:
    pid = own.facts["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        done = pinnace("down", "--timeout", "100ms", "--data-dir", str(own.data_dir))
    finally:
        os.kill(pid, signal.SIGCONT)
    assert done.returncode == Exit.TIMED_OUT
    assert done.stderr.startswith(f"pinnace: process {pid} has not ended within 0.1 s; see ")
