"""Completion indexes of Indexed Jobs. Pure.

>>> sorted(parse("1,3-5", 10))
[1, 3, 4, 5]
>>> render({5, 1, 4, 3})
'1,3-5'
"""

from __future__ import annotations

from collections.abc import Iterable

from pinnace.api import meta
from pinnace.api.types import Object

INDEX = "batch.kubernetes.io/job-completion-index"
FAILURE_COUNT = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURE_COUNT = "batch.kubernetes.io/job-index-ignored-failure-count"


def parse(text: str | None, completions: int) -> set[int]:
    """The indexes that ``text`` (of ``status.completedIndexes``) names, below ``completions``."""
    found: set[int] = set()
    for part in (text or "").split(","):
        if part:
            first, _, last = part.partition("-")
            found.update(range(int(first), min(int(last or first) + 1, completions)))
    return {index for index in found if index < completions}


def render(indexes: Iterable[int]) -> str:
    """Indexes as text; runs of three and more as ``first-last``."""
    parts: list[str] = []
    ordered = sorted(indexes)
    start = 0
    while start < len(ordered):
        end = start
        while end + 1 < len(ordered) and ordered[end + 1] == ordered[end] + 1:
            end += 1
        if end == start:
            parts.append(str(ordered[start]))
        elif end == start + 1:
            parts += [str(ordered[start]), str(ordered[end])]
        else:
            parts.append(f"{ordered[start]}-{ordered[end]}")
        start = end + 1
    return ",".join(parts)


def index_of(pod: Object) -> int | None:
    """The Pod's completion index, None if it has none."""
    text = meta.annotations(pod).get(INDEX, "")
    return int(text) if text.isascii() and text.isdigit() else None


def failures_of(pod: Object) -> int:
    """How often the Pod's index had failed before this Pod."""
    text = meta.annotations(pod).get(FAILURE_COUNT, "0")
    return int(text) if text.isascii() and text.isdigit() else 0


def first_free(taken: set[int], completions: int, count: int) -> list[int]:
    """The lowest ``count`` indexes that are not taken."""
    found: list[int] = []
    for index in range(completions):
        if len(found) >= count:
            break
        if index not in taken:
            found.append(index)
    return found
