"""The whole table as the sum of what each Service contributes, and the differences between two states of it. Pure.

Two Services may contribute the same element (an endpoint that serves both; an external IP claimed twice): it is there
as long as one of them does, and of different values the one of the first Service in order of their names counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pinnace.network.proxy.rules import Element, Elements


@dataclass
class Change:
    """``remove`` and then ``add`` lead from one state of the table to the next; an element whose value changes is in
    both."""

    remove: dict[Element, str] = field(default_factory=dict)
    add: dict[Element, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.remove or self.add)

    def then(self, later: Change) -> Change:
        """Both changes as one."""
        if not self:
            return later
        remove, add = dict(self.remove), dict(self.add)
        for element, value in later.remove.items():
            if element in add:  # came with the first change (maybe in place of another value) and goes with this one
                del add[element]
            else:
                remove[element] = value
        for element, value in later.add.items():
            if remove.get(element) == value:
                del remove[element]
            else:
                add[element] = value
        return Change(remove, add)


class Table:
    """Contributions by owner (``namespace/name`` of a Service)."""

    def __init__(self) -> None:
        self._owners: dict[str, Elements] = {}
        self._values: dict[Element, dict[str, str]] = {}

    def elements(self) -> dict[Element, str]:
        """Everything that should be in the kernel."""
        return {element: _winner(values) for element, values in self._values.items()}

    def owners(self) -> Iterable[str]:
        return self._owners.keys()

    def of(self, owner: str) -> Elements:
        return self._owners.get(owner, {})

    def apply(self, contributions: Mapping[str, Elements]) -> Change:
        """Replace what these owners contribute (nothing: ``{}``) and return the difference that makes."""
        before: dict[Element, str | None] = {}
        for owner, new in contributions.items():
            old = self._owners.get(owner, {})
            for element, value in old.items():
                if new.get(element) != value:
                    self._note(before, element)
                    values = self._values[element]
                    del values[owner]
                    if not values:
                        del self._values[element]
            for element, value in new.items():
                if old.get(element) != value:
                    self._note(before, element)
                    self._values.setdefault(element, {})[owner] = value
            if new:
                self._owners[owner] = new
            else:
                self._owners.pop(owner, None)
        return self._change(before)

    def _note(self, before: dict[Element, str | None], element: Element) -> None:
        if element not in before:
            values = self._values.get(element)
            before[element] = _winner(values) if values else None

    def _change(self, before: Mapping[Element, str | None]) -> Change:
        change = Change()
        for element, old in before.items():
            values = self._values.get(element)
            new = _winner(values) if values else None
            if old == new:
                continue
            if old is not None:
                change.remove[element] = old
            if new is not None:
                change.add[element] = new
        return change


def _winner(values: Mapping[str, str]) -> str:
    return values[min(values)] if len(values) > 1 else next(iter(values.values()))
