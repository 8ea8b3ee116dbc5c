"""Timestamps and durations of expressions, and the parts of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from pinnace.api.cel.values import CelError, no_overload

_DATE_PARTS = (
    "getFullYear getMonth getDate getDayOfMonth getDayOfWeek getDayOfYear getHours getMinutes getSeconds "
    "getMilliseconds"
)
SIGNATURES = (
    """
timestamp(timestamp) -> timestamp
timestamp(string) -> timestamp
timestamp(int) -> timestamp
duration(duration) -> duration
duration(string) -> duration
duration(int) -> duration
"""
    + "\n".join(f"timestamp . {name}({zone}) -> int" for name in _DATE_PARTS.split() for zone in ("", "string"))
    + "\n"
    + "\n".join(f"duration . {name}() -> int" for name in ("getHours", "getMinutes", "getSeconds", "getMilliseconds"))
)


def nanoseconds(value: timedelta) -> int:
    return (value.days * 86_400 + value.seconds) * 1_000_000_000 + value.microseconds * 1000


def timestamp_text(value: datetime) -> str:
    fraction = f".{value.microsecond:06d}".rstrip("0") if value.microsecond else ""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S") + fraction + "Z"


def to_timestamp(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, UTC)
    shape = re.fullmatch(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)", value)
    if shape is None:
        raise CelError(f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": cannot parse')
    try:
        return datetime.fromisoformat(shape[1] + (shape[2] or ".0")[:7].ljust(7, "0") + shape[3].upper())
    except ValueError as error:
        raise CelError(f'parsing time "{value}": {error}') from None


#: Characters that a duration may have.
LONGEST_DURATION = 256
_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}


_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")


def to_duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return timedelta(microseconds=value / 1000)
    if len(value) > LONGEST_DURATION:
        raise CelError("time: invalid duration: too long")
    sign = -1 if value.startswith("-") else 1
    body = value.lstrip("+-")
    parts = _DURATION.findall(body)
    if body == "0":
        return timedelta()
    if not parts or "".join(number + unit for number, unit in parts) != body:
        raise CelError(f'time: invalid duration "{value}"')
    return sign * timedelta(seconds=sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts))


def _zone(name: str) -> Any:
    shape = re.fullmatch(r"([+-])?(\d\d):(\d\d)", name)
    if shape is not None:
        offset = timedelta(hours=int(shape[2]), minutes=int(shape[3]))
        return timezone(-offset if shape[1] == "-" else offset)
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise CelError(f"unknown time zone {name}") from None


def _part(read: Callable[[datetime], int], of_duration: Callable[[timedelta], int] | None = None) -> Callable[..., int]:
    def call(value: Any, zone: str = "") -> int:
        if isinstance(value, timedelta) and of_duration is not None:
            return of_duration(value)
        if not isinstance(value, datetime):
            raise no_overload()
        return read(value.astimezone(_zone(zone) if zone else UTC))

    return call


CALLS: dict[str, Callable[..., Any]] = {
    "timestamp": to_timestamp,
    "duration": to_duration,
    "getFullYear": _part(lambda at: at.year),
    "getMonth": _part(lambda at: at.month - 1),
    "getDate": _part(lambda at: at.day),
    "getDayOfMonth": _part(lambda at: at.day - 1),
    "getDayOfWeek": _part(lambda at: at.isoweekday() % 7),
    "getDayOfYear": _part(lambda at: at.timetuple().tm_yday - 1),
    "getHours": _part(lambda at: at.hour, lambda span: int(span.total_seconds() // 3600)),
    "getMinutes": _part(lambda at: at.minute, lambda span: int(span.total_seconds() // 60)),
    "getSeconds": _part(lambda at: at.second, lambda span: int(span.total_seconds())),
    "getMilliseconds": _part(lambda at: at.microsecond // 1000, lambda span: int(span.total_seconds() * 1000) % 1000),
}
