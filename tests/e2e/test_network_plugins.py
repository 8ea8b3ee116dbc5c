"""Network plugins served by the node itself: Pods are attached exactly as the real plugins do it, and either undoes
what the other did. Needs root."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest_asyncio
from tests.networks import Servers, Space

from pinnace.network.plugin.server import Plugins

REAL = Path("/usr/lib/cni")
SUBNET = "10.244.7.0/29"  # the gateway's and five more


class Node:
    """A node's namespace, where the plugins are served."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.space = Space()
        self.plugins = Plugins(directory / "p", REAL)
        self.pods: list[Space] = []

    async def start(self) -> None:
        with self.space.inside():
            await self.plugins.start()

    def pod(self) -> Space:
        self.pods.append(Space())
        return self.pods[-1]

    def conf(self, kind: str = "ptp", **more: Any) -> dict[str, Any]:
        ipam = {
            "type": "host-local",
            "dataDir": str(self.directory / "ipam"),
            "ranges": [[{"subnet": SUBNET}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        own = {"mtu": 1400, "ipMasq": False, "ipam": ipam} if kind == "ptp" else {}
        return {"cniVersion": "0.4.0", "name": "n", "type": kind, **own, **more}

    async def call(self, command: str, pod: Space, container: str, *, real: bool = False, **conf: Any) -> Any:
        """What the plugin answers, by the program that containerd runs or by the real one."""
        given = self.conf(**conf)
        variables = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": container,
            "CNI_NETNS": pod.path,
            "CNI_IFNAME": "lo" if given["type"] == "loopback" else "eth0",
            "CNI_PATH": str(REAL),
            "LONG": "x" * 5000,
        }
        with self.space.inside():
            process = await asyncio.create_subprocess_exec(
                (REAL if real else self.plugins.bin_dir) / given["type"],
                env=variables,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        output, _ = await process.communicate(json.dumps(given).encode())
        answer = json.loads(output) if output else {}
        assert bool(process.returncode) == ("code" in answer), (process.returncode, output)
        return answer

    def taken(self) -> set[str]:
        with suppress(FileNotFoundError):
            return {file.name for file in (self.directory / "ipam" / "n").iterdir() if file.name[0].isdigit()}
        return set()

    def links(self) -> list[str]:
        return [line.split(":")[1].split("@")[0].strip() for line in shown(self.space, "-o", "link").splitlines()]


def shown(space: Space, *what: str) -> str:
    with space.inside():
        return subprocess.run(["ip", *what], capture_output=True, text=True, check=True).stdout


def state(node: Node, pod: Space, address: str) -> list[str]:
    """Addresses and routes of a Pod, and the host's route to it; what differs from Pod to Pod left out."""
    host = shown(node.space, "route", "show", address)
    text = shown(pod, "-o", "-4", "addr") + shown(pod, "route") + host + shown(pod, "-o", "link", "show", "eth0")
    text = re.sub(r"veth\w+|qlen \d+|link/ether \S+|if\d+|link-netns\S* \S+|link-netnsid \d+", "", text).replace(
        address, "POD"
    )
    return sorted(" ".join(line.split()).replace(" noprefixroute", "") for line in text.splitlines())


@pytest_asyncio.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    node = Node(tmp_path)
    await node.start()
    yield node
    await node.plugins.stop()
    for space in (node.space, *node.pods):
        space.close()


async def test_a_pod_is_attached_as_the_real_plugin_does_it(node: Node) -> None:
    ours, theirs = node.pod(), node.pod()
    made = await node.call("ADD", ours, "a")
    told = await node.call("ADD", theirs, "b", real=True)
    assert (made["ips"][0]["address"], told["ips"][0]["address"]) == ("10.244.7.2/29", "10.244.7.3/29")
    assert state(node, ours, "10.244.7.2") == state(node, theirs, "10.244.7.3")
    assert made["interfaces"][1]["mac"] in shown(ours, "link", "show", "eth0")
    assert made["interfaces"][0]["mac"] in shown(node.space, "link", "show", made["interfaces"][0]["name"])
    for told_by in (made, told):  # they differ in names and addresses of their own alone
        for entry in told_by["interfaces"]:
            entry.pop("mac")
        told_by["interfaces"][0].pop("name")
        told_by["interfaces"][1].pop("sandbox")
        told_by["ips"][0].pop("address")
    assert made == told
    await node.call("ADD", ours, "a", kind="loopback")
    assert "LOOPBACK,UP" in shown(ours, "link", "show", "lo")


async def test_pods_reach_each_other_and_the_node(node: Node) -> None:
    one, other = node.pod(), node.pod()
    await node.call("ADD", one, "a")
    await node.call("ADD", other, "b")
    servers = Servers()
    try:
        await servers.tcp(other, "10.244.7.3", 80, "other")
        await servers.tcp(node.space, "10.244.7.1", 80, "node")
        assert await one.ask("10.244.7.3", 80) == ("other", "10.244.7.2")
        assert await one.ask("10.244.7.1", 80) == ("node", "10.244.7.2")
        assert await node.space.ask("10.244.7.3", 80) == ("other", "10.244.7.1")
    finally:
        servers.close()


async def test_either_undoes_what_the_other_did(node: Node) -> None:
    pods = [node.pod() for _ in range(3)]
    await node.call("ADD", pods[0], "a")
    await node.call("ADD", pods[1], "b", real=True)
    await node.call("ADD", pods[2], "c")
    assert node.taken() == {"10.244.7.2", "10.244.7.3", "10.244.7.4"}
    await node.call("DEL", pods[0], "a", real=True)
    await node.call("DEL", pods[1], "b")
    await node.plugins.stop()
    assert len(node.links()) == 2
    await node.call("DEL", pods[2], "c")  # nobody listens: the program becomes the real plugin
    assert (node.taken(), node.links()) == (set(), ["lo"])
    made = await node.call("ADD", pods[2], "d")
    assert made["ips"][0]["address"].startswith("10.244.7.")
    await node.start()
    await node.call("DEL", pods[2], "d")
    await node.call("DEL", pods[2], "d")
    assert (node.taken(), node.links()) == (set(), ["lo"])


async def test_what_fails_leaves_nothing(node: Node) -> None:
    pods = [node.pod() for _ in range(6)]
    for number, pod in enumerate(pods[:5]):
        await node.call("ADD", pod, f"c{number}")
    full = await node.call("ADD", pods[5], "c5")
    assert full == {"cniVersion": "0.4.0", "code": 999, "msg": f"no IP addresses available in range set: {SUBNET}"}
    await node.call("DEL", pods[0], "c0")
    taken, links = node.taken(), node.links()
    again = await node.call("ADD", pods[1], "other")  # it has an eth0
    assert again["msg"] == "[Errno 17] File exists"
    assert (node.taken(), node.links()) == (taken, links)
    assert (await node.call("ADD", pods[5], "c5"))["ips"][0]["address"] == "10.244.7.2/29"


async def test_what_is_not_served_is_the_real_plugin_s(node: Node) -> None:
    pod = node.pod()
    ipam = {**node.conf()["ipam"], "ranges": [[{"subnet": SUBNET, "rangeStart": "10.244.7.5"}]]}
    made = await node.call("ADD", pod, "a", ipam=ipam)
    assert made["ips"][0]["address"] == "10.244.7.5/29"
    assert (node.plugins.bin_dir / "bridge").resolve() == (REAL / "bridge").resolve()
    await node.call("CHECK", pod, "a", ipam=ipam, prevResult=made)
    await node.call("DEL", pod, "a", ipam=ipam)
    assert node.taken() == set()
