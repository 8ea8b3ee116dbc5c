from __future__ import annotations

import pytest

from pinnace.store.protocol import Event, KeyValue, prefix_end
from pinnace.store.watchers import Watchers


@pytest.mark.parametrize(("start", "end"), [("/a/", prefix_end("/a/")), ("/a/b", "/a/b\0"), ("/a", "/z")])
def test_the_last_watch_of_a_range_takes_its_group_along(start: str, end: str) -> None:
    watchers = Watchers()
    for watcher in [watchers.add(start, end, 0, lambda _: None) for _ in range(2)]:
        assert len(watchers) > 0
        assert watchers._matching("/a/b")
        watcher.cancel()
    assert len(watchers) == 0
    assert watchers._matching("/a/b") == []


def test_a_watch_is_not_fed_twice_what_it_has_seen() -> None:
    watchers, seen = Watchers(), list[int]()
    watchers.add("/a", "/b", 2, lambda events: seen.extend(event.revision for event in events or ()))
    watchers.dispatch([Event("/a", i, KeyValue("/a", b"", 1, i, i), None) for i in (1, 2, 3)])
    watchers.dispatch([Event("/a", 4, None, None)])
    assert seen == [3, 4]
