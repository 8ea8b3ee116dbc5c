from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinnace.api import quantity
from pinnace.api.quantity import QuantityError


@pytest.mark.parametrize(
    ("text", "canonical", "value", "milli"),
    [
        ("0", "0", 0, 0),
        ("0Ki", "0", 0, 0),
        ("100m", "100m", 1, 100),
        ("1000m", "1", 1, 1000),
        ("0.5", "500m", 1, 500),
        ("1.5Gi", "1536Mi", 1610612736, 1610612736000),
        ("1024Mi", "1Gi", 2**30, 2**30 * 1000),
        ("1025Ki", "1025Ki", 1049600, 1049600000),
        ("1.1Ki", "1126400m", 1127, 1126400),
        (".5Ki", "512", 512, 512000),
        ("128974848", "128974848", 128974848, 128974848000),
        ("129e6", "129e6", 129000000, 129000000000),
        ("129M", "129M", 129000000, 129000000000),
        ("1E", "1E", 10**18, 10**21),
        ("1E3", "1e3", 1000, 10**6),
        ("-1.5", "-1500m", -2, -1500),
        ("+5", "5", 5, 5000),
        ("1u", "1u", 1, 1),
        ("0.1n", "1n", 1, 1),
        ("1e-10", "1e-9", 1, 1),
        ("10Ei", str(2**63 - 1), 2**63 - 1, (2**63 - 1) * 1000),
        ("1e999999999", "9223372036854775807", 2**63 - 1, (2**63 - 1) * 1000),
        ("1e-999999999", "1e-9", 1, 1),
    ],
)
def test_golden(text: str, canonical: str, value: int, milli: int) -> None:
    assert quantity.canonical(text) == canonical
    assert quantity.value(text) == value
    assert quantity.milli_value(text) == milli


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", quantity.WRONG_FORMAT),
        ("aoeu", quantity.WRONG_FORMAT),
        ("1.1.M", quantity.WRONG_FORMAT),
        (" 1", quantity.WRONG_FORMAT),
        ("1 ", quantity.WRONG_FORMAT),
        ("١", quantity.WRONG_FORMAT),
        (".5i", quantity.WRONG_SUFFIX),
        ("0.1mi", quantity.WRONG_SUFFIX),
        ("1e", quantity.WRONG_SUFFIX),
        ("1K", quantity.WRONG_SUFFIX),
    ],
)
def test_what_is_no_quantity_says_so(text: str, message: str) -> None:
    with pytest.raises(QuantityError) as caught:
        quantity.parse(text)
    assert str(caught.value) == message


def test_json_numbers_are_quantities() -> None:
    assert quantity.canonical(2) == "2"
    assert quantity.canonical(0.5) == "500m"


def test_arithmetic_and_order() -> None:
    assert quantity.add("100m", "900m") == "1"
    assert quantity.add("1Gi", "1024Mi") == "2Gi"
    assert quantity.compare("1", "1000m") == 0
    assert quantity.compare("1Ki", "1k") == 1
    assert quantity.parse("1") - quantity.parse("1500m") == quantity.parse("-500m")


SUFFIXES = {"": 1, "m": Fraction(1, 1000), "k": 1000, "M": 10**6, "Ki": 1024, "Mi": 2**20, "Gi": 2**30, "e3": 1000}


@given(st.integers(-(10**7), 10**7), st.integers(0, 999), st.sampled_from(sorted(SUFFIXES)), st.booleans())
def test_parsing_is_exact_and_its_text_reads_back(whole: int, fraction: int, suffix: str, dot: bool) -> None:
    text = f"{whole}.{fraction:03}{suffix}" if dot else f"{whole}{suffix}"
    sign = -1 if text.startswith("-") else 1
    magnitude = Fraction(text.removesuffix(suffix) if suffix else text) * SUFFIXES[suffix]
    parsed = quantity.parse(text)
    exact = abs(magnitude) * quantity.NANO
    assert parsed.nano == sign * -(-exact.numerator // exact.denominator)
    assert quantity.parse(str(parsed)) == parsed
    assert str(quantity.parse(str(parsed))) == str(parsed)
    assert parsed.milli_value() * 10**6 * sign >= parsed.nano * sign


def test_a_number_without_end_is_no_quantity() -> None:
    with pytest.raises(quantity.QuantityError):
        quantity.parse("9" * 100_000)
