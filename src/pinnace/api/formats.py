"""Formats of names and values: each function tells in upstream's words what is wrong, in a tuple (empty: valid).

The answers are cached: a cluster asks about the same few label keys, names and ports over and over.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import AddressValueError, IPv4Address, IPv6Address, NetmaskValueError, ip_address, ip_network

from pinnace.core.memo import memo

Problems = tuple[str, ...]
Check = Callable[[str], Problems]

OK: Problems = ()
_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_UNDERSCORE = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_UNDERSCORE = rf"{_LABEL_UNDERSCORE}(\.{_LABEL_UNDERSCORE})*"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_KEY = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_HEADER = "[-A-Za-z0-9]+"
_PERCENT = "[0-9]+%"
_label, _subdomain, _label_1035 = re.compile(_LABEL), re.compile(_SUBDOMAIN), re.compile(_LABEL_1035)
_subdomain_underscore, _key = re.compile(_SUBDOMAIN_UNDERSCORE), re.compile(_KEY)
_config_key, _header, _percent = re.compile(_CONFIG_KEY), re.compile(_HEADER), re.compile(_PERCENT)
_wildcard = re.compile(rf"\*\.{_SUBDOMAIN}")
_port_charset = re.compile("[-a-z0-9]+")
_http_path = re.compile(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+")
_ALPHANUMERIC = "and must start and end with an alphanumeric character"


def _regex(message: str, pattern: str, *examples: str) -> str:
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{message} (e.g. {shown}regex used for validation is '{pattern}')"


_LABEL_RULE = _regex(
    f"a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', {_ALPHANUMERIC}",
    _LABEL,
    "my-name",
    "123-abc",
)
_SUBDOMAIN_RULE = _regex(
    f"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', {_ALPHANUMERIC}",
    _SUBDOMAIN,
    "example.com",
)
_SUBDOMAIN_UNDERSCORE_RULE = _regex(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', "
    + _ALPHANUMERIC,
    _SUBDOMAIN_UNDERSCORE,
    "example.com",
)
_WILDCARD_RULE = _regex(
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
    "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
    rf"\*\.{_SUBDOMAIN}",
    "*.example.com",
)
_LABEL_1035_RULE = _regex(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character",
    _LABEL_1035,
    "my-name",
    "abc-123",
)
_KEY_RULE = _regex(
    f"must consist of alphanumeric characters, '-', '_' or '.', {_ALPHANUMERIC}", _KEY, "MyName", "my.name", "123-abc"
)
_VALUE_RULE = _regex(
    f"a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', {_ALPHANUMERIC}",
    f"({_KEY})?",
    "MyValue",
    "my_value",
    "12345",
)
_CONFIG_KEY_RULE = _regex(
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    _CONFIG_KEY,
    "key.name",
    "KEY_NAME",
    "key-name",
)
_HEADER_RULE = _regex("a valid HTTP header must consist of alphanumeric characters or '-'", _HEADER, "X-Header-Name")
_PERCENT_RULE = _regex(
    "a valid percent string must be a numeric string followed by an ending '%'", _PERCENT, "1%", "93%"
)
_ENV_RULE = "a valid environment variable name must consist only of printable ASCII characters other than '='"


def _size(value: str) -> int:
    return len(value) if value.isascii() else len(value.encode())


def _format(value: str, limit: int, pattern: re.Pattern[str], rule: str) -> Problems:
    problems = [f"must be no more than {limit} characters"] if _size(value) > limit else []
    if not pattern.fullmatch(value):
        problems.append(rule)
    return tuple(problems)


@memo(16384)
def dns_subdomain(value: str) -> Problems:
    return _format(value, 253, _subdomain, _SUBDOMAIN_RULE)


@memo(4096)
def dns_subdomain_underscore(value: str) -> Problems:
    return _format(value, 253, _subdomain_underscore, _SUBDOMAIN_UNDERSCORE_RULE)


@memo(1024)
def wildcard_subdomain(value: str) -> Problems:
    return _format(value, 253, _wildcard, _WILDCARD_RULE)


@memo(16384)
def dns_label(value: str) -> Problems:
    return _format(value, 63, _label, "must not contain dots" if _subdomain.fullmatch(value) else _LABEL_RULE)


@memo(1024)
def dns_1035_label(value: str) -> Problems:
    return _format(value, 63, _label_1035, _LABEL_1035_RULE)


@memo(8192)
def label_key(value: str) -> Problems:
    parts = value.split("/")
    if len(parts) > 2:
        example = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return (f"a valid label key {_KEY_RULE} {example}",)
    problems = []
    if len(parts) == 2:
        wrong = ("must be non-empty",) if not parts[0] else _format(parts[0], 253, _subdomain, _SUBDOMAIN_RULE)
        problems = [f"prefix part {problem.replace('253 characters', '253 bytes')}" for problem in wrong]
    name = parts[-1]
    if not name:
        problems.append("name part must be non-empty")
    elif _size(name) > 63:
        problems.append("name part must be no more than 63 bytes")
    if not _key.fullmatch(name):
        problems.append(f"name part {_KEY_RULE}")
    return tuple(problems)


@memo(16384)
def label_value(value: str) -> Problems:
    problems = ["must be no more than 63 bytes"] if _size(value) > 63 else []
    if value and not _key.fullmatch(value):
        problems.append(_VALUE_RULE)
    return tuple(problems)


def _steps(value: str) -> Problems:
    if value in (".", ".."):
        return (f"must not be '{value}'",)
    return ("must not start with '..'",) if value.startswith("..") else OK


@memo(4096)
def config_key(value: str) -> Problems:
    return _format(value, 253, _config_key, _CONFIG_KEY_RULE) + _steps(value)


@memo(4096)
def env_name(value: str) -> Problems:
    if not value:
        return ("environment variable name must be non-empty",)
    return OK if value.isascii() and value.isprintable() and "=" not in value else (_ENV_RULE,)


@memo(1024)
def port_name(value: str) -> Problems:
    problems = ["must be no more than 15 characters"] if _size(value) > 15 else []
    if not _port_charset.fullmatch(value):
        problems.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not any("a" <= char <= "z" for char in value):
        problems.append("must contain at least one letter (a-z)")
    if "--" in value:
        problems.append("must not contain consecutive hyphens")
    if value and "-" in (value[0], value[-1]):
        problems.append("must not begin or end with a hyphen")
    return tuple(problems)


def http_header(value: str) -> Problems:
    return OK if _header.fullmatch(value) else (_HEADER_RULE,)


def percent(value: str) -> Problems:
    return OK if _percent.fullmatch(value) else (_PERCENT_RULE,)


def http_path(value: str) -> bool:
    return _http_path.fullmatch(value) is not None


@memo(4096)
def path_segment(value: str) -> Problems:
    if value in (".", ".."):
        return (f"may not be '{value}'",)
    return tuple(f"may not contain '{char}'" for char in "/%" if char in value)


def in_range(value: int, low: int, high: int) -> Problems:
    return OK if low <= value <= high else (f"must be between {low} and {high}, inclusive",)


def port_number(value: int) -> Problems:
    return OK if 1 <= value <= 65535 else ("must be between 1 and 65535, inclusive",)


def user_id(value: int) -> Problems:
    return OK if 0 <= value <= 2147483647 else ("must be between 0 and 2147483647, inclusive",)


def _lenient(value: str) -> str:
    """An IPv4 address as old clients wrote it, without leading zeros."""
    parts = value.split(".")
    if len(parts) == 4 and all(part.isascii() and part.isdigit() for part in parts):
        return ".".join(str(int(part)) for part in parts)
    return value


@memo(8192)
def parse_ip(value: str) -> IPv4Address | IPv6Address | None:
    """The address; None if it is none. Leading zeros are read as old clients meant them."""
    try:
        return ip_address(_lenient(value)) if "%" not in value else None
    except ValueError:
        return None


@memo(8192)
def ip(value: str) -> Problems:
    """An IP address in any form that is not ambiguous."""
    found = parse_ip(value)
    if found is None:
        return ("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",)
    if _lenient(value) != value:
        return ("must not have leading 0s",)
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return ("must not be an IPv4-mapped IPv6 address",)
    return OK


def canonical_ip(value: str) -> Problems:
    """An IP address in its canonical form."""
    wrong = ip(value)
    if wrong or value == str(parse_ip(value)):
        return wrong
    return (f'must be in canonical form ("{parse_ip(value)}")',)


@memo(1024)
def cidr(value: str) -> Problems:
    address, slash, bits = value.partition("/")
    found = parse_ip(address)
    limit = 32 if isinstance(found, IPv4Address) else 128
    if found is None or not slash or not (bits.isascii() and bits.isdigit()) or int(bits) > limit:
        return ("must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",)
    if _lenient(address) != address or str(int(bits)) != bits:
        return ("must not have leading 0s in IP or prefix length",)
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return ("must not have an IPv4-mapped IPv6 address",)
    try:
        ip_network(value)
    except (AddressValueError, NetmaskValueError, ValueError):
        return ("must not have bits set beyond the prefix length",)
    return OK


def name_check(check: Check) -> Callable[[str, bool], Problems]:
    """``check`` for ``metadata.name`` (False) and ``metadata.generateName`` (True), which may end in a dash."""

    def checked(name: str, prefix: bool) -> Problems:
        if prefix and len(name) > 1 and name.endswith("-"):
            name = name[:-2] + "a"
        return check(name)

    return checked
