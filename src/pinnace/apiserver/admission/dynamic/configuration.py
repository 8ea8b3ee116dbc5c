"""What users have configured, read from the store when it has changed: a write is in force for the next request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from pinnace.api import meta
from pinnace.api.registry import Registry, Resource
from pinnace.api.types import GVR, Object
from pinnace.apiserver.admission.base import View
from pinnace.apiserver.admission.dynamic.matching import (
    GROUP,
    Asked,
    Candidates,
    Selectors,
    equivalents,
    match_rules,
)
from pinnace.apiserver.request import AdmissionAttributes
from pinnace.store.protocol import Event, Store, prefix_end


class Webhook:
    """One webhook of a configuration."""

    __slots__ = ("configuration", "hook", "ignores_failures", "key", "mutating", "name", "seconds", "selectors")

    def __init__(self, configuration: str, hook: Object, key: str, *, mutating: bool) -> None:
        self.configuration = configuration
        self.hook = hook
        self.name: str = hook["name"]
        #: Tells it apart from all others.
        self.key = key
        self.mutating = mutating
        self.ignores_failures = hook.get("failurePolicy") == "Ignore"
        self.seconds = float(hook.get("timeoutSeconds") or 10)
        self.selectors = Selectors(hook)

    def match(self, asked: Asked, others: Sequence[Resource]) -> Candidates:
        return Candidates(match_rules(self.hook.get("rules"), self.hook.get("matchPolicy"), asked, others)[:1])


def webhooks(view: View, plural: str) -> list[Webhook]:
    """All webhooks, ordered by the names of their configurations."""
    found = []
    for configuration in view.items(GROUP, plural):
        name = meta.name(configuration)
        for index, hook in enumerate(configuration.get("webhooks") or ()):
            found.append(Webhook(name, hook, f"{name}/{hook['name']}/{index}", mutating=plural.startswith("mutating")))
    return found


class Matching(Protocol):
    """What is for some requests and not for others."""

    def match(self, asked: Asked, others: Sequence[Resource]) -> Candidates:
        """As what it matches what is asked; ``others`` are the equivalent resources."""


Item = TypeVar("Item", bound=Matching)


class Followed(Generic[Item]):
    """Items made of what the store holds below ``plurals``, and for which requests they are."""

    def __init__(
        self, store: Store, registry: Registry, plurals: Sequence[str], make: Callable[[], list[Item]]
    ) -> None:
        self._registry = registry
        self._make = make
        self._items: list[Item] = []
        self._outdated = True
        self._generation = -1
        self._chosen: dict[tuple[GVR, str, str], list[tuple[Item, Candidates]]] = {}
        for plural in plurals:
            prefix = f"/registry/{GROUP}/{plural}/"
            store.watch(prefix, prefix_end(prefix), store.revision, self._take)

    def _take(self, events: Sequence[Event] | None) -> None:
        self._outdated = True

    @property
    def items(self) -> list[Item]:
        if self._outdated:
            self._outdated = False
            self._chosen.clear()
            self._items = self._make()
        return self._items

    def chosen(self, attributes: AdmissionAttributes) -> list[tuple[Item, Candidates]]:
        """What may be for a request, by its resource, subresource and operation alone."""
        if not self.items:
            return []
        if self._generation != self._registry.generation:
            self._generation = self._registry.generation
            self._chosen.clear()
        row = attributes.resource
        key = row.gvr, attributes.subresource, attributes.operation
        found = self._chosen.get(key)
        if found is None:
            asked = Asked(row, attributes.subresource, attributes.operation)
            others = [] if asked.exempt else equivalents(self._registry, asked)
            matched = [] if asked.exempt else [(item, item.match(asked, others)) for item in self.items]
            found = self._chosen[key] = [(item, candidates) for item, candidates in matched if candidates.found]
        return found
