"""Remembering what a function of a text has answered, within bounds that whoever sends the text cannot move."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")

#: Texts longer than this are not remembered: nothing that is asked over and over is as long, and a cache of thousands
#: of entries must not hold gigabytes.
LONGEST = 512


def memo(maxsize: int) -> Callable[[Callable[[_T], _R]], Callable[[_T], _R]]:
    """Keep the last ``maxsize`` answers of a pure function of one text, or of a number."""

    def decorate(function: Callable[[_T], _R]) -> Callable[[_T], _R]:
        remembered = lru_cache(maxsize)(function)

        @wraps(function)
        def answer(value: _T) -> _R:
            if isinstance(value, str) and len(value) > LONGEST:
                return function(value)
            return remembered(value)

        return answer

    return decorate
