"""What Kubernetes adds to CEL: regular expressions, URLs, IP addresses, quantities, named formats, versions."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pinnace.api import formats, quantity
from pinnace.api.cel.text import pattern
from pinnace.api.cel.values import NOTHING, CelError, Optional, no_overload
from pinnace.api.crd import formats as string_formats

_NANO = 10**9
_FORMAT_NAMES = (
    "dns1123Label dns1123Subdomain dns1035Label qualifiedName dns1123LabelPrefix dns1123SubdomainPrefix "
    "dns1035LabelPrefix labelValue uri uuid byte date datetime"
)
SIGNATURES = """
string . find(string) -> string
string . findAll(string) -> list(string)
string . findAll(string, int) -> list(string)
url(string) -> kubernetes.URL
isURL(string) -> bool
kubernetes.URL . getScheme() -> string
kubernetes.URL . getHost() -> string
kubernetes.URL . getHostname() -> string
kubernetes.URL . getPort() -> string
kubernetes.URL . getEscapedPath() -> string
kubernetes.URL . getQuery() -> map(string, list(string))
ip(string) -> net.IP
isIP(string) -> bool
ip.isCanonical(string) -> bool
string(net.IP) -> string
net.IP . family() -> int
net.IP . isUnspecified() -> bool
net.IP . isLoopback() -> bool
net.IP . isLinkLocalMulticast() -> bool
net.IP . isLinkLocalUnicast() -> bool
net.IP . isGlobalUnicast() -> bool
cidr(string) -> net.CIDR
isCIDR(string) -> bool
string(net.CIDR) -> string
net.CIDR . containsIP(string) -> bool
net.CIDR . containsIP(net.IP) -> bool
net.CIDR . containsCIDR(string) -> bool
net.CIDR . containsCIDR(net.CIDR) -> bool
net.CIDR . ip() -> net.IP
net.CIDR . masked() -> net.CIDR
net.CIDR . prefixLength() -> int
jsonpatch.escapeKey(string) -> string
quantity(string) -> kubernetes.Quantity
isQuantity(string) -> bool
kubernetes.Quantity . isInteger() -> bool
kubernetes.Quantity . asInteger() -> int
kubernetes.Quantity . asApproximateFloat() -> double
kubernetes.Quantity . sign() -> int
kubernetes.Quantity . add(kubernetes.Quantity) -> kubernetes.Quantity
kubernetes.Quantity . add(int) -> kubernetes.Quantity
kubernetes.Quantity . sub(kubernetes.Quantity) -> kubernetes.Quantity
kubernetes.Quantity . sub(int) -> kubernetes.Quantity
kubernetes.Quantity . isLessThan(kubernetes.Quantity) -> bool
kubernetes.Quantity . isGreaterThan(kubernetes.Quantity) -> bool
kubernetes.Quantity . compareTo(kubernetes.Quantity) -> int
semver(string) -> kubernetes.Semver
semver(string, bool) -> kubernetes.Semver
isSemver(string) -> bool
isSemver(string, bool) -> bool
kubernetes.Semver . major() -> int
kubernetes.Semver . minor() -> int
kubernetes.Semver . patch() -> int
kubernetes.Semver . isLessThan(kubernetes.Semver) -> bool
kubernetes.Semver . isGreaterThan(kubernetes.Semver) -> bool
kubernetes.Semver . compareTo(kubernetes.Semver) -> int
format.named(string) -> optional(kubernetes.NamedFormat)
kubernetes.NamedFormat . validate(string) -> optional(list(string))
""" + "\n".join(f"format.{name}() -> kubernetes.NamedFormat" for name in _FORMAT_NAMES.split())


class Url:
    cel_type = "kubernetes.URL"

    def __init__(self, text: str) -> None:
        self.text = text
        self.parts = urlsplit(text)
        self.port = self.parts.port  # raises ValueError

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Url) and self.text == other.text

    __hash__ = None  # type: ignore[assignment]


def _url(text: str) -> Url:
    try:
        if not string_formats.check_of("uri")(text):  # type: ignore[misc]
            raise ValueError("invalid URI for request")
        return Url(text)
    except ValueError as error:
        raise CelError(f'URL parse error during conversion from string: parse "{text}": {error}') from None


class Address:
    cel_type = "net.IP"

    def __init__(self, text: str) -> None:
        self.ip = ipaddress.ip_address(text)
        if "%" in text or (self.ip.version == 6 and self.ip.ipv4_mapped is not None):
            raise ValueError("IP Address with zone value or IPv4-mapped IPv6 address is not allowed")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address) and self.ip == other.ip

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return str(self.ip)


def _ip(value: Any) -> Address:
    if isinstance(value, Cidr):
        return Address(str(value.interface.ip))
    try:
        return Address(value)
    except ValueError:
        raise CelError(f"IP Address {value!r} parse error during conversion from string") from None


class Cidr:
    cel_type = "net.CIDR"

    def __init__(self, text: str) -> None:
        if "/" not in text or not text.partition("/")[2].isdigit():
            raise ValueError("no prefix length")
        self.interface = ipaddress.ip_interface(text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cidr) and self.interface == other.interface

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return str(self.interface)


def _cidr(text: str) -> Cidr:
    try:
        return Cidr(text)
    except ValueError:
        raise CelError(f"network address parse error during conversion from string: {text!r}") from None


def _contains_ip(held: Cidr, other: Any) -> bool:
    address = other if isinstance(other, Address) else _ip(other)
    return address.ip.version == held.interface.version and address.ip in held.interface.network


def _contains_cidr(held: Cidr, other: Any) -> bool:
    inner = (other if isinstance(other, Cidr) else _cidr(other)).interface.network
    outer = held.interface.network
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]


class Amount:
    """A quantity; ``value`` in billionths."""

    cel_type = "kubernetes.Quantity"

    def __init__(self, value: int) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Amount) and self.value == other.value

    __hash__ = None  # type: ignore[assignment]


def _amount(text: Any) -> Amount:
    try:
        return Amount(quantity.parse(text).nano)
    except quantity.QuantityError as error:
        raise CelError(str(error)) from None


def _is_integer(held: Amount) -> bool:
    return held.value % _NANO == 0 and -(1 << 63) <= held.value // _NANO < 1 << 63


def _as_integer(held: Amount) -> int:
    if not _is_integer(held):
        raise CelError("cannot convert value to integer")
    return held.value // _NANO


def _order(left: Any, right: Any) -> int:
    if type(left) is not type(right):
        raise no_overload()
    return int(left.value > right.value) - int(left.value < right.value)


def _other(value: Any) -> int:
    return value.value if isinstance(value, Amount) else int(value) * _NANO


_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z-.]+)?"
)


class Version:
    cel_type = "kubernetes.Semver"

    def __init__(self, numbers: tuple[int, int, int], pre: str) -> None:
        self.numbers = numbers
        ranks = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in pre.split(".")] if pre else []
        self.value = (*numbers, not pre, ranks)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self.value == other.value

    __hash__ = None  # type: ignore[assignment]


def _semver(text: str, normalize: bool = False) -> Version:
    if normalize:
        text = text.removeprefix("v")
        core, dash, rest = text.partition("-")
        parts = [str(int(part)) if part.isdigit() else part for part in core.split(".")]
        text = ".".join((*parts, "0", "0")[:3] if len(parts) < 3 else parts) + dash + rest
    shape = _SEMVER.fullmatch(text)
    if shape is None:
        raise CelError(f"invalid semantic version {text!r}")
    return Version((int(shape[1]), int(shape[2]), int(shape[3])), shape[4] or "")


class Format:
    cel_type = "kubernetes.NamedFormat"

    def __init__(self, check: Callable[[str], tuple[str, ...]]) -> None:
        self.check = check


def _prefixed(check: Callable[[str], tuple[str, ...]]) -> Callable[[str], tuple[str, ...]]:
    return lambda text: check(text[:-1] + "a" if text.endswith("-") else text)


def _string_format(name: str, said: str) -> Callable[[str], tuple[str, ...]]:
    check = string_formats.check_of(name)
    return lambda text: () if check is not None and check(text) else (said,)


_FORMATS: dict[str, Callable[[str], tuple[str, ...]]] = {
    "dns1123Label": formats.dns_label,
    "dns1123Subdomain": formats.dns_subdomain,
    "dns1035Label": formats.dns_1035_label,
    "qualifiedName": formats.label_key,
    "dns1123LabelPrefix": _prefixed(formats.dns_label),
    "dns1123SubdomainPrefix": _prefixed(formats.dns_subdomain),
    "dns1035LabelPrefix": _prefixed(formats.dns_1035_label),
    "labelValue": formats.label_value,
    "uri": _string_format("uri", "invalid URI"),
    "uuid": _string_format("uuid", "does not match the UUID format"),
    "byte": _string_format("byte", "invalid base64"),
    "date": _string_format("date", "invalid date"),
    "datetime": _string_format("date-time", "invalid datetime"),
}


def _validate(held: Format, text: str) -> Optional:
    problems = held.check(text)
    return Optional(list(problems), present=True) if problems else NOTHING


def _works(make: Callable[..., Any]) -> Callable[..., bool]:
    def call(*args: Any) -> bool:
        try:
            make(*args)
        except CelError:
            return False
        return True

    return call


def _find(text: str, expression: str) -> str:
    found = pattern(expression).search(text)
    return found[0] if found is not None else ""


def _find_all(text: str, expression: str, limit: int = -1) -> list[str]:
    found = [match[0] for match in pattern(expression).finditer(text)]
    return found if limit < 0 else found[:limit]


CALLS: dict[str, Callable[..., Any]] = {
    "find": _find,
    "findAll": _find_all,
    "jsonpatch.escapeKey": lambda key: key.replace("~", "~0").replace("/", "~1"),
    "url": _url,
    "isURL": _works(_url),
    "getScheme": lambda url: url.parts.scheme,
    "getHost": lambda url: url.parts.netloc.rpartition("@")[2],
    "getHostname": lambda url: url.parts.hostname or "",
    "getPort": lambda url: "" if url.port is None else str(url.port),
    "getEscapedPath": lambda url: url.parts.path,
    "getQuery": lambda url: parse_qs(url.parts.query, keep_blank_values=True),
    "ip": _ip,
    "isIP": _works(_ip),
    "ip.isCanonical": lambda text: str(_ip(text)) == text,
    "family": lambda ip: ip.ip.version,
    "isUnspecified": lambda ip: ip.ip.is_unspecified,
    "isLoopback": lambda ip: ip.ip.is_loopback,
    "isLinkLocalMulticast": lambda ip: ip.ip.is_multicast and str(ip).startswith(("224.0.0.", "ff02:")),
    "isLinkLocalUnicast": lambda ip: ip.ip.is_link_local,
    "isGlobalUnicast": lambda ip: (
        not (ip.ip.is_unspecified or ip.ip.is_loopback or ip.ip.is_multicast or ip.ip.is_link_local)
    ),
    "cidr": _cidr,
    "isCIDR": _works(_cidr),
    "containsIP": _contains_ip,
    "containsCIDR": _contains_cidr,
    "masked": lambda held: Cidr(str(held.interface.network)),
    "prefixLength": lambda held: held.interface.network.prefixlen,
    "quantity": _amount,
    "isQuantity": _works(_amount),
    "isInteger": _is_integer,
    "asInteger": _as_integer,
    "asApproximateFloat": lambda held: held.value / _NANO,
    "sign": lambda held: (held.value > 0) - (held.value < 0),
    "add": lambda held, other: Amount(held.value + _other(other)),
    "sub": lambda held, other: Amount(held.value - _other(other)),
    "isLessThan": lambda left, right: _order(left, right) < 0,
    "isGreaterThan": lambda left, right: _order(left, right) > 0,
    "compareTo": _order,
    "semver": _semver,
    "isSemver": _works(_semver),
    "major": lambda version: version.numbers[0],
    "minor": lambda version: version.numbers[1],
    "patch": lambda version: version.numbers[2],
    "format.named": lambda name: Optional(Format(_FORMATS[name]), present=True) if name in _FORMATS else NOTHING,
    "validate": _validate,
    **{f"format.{name}": (lambda check=check: Format(check)) for name, check in _FORMATS.items()},
}
