"""What the rules of a definition may cost at most: each of them, and all together."""

from __future__ import annotations

from pinnace.api.cel.cost import MOST
from pinnace.api.crd.sizes import REQUEST, Size
from pinnace.api.errors import FieldError, forbidden_field

#: What one rule may cost for all values that it looks at, and what all rules of a schema may cost.
RULE_LIMIT, SCHEMA_LIMIT = 10_000_000, 100_000_000
#: Rules that are named where all together cost too much: the dearest, of those that count.
NAMED = 4
_ADVICE = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are "
    "declared)"
)


def times(size: Size, bounded: int | None) -> int:
    """How often a value of this size may be in an object: ``bounded``, or what fits into a request."""
    return bounded if bounded is not None else REQUEST // (size.bytes + 1)


class Budget:
    """Of one schema."""

    def __init__(self) -> None:
        self._total = 0
        self._dearest: list[tuple[int, str]] = []

    def spend(self, at: str, what: str, cost: int) -> list[FieldError]:
        """The rule at ``at`` may cost that much."""
        cost = min(cost, MOST)
        self._total = min(self._total + cost, MOST)
        if cost >= SCHEMA_LIMIT // 100:
            self._dearest.append((cost, at))
        return [forbidden_field(at, _exceeded(what, cost, RULE_LIMIT))] if cost > RULE_LIMIT else []

    def errors(self, at: str) -> list[FieldError]:
        """What is wrong with all of them together."""
        if self._total <= SCHEMA_LIMIT:
            return []
        dearest = sorted(self._dearest, key=lambda spent: -spent[0])[:NAMED]
        why = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
        whole = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        found = [forbidden_field(rule, why) for _, rule in dearest]
        return [*found, forbidden_field(at, _exceeded(whole, self._total, SCHEMA_LIMIT))]


def _exceeded(what: str, cost: int, limit: int) -> str:
    factor = cost / limit
    shown = "more than 100" if factor > 100 else f"{factor:f}" if factor < 1.5 else f"{factor:.1f}"
    return f"{what} exceeds budget by factor of {shown}x {_ADVICE}"
