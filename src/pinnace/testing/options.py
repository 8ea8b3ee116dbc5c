"""What a test may choose about its cluster. Two tests that choose the same share a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

PARTS = ("apiserver", "controllers", "scheduler", "node", "network")


@dataclass(frozen=True, slots=True)
class Options:
    """``virtual_time``: True (it starts at the machine's present), or the time it starts at (``2026-03-01T00:00:00Z``).
    ``parts``: which parts run; names, or a comma-separated text. ``simulated_nodes``: how many nodes. ``store``: a
    store's URL."""

    virtual_time: bool | str | datetime = False
    simulated_nodes: int = 1
    parts: tuple[str, ...] = PARTS
    store: str = "memory://"

    def changed(self, choices: Mapping[str, Any]) -> Options:
        """These with ``choices`` instead. Raises ValueError for what cannot be chosen."""
        known = {field.name for field in fields(self)}
        if unknown := sorted(set(choices) - known):
            raise ValueError(f"pinnace: unknown option {', '.join(unknown)}; there are {', '.join(sorted(known))}")
        made = replace(self, **{**choices, "parts": _parts(choices.get("parts", self.parts))})
        if not isinstance(made.simulated_nodes, int) or made.simulated_nodes < 0:
            raise ValueError(f"pinnace: simulated_nodes is {made.simulated_nodes!r}: expected a number of nodes")
        if isinstance(made.virtual_time, str):
            from pinnace.testing import duration

            duration.moment(made.virtual_time)
        return made


def _parts(chosen: str | Iterable[str]) -> tuple[str, ...]:
    names = {part.strip() for part in (chosen.split(",") if isinstance(chosen, str) else chosen)} - {""}
    if unknown := sorted(names - set(PARTS)):
        raise ValueError(f"pinnace: unknown part {', '.join(unknown)}; the parts are {', '.join(PARTS)}")
    return tuple(part for part in PARTS if part in names or part == "apiserver")
