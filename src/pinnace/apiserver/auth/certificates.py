"""The subject of a client certificate, read from its DER.

TLS has verified the certificate when it gets here, so this reads the few fields that name the user and checks only that
it stays within bounds. A reader of its own, because the first request should not wait for ``cryptography``.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import NamedTuple

from pinnace.apiserver.request import User

COMMON_NAME = bytes((0x55, 4, 3))
ORGANIZATION = bytes((0x55, 4, 10))
#: 1.3.6.1.4.1.57683.2, Kubernetes' own attribute for a user's UID.
KUBERNETES_UID = bytes((0x2B, 6, 1, 4, 1, 0x83, 0xC2, 0x53, 2))
CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"

_SEQUENCE, _SET, _VERSION, _UTC_TIME, _BMP, _UNIVERSAL = 0x30, 0x31, 0xA0, 0x17, 0x1E, 0x1C


class MalformedError(ValueError):
    """Not a certificate as DER has it."""


class ClientCertificate(NamedTuple):
    """``user`` is None if the subject has no common name. The bounds are in seconds since the epoch."""

    user: User | None
    not_before: float
    not_after: float


class _Reader:
    """Takes elements off the front of a stretch of DER."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def next(self) -> tuple[int, bytes]:
        """The next element's tag and content."""
        data, at = self._data, self._at
        if at + 2 > len(data):
            raise MalformedError("cut short")
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            if not 1 <= size <= 4 or at + size > len(data):
                raise MalformedError("bad length")
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        if at + length > len(data):
            raise MalformedError("cut short")
        self._at = at + length
        return tag, data[at : at + length]

    def expect(self, tag: int) -> _Reader:
        found, content = self.next()
        if found != tag:
            raise MalformedError(f"expected element {tag:#x}, found {found:#x}")
        return _Reader(content)


def read_certificate(der: bytes) -> ClientCertificate:
    """Raises MalformedError."""
    body = _Reader(der).expect(_SEQUENCE).expect(_SEQUENCE)
    tag, _ = body.next()
    if tag == _VERSION:
        body.next()  # the serial number
    body.next()  # the signature's algorithm
    body.next()  # the issuer
    validity = body.expect(_SEQUENCE)
    not_before, not_after = _time(*validity.next()), _time(*validity.next())
    names: dict[bytes, list[str]] = {COMMON_NAME: [], ORGANIZATION: [], KUBERNETES_UID: []}
    subject = body.expect(_SEQUENCE)
    while subject:
        relative = subject.expect(_SET)
        while relative:
            attribute = relative.expect(_SEQUENCE)
            _, identifier = attribute.next()
            if identifier in names:
                names[identifier].append(_text(*attribute.next()))
    return ClientCertificate(_user(der, names), not_before, not_after)


def _user(der: bytes, names: dict[bytes, list[str]]) -> User | None:
    if not names[COMMON_NAME] or not names[COMMON_NAME][-1]:
        return None
    if len(names[KUBERNETES_UID]) > 1:
        raise MalformedError("expected 1 UID in the subject")
    return User(
        name=names[COMMON_NAME][-1],
        uid="".join(names[KUBERNETES_UID]),
        groups=(*names[ORGANIZATION], "system:authenticated"),
        extra={CREDENTIAL_ID: (f"X509SHA256={hashlib.sha256(der).hexdigest()}",)},
    )


def _text(tag: int, content: bytes) -> str:
    encoding = {_BMP: "utf-16-be", _UNIVERSAL: "utf-32-be"}.get(tag, "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise MalformedError("a name is not text") from error


def _time(tag: int, content: bytes) -> float:
    text = content.decode("ascii", "replace")
    if tag == _UTC_TIME:  # two digits of the year: 1950 to 2049
        text = ("19" if text[:2] >= "50" else "20") + text
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise MalformedError(f"bad time {text!r}") from error
