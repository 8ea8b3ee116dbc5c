"""ControllerRevisions: the templates that a DaemonSet or StatefulSet had, numbered.

``snapshot``, ``newest_first`` and ``surplus`` are pure; ``Revisions`` keeps the objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import orjson

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_reason
from pinnace.api.types import GVR, Object
from pinnace.client.client import Client
from pinnace.controllers import kit, ownership, rollout

CONTROLLER_REVISIONS = GVR("apps", "v1", "controllerrevisions")
HASH_LABEL = "controller-revision-hash"


def snapshot(owner: Object) -> Object:
    """What a revision keeps of its owner: the template, as a patch that puts it back."""
    return {"spec": {"template": {**meta.copy(owner["spec"]["template"]), "$patch": "replace"}}}


def number(revision: Object) -> int:
    return int(revision.get("revision") or 0)


def newest_first(revisions: Iterable[Object]) -> list[Object]:
    return sorted(revisions, key=lambda r: (number(r), r["metadata"].get("creationTimestamp", "")), reverse=True)


def same(one: Object, data: Object) -> bool:
    """Whether a revision holds that snapshot."""
    held = (one.get("data") or {}).get("spec", {}).get("template") or {}
    return rollout.same_template(held, data["spec"]["template"])


def surplus(revisions: Iterable[Object], used: set[str], limit: int | None) -> list[Object]:
    """The revisions beyond the history limit, oldest first; those whose names are ``used`` stay and do not count."""
    free = [r for r in reversed(newest_first(revisions)) if meta.name(r) not in used]
    return free[: max(len(free) - (10 if limit is None else limit), 0)]


def digest(revision: Object) -> str:
    """The part of its name that stands for its template."""
    return meta.name(revision).rpartition("-")[2]


class Revisions:
    """The revisions of owners of one kind. ``hash_label`` carries the template's hash on them."""

    def __init__(self, tools: kit.Kit, client: Client, owner_gvr: GVR, *, hash_label: str) -> None:
        self._client = client
        self._label = hash_label
        self._informer = tools.informer(CONTROLLER_REVISIONS)
        self._claims = ownership.Claims(client, owner_gvr, CONTROLLER_REVISIONS, self._informer)

    def watch(self, owners: Callable[[Object | None, Object | None], None]) -> None:
        self._informer.add_handler(owners)

    async def bring_up_to_date(
        self, owner: Object, match: ownership.Matcher
    ) -> tuple[Object, list[Object], int | None]:
        """(the revision of the owner's template, all its revisions, its count of collisions). Makes the revision, or
        gives an earlier one of the same template the newest number."""
        held = newest_first(await self._claims.claim(owner, match))
        collisions = (owner.get("status") or {}).get("collisionCount")
        data = snapshot(owner)
        newest = number(held[0]) if held else 0
        known = next((revision for revision in held if same(revision, data)), None)
        if known is not None:
            if number(known) < newest:
                known = await self._client.update(CONTROLLER_REVISIONS, {**known, "revision": newest + 1})
            others = [revision for revision in held if meta.uid(revision) != meta.uid(known)]
            return known, [known, *others], collisions
        while True:
            made = self._new(owner, data, newest + 1, collisions)
            try:
                made = await self._client.create(CONTROLLER_REVISIONS, made)
            except ApiError as error:
                if not is_reason(error, "AlreadyExists"):
                    raise
                made = await self._client.get(CONTROLLER_REVISIONS, meta.name(made), meta.namespace(owner))
                if not same(made, data):
                    collisions = (collisions or 0) + 1
                    continue
            return made, [made, *held], collisions

    def _new(self, owner: Object, data: Object, revision: int, collisions: int | None) -> Object:
        hashed = rollout.template_hash(orjson.loads(orjson.dumps(data["spec"]["template"])), collisions)
        template_labels = (owner["spec"]["template"].get("metadata") or {}).get("labels") or {}
        metadata: Object = {
            "name": f"{meta.name(owner)}-{hashed}",
            "namespace": meta.namespace(owner),
            "labels": {**template_labels, self._label: hashed},
            "ownerReferences": [meta.owner_reference(owner)],
        }
        if meta.annotations(owner):
            metadata["annotations"] = dict(meta.annotations(owner))
        return {
            "apiVersion": "apps/v1",
            "kind": "ControllerRevision",
            "metadata": metadata,
            "data": data,
            "revision": revision,
        }

    async def clean_up(self, revisions: list[Object], used: set[str], limit: int | None) -> None:
        for revision in surplus(revisions, used, limit):
            try:
                await self._client.delete(CONTROLLER_REVISIONS, meta.name(revision), meta.namespace(revision))
            except ApiError as error:
                if not is_reason(error, "NotFound"):
                    raise
