"""How tests write spans and points of time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

Duration = str | float | timedelta

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")


def seconds(duration: Duration) -> float:
    """``"10m"``, ``"1h30m"``, ``"7d"``, a number of seconds or a timedelta in seconds. Raises ValueError.

    >>> seconds("1d12h")
    129600.0
    """
    if isinstance(duration, timedelta):
        found = duration.total_seconds()
    elif isinstance(duration, str):
        parts = _PART.findall(duration)
        if not parts or "".join(number + unit for number, unit in parts) != duration:
            raise ValueError(f"{duration!r} is no duration: write it as 250ms, 90s, 10m, 1h30m, 7d or 2w")
        found = sum(float(number) * _UNITS[unit] for number, unit in parts)
    else:
        found = float(duration)
    if found < 0:
        raise ValueError(f"{duration!r} is negative: time does not go back")
    return found


def moment(point: str | datetime) -> float:
    """``"2026-03-01T00:00:00Z"`` or a datetime (without a time zone: UTC) in seconds since the epoch. Raises
    ValueError."""
    if isinstance(point, str):
        try:
            point = datetime.fromisoformat(point)
        except ValueError:
            raise ValueError(f"{point!r} is no time: write it as 2026-03-01T00:00:00Z") from None
    return (point if point.tzinfo is not None else point.replace(tzinfo=UTC)).timestamp()
