"""A node's certificates: asked for, kept, and renewed before they end."""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pinnace.api import errors
from pinnace.api.types import Object
from pinnace.client.client import Client
from pinnace.client.transport import WatchEvent
from pinnace.cluster import x509make
from pinnace.cluster.errors import ClusterError, Exit
from pinnace.cluster.nodecertificate import NodeCertificate
from pinnace.controllers import signing
from pinnace.core.clock import VirtualClock

DAY = 86400.0


class Signer:
    """An API server that answers certificate requests: signs at once, denies, or leaves them to wait."""

    def __init__(self, clock: VirtualClock, verdict: str = "") -> None:
        self.clock = clock
        self.verdict = verdict
        self.requests: dict[str, Object] = {}
        self.refusals = 0
        key = x509make.new_key()
        self.key = x509make.key_pem(key)
        self.authority = x509make.certificate_pem(x509make.make_authority(key, "ca", clock.now(), 3650 * DAY))

    async def request(self, method: str, path: str, *, body: Any = None, **_: Any) -> Object:
        if method == "GET":
            return self.requests[path.rpartition("/")[2]]
        if self.refusals:
            self.refusals -= 1
            raise errors.unavailable("not yet")
        name = f"csr-{len(self.requests)}"
        made = self.requests[name] = {**body, "metadata": {"name": name}, "status": {}}
        if self.verdict == "wait":
            return made
        if self.verdict:
            made["status"]["conditions"] = [{"type": self.verdict, "status": "True", "message": "because"}]
        else:
            self.sign(name)
        return made

    def sign(self, name: str) -> None:
        spec = self.requests[name]["spec"]
        pem = signing.sign(
            b64decode(spec["request"]),
            spec["signerName"],
            spec["usages"],
            None,
            authority_pem=self.authority,
            key_pem=self.key,
            now=self.clock.now(),
        )
        self.requests[name]["status"]["certificate"] = b64encode(pem).decode()

    async def read(self, path: str, *, query: Mapping[str, str] = {}) -> bytes:
        raise AssertionError(path)

    def watch(self, path: str, *, query: Mapping[str, str] = {}) -> AsyncGenerator[Sequence[WatchEvent], None]:
        raise AssertionError(path)

    async def close(self) -> None: ...


async def test_a_client_certificate_and_its_key(tmp_path: Path) -> None:
    clock = VirtualClock()
    signer = Signer(clock)
    certificate = NodeCertificate(tmp_path / "pki" / "client.pem", clock, "one")
    assert not certificate.is_good()
    await certificate.obtain(Client(signer))
    assert certificate.is_good()
    assert (certificate.path.stat().st_mode & 0o777) == 0o600
    made, key = x509make.load_certificate(certificate.path), x509make.load_key(certificate.path)
    assert x509make.belongs(made, key)
    assert x509make.matches(made, "system:node:one", ("system:nodes",), frozenset())
    assert not NodeCertificate(certificate.path, clock, "two").is_good()
    assert not NodeCertificate(certificate.path, clock, "one", frozenset(("one",))).is_good()


async def test_it_is_renewed_in_the_last_third_of_its_life(tmp_path: Path) -> None:
    clock = VirtualClock()
    signer, changes = Signer(clock), 0

    def changed() -> None:
        nonlocal changes
        changes += 1

    certificate = NodeCertificate(tmp_path / "serving.pem", clock, "one", frozenset(("one", "192.0.2.1")))
    task = asyncio.create_task(certificate.keep(Client(signer), changed))
    await clock.advance(5)
    assert changes == 1
    await clock.advance(250 * DAY)
    assert changes == 1
    await clock.advance(90 * DAY)
    assert changes == 2
    assert certificate.is_good()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_can_get_better_is_waited_for_and_told(tmp_path: Path) -> None:
    clock = VirtualClock()
    signer, told = Signer(clock, "wait"), []
    signer.refusals = 2
    certificate = NodeCertificate(tmp_path / "client.pem", clock, "one")
    task = asyncio.create_task(certificate.obtain(Client(signer), told.append))
    await clock.advance(10)
    assert "not yet" in told[0]
    assert told[-1] == "  waiting for certificate request csr-0: kubectl certificate approve csr-0"
    signer.sign("csr-0")
    await clock.advance(10)
    await task
    assert certificate.is_good()


@pytest.mark.parametrize("verdict", ["Denied", "Failed"])
async def test_a_refusal_is_final(tmp_path: Path, verdict: str) -> None:
    clock = VirtualClock()
    certificate = NodeCertificate(tmp_path / "client.pem", clock, "one")
    with pytest.raises(ClusterError, match=f"of node one is {verdict.lower()}: because") as refused:
        await certificate.obtain(Client(Signer(clock, verdict)))
    assert refused.value.exit == Exit.NOT_PERMITTED
