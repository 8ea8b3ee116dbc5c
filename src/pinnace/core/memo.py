"""Remembering what a function of a text or of JSON data has answered, within bounds that whoever sends it cannot
move."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import orjson

_T = TypeVar("_T")
_R = TypeVar("_R")

#: Texts longer than this are not remembered: nothing that is asked over and over is as long, and a cache of thousands
#: of entries must not hold gigabytes.
LONGEST = 512


class _Remembered(dict[_T, _R]):
    """Answers by what was asked; emptied when full. Looking one up runs no Python."""

    __slots__ = ("_function", "_limit")

    def __init__(self, function: Callable[[_T], _R], limit: int) -> None:
        super().__init__()
        self._function = function
        self._limit = limit

    def __missing__(self, value: _T) -> _R:
        answer = self._function(value)
        if not isinstance(value, str) or len(value) <= LONGEST:
            if len(self) >= self._limit:
                self.clear()
            self[value] = answer
        return answer


def memo(maxsize: int) -> Callable[[Callable[[_T], _R]], Callable[[_T], _R]]:
    """Keep up to ``maxsize`` answers of a pure function of one text, or of a number."""

    def decorate(function: Callable[[_T], _R]) -> Callable[[_T], _R]:
        return _Remembered(function, maxsize).__getitem__

    return decorate


#: JSON data longer than this is not remembered.
LONGEST_DATA = 8192


def written(data: Any) -> bytes:
    """``data`` as JSON, to remember something of it by; empty if that is too long or cannot be written."""
    try:
        text = orjson.dumps(data)
    except TypeError:  # integers of more than 64 bits, very deep data
        return b""
    return text if len(text) <= LONGEST_DATA else b""


def snug(text: bytes) -> bytes:
    """``text`` in no more room than it needs: what orjson writes keeps its buffer of 4 kB and more for life."""
    return memoryview(text).tobytes()


class Remembered(dict[bytes, _R]):
    """Answers by what was asked, as ``written``; emptied when full. What is empty is never in it."""

    __slots__ = ("_limit",)

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def keep(self, text: bytes, answer: _R) -> None:
        if text:
            if len(self) >= self._limit:
                self.clear()
            self[snug(text)] = answer
