"""Cron schedules: ``minute hour day-of-month month day-of-week``, or ``@daily`` and the like. Pure.

A day matches if day-of-month and day-of-week both do; if both are restricted (neither begins with ``*``), one is
enough. Around a change of the clocks an hour that does not exist is skipped, and one that comes twice counts twice.

    >>> parse("*/15 9-17 * * MON-FRI").next_after(1_600_000_000.0, "UTC")  # 2020-09-13 is a Sunday
    1600074000.0
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pinnace.core.memo import memo

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, {name: number + 1 for number, name in enumerate(_MONTHS)}),
    ("day of week", 0, 6, {name: number for number, name in enumerate(_DAYS)}),
)
_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
#: A schedule that has no time in this many days (February 30) has none at all.
_HORIZON_DAYS = 5 * 366


class ScheduleError(ValueError):
    """A schedule or time zone that cannot be understood."""


@dataclass(frozen=True, slots=True)
class Schedule:
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool  # the day of month begins with a star
    any_weekday: bool
    every: float = 0.0  # seconds, of ``@every``; the rest is empty then

    def next_after(self, moment: float, zone: str) -> float | None:
        """The first time after ``moment`` (seconds since the epoch), None if there is none in five years."""
        if self.every:
            return float(int(moment)) + self.every
        tz = time_zone(zone)
        at = float(int(moment) // 60 * 60 + 60)
        end = moment + _HORIZON_DAYS * 86400.0
        while at <= end:
            local = datetime.fromtimestamp(at, tz)
            if local.month not in self.months:
                first = local.replace(day=1, hour=0, minute=0, second=0)
                at = _start_of(first + timedelta(days=32 if first.day == 1 else 0), at, tz, month=True)
            elif not self._day_matches(local):
                at = _start_of(local + timedelta(days=1), at, tz, month=False)
            elif local.hour not in self.hours:
                at += 3600 - local.minute * 60 - local.second
            elif local.minute not in self.minutes:
                at += 60 - local.second
            else:
                return at
        return None

    def _day_matches(self, local: datetime) -> bool:
        day = local.day in self.days
        weekday = local.isoweekday() % 7 in self.weekdays
        return (day and weekday) if self.any_day or self.any_weekday else (day or weekday)


def _start_of(later: datetime, at: float, tz: ZoneInfo, *, month: bool) -> float:
    """Midnight at the start of that day, or of its month; always after ``at``."""
    midnight = datetime(later.year, later.month, 1 if month else later.day, tzinfo=tz)
    return max(midnight.timestamp(), at + 60)


@memo(256)
def time_zone(name: str) -> ZoneInfo:
    """Raises ScheduleError for a name that is no time zone."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ScheduleError(f"unknown time zone {name}") from error


@memo(1024)
def parse(text: str) -> Schedule:
    """Raises ScheduleError, telling which field is wrong."""
    text = text.strip()
    if text.startswith("@every "):
        empty: frozenset[int] = frozenset()
        return Schedule(empty, empty, empty, empty, empty, True, True, every=_duration(text[len("@every ") :]))
    if text.startswith("@"):
        if text not in _MACROS:
            raise ScheduleError(f"unrecognized descriptor: {text}")
        text = _MACROS[text]
    parts = text.split()
    if len(parts) != 5:
        raise ScheduleError(f"expected exactly 5 fields, found {len(parts)}: [{' '.join(parts)}]")
    sets = [_field(part, *field) for part, field in zip(parts, _FIELDS, strict=True)]
    starred = [part[0] in "*?" for part in parts]
    return Schedule(sets[0], sets[1], sets[2], sets[3], sets[4], any_day=starred[2], any_weekday=starred[4])


def _duration(text: str) -> float:
    import re

    units = {"h": 3600.0, "m": 60.0, "s": 1.0}
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        raise ScheduleError(f"failed to parse duration @every {text}")
    return max(float(int(sum(float(number) * units[unit] for number, unit in parts))), 1.0)


def _field(text: str, name: str, low: int, high: int, names: dict[str, int]) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = _number(step_text, {}, name) if slash else 1
        if step == 0:
            raise ScheduleError(f"step of range should be a positive number: {part}")
        first, dash, last = span.partition("-")
        if first in ("*", "?"):
            start, end = low, high
        else:
            start = _number(first, names, name)
            end = _number(last, names, name) if dash else (high if slash else start)
        if name == "day of week":  # 7 is Sunday as well
            end = 6 if start == 0 and end == 7 else end
            if start == end == 7:
                start = end = 0
        if start < low or end > high:
            raise ScheduleError(f"{name} {part} is out of range ({low}-{high})")
        if start > end:
            raise ScheduleError(f"beginning of range ({start}) beyond end of range ({end}): {part}")
        found.update(range(start, end + 1, step))
    return frozenset(found)


def _number(text: str, names: dict[str, int], name: str) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not (text.isascii() and text.isdigit()):
        raise ScheduleError(f"failed to parse {name} from {text!r}")
    return int(text)
