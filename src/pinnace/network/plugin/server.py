"""What the network plugins of a node do, served to their programs on a unix socket.

ptp with host-local addresses, and loopback, are done here, one call at a time: the kernel makes interfaces one at a
time too. Everything else that a plugin can be asked (other addresses, masquerading, ``CHECK``) is left to the plugin
itself, as its own process. What was done for a Pod is in the kernel and in host-local's files alone.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pinnace.network.plugin import attach, program
from pinnace.network.plugin.addresses import Addresses, Exhausted

log = logging.getLogger(__name__)

SERVED = ("ptp", "loopback")
#: Bytes of a call: its environment and configuration.
_LIMIT = 1 << 20
_FAILED = 999
_IPAM = {"type", "dataDir", "ranges", "routes"}
_PTP = {"type", "mtu", "ipMasq", "ipam", "name", "cniVersion", "capabilities", "dns", "prevResult"}


class Plugins:
    """``directory`` is made: the programs, links to the ``real`` plugins that are not served, and the socket are in it.
    Start and stop it around what runs containers."""

    def __init__(self, directory: Path, real: Path) -> None:
        self._directory = directory
        self._real = real
        self._books: dict[tuple[str, str], Addresses] = {}
        self._server: asyncio.Server | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._space: attach.Space | None = None

    @property
    def _socket(self) -> Path:
        return self._directory / "socket"

    @property
    def bin_dir(self) -> Path:
        """Where plugins are to be looked for, once it is started."""
        return self._directory if program.works_here() else self._real

    def _prepare(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for entry in self._real.iterdir():
            target = self._directory / entry.name
            if entry.name not in SERVED:
                if not target.is_symlink():
                    target.symlink_to(entry)
                continue
            wanted = program.program(self._socket, entry)
            if not target.exists() or target.read_bytes() != wanted:
                fresh = self._directory / f".{entry.name}"
                fresh.write_bytes(wanted)
                fresh.chmod(0o755)
                if not os.access(fresh, os.X_OK):  # files there may not be run
                    fresh.unlink()
                    fresh.symlink_to(entry)
                os.replace(fresh, target)

    async def start(self) -> None:
        """From here on Pods are attached in the network namespace that the calling thread is in. Idempotent. Raises
        OSError; ValueError if the directory's path is too long."""
        if self._server is not None or not program.works_here():
            return
        self._prepare()
        self._space = attach.Space()
        self._thread = ThreadPoolExecutor(1, "cni", initializer=self._space.enter)
        self._socket.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._socket, limit=_LIMIT)

    async def stop(self) -> None:
        """Idempotent. The programs stay, and become the real plugins."""
        if self._server is None or self._thread is None or self._space is None:
            return
        self._server.close()
        self._socket.unlink(missing_ok=True)
        await asyncio.to_thread(self._thread.shutdown)
        self._space.close()
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            call = await reader.read(-1)
            environment, _, given = call.partition(b"\0\0")
            variables = dict(entry.partition(b"=")[::2] for entry in environment.split(b"\0"))
            asked = {key.decode(): os.fsdecode(value) for key, value in variables.items()}
            code, answer = await self._answer(asked, given)
            writer.write(bytes((code,)) + answer)
            await writer.drain()
        except ConnectionError as error:  # containerd gave it up
            log.debug("a network plugin's program went away: %s", error)
        finally:
            writer.close()

    async def _answer(self, asked: Mapping[str, str], given: bytes) -> tuple[int, bytes]:
        version = "0.4.0"
        try:
            conf = json.loads(given)
            version = str(conf.get("cniVersion") or version)
            if not _is_served(asked, conf):
                return await self._leave(asked, str(conf.get("type")), given)
            assert self._thread is not None
            loop = asyncio.get_running_loop()
            result = await loop.run_in_executor(self._thread, self._do, asked, conf, version)
        except (OSError, ValueError, Exhausted) as error:
            return 1, json.dumps({"cniVersion": version, "code": _FAILED, "msg": str(error)}).encode()
        return 0, json.dumps(result).encode() if result is not None else b""

    async def _leave(self, asked: Mapping[str, str], name: str, given: bytes) -> tuple[int, bytes]:
        if name not in SERVED:
            raise ValueError(f"not a plugin of this node: {name}")
        process = await asyncio.create_subprocess_exec(
            self._real / name, env=dict(asked), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate(given)
        return (process.returncode or 0) & 0xFF, output

    # -- in the thread

    def _do(self, asked: Mapping[str, str], conf: Mapping[str, Any], version: str) -> dict[str, Any] | None:
        assert self._space is not None
        adding = asked["CNI_COMMAND"] == "ADD"
        if conf["type"] == "loopback":
            if not adding:
                return None  # the interface goes with its namespace
            attach.loopback(self._space, asked["CNI_NETNS"])
            lo = {"name": "lo", "mac": "00:00:00:00:00:00", "sandbox": asked["CNI_NETNS"]}
            return {"cniVersion": version, "interfaces": [lo], "ips": [_ip(version, 0, "127.0.0.1/8")], "dns": {}}
        container, interface = asked["CNI_CONTAINERID"], asked["CNI_IFNAME"]
        book = self._book(conf)
        if not adding:
            book.release(container, interface)
            attach.detach(self._space, asked.get("CNI_NETNS", ""), container, interface)
            return None
        address = book.reserve(container, interface)
        try:
            made = attach.attach(
                self._space,
                asked["CNI_NETNS"],
                container,
                interface,
                address=address,
                gateway=book.gateway,
                subnet=book.subnet,
                mtu=int(conf.get("mtu") or 1500),
            )
        except BaseException:
            book.release(container, interface)
            raise
        return {
            "cniVersion": version,
            "interfaces": [
                {"name": made.host_name, "mac": made.host_mac},
                {"name": interface, "mac": made.pod_mac, "sandbox": asked["CNI_NETNS"]},
            ],
            "ips": [{**_ip(version, 1, f"{address}/{book.prefix}"), "gateway": book.gateway}],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dns": conf.get("dns") or {},
        }

    def _book(self, conf: Mapping[str, Any]) -> Addresses:
        ipam = conf["ipam"]
        key = str(Path(ipam["dataDir"]) / conf["name"]), str(ipam["ranges"][0][0]["subnet"])
        if key not in self._books:
            self._books[key] = Addresses(Path(key[0]), key[1])
        return self._books[key]


def _ip(version: str, interface: int, address: str) -> dict[str, Any]:
    found: dict[str, Any] = {"interface": interface, "address": address}
    return {"version": "4", **found} if version.startswith("0.") else found


def _is_served(asked: Mapping[str, str], conf: Mapping[str, Any]) -> bool:
    if asked.get("CNI_COMMAND") not in ("ADD", "DEL"):
        return False
    if conf.get("type") == "loopback":
        return True
    ipam = conf.get("ipam") or {}
    ranges: list[list[dict[str, str]]] = ipam.get("ranges") or []
    return (
        conf.get("type") == "ptp"
        and _PTP.issuperset(conf)
        and not conf.get("ipMasq")
        and ipam.get("type") == "host-local"
        and _IPAM.issuperset(ipam)
        and "dataDir" in ipam
        and ipam.get("routes") == [{"dst": "0.0.0.0/0"}]
        and len(ranges) == 1
        and len(ranges[0]) == 1
        and set(ranges[0][0]) == {"subnet"}
        and ":" not in ranges[0][0]["subnet"]
    )
