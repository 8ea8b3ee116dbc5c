"""Which Pods end together when the machine shuts down, and how that is heard of."""

from __future__ import annotations

from typing import Any

import pytest

from pinnace.kubelet.shutdown import announced, groups


def pods(*priorities: int) -> list[dict[str, Any]]:
    return [{"metadata": {"name": str(n)}, "spec": {"priority": n}} for n in priorities]


def test_groups() -> None:
    periods = [(0, 20), (1000, 5), (2_000_000_000, 10)]
    found = groups(periods, pods(2_000_001_000, 0, -5, 999, 1000, 5000, 2_000_000_000))
    assert [(seconds, [pod["spec"]["priority"] for pod in members]) for seconds, members in found] == [
        (20, [0, -5, 999]),
        (5, [1000, 5000]),
        (10, [2_000_001_000, 2_000_000_000]),
    ]


@pytest.mark.parametrize(
    ("line", "heard"),
    [
        (b'{"type":"signal","member":"PrepareForShutdown","payload":{"type":"b","data":[true]}}\n', True),
        (b'{"type":"signal","member":"PrepareForShutdown","payload":{"type":"b","data":[false]}}\n', False),
        (b'{"type":"signal","member":"PrepareForSleep","payload":{"type":"b","data":[true]}}\n', None),
        (b'{"member":"PrepareForShutdown"}\n', None),
        (b"Monitoring bus message stream.\n", None),
        (b"[1]\n", None),
    ],
)
def test_what_logind_says(line: bytes, heard: bool | None) -> None:
    assert announced(line) is heard
