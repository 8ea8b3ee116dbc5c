"""Values that are seldom read, compressed: most of them are nearly the same again and again.

A bundle is the values of some neighbouring events as one zlib stream, a tenth of their size: history. Reading one value
decompresses all of its bundle; the text of the bundle read last is kept, as whoever reads history reads on.

A likeness is one value that says only in what it differs from another one of its kind, an eighth of its size: what was
written once and read by nobody, as Events are. It is read by itself, in 4 us.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from itertools import accumulate

#: Most bytes in one bundle: what compressing it, or reading from it, may hold the event loop for (about 0.5 ms).
BUNDLE_BYTES = 64 << 10

#: Most bytes of a value that is kept as a likeness.
LIKENESS_BYTES = 2048
_LEVEL = 1
#: Of a likeness: little to set up, and room for the model and the value.
_WINDOW, _MEMORY = -12, 5
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


class Likeness:
    """See the module's docstring."""

    __slots__ = ("_data", "_model", "_size")

    def __init__(self, value: bytes, model: bytes) -> None:
        work = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY, zlib.Z_DEFAULT_STRATEGY, model)
        self._data = work.compress(value) + work.flush()
        self._model = model
        self._size = len(value)

    def read(self) -> bytes:
        return zlib.decompressobj(_WINDOW, zdict=self._model).decompress(self._data)

    def __len__(self) -> int:
        return self._size


def pack(values: Sequence[bytes]) -> list[Packed]:
    bundle = Bundle(values)
    return [Packed(bundle, number) for number in range(len(values))]
