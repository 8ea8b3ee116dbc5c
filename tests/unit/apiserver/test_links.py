"""Links of proxied pages lead back through the proxy."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncGenerator, Callable

import pytest

from pinnace.apiserver.resources import links
from pinnace.apiserver.response import Answer, Stream

PREFIX = "/api/v1/namespaces/default/pods/http:web:80/proxy"
WAY = links.Way(PREFIX, "localhost:8001", "10.244.0.7:80")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("/about", f"{PREFIX}/about"),
        ("/", f"{PREFIX}/"),
        ("/a?x=1#y", f"{PREFIX}/a?x=1#y"),
        ("about", "about"),
        ("../up", "../up"),
        ("", ""),
        ("#here", "#here"),
        ("mailto:me@example.com", "mailto:me@example.com"),
        ("https://example.com/a", "https://example.com/a"),
        ("//example.com/a", "//example.com/a"),
        ("http://10.244.0.7:80/a", f"https://localhost:8001{PREFIX}/a"),
        ("https://localhost:8001/a", f"https://localhost:8001{PREFIX}/a"),
        (f"{PREFIX}/there", f"{PREFIX}/there"),
        ("http://[broken", "http://[broken"),
    ],
)
def test_addresses(given: str, wanted: str) -> None:
    assert WAY.address(given) == wanted


PAGE = """<!DOCTYPE html>\n<HTML><!-- <a href="/no"> -->
<script>if (a < b) x = '<a href="/no">'</script>
<A title="/no" HREF='/yes?a=1&amp;b=2'>R&amp;D</A><p href="/no"><img
  alt=x src=/pic.png usemap="#m"/><form action = "/do"> \u00e9"""
LED = (
    PAGE.replace("'/yes?a=1&amp;b=2'", f"'{PREFIX}/yes?a=1&amp;b=2'")
    .replace("src=/pic.png", f"src={PREFIX}/pic.png")
    .replace('"/do"', f'"{PREFIX}/do"')
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 1000])
def test_a_page_keeps_all_but_its_addresses(size: int) -> None:
    page = links.Page(WAY)
    parts = [page.feed(PAGE[at : at + size]) for at in range(0, len(PAGE), size)]
    assert "".join(parts) + page.end() == LED


@pytest.mark.parametrize("text", ["", "<", "<a href=", '<a href="/x', "<a hreflang='/x' <b>", "&#xffffffff;<a href=&>"])
def test_broken_pages_come_whole(text: str) -> None:
    page = links.Page(WAY)
    assert page.feed(text) + page.end() == text


def test_a_tag_without_end_is_not_waited_for() -> None:
    page = links.Page(WAY)
    text = "<a " + "x" * links.LIMIT
    assert page.feed(text) == text


async def read(answer: Answer) -> bytes:
    assert isinstance(answer, Stream)
    return b"".join([chunk async for chunk in answer.chunks])


def stream(body: bytes, content_type: str, **headers: str) -> Stream:
    async def chunks() -> AsyncGenerator[bytes, None]:
        for at in range(0, len(body), 10):
            yield body[at : at + 10]

    found = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Stream(200, chunks(), content_type=content_type, headers=found)


@pytest.mark.parametrize(
    ("packed", "encoding"), [(bytes, "identity"), (gzip.compress, "gzip"), (zlib.compress, "deflate")]
)
async def test_pages_of_any_encoding(packed: Callable[[bytes], bytes], encoding: str) -> None:
    body = packed(PAGE.encode() + b"\xff")
    answer = WAY.answer(stream(body, "text/html; charset=utf-8", Content_Encoding=encoding, Location="/a"))
    assert isinstance(answer, Stream)
    assert answer.headers == [("Location", f"{PREFIX}/a")]
    assert await read(answer) == LED.encode() + b"\xff"


async def test_what_is_no_page_stays() -> None:
    assert await read(WAY.answer(stream(PAGE.encode(), "text/plain"))) == PAGE.encode()
    packed = WAY.answer(stream(b"brotli", "text/html", Content_Encoding="br"))
    assert isinstance(packed, Stream)
    assert (await read(packed), packed.headers) == (b"brotli", [("Content-Encoding", "br")])
