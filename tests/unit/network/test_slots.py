"""How endpoints share slots."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinnace.network.proxy import slots

COUNTS = st.integers(1, 300)


def values(numbers: list[int]) -> list[str]:
    return [f"10.244.{number // 250}.{number % 250} . 80" for number in numbers]


@pytest.mark.parametrize(("count", "size"), [(1, 1), (64, 64), (65, 1024), (1000, 8192), (8192, 65536), (60000, 65536)])
def test_how_many_there_are(count: int, size: int) -> None:
    assert slots.size(count) == size
    assert size in slots.sizes(64)


def test_fewer_exact_ones_for_clients_that_stay() -> None:
    assert [slots.size(count, 60) for count in (16, 17, 100)] == [16, 256, 1024]
    assert {16, 256, 65536} < set(slots.sizes(64, 60)) and 17 not in slots.sizes(64, 60)


@given(st.lists(st.lists(st.integers(0, 200), unique=True, min_size=1, max_size=120), min_size=1, max_size=5))
def test_fair_shares_whatever_was_before(history: list[list[int]]) -> None:
    before: list[str] = []
    for numbers in history:
        size = slots.size(len(numbers))
        before = slots.arrange(values(numbers), size, before)
        shares = Counter(before)
        assert len(before) == size and set(shares) == set(values(numbers))
        assert max(shares.values()) - min(shares.values()) <= 1


@given(st.integers(65, 250), st.integers(0, 64))
def test_one_that_goes_or_comes_moves_few(count: int, which: int) -> None:
    everyone = values(list(range(count)))
    size = slots.size(count)
    first = slots.arrange(everyone, size, [])
    fewer = everyone[:which] + everyone[which + 1 :]
    if slots.size(len(fewer)) != size:
        return
    second = slots.arrange(fewer, size, first)
    third = slots.arrange(everyone, size, second)
    for one, other in ((first, second), (second, third)):
        assert sum(a != b for a, b in zip(one, other, strict=True)) <= size // len(fewer) + 1


def test_more_endpoints_than_slots() -> None:
    assert len(set(slots.arrange(values(list(range(70000))), slots.MOST, []))) == slots.MOST
