"""Whether a text is a cron schedule, and what is wrong with it, in the words of the parser that upstream uses."""

from __future__ import annotations

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
#: Lowest and highest value and names of each field.
_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    (0, 6, {name: number for number, name in enumerate(_DAYS)}),
)
_DESCRIPTORS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")


class _WrongError(Exception):
    pass


def _number(text: str, names: dict[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not (text.isascii() and text.removeprefix("-").removeprefix("+").isdigit()):
        raise _WrongError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    number = int(text)
    if number < 0:
        raise _WrongError(f"negative number ({number}) not allowed: {text}")
    return number


def _range(text: str, low: int, high: int, names: dict[str, int]) -> None:
    span, slash, step = text.partition("/")
    bounds = span.split("-")
    if "/" in step:
        raise _WrongError(f"too many slashes: {text}")
    if bounds[0] in ("*", "?"):
        start, end = low, high
    else:
        start = end = _number(bounds[0], names)
        if len(bounds) == 2:
            end = _number(bounds[1], names)
        elif len(bounds) > 2:
            raise _WrongError(f"too many hyphens: {text}")
        elif slash:
            end = high
    every = _number(step, {}) if slash else 1
    if start < low:
        raise _WrongError(f"beginning of range ({start}) below minimum ({low}): {text}")
    if end > high:
        raise _WrongError(f"end of range ({end}) above maximum ({high}): {text}")
    if start > end:
        raise _WrongError(f"beginning of range ({start}) beyond end of range ({end}): {text}")
    if every == 0:
        raise _WrongError(f"step of range should be a positive number: {text}")


def schedule_problem(schedule: str) -> str:
    """What is wrong with a schedule; ``""`` if it can be used. A leading ``TZ=`` is read over."""
    if schedule.startswith(("TZ=", "CRON_TZ=")):
        _, _, schedule = schedule.partition(" ")
        schedule = schedule.strip()
    if schedule.startswith("@"):
        known = schedule in _DESCRIPTORS or schedule.startswith("@every ")
        return "" if known else f"unrecognized descriptor: {schedule}"
    fields = schedule.split()
    if len(fields) != 5:
        return f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
    try:
        for text, (low, high, names) in zip(fields, _FIELDS, strict=True):
            for part in text.split(","):
                if part:
                    _range(part, low, high, names)
    except _WrongError as error:
        return str(error)
    return ""
