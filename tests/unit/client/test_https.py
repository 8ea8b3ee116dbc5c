"""The HTTPS transport against servers that are busy, restarting or gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from pinnace.api.errors import ApiError
from pinnace.client import https
from pinnace.client.https import Credentials, Https
from pinnace.core.clock import RealClock


class Patient(RealClock):
    """Remembers how long it was to sleep, and does not."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, delay: float, *, routine: bool = False) -> None:
        self.slept.append(delay)


def answer(status: int, body: str = "{}", *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers, "", body]).encode()


@asynccontextmanager
async def server(answers: Sequence[bytes]) -> AsyncIterator[tuple[Https, Patient, list[str]]]:
    """Gives one answer after the other, and closes after one that says no length; the request lines that came."""
    left, lines = list(answers), list[str]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                lines.append(head.split("\r\n")[0])
                _, sized, rest = head.partition("Content-Length: ")
                await reader.readexactly(int(rest.split("\r\n")[0]) if sized else 0)
                given = left.pop(0)
                writer.write(given)
                if b"Content-Length" not in given:
                    break
        except asyncio.IncompleteReadError:
            return
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    clock = Patient()
    port = listening.sockets[0].getsockname()[1]
    client = Https(Credentials(f"http://127.0.0.1:{port}"), clock)
    try:
        yield client, clock, lines
    finally:
        await client.close()
        listening.close()
        await listening.wait_closed()


async def test_who_says_later_is_asked_again() -> None:
    busy = [answer(429, "{}", "Retry-After: 1"), answer(503, "{}", "Retry-After: 7")]
    async with server([*busy, answer(201, '{"a": 1}')]) as (client, clock, lines):
        assert await client.request("POST", "/x", body={}) == {"a": 1}
        assert clock.slept == [1.0, 7.0]
        assert lines == ["POST /x HTTP/1.1"] * 3


async def test_not_without_end() -> None:
    async with server([answer(429, "{}", "Retry-After: 1")] * 20) as (client, clock, lines):
        with pytest.raises(ApiError) as caught:
            await client.request("GET", "/x")
        assert (caught.value.code, len(lines), len(clock.slept)) == (429, https.ATTEMPTS, https.ATTEMPTS - 1)


@pytest.mark.parametrize(
    "given", [answer(503), answer(500, "{}", "Retry-After: soon"), answer(409, "", "Retry-After: 1")]
)
async def test_other_errors_are_told_at_once(given: bytes) -> None:
    async with server([given]) as (client, clock, lines):
        with pytest.raises(ApiError):
            await client.request("PUT", "/x", body={})
        assert (len(lines), clock.slept) == (1, [])


async def test_a_kept_connection_that_was_closed_costs_no_request_that_may_be_repeated() -> None:
    async with server([answer(200), b"", answer(200, '{"b": 2}')]) as (client, _, lines):
        await client.request("GET", "/one")
        assert await client.request("PUT", "/two", body={}) == {"b": 2}
        assert len(lines) == 3
    async with server([answer(200), b"", answer(200)]) as (client, _, lines):
        await client.request("GET", "/one")
        with pytest.raises(ConnectionError):
            await client.request("POST", "/two", body={})
        assert len(lines) == 2, "it may have been done"


async def test_a_watch_that_breaks_off_says_so() -> None:
    event = '{"type":"ADDED","object":{"metadata":{"name":"a"}}}\n'
    cut = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{len(event):x}\r\n{event}\r\n".encode()
    async with server([cut]) as (client, _, _):
        seen = []
        with pytest.raises(ConnectionError):
            async for batch in client.watch("/x"):
                seen += batch
    assert [event.type for event in seen] == ["ADDED"]
