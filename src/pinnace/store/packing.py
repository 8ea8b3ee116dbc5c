"""Old values, compressed together: history is read seldom, and its values are nearly the same again and again.

A bundle is the values of some neighbouring events as one zlib stream, a tenth of their size. Reading one value
decompresses all of its bundle; the text of the bundle read last is kept, as whoever reads history reads on.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from itertools import accumulate

#: Most bytes in one bundle: what compressing it, or reading from it, may hold the event loop for (about 0.5 ms).
BUNDLE_BYTES = 64 << 10

_LEVEL = 1
_last: tuple[Bundle, bytes] | None = None


class Bundle:
    """See the module's docstring."""

    __slots__ = ("_data", "_ends")

    def __init__(self, values: Sequence[bytes]) -> None:
        self._data = zlib.compress(b"".join(values), _LEVEL)
        self._ends = tuple(accumulate(map(len, values)))

    def read(self, number: int) -> bytes:
        """The ``number``-th value."""
        global _last
        if _last is None or _last[0] is not self:
            _last = self, zlib.decompress(self._data)
        start = self._ends[number - 1] if number else 0
        return _last[1][start : self._ends[number]]

    def size(self, number: int) -> int:
        return self._ends[number] - (self._ends[number - 1] if number else 0)


class Packed:
    """One value of a bundle."""

    __slots__ = ("_bundle", "_number")

    def __init__(self, bundle: Bundle, number: int) -> None:
        self._bundle = bundle
        self._number = number

    def read(self) -> bytes:
        return self._bundle.read(self._number)

    def __len__(self) -> int:
        return self._bundle.size(self._number)


def pack(values: Sequence[bytes]) -> list[Packed]:
    bundle = Bundle(values)
    return [Packed(bundle, number) for number in range(len(values))]
