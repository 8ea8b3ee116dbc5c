"""Resource quantities: ``100m``, ``1.5Gi``, ``2e3``; exact, as k8s.io/apimachinery ``pkg/api/resource`` defines them.

A quantity is held as an integer count of billionths, so that arithmetic never rounds; parsing rounds away from zero
to a billionth and caps at 2^63-1, as upstream does. The functions on texts are cached: clusters repeat a few texts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering

from pinnace.core.memo import memo

NANO = 10**9
_MAX = (2**63 - 1) * NANO
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL_SUFFIX = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY_SUFFIX = {bits: suffix for suffix, bits in _BINARY.items()}
_SHAPE = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)", re.ASCII)
_EXPONENT = re.compile(r"[eE]([-+]?[0-9]+)", re.ASCII)

WRONG_FORMAT = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"  # as clients see it
)
WRONG_SUFFIX = "unable to parse quantity's suffix"

DECIMAL_SI = "DecimalSI"
DECIMAL_EXPONENT = "DecimalExponent"
BINARY_SI = "BinarySI"


class QuantityError(ValueError):
    """A text that is no quantity; ``str(error)`` is upstream's message."""


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Quantity:
    """An exact amount and the format in which it is written. Equality and order look at the amount alone."""

    nano: int
    format: str = DECIMAL_SI

    def value(self) -> int:
        """In whole units, rounded away from zero."""
        return _round_away(self.nano, NANO)

    def milli_value(self) -> int:
        """In thousandths, rounded away from zero."""
        return _round_away(self.nano, 10**6)

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(self.nano + other.nano, self.format if self.nano else other.format)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(self.nano - other.nano, self.format if self.nano else other.format)

    def __neg__(self) -> Quantity:
        return Quantity(-self.nano, self.format)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.nano == other.nano

    def __lt__(self, other: Quantity) -> bool:
        return self.nano < other.nano

    def __hash__(self) -> int:
        return hash(self.nano)

    def __bool__(self) -> bool:
        return self.nano != 0

    def __str__(self) -> str:
        """The canonical form: no fraction, the largest suffix that keeps the amount whole."""
        if not self.nano:
            return "0"
        if self.format == BINARY_SI and abs(self.nano) >= 1024 * NANO and self.nano % NANO == 0:
            number, bits = self.nano // NANO, 0
            while number % 1024 == 0 and bits < 60:
                number, bits = number // 1024, bits + 10
            return f"{number}{_BINARY_SUFFIX.get(bits, '')}"
        number, exponent = self.nano, -9
        while number % 1000 == 0 and exponent < 18:
            number, exponent = number // 1000, exponent + 3
        if self.format == DECIMAL_EXPONENT:
            return f"{number}e{exponent}" if exponent else str(number)
        return f"{number}{_DECIMAL_SUFFIX[exponent]}"


def _round_away(amount: int, unit: int) -> int:
    return -(-amount // unit) if amount >= 0 else amount // unit


def _interpret(suffix: str) -> tuple[int, int, str]:
    """``(base, exponent, format)`` of a suffix."""
    if suffix in _DECIMAL:
        return 10, _DECIMAL[suffix], DECIMAL_SI
    if suffix in _BINARY:
        return 2, _BINARY[suffix], BINARY_SI
    exponent = _EXPONENT.fullmatch(suffix)
    if exponent is None or len(suffix) > 12:
        raise QuantityError(WRONG_SUFFIX)
    return 10, int(exponent[1]), DECIMAL_EXPONENT


#: Digits beyond any amount there is, and more than Python makes a number of.
_LONGEST = 1024


@memo(8192)
def parse(text: str | int | float) -> Quantity:
    """The quantity that ``text`` writes; JSON numbers are accepted as clients may send them.

    Raises QuantityError with upstream's message.
    """
    written = text if isinstance(text, str) else repr(text)
    shape = _SHAPE.fullmatch(written)
    if shape is None or not written or len(written) > _LONGEST:
        raise QuantityError(WRONG_FORMAT)
    sign, whole, fraction, suffix = shape.groups(default="")
    base, exponent, form = _interpret(suffix)
    digits = int((whole + fraction) or "0")
    if base == 2:
        amount = _ceil_scaled(digits << exponent, 9 - len(fraction))
        if amount < NANO:
            form = DECIMAL_SI
    else:
        amount = _ceil_scaled(digits, exponent - len(fraction) + 9)
    amount = min(amount, _MAX)
    return Quantity(-amount if sign == "-" else amount, form)


def _ceil_scaled(digits: int, exponent: int) -> int:
    """``digits * 10**exponent``, rounded up; bounded work for any exponent."""
    if not digits or exponent >= 0:
        return digits * 10 ** min(exponent, 40) if digits else 0
    if -exponent > len(str(digits)):
        return 1
    divisor: int = 10**-exponent
    return -(-digits // divisor)


@memo(8192)
def value(text: str | int | float) -> int:
    """The amount in whole units (bytes, pods, ...), rounded up. Raises QuantityError."""
    return parse(text).value()


@memo(8192)
def milli_value(text: str | int | float) -> int:
    """The amount in thousandths (CPU), rounded up. Raises QuantityError."""
    return parse(text).milli_value()


@memo(8192)
def canonical(text: str | int | float) -> str:
    """The canonical text of the same amount: ``1000m`` is ``1``, ``1024Mi`` is ``1Gi``. Raises QuantityError."""
    return str(parse(text))


def compare(left: str | int | float, right: str | int | float) -> int:
    """-1, 0 or 1 as ``left`` is less than, equal to or greater than ``right``. Raises QuantityError."""
    a, b = parse(left).nano, parse(right).nano
    return (a > b) - (a < b)


def add(left: str | int | float, right: str | int | float) -> str:
    """The canonical sum, in the format of ``left`` unless it is zero. Raises QuantityError."""
    return str(parse(left) + parse(right))


def from_milli(amount: int) -> str:
    """The canonical text of ``amount`` thousandths."""
    return str(Quantity(amount * 10**6))


def from_value(amount: int, format: str = DECIMAL_SI) -> str:
    """The canonical text of ``amount`` whole units."""
    return str(Quantity(amount * NANO, format))
