"""What holds of every apply."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.api.apply.objects import Server

from pinnace.api import meta
from pinnace.api.apply import fieldset, typed
from pinnace.api.apply.compare import compare, field_set
from pinnace.api.apply.merge import merge

TYPE = typed.of_definition("io.k8s.api.apps.v1.Deployment")
#: Empty lists and maps and false are left out: they do not come back from the store.
WORDS = st.sampled_from(["a", "b", "c"])


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


def keyed(key: str, element: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(st.tuples(WORDS, element), min_size=1, max_size=3, unique_by=lambda item: item[0]).map(
        lambda items: [{**fields, key: name} for name, fields in items]
    )


CONTAINERS = keyed(
    "name",
    optional(image=WORDS, command=st.lists(WORDS, min_size=1, max_size=2), env=keyed("name", optional(value=WORDS))),
)
POD_SPEC = optional(
    containers=CONTAINERS, nodeSelector=st.dictionaries(WORDS, WORDS, min_size=1, max_size=2), hostNetwork=st.just(True)
)
CONFIGS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "apiVersion": st.just("apps/v1"),
        "kind": st.just("Deployment"),
        "metadata": st.fixed_dictionaries(
            {"name": st.just("web"), "namespace": st.just("default")},
            optional={
                "labels": st.dictionaries(WORDS, WORDS, min_size=1, max_size=3),
                "finalizers": st.lists(WORDS, min_size=1, max_size=3, unique=True),
            },
        ),
        "spec": optional(
            replicas=st.integers(1, 3),
            paused=st.just(True),
            selector=st.fixed_dictionaries({"matchLabels": st.dictionaries(WORDS, WORDS, min_size=1, max_size=2)}),
            template=optional(spec=POD_SPEC),
        ),
    }
)
SLOW = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def applied(server: Server, config: dict[str, Any], manager: str) -> None:
    server.apply(meta.copy(config), manager, force=True)


@SLOW
@given(CONFIGS, CONFIGS)
def test_apply_is_idempotent(first: dict[str, Any], second: dict[str, Any]) -> None:
    server = Server()
    applied(server, first, "one")
    applied(server, second, "two")
    before = meta.copy(server.object)
    server.apply(meta.copy(second), "two")
    assert server.object == before


def apart(value: Any) -> Any:
    """The same under other names: labels, finalizers and elements of keyed lists that are not ``value``'s."""
    if isinstance(value, dict):
        leaves = ("replicas", "paused", "selector", "nodeSelector", "hostNetwork")
        kept = {name: held for name, held in value.items() if name not in leaves}
        return {other(name): other(held) if name == "name" else apart(held) for name, held in kept.items()}
    return [apart(item) for item in value] if isinstance(value, list) else other(value)


def other(text: str) -> str:
    return text.upper() if text in ("a", "b", "c") else text


@SLOW
@given(CONFIGS, CONFIGS)
def test_disjoint_managers_never_conflict(first: dict[str, Any], second: dict[str, Any]) -> None:
    second = apart(second)
    server = Server()
    server.apply(first, "one")
    server.apply(second, "two")
    server.apply(first, "one")


@SLOW
@given(CONFIGS, CONFIGS)
def test_after_force_whoever_applied_last_has_its_way(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Each field it named has its value, and nobody else who owns it wants another."""
    server = Server()
    applied(server, first, "one")
    applied(server, second, "two")
    changed, _ = compare(TYPE, server.object, merge(TYPE, server.object, second))
    assert not changed
    shared = fieldset.intersection(server.owned("one"), server.owned("two"))
    differing, _ = compare(TYPE, first, merge(TYPE, first, second))
    assert not fieldset.intersection(shared, differing)


@SLOW
@given(CONFIGS, CONFIGS)
def test_who_applies_nothing_leaves_no_trace(first: dict[str, Any], second: dict[str, Any]) -> None:
    """What one manager alone applied is gone once it applies no more, and what another applies is all there."""
    server = Server()
    applied(server, second, "stays")
    alone = meta.copy(server.object)
    server.apply(apart(first), "leaves")
    nothing = {key: first[key] for key in ("apiVersion", "kind")}
    server.apply({**nothing, "metadata": {"name": "web", "namespace": "default"}}, "leaves")
    assert server.owned("leaves") == {}
    for part in (alone, server.object):
        part["metadata"].pop("managedFields", None)
    assert field_set(TYPE, server.object) == field_set(TYPE, alone)


@SLOW
@given(CONFIGS, CONFIGS)
def test_every_field_of_an_apply_has_one_owner_after_an_update(first: dict[str, Any], second: dict[str, Any]) -> None:
    """An update by somebody else takes what it changes from whoever applied it."""
    server = Server()
    applied(server, first, "applier")
    server.write({**second, "metadata": {**server.object["metadata"], **second["metadata"]}}, "updater")
    mine, theirs = server.owned("applier"), server.owned("updater", "Update")
    assert not fieldset.intersection(mine, theirs)
