"""Who has which slot."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinnace.network.proxy import slots
from pinnace.network.proxy.slots import Slots


@pytest.mark.parametrize(
    ("count", "size"), [(1, 1), (2, 2), (3, 4), (64, 64), (65, 128), (10000, 16384), (65536, 65536), (70000, 65536)]
)
def test_how_many_there_are_to_choose_among(count: int, size: int) -> None:
    assert slots.size(count) == size
    assert size in slots.sizes(count)


def test_the_sizes_of_a_table() -> None:
    assert slots.sizes(64) == [1, 2, 4, 8, 16, 32, 64]
    assert slots.sizes(slots.MOST)[-1] == slots.MOST


@given(st.lists(st.sets(st.integers(0, 12)), max_size=8))
def test_everybody_has_one_without_gaps_and_few_move(history: list[set[int]]) -> None:
    kept: Slots[int] = Slots()
    before: set[int] = set()
    for now in history:
        shown = dict(enumerate(kept.held))
        moves = kept.change(sorted(before - now), sorted(now - before))
        assert len(moves.slots) <= 2 * max(len(before - now), len(now - before))
        for slot, (old, new) in moves.slots.items():
            assert shown.pop(slot, None) == old != new
            if new is not None:
                shown[slot] = new
        assert shown == dict(enumerate(kept.held)) and sorted(kept.held) == sorted(now)
        before = now
