"""The string formats that schemas may name, as upstream's validator (go-openapi strfmt) knows them.

Others are no formats: they are not checked, and whoever writes a definition is warned of them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import date
from urllib.parse import urlsplit

_HEX = "[0-9a-f]"
_UUID = f"{_HEX}{{8}}-?{_HEX}{{4}}-?%s{_HEX}{{3}}-?%s{_HEX}{{3}}-?{_HEX}{{12}}"
_TIME = re.compile(r"(\d\d):(\d\d):(\d\d)(\.\d+)?(z|[+-]\d\d:\d\d)")
_GO_DURATION = re.compile(r"[+-]?((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))+|[+-]?0")
_LONG_DURATION = re.compile(r"(\d+)\s*([A-Za-zµ]+)")
#: Characters that a duration may have: looking for one takes the square of its length.
LONGEST_DURATION = 256
_UNITS: tuple[str, ...] = ("ns", "nano", "us", "µs", "micro", "ms", "milli", "s", "sec", "m", "min", "h", "hr", "hour")
_UNITS += ("d", "day", "w", "wk", "week")
_HOSTNAME = re.compile(r"(?!-)[^\W_](-?[^\W_]){0,62}|((?!-)[\w-]{1,63}(?<!-)\.)+[^\W\d_]{2,63}")
_EMAIL = re.compile(r"(?:[^<>@]*<)?[^\s<>@,;:\\\"()\[\]]+@[^\s<>@,;:\\\"()\[\]]+>?")
_MAC = re.compile(r"([0-9a-f]{2}([:-])([0-9a-f]{2}\2){4}([0-9a-f]{2}\2[0-9a-f]{2}\2)?[0-9a-f]{2})"
                  r"|([0-9a-f]{4}\.){2}([0-9a-f]{4}\.)?[0-9a-f]{4}", re.IGNORECASE)  # fmt: skip
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})")
_CARD = re.compile(
    r"4\d{12}(\d{3})?|5[1-5]\d{14}|6(011|5\d\d)\d{12}|3[47]\d{13}|3(0[0-5]|[68]\d)\d{11}|(2131|1800|35\d{3})\d{11}"
)
_BYTE = r"(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_NAME = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"


def _matches(pattern: str, flags: int = 0) -> Callable[[str], bool]:
    shape = re.compile(pattern, flags)
    return lambda text: shape.fullmatch(text) is not None


def _date(text: str) -> bool:
    try:
        return len(text) == 10 and date.fromisoformat(text) is not None
    except ValueError:
        return False


def _date_time(text: str) -> bool:
    day, t, time = text.lower().partition("t")
    shape = _TIME.fullmatch(time)
    if not t or shape is None or not _date(day):
        return False
    hour, minute, second = int(shape[1]), int(shape[2]), int(shape[3])
    return hour <= 23 and minute <= 59 and second <= 59


def _duration(text: str) -> bool:
    if _GO_DURATION.fullmatch(text):
        return True
    if len(text) > LONGEST_DURATION:
        return False
    found = _LONG_DURATION.findall(text)
    return bool(found) and all(unit.lower().rstrip("s") in _UNITS or unit.lower() in _UNITS for _, unit in found)


def _uri(text: str) -> bool:
    if not text or any(ord(char) <= 0x20 or char == "\x7f" for char in text):
        return False
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return text.startswith("/") or bool(parts.scheme and (parts.netloc or parts.path))


def _address(kind: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            return "%" not in text and isinstance(ipaddress.ip_address(text), kind)
        except ValueError:
            return False

    return check


def _cidr(text: str) -> bool:
    _, slash, bits = text.partition("/")
    try:
        return bool(slash) and bits.isdigit() and ipaddress.ip_network(text, strict=False) is not None
    except ValueError:
        return False


def _isbn10(text: str) -> bool:
    digits = re.sub(r"[\s-]", "", text)
    if not re.fullmatch(r"\d{9}[\dX]", digits):
        return False
    return sum((10 - at) * (10 if char == "X" else int(char)) for at, char in enumerate(digits)) % 11 == 0


def _isbn13(text: str) -> bool:
    digits = re.sub(r"[\s-]", "", text)
    return bool(re.fullmatch(r"\d{13}", digits)) and sum(int(c) * (1, 3)[i % 2] for i, c in enumerate(digits)) % 10 == 0


def _credit_card(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    if not _CARD.fullmatch(digits):
        return False
    doubled = (int(char) * (2 if at % 2 else 1) for at, char in enumerate(reversed(digits)))
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


#: By the format's name without dashes.
_CHECKS: dict[str, Callable[[str], bool]] = {
    "bsonobjectid": _matches("[0-9a-fA-F]{24}"),
    "uri": _uri,
    "email": lambda text: _EMAIL.fullmatch(text.strip()) is not None,
    "hostname": lambda text: len(text) <= 255 and _HOSTNAME.fullmatch(text) is not None,
    "ipv4": _address(ipaddress.IPv4Address),
    "ipv6": _address(ipaddress.IPv6Address),
    "cidr": _cidr,
    "mac": lambda text: _MAC.fullmatch(text) is not None,
    "uuid": _matches(_UUID % (_HEX, _HEX), re.IGNORECASE),
    "uuid3": _matches(_UUID % ("3", _HEX), re.IGNORECASE),
    "uuid4": _matches(_UUID % ("4", "[89ab]"), re.IGNORECASE),
    "uuid5": _matches(_UUID % ("5", "[89ab]"), re.IGNORECASE),
    "isbn": lambda text: _isbn10(text) or _isbn13(text),
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "creditcard": _credit_card,
    "ssn": _matches(r"\d{3}[- ]?\d{2}[- ]?\d{4}"),
    "hexcolor": _matches("#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "rgbcolor": _matches(rf"rgb\(\s*{_BYTE}\s*,\s*{_BYTE}\s*,\s*{_BYTE}\s*\)"),
    "byte": lambda text: _BASE64.fullmatch(text) is not None,
    "password": lambda text: True,
    "date": _date,
    "duration": _duration,
    "datetime": _date_time,
    "k8sshortname": lambda text: len(text) <= 63 and re.fullmatch(_NAME, text) is not None,
    "k8slongname": lambda text: len(text) <= 253 and re.fullmatch(rf"{_NAME}(\.{_NAME})*", text) is not None,
}
_OF_TYPE = {"integer": ("int32", "int64"), "number": ("float", "double")}


def check_of(name: str) -> Callable[[str], bool] | None:
    """What says whether a string has that format; None if it is no format known."""
    return _CHECKS.get(name.replace("-", ""))


def recognized(name: str, type: str) -> bool:
    """Whether a value of ``type`` may have that format."""
    if type in ("", "string"):
        return check_of(name) is not None
    return name in _OF_TYPE.get(type, ())
