"""Reading stored objects for display: whatever is missing, null or of the wrong type reads as empty, never raises."""

from __future__ import annotations

from typing import Any

from pinnace.api.table.duration import human_duration
from pinnace.api.types import Object
from pinnace.core.clock import parse_timestamp

NONE = "<none>"
UNKNOWN = "<unknown>"
UNSET = "<unset>"


def at(obj: object, *path: str) -> Any:
    """The value at ``path``, or None where any part is missing or no object."""
    for key in path:
        if not isinstance(obj, dict):
            return None
        obj = obj.get(key)
    return obj


def child(obj: object, *path: str) -> Object:
    found = at(obj, *path)
    return found if isinstance(found, dict) else {}


def children(obj: object, *path: str) -> list[Object]:
    """The objects of a list, without what is no object."""
    found = at(obj, *path)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def text(obj: object, *path: str) -> str:
    found = at(obj, *path)
    return found if isinstance(found, str) else "" if found is None or isinstance(found, dict | list) else str(found)


def texts(obj: object, *path: str) -> list[str]:
    found = at(obj, *path)
    return [str(item) for item in found] if isinstance(found, list) else []


def number(obj: object, *path: str, default: int = 0) -> int:
    found = at(obj, *path)
    return int(found) if isinstance(found, int | float) else default


def flag(obj: object, *path: str) -> bool:
    return at(obj, *path) is True


def size(obj: object, *path: str) -> int:
    found = at(obj, *path)
    return len(found) if isinstance(found, dict | list) else 0


def moment(obj: object, *path: str) -> float | None:
    """Seconds since the epoch of a timestamp; None if there is none that can be read."""
    found = at(obj, *path)
    if not isinstance(found, str) or not found:
        return None
    try:
        return parse_timestamp(found)
    except ValueError:
        return None


def since(now: float, then: float | None) -> str:
    return UNKNOWN if then is None else human_duration(now - then)


def age(obj: Object, now: float) -> str:
    return since(now, moment(obj, "metadata", "creationTimestamp"))


def name(obj: Object) -> str:
    return text(obj, "metadata", "name")


def labels(value: object) -> str:
    """``a=b,c=d`` in order of the keys; ``<none>`` for no labels."""
    if not isinstance(value, dict) or not value:
        return NONE
    return ",".join(f"{key}={value[key]}" for key in sorted(value))


def selector_text(selector: object) -> str:
    """A label selector in the form that ``-l`` takes; ``""`` for one without requirements."""
    parts: list[tuple[str, str]] = []
    for key, value in child(selector, "matchLabels").items():
        parts.append((key, f"{key}={value}"))
    for expression in children(selector, "matchExpressions"):
        key, operator = text(expression, "key"), text(expression, "operator")
        values = ",".join(sorted(texts(expression, "values")))
        shown = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "DoesNotExist": f"!{key}"}
        parts.append((key, shown.get(operator, key)))
    return ",".join(part for _, part in sorted(parts, key=lambda pair: pair[0]))


def selector(value: object) -> str:
    return selector_text(value) or NONE


def containers(pod_spec: object) -> tuple[str, str]:
    """Names and images of a Pod spec's containers."""
    found = children(pod_spec, "containers")
    return ",".join(text(c, "name") for c in found), ",".join(text(c, "image") for c in found)


def condition_true(obj: object, type: str) -> bool:
    """Whether the first of ``status.conditions`` with that type is True."""
    found = next((c for c in children(obj, "status", "conditions") if c.get("type") == type), None)
    return found is not None and found.get("status") == "True"


def with_more(items: list[str], limit: int, empty: str) -> str:
    """The first ``limit`` items and how many more there are."""
    shown = ",".join(items[:limit])
    return f"{shown} + {len(items) - limit} more..." if len(items) > limit else shown or empty
