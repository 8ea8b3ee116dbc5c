"""A name server for tests that stands for the world outside. ``python -m tests.resolver ADDRESS NAME=ADDRESS...``
prints ``ready`` when it listens; other names do not exist."""

from __future__ import annotations

import socket
import sys

import dns.message
import dns.rcode
import dns.rrset


def serve(address: str, known: dict[str, str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((address, 53))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            data, client = server.recvfrom(65535)
            query = dns.message.from_wire(data)
            response = dns.message.make_response(query)
            question = query.question[0]
            found = known.get(question.name.to_text(omit_final_dot=True).lower())
            if found is None:
                response.set_rcode(dns.rcode.NXDOMAIN)
            elif question.rdtype == dns.rdatatype.A:
                response.answer = [dns.rrset.from_text(question.name, 60, "IN", "A", found)]
            server.sendto(response.to_wire(), client)


if __name__ == "__main__":
    serve(sys.argv[1], dict(pair.split("=") for pair in sys.argv[2:]))
