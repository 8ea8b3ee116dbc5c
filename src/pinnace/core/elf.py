"""Static programs for Linux, made of a few machine instructions: where a process must be small and no compiler is."""

from __future__ import annotations

import struct

X86_64, AARCH64 = 62, 183
_BASE = 0x400000
_HEADERS = 64 + 56


def program(machine: int, code: bytes) -> bytes:
    """The ELF file for a machine with this number: ``code``, which begins with its first instruction."""
    size = _HEADERS + len(code)
    ident = b"\x7fELF" + bytes((2, 1, 1, 0)) + bytes(8)
    header = struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    return ident + header + segment + code


def linked(code: bytes, references: dict[int, int], data: list[bytes]) -> bytes:
    """x86-64 code with ``data`` behind it; ``references`` says at which offsets it has distances to which of them."""
    joined, offsets = bytearray(code), []
    for item in data:
        offsets.append(len(joined))
        joined += item
    for place, which in references.items():
        joined[place : place + 4] = (offsets[which] - place - 4).to_bytes(4, "little")
    return bytes(joined)
