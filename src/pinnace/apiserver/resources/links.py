"""Links in what proxied Pods and Services answer: they lead back through the proxy, as upstream's do.

A page asked for at ``.../pods/web/proxy/`` that says ``<a href="/about">`` means its own ``/about``.
"""

from __future__ import annotations

import codecs
import re
import zlib
from collections.abc import AsyncGenerator, Iterator
from html import escape, unescape
from html.parser import HTMLParser
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

from pinnace.apiserver.response import Answer, Stream

#: Characters of a tag that is waited for; a page with longer ones is passed on as it is from there.
LIMIT = 64 << 10
#: Bytes that are decompressed at a time.
_PIECE = 256 << 10
#: Attributes that are addresses, by tag (upstream's list, of HTML 4 and 5).
_ADDRESSES = {
    "a": "href",
    "applet": "codebase",
    "area": "href",
    "audio": "src",
    "base": "href",
    "blockquote": "cite",
    "body": "background",
    "button": "formaction",
    "command": "icon",
    "del": "cite",
    "embed": "src",
    "form": "action",
    "frame": "longdesc src",
    "head": "profile",
    "html": "manifest",
    "iframe": "longdesc src",
    "img": "longdesc src usemap",
    "input": "src usemap formaction",
    "ins": "cite",
    "link": "href",
    "object": "classid codebase data usemap",
    "q": "cite",
    "script": "src",
    "source": "src",
    "video": "poster src",
}
_ATTRIBUTE = re.compile(r"""([^\s"'<>/=]+)(\s*=\s*)("[^"]*"|'[^']*'|[^\s"'>]+)""")


class Way(NamedTuple):
    """How a page was reached: at ``prefix`` (a path that ends in ``/proxy``) of ``host`` by the client, which the proxy
    took to ``backend``; both hosts as in a Host header."""

    prefix: str
    host: str
    backend: str

    def address(self, url: str) -> str:
        """``url``, of an answer, as the client must ask for it. Those of other hosts and relative ones stay."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return url
        elsewhere = parts.netloc and parts.netloc not in (self.host, self.backend)
        if elsewhere or not parts.path.startswith("/") or parts.path.startswith(self.prefix):
            return url
        own = parts._replace(path=self.prefix + parts.path)
        if parts.scheme or parts.netloc:
            own = own._replace(scheme="https", netloc=self.host)
        return urlunsplit(own)

    def answer(self, answer: Answer) -> Answer:
        """``answer`` with a Location, and the addresses of a page, as the client must ask for them."""
        if not isinstance(answer, Stream):
            return answer
        headers = [(name, self.address(value) if name == "Location" else value) for name, value in answer.headers]
        encoding = next((value for name, value in headers if name == "Content-Encoding"), "identity")
        chunks = answer.chunks
        if answer.content_type.partition(";")[0] == "text/html" and encoding in ("identity", "gzip", "deflate"):
            headers = [(name, value) for name, value in headers if name != "Content-Encoding"]
            chunks = self._page(chunks, encoding)
        return Stream(answer.status, chunks, content_type=answer.content_type, headers=headers)

    async def _page(self, chunks: AsyncGenerator[bytes, None], encoding: str) -> AsyncGenerator[bytes, None]:
        """Raises zlib.error if the page is not of its encoding."""
        page, decoder = Page(self), codecs.getincrementaldecoder("utf-8")("surrogateescape")
        reader = None if encoding == "identity" else zlib.decompressobj(47)  # either header
        try:
            async for chunk in chunks:
                for piece in (chunk,) if reader is None else _inflated(reader, chunk):
                    if made := page.feed(decoder.decode(piece)):
                        yield made.encode("utf-8", "surrogateescape")
            yield (page.feed(decoder.decode(b"", final=True)) + page.end()).encode("utf-8", "surrogateescape")
        finally:
            await chunks.aclose()

    def tag(self, written: str, names: list[str]) -> str:
        """A tag with the addresses in the attributes ``names`` so; all else as it is written."""
        return _ATTRIBUTE.sub(lambda given: self._attribute(given, names), written)

    def _attribute(self, given: re.Match[str], names: list[str]) -> str:
        name, equals, value = given.groups()
        if name.lower() not in names:
            return given[0]
        quote = value[0] if value[0] in "\"'" else ""
        url = unescape(value.strip(quote) if quote else value)
        new = self.address(url)
        return given[0] if new == url else f"{name}{equals}{quote}{escape(new)}{quote}"


class Page(HTMLParser):
    """A page that comes in parts: what is fed comes out, some of it later, with the addresses of its tags changed."""

    def __init__(self, way: Way) -> None:
        super().__init__(convert_charrefs=False)
        self._way = way
        self._text = ""  # what has come and not gone
        self._gone = 0
        self._lines = [0]
        self._tags: list[tuple[int, str, list[str]]] = []

    def feed(self, data: str) -> str:  # type: ignore[override]  # the base class's gives nothing
        came = self._gone + len(self._text)
        self._lines += [came + match.end() for match in re.finditer("\n", data)]
        self._text += data
        super().feed(data)
        if len(self.rawdata) > LIMIT:
            self.rawdata = ""
            self._tags.clear()
        return self._let_go(self._gone + len(self._text) - len(self.rawdata))

    def end(self) -> str:
        """What is left."""
        return self._let_go(self._gone + len(self._text))

    def _let_go(self, until: int) -> str:
        made: list[str] = []
        at = self._gone
        for place, written, names in self._tags:
            made += self._text[at - self._gone : place - self._gone], self._way.tag(written, names)
            at = place + len(written)
        made.append(self._text[at - self._gone : until - self._gone])
        self._tags.clear()
        self._text, self._gone = self._text[until - self._gone :], until
        return "".join(made)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names, written = _ADDRESSES.get(tag), self.get_starttag_text()
        if names and written:
            line, column = self.getpos()
            self._tags.append((self._lines[line - 1] + column, written, names.split()))


def _inflated(reader: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    while data:
        yield reader.decompress(data, _PIECE)
        data = reader.unconsumed_tail
