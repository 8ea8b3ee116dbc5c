"""Who owns whom: every object of the cluster as a small node, its owners, and what a change of it makes worth a look.

Holds metadata only: a node costs some 200 bytes and the object's list of owner references. Pure: changes come in by
``observe`` and ``gone``; what is to be looked at comes out as uids.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pinnace.api import meta
from pinnace.api.types import GVR, Object, split_api_version

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


class Node:
    """One object. ``foreground`` and ``orphan`` tell that it is being deleted and waits for its dependents."""

    __slots__ = ("deleting", "foreground", "gvr", "kind", "name", "namespace", "orphan", "owners", "uid")

    def __init__(self, gvr: GVR, obj: Object) -> None:
        self.gvr = gvr
        self.kind = str(obj["kind"])
        self.namespace = meta.namespace(obj)
        self.name = meta.name(obj)
        self.uid = meta.uid(obj)
        self.owners: list[Object] = meta.owner_references(obj)
        self.deleting = meta.is_deleting(obj)
        finalizers = meta.finalizers(obj) if self.deleting else ()
        self.foreground = FOREGROUND in finalizers
        self.orphan = ORPHAN in finalizers

    def is_named_by(self, ref: Object, namespace: str) -> bool:
        """Whether a reference in an object of ``namespace`` means this object, not only its uid."""
        group, _ = split_api_version(str(ref["apiVersion"]))
        return (
            ref["uid"] == self.uid
            and ref["name"] == self.name
            and ref["kind"] == self.kind
            and group == self.gvr.group
            and self.namespace in ("", namespace)
        )

    def __repr__(self) -> str:
        return f"{self.gvr.group_resource} {self.namespace}/{self.name} ({self.uid})"


@dataclass
class Work:
    """uids that a change makes worth a look: to be deleted perhaps (or set free), or to orphan their dependents."""

    examine: list[str] = field(default_factory=list)
    orphan: list[str] = field(default_factory=list)


class OwnerGraph:
    """All nodes, and the dependents of each uid, also of owners that are not (yet) known."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._dependents: dict[str, set[str]] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def get(self, uid: str) -> Node | None:
        return self._nodes.get(uid)

    def of(self, gvr: GVR) -> Iterator[Node]:
        return (node for node in list(self._nodes.values()) if node.gvr == gvr)

    def dependents(self, owner: Node) -> list[Node]:
        """The nodes with a reference to ``owner`` that means it."""
        found = (self._nodes[uid] for uid in self._dependents.get(owner.uid, ()))
        return [node for node in found if owner.namespace in ("", node.namespace)]

    def blocking(self, owner: Node) -> list[Node]:
        """The dependents whose end ``owner``'s foreground deletion waits for."""
        return [
            node
            for node in self.dependents(owner)
            if any(ref["uid"] == owner.uid and ref.get("blockOwnerDeletion") for ref in node.owners)
        ]

    def observe(self, gvr: GVR, obj: Object) -> Work:
        """An object was added or changed."""
        work = Work()
        uid = meta.uid(obj)
        old = self._nodes.get(uid)
        if old is not None and self._is_unchanged(old, obj):
            return work
        new = Node(gvr, obj)
        self._nodes[uid] = new
        before = {ref["uid"]: ref for ref in old.owners} if old is not None else {}
        after = {ref["uid"]: ref for ref in new.owners}
        for owner in before.keys() - after.keys():
            self._unlink(owner, uid)
        for owner in after.keys() - before.keys():
            self._dependents.setdefault(owner, set()).add(uid)
        if before != after:
            # An owner may be unknown, gone or going; and one that waited for this dependent may go on.
            if after:
                work.examine.append(uid)
            work.examine += self._waiting(before)
        if new.foreground and (old is None or not old.foreground):
            work.examine += [*self._dependents.get(uid, ()), uid]
        if new.orphan and (old is None or not old.orphan):
            work.orphan.append(uid)
        if after and new.deleting and old is not None and not old.deleting:
            work.examine += self._waiting(after)
        return work

    @staticmethod
    def _is_unchanged(old: Node, obj: Object) -> bool:
        return (
            meta.owner_references(obj) == old.owners
            and meta.is_deleting(obj) == old.deleting
            and (
                not old.deleting
                or (FOREGROUND in meta.finalizers(obj), ORPHAN in meta.finalizers(obj)) == (old.foreground, old.orphan)
            )
        )

    def gone(self, uid: str) -> Work:
        """An object does not exist any more."""
        work = Work()
        node = self._nodes.pop(uid, None)
        if node is None:
            return work
        owners = {ref["uid"] for ref in node.owners}
        for owner in owners:
            self._unlink(owner, uid)
        work.examine += self._dependents.get(uid, ())
        work.examine += self._waiting(owners)
        return work

    def _waiting(self, owners: Iterable[str]) -> list[str]:
        return [uid for uid in owners if (owner := self._nodes.get(uid)) is not None and owner.foreground]

    def _unlink(self, owner: str, dependent: str) -> None:
        members = self._dependents.get(owner)
        if members is not None:
            members.discard(dependent)
            if not members:
                del self._dependents[owner]
