"""What is remembered of texts is bounded."""

from __future__ import annotations

from pinnace.core.memo import LONGEST, memo


def test_short_texts_are_asked_once_and_long_ones_leave_nothing_behind() -> None:
    asked: list[str] = []

    @memo(8)
    def length(text: str) -> int:
        asked.append(text)
        return len(text)

    for text in ("a", "a", "b" * LONGEST, "b" * LONGEST, "c" * (LONGEST + 1), "c" * (LONGEST + 1)):
        assert length(text) == len(text)
    assert [len(text) for text in asked] == [1, LONGEST, LONGEST + 1, LONGEST + 1]
