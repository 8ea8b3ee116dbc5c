"""DNS messages as bytes: queries read, answers written, and of other servers' answers as much as forwarding needs.

Names are lower-case text without the final dot (the root is ""), labels as they are on the wire; whoever asked gets
the question back in the letters that were sent. Reading never goes backwards more often than a name has labels, so no
message makes it loop.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

A, NS, CNAME, SOA, PTR, TXT, AAAA, SRV, OPT = 1, 2, 5, 6, 12, 16, 28, 33, 41
IXFR, AXFR, ANY = 251, 252, 255
IN = 1
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16
#: What a client without EDNS takes by UDP, and the most that is sent to one with it.
UDP_PLAIN, UDP_LIMIT = 512, 1232
TCP_LIMIT = 65535

_HEADER = struct.Struct("!HHHHHH")
_QUESTION = struct.Struct("!HH")
_RECORD = struct.Struct("!HHIH")
_QR, _AA, _TC, _RD, _RA, _CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0010


#: A dot inside a label: one character, as on the wire, and none of latin-1, so that no name of ours has it.
_DOT = "\u2024"


class WireError(ValueError):
    """The bytes are no DNS message."""


class Soa(NamedTuple):
    server: str
    mailbox: str
    serial: int
    refresh: int
    retry: int
    expire: int
    minimum: int


class Srv(NamedTuple):
    priority: int
    weight: int
    port: int
    target: str


class Record(NamedTuple):
    """``data`` is an address (A, AAAA), a name (CNAME, NS, PTR), text (TXT), Srv or Soa."""

    name: str
    type: int
    ttl: int
    data: str | Srv | Soa


@dataclass(frozen=True, slots=True)
class Query:
    """A question. ``payload`` is what the client takes by UDP, 0 if it said nothing (no EDNS); ``problem`` is the code
    to answer with if it cannot be answered."""

    id: int
    flags: int
    name: str
    type: int
    question: bytes  # as it was sent
    payload: int = 0
    do: bool = False
    problem: int = NOERROR

    @property
    def udp_limit(self) -> int:
        return max(UDP_PLAIN, min(self.payload, UDP_LIMIT))


# -- reading


def read_query(data: bytes) -> Query | None:
    """The question in ``data``; None for what deserves no answer: too short to have an id, or itself an answer."""
    if len(data) < _HEADER.size:
        return None
    id, flags, questions, answers, authorities, additional = _HEADER.unpack_from(data)
    if flags & _QR:
        return None
    if flags & 0x7800:
        return Query(id, flags, "", 0, b"", problem=NOTIMP)
    try:
        if questions != 1 or answers or authorities:
            raise WireError("not one question")
        name, end = read_name(data, _HEADER.size)
        type, class_ = _QUESTION.unpack_from(data, end)
        end += _QUESTION.size
        question = data[_HEADER.size : end]
        payload, do, version = _edns(data, end, additional)
    except (WireError, struct.error):
        return Query(id, flags, "", 0, b"", problem=FORMERR)
    problem = BADVERS if version else NOERROR if class_ == IN else REFUSED
    return Query(id, flags, name, type, question, payload, do, problem)


def _edns(data: bytes, offset: int, additional: int) -> tuple[int, bool, int]:
    """What the client says of itself: payload size, DNSSEC wanted, version."""
    found = (0, False, 0)
    for record in _records(data, offset, additional):
        if record.type == OPT:
            found = (max(record.class_, UDP_PLAIN), bool(record.ttl & 0x8000), record.ttl >> 16 & 0xFF)
    return found


def read_name(data: bytes, offset: int) -> tuple[str, int]:
    """The name at ``offset`` and where it ends. Raises WireError."""
    labels: list[str] = []
    end = -1
    length = 0
    while True:
        if offset >= len(data):
            raise WireError("a name runs over the end")
        size = data[offset]
        if size & 0xC0 == 0xC0:
            if offset + 1 >= len(data):
                raise WireError("a pointer runs over the end")
            target = (size & 0x3F) << 8 | data[offset + 1]
            if target >= offset:
                raise WireError("a pointer points forward")
            end = offset + 2 if end < 0 else end
            offset = target
            continue
        if size & 0xC0:
            raise WireError("a label of unknown kind")
        offset += 1
        if not size:
            return ".".join(labels), offset if end < 0 else end
        length += size + 1
        if length > 254 or offset + size > len(data):
            raise WireError("a name is too long")
        label = data[offset : offset + size].lower().decode("latin-1")
        labels.append(label.replace(".", _DOT) if "." in label else label)
        offset += size


class _Raw(NamedTuple):
    name: str
    type: int
    class_: int
    ttl: int
    ttl_offset: int
    start: int
    end: int


def _records(data: bytes, offset: int, count: int) -> Iterator[_Raw]:
    for _ in range(count):
        name, offset = read_name(data, offset)
        type, class_, ttl, size = _RECORD.unpack_from(data, offset)
        start = offset + _RECORD.size
        if start + size > len(data):
            raise WireError("a record runs over the end")
        yield _Raw(name, type, class_, ttl, offset + 4, start, start + size)
        offset = start + size


class Reply(NamedTuple):
    """Another server's answer: its code, the records of it that lead to addresses, where all its TTLs stand, and for
    how many seconds it may be remembered."""

    rcode: int
    truncated: bool
    records: list[Record]
    ttl_offsets: list[int]
    lifetime: int


def read_reply(data: bytes, query: bytes) -> Reply:
    """The answer to ``query`` in ``data``. Raises WireError for anything else."""
    if len(data) < _HEADER.size or data[:2] != query[:2]:
        raise WireError("the answer to another question")
    _, flags, questions, answers, authorities, additional = _HEADER.unpack_from(data)
    if not flags & _QR or questions != 1:
        raise WireError("not an answer")
    try:
        name, offset = read_name(data, _HEADER.size)
        asked, end = read_name(query, _HEADER.size)
        if name != asked or data[offset : offset + 4] != query[end : end + 4]:
            raise WireError("the answer to another question")
        raw = list(_records(data, offset + _QUESTION.size, answers + authorities + additional))
        kept = [record for item in raw[:answers] if (record := _leading(data, item)) is not None]
        ttls = [item.ttl for item in raw if item.type != OPT]
        negative = [r for r in raw[answers : answers + authorities] if r.type == SOA and r.end - r.start >= 4]
        ttls += [struct.unpack_from("!I", data, soa.end - 4)[0] for soa in negative]
    except struct.error as error:
        raise WireError("the answer is cut off") from error
    return Reply(
        flags & 0xF,
        bool(flags & _TC),
        kept,
        [item.ttl_offset for item in raw if item.type != OPT],
        min(ttls, default=0),
    )


def _leading(data: bytes, raw: _Raw) -> Record | None:
    if raw.class_ != IN:
        return None
    if raw.type == CNAME:
        return Record(raw.name, CNAME, raw.ttl, read_name(data, raw.start)[0])
    if raw.type == A and raw.end - raw.start == 4:
        return Record(raw.name, A, raw.ttl, socket.inet_ntoa(data[raw.start : raw.end]))
    if raw.type == AAAA and raw.end - raw.start == 16:
        return Record(raw.name, AAAA, raw.ttl, socket.inet_ntop(socket.AF_INET6, data[raw.start : raw.end]))
    return None


def aged(data: bytes, id: bytes, ttl_offsets: Sequence[int], seconds: int) -> bytes:
    """A remembered answer for another client, ``seconds`` later."""
    fresh = bytearray(data)
    fresh[:2] = id
    for offset in ttl_offsets:
        (ttl,) = struct.unpack_from("!I", fresh, offset)
        struct.pack_into("!I", fresh, offset, max(ttl - seconds, 0))
    return bytes(fresh)


# -- writing


def write_query(id: int, name: str, type: int) -> bytes:
    """A question that wants recursion. Raises WireError for a name that is none."""
    return _HEADER.pack(id, _RD, 1, 0, 0, 0) + _name(name) + _QUESTION.pack(type, IN)


def _name(name: str) -> bytes:
    parts = [_label(label) for label in name.split(".")] if name else []
    packed = b"".join(parts) + b"\0"
    if len(packed) > 255:
        raise WireError(f"the name {name!r} is too long")
    return packed


def _label(label: str) -> bytes:
    try:
        raw = label.encode("latin-1")
    except UnicodeEncodeError as error:
        raise WireError(f"{label!r} is no label of a name") from error
    if not 0 < len(raw) < 64:
        raise WireError(f"{label!r} is no label of a name")
    return bytes([len(raw)]) + raw


class _Writer:
    def __init__(self, query: Query) -> None:
        self.data = bytearray(_HEADER.size)
        self._at: dict[str, int] = {}  # where a name stands already
        if query.question:
            self._remember(query.name, _HEADER.size)
            self.data += query.question

    def _remember(self, name: str, offset: int) -> None:
        while name and offset < 0x4000:
            self._at.setdefault(name, offset)
            label, _, name = name.partition(".")
            offset += len(label) + 1

    def name(self, name: str) -> None:
        start, rest = len(self.data), name
        while rest:
            if (known := self._at.get(rest)) is not None:
                self.data += struct.pack("!H", 0xC000 | known)
                break
            label, _, rest = rest.partition(".")
            self.data += _label(label)
        else:
            self.data.append(0)
        self._remember(name, start)

    def record(self, record: Record) -> None:
        self.name(record.name)
        self.data += _RECORD.pack(record.type, IN, record.ttl, 0)
        start = len(self.data)
        self._body(record)
        struct.pack_into("!H", self.data, start - 2, len(self.data) - start)

    def _body(self, record: Record) -> None:
        data = record.data
        if isinstance(data, Srv):
            self.data += struct.pack("!HHH", data.priority, data.weight, data.port)
            self.data += _name(data.target)  # never compressed (RFC 2782)
        elif isinstance(data, Soa):
            self.name(data.server)
            self.name(data.mailbox)
            self.data += struct.pack("!IIIII", *data[2:])
        elif record.type == A:
            self.data += socket.inet_pton(socket.AF_INET, data)
        elif record.type == AAAA:
            self.data += socket.inet_pton(socket.AF_INET6, data)
        elif record.type == TXT:
            self.data += bytes([len(data)]) + data.encode()
        else:
            self.name(data)


def write_answer(
    query: Query,
    rcode: int,
    limit: int,
    *,
    answers: Sequence[Record] = (),
    authority: Sequence[Record] = (),
    additional: Sequence[Record] = (),
    authoritative: bool = False,
) -> bytes:
    """The answer, at most ``limit`` bytes: additional records that do not fit are left out; if others do not, those
    that do are sent and marked as cut off."""
    writer = _Writer(query)
    room = limit - (11 if query.payload else 0)
    counts = [0, 0, 0]
    cut = False
    for section, records in enumerate((answers, authority, additional)):
        for record in records:
            before = len(writer.data)
            writer.record(record)
            if len(writer.data) > room:
                del writer.data[before:]
                cut = cut or section < 2
                break
            counts[section] += 1
        if cut:
            break
    if query.payload:
        writer.data += b"\0" + _RECORD.pack(OPT, UDP_LIMIT, rcode >> 4 << 24 | (0x8000 if query.do else 0), 0)
        counts[2] += 1
    flags = _QR | query.flags & (0x7800 | _RD | _CD) | _RA | rcode & 0xF
    flags |= (_AA if authoritative else 0) | (_TC if cut else 0)
    _HEADER.pack_into(writer.data, 0, query.id, flags, 1 if query.question else 0, *counts)
    return bytes(writer.data)
