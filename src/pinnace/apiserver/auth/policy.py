"""The RBAC policy in force: Roles, ClusterRoles and their bindings, followed in the store.

``generation`` goes up at every change; whoever keeps something derived from the policy compares it. Rules are compiled
once per role and version; bindings are indexed by subject.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import orjson

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.apiserver.auth.rules import Rule, compile_rules
from pinnace.apiserver.request import User
from pinnace.store.protocol import Event, Store, Watch, prefix_end

GROUP = "rbac.authorization.k8s.io"
PREFIX = f"/registry/{GROUP}/"
CLUSTER_ROLES, CLUSTER_BINDINGS = f"{PREFIX}clusterroles/", f"{PREFIX}clusterrolebindings/"
ROLES, BINDINGS = f"{PREFIX}roles/", f"{PREFIX}rolebindings/"
SERVICE_ACCOUNT_USER = "system:serviceaccount:"


class Binding(NamedTuple):
    """``namespace`` is "" for a ClusterRoleBinding. ``role`` is ``(namespace, name)``, the namespace "" for a
    ClusterRole. Subjects are ``u:<user>`` and ``g:<group>``."""

    namespace: str
    name: str
    role: tuple[str, str]
    subjects: frozenset[str]


class Grant(NamedTuple):
    """Rules that a binding gives a user in ``namespace`` ("" is everywhere). ``rules`` is None if the role that the
    binding names does not exist."""

    binding: Binding
    rules: tuple[Rule, ...] | None


def subject_key(subject: Object, namespace: str) -> str | None:
    """None for a kind of subject that matches nobody."""
    kind, name = subject.get("kind"), str(subject.get("name") or "")
    if kind == "User":
        return f"u:{name}"
    if kind == "Group":
        return f"g:{name}"
    if kind == "ServiceAccount":
        space = subject.get("namespace") or namespace
        return f"u:{SERVICE_ACCOUNT_USER}{space}:{name}" if space else None
    return None


def read_binding(obj: Object) -> Binding:
    space = meta.namespace(obj)
    reference = obj.get("roleRef") or {}
    role = ("" if reference.get("kind") == "ClusterRole" else space, str(reference.get("name") or ""))
    keys = (subject_key(subject, space) for subject in obj.get("subjects") or ())
    return Binding(space, meta.name(obj), role, frozenset(key for key in keys if key))


class Policy:
    """See the module's docstring. Fed by ``follow`` or, in tests, ``put`` and ``remove``."""

    def __init__(self) -> None:
        self.generation = 0
        self._rules: dict[tuple[str, str], tuple[Rule, ...]] = {}
        self._bindings: dict[tuple[str, str], Binding] = {}
        self._of_subject: dict[str, dict[tuple[str, str], Binding]] = {}

    # -- feeding

    def follow(self, store: Store) -> Watch:
        """Take in what the store holds and then every change, before any reader of the store can act on it."""
        revision = store.revision
        for kv in store.range(PREFIX, prefix_end(PREFIX), revision=revision).items:
            self.put(kv.key, orjson.loads(kv.value))
        return store.watch(PREFIX, prefix_end(PREFIX), revision, self._take)

    def _take(self, events: Sequence[Event] | None) -> None:
        for event in events or ():
            if event.current is None:
                self.remove(event.key)
            else:
                self.put(event.key, orjson.loads(event.current.value))

    def put(self, key: str, obj: Object) -> None:
        where = _where(key)
        if key.startswith((CLUSTER_ROLES, ROLES)):
            self._rules[where] = compile_rules(obj.get("rules"))
        elif key.startswith((CLUSTER_BINDINGS, BINDINGS)):
            self._drop_binding(where)
            binding = self._bindings[where] = read_binding(obj)
            for subject in binding.subjects:
                self._of_subject.setdefault(subject, {})[where] = binding
        self._changed()

    def remove(self, key: str) -> None:
        where = _where(key)
        if key.startswith((CLUSTER_ROLES, ROLES)):
            self._rules.pop(where, None)
        else:
            self._drop_binding(where)
        self._changed()

    def _drop_binding(self, where: tuple[str, str]) -> None:
        old = self._bindings.pop(where, None)
        for subject in old.subjects if old else ():
            of_subject = self._of_subject[subject]
            del of_subject[where]
            if not of_subject:
                del self._of_subject[subject]

    def _changed(self) -> None:
        self.generation += 1

    # -- asking

    def rules_of(self, role: tuple[str, str]) -> tuple[Rule, ...] | None:
        """The rules of the role at (namespace or "", name); None if there is none."""
        return self._rules.get(role)

    def grants(self, user: User, namespace: str) -> Iterator[Grant]:
        """What bindings give ``user`` cluster-wide and, if it is not "", in ``namespace``; cluster-wide first."""
        for wanted in ("", namespace) if namespace else ("",):
            for subject in self._subjects(user):
                for binding in self._of_subject.get(subject, {}).values():
                    if binding.namespace == wanted:
                        yield Grant(binding, self._rules.get(binding.role))

    @staticmethod
    def _subjects(user: User) -> Iterable[str]:
        yield f"u:{user.name}"
        for group in user.groups:
            yield f"g:{group}"


def _where(key: str) -> tuple[str, str]:
    """(namespace or "", name) of an RBAC object's key."""
    parts = key.removeprefix(PREFIX).split("/")
    return (parts[1], parts[2]) if len(parts) == 3 else ("", parts[1])
