"""Questions passed on to the host's name servers, in virtual time, against servers of the test's own on loopback."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import dns.flags
import dns.message
import dns.rrset
import pytest
import pytest_asyncio

from pinnace.core.clock import RealClock
from pinnace.network.dns import forward, wire
from pinnace.network.dns.forward import Forwarder, ForwardError, Upstreams

Answering = Callable[[dns.message.Message], dns.message.Message | None]


class Upstream(asyncio.DatagramProtocol):
    """A name server that answers as the test says and counts questions."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: Answering = lambda query: respond(query, "192.0.2.7")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.DatagramTransport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        self.asked.append(query.question[0].name.to_text())
        response = self.answer(query)
        if response is not None:
            self.transport.sendto(response.to_wire(), addr)


def respond(query: dns.message.Message, address: str, ttl: int = 300) -> dns.message.Message:
    response = dns.message.make_response(query)
    response.answer = [dns.rrset.from_text(query.question[0].name, ttl, "IN", "A", address)]
    return response


class Moving(RealClock):
    """The machine's time, which a test can move on."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


class Case:
    def __init__(self, upstream: Upstream, port: int, directory: Path) -> None:
        self.upstream = upstream
        self.clock = Moving()
        self.path = directory / "resolv.conf"
        self.path.write_text("# of the host\nsearch example.org\nnameserver 10.97.0.1\nnameserver 127.0.0.1\n")
        self.upstreams = Upstreams(self.path, ["10.97.0.1"], port)
        self.forwarder = Forwarder(self.upstreams, self.clock)

    async def ask(self, name: str, limit: int = 512) -> dns.message.Message:
        data = dns.message.make_query(name, "A").to_wire()
        query = wire.read_query(data)
        assert query is not None
        answer = await self.forwarder.answer(data, query, limit, tcp=False)
        assert answer[:2] == data[:2]
        return dns.message.from_wire(answer)


@pytest_asyncio.fixture
async def case(tmp_path: Path) -> AsyncIterator[Case]:
    transport, upstream = await asyncio.get_running_loop().create_datagram_endpoint(
        Upstream, local_addr=("127.0.0.1", 0)
    )
    yield Case(upstream, transport.get_extra_info("sockname")[1], tmp_path)
    transport.close()


async def test_the_same_question_is_asked_once_whatever_its_letters(case: Case) -> None:
    first = await case.ask("www.example.org")
    case.clock.ahead = 10
    second = await case.ask("WWW.Example.org")
    assert second.question[0].name.to_text() == "WWW.Example.org."
    assert [rrset.ttl for rrset in first.answer + second.answer] == [300, 290]
    assert case.upstream.asked == ["www.example.org."]


async def test_answers_are_kept_for_as_long_as_they_may_be_and_no_longer_than_the_limit(case: Case) -> None:
    await case.ask("www.example.org")
    case.clock.ahead = forward.LIFETIME + 1
    await case.ask("www.example.org")
    case.upstream.answer = lambda query: respond(query, "192.0.2.8", ttl=0)
    for _ in range(2):
        await case.ask("brief.example.org")
    assert len(case.upstream.asked) == 4


async def test_that_a_name_does_not_exist_is_kept_too(case: Case) -> None:
    def deny(query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query)
        response.set_rcode(3)
        response.authority = [dns.rrset.from_text("org.", 900, "IN", "SOA", "a.org. b.org. 1 2 3 4 20")]
        return response

    case.upstream.answer = deny
    assert [(await case.ask("no.example.org")).rcode() for _ in range(3)] == [3, 3, 3]
    case.clock.ahead = 21
    await case.ask("no.example.org")
    assert len(case.upstream.asked) == 2


async def test_answers_that_were_cut_off_are_not_kept(case: Case) -> None:
    def cut(query: dns.message.Message) -> dns.message.Message:
        response = respond(query, "192.0.2.7")
        response.flags |= dns.flags.TC
        return response

    case.upstream.answer = cut
    for _ in range(2):
        assert (await case.ask("big.example.org")).flags & dns.flags.TC
    assert len(case.upstream.asked) == 2


async def test_forged_answers_are_passed_over(case: Case) -> None:
    def forge(query: dns.message.Message) -> dns.message.Message:
        forged = respond(query, "6.6.6.6")
        forged.id ^= 1
        asyncio.get_running_loop().call_soon(
            lambda: case.upstream.transport.sendto(respond(query, "192.0.2.7").to_wire(), port)
        )
        return forged

    received = case.upstream.datagram_received

    def remember(data: bytes, addr: tuple[str, int]) -> None:
        nonlocal port
        port = addr
        received(data, addr)

    port: tuple[str, int] = ("", 0)
    case.upstream.datagram_received = remember  # type: ignore[method-assign]
    case.upstream.answer = forge
    assert (await case.ask("www.example.org")).answer[0][0].to_text() == "192.0.2.7"


async def test_nobody_to_ask(case: Case) -> None:
    case.path.write_text("nameserver 10.97.0.1\n")
    os.utime(case.path, (1, 1))
    with pytest.raises(ForwardError, match="the host has no name servers") as caught:
        await case.ask("www.example.org")
    assert caught.value.rcode == wire.SERVFAIL
    case.path.unlink()
    assert case.upstreams.servers() == ()


async def test_a_silent_server_is_given_up(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "PATIENCE", 0.02)
    case.upstream.answer = lambda query: None
    with pytest.raises(ForwardError, match=r"127\.0\.0\.1: timed out after"):
        await case.ask("www.example.org")


async def test_more_questions_at_once_than_allowed_are_refused(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "CONCURRENT", 2)
    results = await asyncio.gather(*(case.ask(f"w{n}.example.org") for n in range(4)), return_exceptions=True)
    refused = [result for result in results if isinstance(result, ForwardError)]
    assert [error.rcode for error in refused] == [wire.REFUSED, wire.REFUSED]
