"""DNS messages as bytes, held against dnspython."""

from __future__ import annotations

import struct
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinnace.network.dns import wire
from pinnace.network.dns.wire import Record, Soa, Srv, WireError

WEB = "web.shop.svc.cluster.local"


def query(name: str = WEB, type: str = "A", **options: Any) -> wire.Query:
    read = wire.read_query(dns.message.make_query(name, type, **options).to_wire())
    assert read is not None
    return read


def test_a_query_is_read() -> None:
    message = dns.message.make_query("WeB.Shop.svc.cluster.local", "SRV", use_edns=0, payload=1232, want_dnssec=True)
    read = wire.read_query(message.to_wire())
    assert read is not None
    assert (read.id, read.name, read.type, read.problem) == (message.id, WEB, wire.SRV, wire.NOERROR)
    assert (read.payload, read.do, read.udp_limit) == (1232, True, 1232)
    assert query().udp_limit == 512


def test_the_question_comes_back_in_the_letters_it_was_asked_in() -> None:
    read = query("wEb.sHop.svc.Cluster.LOCAL")
    answer = wire.write_answer(read, wire.NOERROR, 512, answers=[Record(WEB, wire.A, 30, "10.96.0.20")])
    parsed = dns.message.from_wire(answer)
    assert parsed.question[0].name.to_text() == "wEb.sHop.svc.Cluster.LOCAL."
    assert parsed.answer[0].name.to_text() == "wEb.sHop.svc.Cluster.LOCAL."


RECORDS = [
    Record(WEB, wire.A, 30, "10.96.0.20"),
    Record(WEB, wire.AAAA, 30, "fd00::20"),
    Record(WEB, wire.CNAME, 30, "example.org"),
    Record(WEB, wire.SRV, 30, Srv(0, 50, 80, "db-0.db.shop.svc.cluster.local")),
    Record("20.0.96.10.in-addr.arpa", wire.PTR, 30, WEB),
    Record("cluster.local", wire.NS, 30, "ns.dns.cluster.local"),
    Record(
        "cluster.local", wire.SOA, 30, Soa("ns.dns.cluster.local", "hostmaster.cluster.local", 7, 7200, 1800, 86400, 30)
    ),
    Record("dns-version.cluster.local", wire.TXT, 30, "1.1.0"),
]


def test_every_type_of_record_is_written_as_others_read_it() -> None:
    answer = wire.write_answer(query(), wire.NOERROR, 4096, answers=RECORDS, authoritative=True)
    parsed = dns.message.from_wire(answer)
    assert sorted(
        " ".join(line.split()) for line in parsed.to_text().split(";ANSWER\n")[1].split("\n;")[0].splitlines()
    ) == sorted(
        [
            f"{WEB}. 30 IN A 10.96.0.20",
            f"{WEB}. 30 IN AAAA fd00::20",
            f"{WEB}. 30 IN CNAME example.org.",
            f"{WEB}. 30 IN SRV 0 50 80 db-0.db.shop.svc.cluster.local.",
            f"20.0.96.10.in-addr.arpa. 30 IN PTR {WEB}.",
            "cluster.local. 30 IN NS ns.dns.cluster.local.",
            "cluster.local. 30 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. 7 7200 1800 86400 30",
            'dns-version.cluster.local. 30 IN TXT "1.1.0"',
        ]
    )
    assert parsed.flags & dns.flags.AA and parsed.flags & dns.flags.RA and parsed.flags & dns.flags.RD
    assert len(answer) < 450, "names are compressed"


def test_what_does_not_fit_is_marked_as_cut_off() -> None:
    many = [Record(WEB, wire.A, 30, f"10.244.0.{n}") for n in range(100)]
    plain = wire.write_answer(query(), wire.NOERROR, 512, answers=many)
    parsed = dns.message.from_wire(plain)
    assert len(plain) <= 512 and parsed.flags & dns.flags.TC and len(parsed.answer[0]) > 20
    edns = query(use_edns=0, payload=1232)
    assert len(wire.write_answer(edns, wire.NOERROR, edns.udp_limit, answers=many)) <= 1232
    whole = dns.message.from_wire(wire.write_answer(edns, wire.NOERROR, wire.TCP_LIMIT, answers=many))
    assert not whole.flags & dns.flags.TC and len(whole.answer[0]) == 100


