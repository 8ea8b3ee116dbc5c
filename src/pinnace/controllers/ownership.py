"""Which Pods (ReplicaSets, Jobs, ...) belong to a controller: finding them, taking in orphans, letting go of strays.

An object belongs to the owner whose uid its controller reference names. One without a controller is taken in if the
owner's selector matches it; one of ours that the selector no longer matches is let go, by removing the reference.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_reason
from pinnace.api.types import GVR, Object
from pinnace.client.client import STRATEGIC_MERGE_PATCH, Client
from pinnace.client.informer import Informer

#: ``match(labels)``
Matcher = Callable[[Mapping[str, str]], bool]
INDEX = "controller"


def index_by_controller(informer: Informer) -> None:
    """Make ``dependents`` work on ``informer``."""
    informer.add_index(INDEX, _controller_values)


def _controller_values(obj: Object) -> tuple[str]:
    ref = meta.controller_of(obj)
    return (ref["uid"] if ref else f"orphan:{meta.namespace(obj)}",)


def dependents(informer: Informer, owner: Object) -> list[Object]:
    """The objects in the cache that ``owner`` controls."""
    return informer.indexed(INDEX, meta.uid(owner))


def orphans(informer: Informer, namespace: str) -> list[Object]:
    """The objects of a namespace that no controller owns."""
    return informer.indexed(INDEX, f"orphan:{namespace}")


def controller_in(owners: Informer, obj: Object | None, kind: str) -> Object | None:
    """The object of ``owners`` that controls ``obj``: of that kind, and with the very uid."""
    if obj is None or (ref := meta.controller_of(obj)) is None or ref["kind"] != kind:
        return None
    owner = owners.get(ref["name"], meta.namespace(obj))
    return owner if owner is not None and meta.uid(owner) == ref["uid"] else None


class Claims:
    """Takes in and lets go of one kind of object for owners of another."""

    def __init__(self, client: Client, owner_gvr: GVR, owned_gvr: GVR, owned: Informer) -> None:
        self._client = client
        self._owner_gvr = owner_gvr
        self._owned_gvr = owned_gvr
        self._owned = owned
        index_by_controller(owned)

    async def claim(
        self,
        owner: Object,
        match: Matcher,
        *,
        adoptable: Callable[[Object], bool] = lambda _: True,
        finalizer: str = "",
    ) -> list[Object]:
        """The objects that are ``owner``'s now. ``finalizer`` is added to what is taken in. Raises the first failure
        of taking in or letting go, after having tried all; what is gone or changed meanwhile is no failure."""
        mine: list[Object] = []
        failure: ApiError | None = None
        may_adopt: bool | None = None
        for obj in dependents(self._owned, owner):
            if match(meta.labels(obj)):
                mine.append(obj)
            elif not meta.is_deleting(owner):
                failure = await self._attempt(self._release(owner, obj)) or failure
        if meta.is_deleting(owner):
            return mine
        for obj in orphans(self._owned, meta.namespace(owner)):
            if meta.is_deleting(obj) or not adoptable(obj) or not match(meta.labels(obj)):
                continue
            if may_adopt is None:
                may_adopt = await self._may_adopt(owner)
            if not may_adopt:
                break
            error = await self._attempt(self._adopt(owner, obj, finalizer))
            if error is None:
                mine.append(self._owned.by_key(meta.key(obj)) or obj)
            failure = error or failure
        if failure is not None:
            raise failure
        return mine

    async def _may_adopt(self, owner: Object) -> bool:
        """Look at the server: a cache could miss that ``owner`` is being deleted, or was made anew."""
        try:
            fresh = await self._client.get(self._owner_gvr, meta.name(owner), meta.namespace(owner))
        except ApiError as error:
            if is_reason(error, "NotFound"):
                return False
            raise
        return meta.uid(fresh) == meta.uid(owner) and not meta.is_deleting(fresh)

    async def _attempt(self, work: Awaitable[object]) -> ApiError | None:
        try:
            await work
        except ApiError as error:
            return None if is_reason(error, "NotFound", "Invalid") else error
        return None

    async def _adopt(self, owner: Object, obj: Object, finalizer: str) -> None:
        change: Object = {"uid": meta.uid(obj), "ownerReferences": [meta.owner_reference(owner)]}
        if finalizer:
            change["finalizers"] = [finalizer]
        await self._patch(obj, change)

    async def _release(self, owner: Object, obj: Object) -> None:
        await self._patch(
            obj, {"uid": meta.uid(obj), "ownerReferences": [{"$patch": "delete", "uid": meta.uid(owner)}]}
        )

    async def _patch(self, obj: Object, change: Object) -> None:
        await self._client.patch(
            self._owned_gvr,
            meta.name(obj),
            {"metadata": change},
            meta.namespace(obj),
            content_type=STRATEGIC_MERGE_PATCH,
        )


def owners_matching(
    owners: Informer, namespace: str, labels: Mapping[str, str], match: Callable[[Object], Matcher]
) -> Iterable[Object]:
    """The owners of a namespace whose selector matches an orphan."""
    return [owner for owner in owners.in_namespace(namespace) if labels and match(owner)(labels)]


def others_concerned(
    owners: Informer, kind: str, old: Object | None, new: Object | None, match: Callable[[Object], Matcher]
) -> list[Object]:
    """Whom a change concerns besides the owner that the object has: the one that it had before, and, if it is an orphan
    since this change or has other labels, whom it may suit."""
    found: list[Object] = []
    previous = controller_in(owners, old, kind)
    if previous is not None and previous is not controller_in(owners, new or old, kind):
        found.append(previous)
    if new is not None and meta.controller_of(new) is None and not meta.is_deleting(new):
        if old is None or meta.labels(old) != meta.labels(new) or meta.controller_of(old) is not None:
            found += owners_matching(owners, meta.namespace(new), meta.labels(new), match)
    return found
