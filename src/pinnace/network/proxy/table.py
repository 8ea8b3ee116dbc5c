"""The whole table as the sum of what each Service contributes, and the differences between two states of it. Pure.

Two Services may contribute the same element (an endpoint that serves both; an external IP claimed twice): it is there
as long as one of them does, and of different values the one of the first Service in order of their names counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias


class Element(NamedTuple):
    """A key of one map or set of the table."""

    of: str
    key: str


#: Elements and their values; a set's have the value "".
Elements: TypeAlias = Mapping[Element, str]


@dataclass
class Change:
    """``remove`` and then ``add`` lead from one state of the table to the next; an element whose value changes is in
    both."""

    remove: dict[Element, str] = field(default_factory=dict)
    add: dict[Element, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.remove or self.add)

    @classmethod
    def between(cls, before: Elements, after: Elements) -> Change:
        """What leads from one to the other."""
        return cls(
            {element: value for element, value in before.items() if after.get(element) != value},
            {element: value for element, value in after.items() if before.get(element) != value},
        )

    def extend(self, later: Change) -> None:
        """Make this both changes as one."""
        for element, value in later.remove.items():
            if element in self.add:  # it came with the first change, maybe in place of another value
                del self.add[element]
            else:
                self.remove[element] = value
        for element, value in later.add.items():
            if self.remove.get(element) == value:
                del self.remove[element]
            else:
                self.add[element] = value


class Table:
    """Who (``namespace/name`` of a Service) contributes what."""

    def __init__(self) -> None:
        self._held: dict[Element, tuple[str, str]] = {}  # owner and value, of the owner that counts
        self._others: dict[Element, dict[str, str]] = {}  # values by owner, of what has several

    def elements(self) -> dict[Element, str]:
        """Everything that should be in the kernel."""
        return {element: value for element, (_, value) in self._held.items()}

    def apply(self, owner: str, change: Change) -> Change:
        """Change what this owner contributes, and return the difference that makes."""
        before: dict[Element, str | None] = {}
        for element in change.remove:
            before[element] = self._value(element)
            self._withdraw(owner, element)
        for element, value in change.add.items():
            if element not in before:
                before[element] = self._value(element)
            self._contribute(owner, element, value)
        made = Change()
        for element, old in before.items():
            new = self._value(element)
            if old == new:
                continue
            if old is not None:
                made.remove[element] = old
            if new is not None:
                made.add[element] = new
        return made

    def _value(self, element: Element) -> str | None:
        held = self._held.get(element)
        return held[1] if held is not None else None

    def _contribute(self, owner: str, element: Element, value: str) -> None:
        held = self._held.get(element)
        if held is None or (held[0] == owner and element not in self._others):
            self._held[element] = owner, value
            return
        values = self._others.setdefault(element, {held[0]: held[1]})
        values[owner] = value
        self._choose(element, values)

    def _withdraw(self, owner: str, element: Element) -> None:
        values = self._others.get(element)
        if values is None:
            del self._held[element]
            return
        del values[owner]
        self._choose(element, values)
        if len(values) == 1:
            del self._others[element]

    def _choose(self, element: Element, values: Mapping[str, str]) -> None:
        first = min(values)
        self._held[element] = first, values[first]