def test_additional_records_are_left_out_in_silence() -> None:
    many = [Record(f"h{n}.example.org", wire.A, 30, "10.0.0.1") for n in range(100)]
    parsed = dns.message.from_wire(wire.write_answer(query(), wire.NOERROR, 512, answers=RECORDS[:1], additional=many))
    assert not parsed.flags & dns.flags.TC and parsed.answer and parsed.additional


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (dns.message.make_query("x", "A").to_wire()[:14], wire.FORMERR),
        (b"\x00\x07" + struct.pack("!HHHHH", 0x0100, 1, 0, 0, 0) + b"\xc0\x0c\x00\x01\x00\x01", wire.FORMERR),
        (b"\x00\x07" + struct.pack("!HHHHH", 0x0100, 0, 0, 0, 0), wire.FORMERR),
        (b"\x00\x07" + struct.pack("!HHHHH", 0x2800, 1, 0, 0, 0), wire.NOTIMP),
        (dns.message.make_query("version.bind", "TXT", "CH").to_wire(), wire.REFUSED),
        (dns.message.make_query("x", "A", use_edns=1).to_wire(), wire.BADVERS),
    ],
    ids=["cut off", "looping name", "no question", "other opcode", "other class", "other EDNS"],
)
def test_questions_that_cannot_be_answered_are_told_why(data: bytes, problem: int) -> None:
    read = wire.read_query(data)
    assert read is not None and read.problem == problem
    assert dns.message.from_wire(wire.write_answer(read, problem, 512)).rcode() == problem


def test_answers_and_noise_get_no_answer() -> None:
    assert wire.read_query(b"") is None
    assert wire.read_query(b"GET / HTTP") is None
    assert wire.read_query(dns.message.make_response(dns.message.make_query("x", "A")).to_wire()) is None


@given(st.binary(max_size=200))
@settings(max_examples=500, deadline=None)
def test_no_bytes_break_the_reader(data: bytes) -> None:
    read = wire.read_query(data)
    if read is not None:
        dns.message.from_wire(wire.write_answer(read, read.problem, 512, answers=RECORDS if not read.problem else ()))
    for noisy in (data, dns.message.make_query("x.test", "A", id=7).to_wire() + data):
        try:
            wire.read_reply(noisy, dns.message.make_query("x.test", "A", id=7).to_wire())
        except WireError:
            continue


LABEL = st.binary(min_size=1, max_size=20)


@given(st.lists(LABEL, max_size=8))
@settings(max_examples=200, deadline=None)
def test_names_of_any_bytes_come_back_as_they_were(labels: list[bytes]) -> None:
    name = dns.name.Name([*labels, b""])
    message = dns.message.make_query(name, "A")
    read = wire.read_query(message.to_wire())
    assert read is not None and not read.problem
    answer = dns.message.from_wire(
        wire.write_answer(read, wire.NOERROR, 512, answers=[Record(read.name, wire.A, 1, "10.0.0.1")] if labels else [])
    )
    assert answer.question == message.question
    assert all(found.name == name for found in answer.answer)


def reply_to(message: dns.message.Message, *records: str) -> bytes:
    response = dns.message.make_response(message)
    response.answer = [dns.rrset.from_text(*record.split(" ", 4)) for record in records]
    return response.to_wire()


def test_another_servers_answer_is_read() -> None:
    message = dns.message.make_query("www.example.org", "A")
    data = reply_to(message, "www.example.org. 300 IN CNAME x.example.org.", "x.example.org. 60 IN A 192.0.2.7")
    reply = wire.read_reply(data, message.to_wire())
    assert reply.records == [
        Record("www.example.org", wire.CNAME, 300, "x.example.org"),
        Record("x.example.org", wire.A, 60, "192.0.2.7"),
    ]
    assert (reply.rcode, reply.truncated, reply.lifetime) == (wire.NOERROR, False, 60)
    later = dns.message.from_wire(wire.aged(data, b"\x12\x34", reply.ttl_offsets, 45))
    assert later.id == 0x1234 and [rrset.ttl for rrset in later.answer] == [255, 15]


@pytest.mark.parametrize("other", ["www.example.com", "wwx.example.org"])
def test_an_answer_to_another_question_is_refused(other: str) -> None:
    message, asked = dns.message.make_query(other, "A", id=7), dns.message.make_query("www.example.org", "A", id=7)
    with pytest.raises(WireError):
        wire.read_reply(reply_to(message), asked.to_wire())


@pytest.mark.parametrize("name", ["a..b", "x" * 64, ".".join(["x" * 60] * 5), "Ā"])
def test_names_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(WireError):
        wire.write_query(1, name, wire.A)
