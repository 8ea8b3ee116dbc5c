"""Recorded behaviour of a real kube-apiserver (1.20): its exchanges, and how two answers are compared."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

#: One exchange a line; made by hack/update_behaviour.py.
GOLDEN = Path(__file__).parent / "golden" / "behaviour.jsonl"

_UID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_TIME = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_GENERATED = re.compile(r"\bgen-[a-z0-9]{5}\b")
_AGE = re.compile(r"\d+s")
_VERSION_FIELDS = {"resourceVersion"}
_MANAGER = ("operation", "manager", "apiVersion", "subresource")


class Normaliser:
    """Names for what differs from run to run, in the order in which a scenario shows them."""

    def __init__(self) -> None:
        self._names: dict[str, dict[str, str]] = defaultdict(dict)

    def __call__(self, value: Any, field: str = "") -> Any:
        if isinstance(value, dict):
            return {key: self(item, key) for key, item in value.items()}
        if isinstance(value, list):
            if field == "managedFields":  # by their times first, and each scenario was recorded within one second
                value = sorted(value, key=lambda entry: [entry.get(key, "") for key in _MANAGER])
            return [self(item) for item in value]
        if not isinstance(value, str):
            return value
        if field in _VERSION_FIELDS and value.isdecimal():
            return self._name("version", value)
        if _AGE.fullmatch(value):
            return "<age>"
        value = _UID.sub(lambda found: self._name("uid", found[0]), value)
        value = _GENERATED.sub(lambda found: self._name("generated", found[0]), value)
        return _TIME.sub("<time>", value)

    def _name(self, what: str, value: str) -> str:
        names = self._names[what]
        return names.setdefault(value, f"<{what} {len(names) + 1}>")


class Difference(NamedTuple):
    """``recorded`` and ``ours`` at ``path`` of an answer; ABSENT where one has nothing there."""

    path: str
    recorded: Any
    ours: Any


class Absent:
    """Nothing is there."""

    def __repr__(self) -> str:
        return "absent"


ABSENT = Absent()


def differences(recorded: Any, ours: Any, path: str = "") -> Iterator[Difference]:
    """Every place where the two differ; lists are compared item by item, those of named things by their names."""
    if isinstance(recorded, dict) and isinstance(ours, dict):
        for key in [*recorded, *(key for key in ours if key not in recorded)]:
            here = f"{path}.{key}" if path else key
            yield from differences(recorded.get(key, ABSENT), ours.get(key, ABSENT), here)
    elif isinstance(recorded, list) and isinstance(ours, list):
        yield from _list_differences(recorded, ours, path)
    elif recorded != ours or type(recorded) is not type(ours):
        yield Difference(path, recorded, ours)


def _list_differences(recorded: list[Any], ours: list[Any], path: str) -> Iterator[Difference]:
    if all(isinstance(item, dict) and "name" in item for item in [*recorded, *ours]):
        left = {item["name"]: item for item in recorded}
        right = {item["name"]: item for item in ours}
        if len(left) == len(recorded) and len(right) == len(ours):
            yield from differences(left, right, path)
            return
    for index in range(max(len(recorded), len(ours))):
        yield from differences(
            recorded[index] if index < len(recorded) else ABSENT,
            ours[index] if index < len(ours) else ABSENT,
            f"{path}[{index}]",
        )


def exchanges() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Scenarios with their exchanges, in order."""
    scenarios: dict[str, list[dict[str, Any]]] = {}
    for line in GOLDEN.read_text().splitlines():
        exchange = json.loads(line)
        scenarios.setdefault(exchange["scenario"], []).append(exchange)
    yield from scenarios.items()
