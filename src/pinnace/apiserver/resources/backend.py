"""What all verbs work with: the store, the rows, admission and the clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Hashable, Sequence
from typing import Any, Protocol

from pinnace.api import errors, meta
from pinnace.api.errors import ApiError
from pinnace.api.registry import Registry, Resource
from pinnace.api.types import Object
from pinnace.apiserver.request import Admission, AdmissionAttributes, Authorizer, Charge, Request
from pinnace.apiserver.resources import codec, negotiation
from pinnace.apiserver.resources.negotiation import Format
from pinnace.apiserver.resources.watchhub import WatchHub
from pinnace.core.clock import Clock, Timer
from pinnace.store.local import LocalStore
from pinnace.store.protocol import Committed, Compare, Delete, KeyValue, Put, Store, Txn

KEPT_SECONDS = 1.0


class Admitted:
    """A change that admission looks at on entry. Its body sets ``committed`` once the change has been made; if it does
    not, what admission reserved is given back on leaving."""

    __slots__ = ("_admission", "_attributes", "_request", "committed")

    def __init__(self, admission: Admission | None, attributes: AdmissionAttributes, request: Request) -> None:
        self._admission = admission
        self._attributes = attributes
        self._request = request
        self.committed = False

    @property
    def charging(self) -> bool:
        """Whether anything may have to be written with the object."""
        return bool(self._attributes.charges)

    async def __aenter__(self) -> Admitted:
        if self._admission is not None:
            try:
                await self._admission.admit(self._attributes)
            except BaseException:
                self._give_back()
                self._warn()
                raise
            self._warn()
        return self

    def validate(self) -> Awaitable[None] | None:
        """What is awaited, if policies or webhooks look at the object as it is now; then it is not changed any more.
        Raises ApiError."""
        waiting = self._admission.validate(self._attributes) if self._admission is not None else None
        return None if waiting is None else self._validated(waiting)

    async def validated(self) -> None:
        """``validate``, where it does not matter what nothing costs."""
        if (waiting := self.validate()) is not None:
            await waiting

    async def _validated(self, waiting: Awaitable[None]) -> None:
        try:
            await waiting
        finally:
            self._warn()

    def _warn(self) -> None:
        self._request.warnings += self._attributes.warnings
        self._attributes.warnings = []

    async def __aexit__(self, *failure: object) -> None:
        if not self.committed:
            self._give_back()

    def charges(self) -> Sequence[Charge]:
        """What is to be written with the object as it is now. Raises ApiError if that is refused, OutrunError."""
        return [charge for ask in self._attributes.charges for charge in ask()]

    def _give_back(self) -> None:
        for undo in self._attributes.undo:
            undo()


class SharedLists:
    """The last large list's bytes, for other clients that list the same before anything is written: when a watch cache
    is filled again everywhere at once. Let go after ``KEPT_SECONDS``."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._held: tuple[Hashable, int, list[bytes]] | None = None
        self._timer: Timer | None = None

    def get(self, key: Hashable) -> list[bytes] | None:
        held = self._held
        if held is not None and held[1] == self._store.revision and held[0] == key:
            return held[2]
        return None

    def put(self, key: Hashable, parts: list[bytes]) -> None:
        self._held = (key, self._store.revision, parts)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.call_later(KEPT_SECONDS, self._drop, routine=True)

    def _drop(self) -> None:
        self._held = None


class Converter(Protocol):
    """Conversion between versions by a webhook (``apiserver.crd.conversion``)."""

    async def ensure(self, row: Resource, items: Sequence[KeyValue]) -> None:
        """Have what ``row`` needs converted of ``items`` at hand. Raises ApiError 500."""

    async def convert(self, row: Resource, objects: list[Object], api_version: str) -> list[Object]:
        """``objects`` in that version. Raises ApiError 500."""

    def close(self) -> None:
        """Let go of the connections to webhooks."""


class Backend:
    """One per API server."""

    def __init__(self, store: Store, registry: Registry, clock: Clock, admission: Admission | None) -> None:
        self.store = store
        self.registry = registry
        self.clock = clock
        self.admission = admission
        #: Asked where a request turns out to be another one than its verb says: an apply that creates.
        self.authorizer: Authorizer | None = None
        self.hub = WatchHub(store, clock)
        self.lists = SharedLists(store, clock)
        self._charging = asyncio.Lock()
        #: Converts custom resources by webhooks; there once one is to be converted.
        self.converter: Converter | None = None
        #: Whether another process may write too, so that reads must first catch up (``Store.sync``).
        self.remote = not isinstance(store, LocalStore)

    def admitted(
        self,
        request: Request,
        row: Resource,
        operation: str,
        obj: Object | None,
        old: Object | None,
        *,
        name: str,
        subresource: str = "",
        dry_run: bool = False,
        options: Object | None = None,
    ) -> Admitted:
        """``async with`` it around the rest of the change."""
        namespace = name if row.plural == "namespaces" and not row.group else request.info.namespace
        attributes = AdmissionAttributes(
            operation,
            row,
            subresource,
            namespace,
            name,
            obj,
            old,
            request.user,
            dry_run,
            options or {},
            request=request,
        )
        return Admitted(self.admission, attributes, request)

    def close(self) -> None:
        """Let go of the connections to webhooks."""
        if self.admission is not None:
            self.admission.close()
        if self.converter is not None:
            self.converter.close()

    def wanted(self, request: Request) -> Format:
        return negotiation.PLAIN if request.shared else negotiation.of(request)

    def get(self, row: Resource, namespace: str, name: str) -> KeyValue:
        """Raises ApiError NotFound."""
        kv = self.store.get(row.key(namespace, name))
        if kv is None:
            raise errors.not_found(row.group, row.plural, name)
        return kv

    async def write(
        self, row: Resource, key: str, obj: Object, mod_revision: int, admitted: Admitted | None = None
    ) -> KeyValue | None:
        """Commit ``obj``, which is not changed any more, if the key is still at ``mod_revision`` (0: absent), with what
        else it was ``admitted`` for; None if it is not."""
        value = await self._stored(obj, row)
        compare, put = Compare(key, mod_revision), Put(key, value)
        before = self.store.get(key) if mod_revision else None
        if admitted is not None and admitted.charging:
            result = await self._write_charged(compare, put, admitted)
        else:
            result = await self.store.commit(Txn((compare,), (put,)))
        if not result.succeeded:
            return None
        kv = result.puts[0]
        if row.custom is not None and row.custom.webhook is not None and not codec.is_stored_form(row):
            obj["metadata"]["resourceVersion"] = str(kv.mod_revision)
            row.custom.converted[key, kv.mod_revision] = obj
        if kv.decoded is None and codec.is_stored_form(row):
            obj["metadata"]["resourceVersion"] = str(kv.mod_revision)
            codec.keep(kv, obj, before)
        return kv

    async def _stored(self, obj: Object, row: Resource) -> bytes:
        """The bytes to commit for ``obj``, in the version that is stored."""
        custom = row.custom
        if custom is None or custom.webhook is None or codec.is_stored_form(row):
            return codec.to_stored(obj, row)
        assert self.converter is not None
        made = meta.copy((await self.converter.convert(row, [obj], row.storage.api_version))[0])
        row.to_storage(made)
        return codec.encode(made)

    async def _write_charged(self, compare: Compare, put: Put, admitted: Admitted) -> Committed:
        """One after the other: each finds charged what the one before has used."""
        async with self._charging:
            while True:
                charges = admitted.charges()
                compares = [compare, *(Compare(charge.key, charge.mod_revision) for charge in charges)]
                puts = [put, *(Put(charge.key, codec.encode(charge.object)) for charge in charges)]
                result = await self.store.commit(Txn(compares, puts))
                if result.succeeded or not charges or not self._is_at(compare):
                    return result
                await self.store.sync()

    def _is_at(self, compare: Compare) -> bool:
        held = self.store.get(compare.key)
        return (held.mod_revision if held is not None else 0) == compare.mod_revision

    async def remove(self, key: str, mod_revision: int) -> int:
        """Delete the key if it is still at ``mod_revision``; the revision of the deletion, 0 if it was not."""
        result = await self.store.commit(Txn((Compare(key, mod_revision),), (Delete(key),)))
        return result.revision if result.succeeded else 0


def system_metadata(new: Object, old: Object) -> None:
    """Set what the server alone may set in ``new``'s metadata, as ``old`` has it."""
    ours, held = new["metadata"], old["metadata"]
    for field in (
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "generateName",
        "namespace",
    ):
        if field in held:
            ours[field] = held[field]
        else:
            ours.pop(field, None)
    ours.pop("selfLink", None)


def refuse_invalid(row: Resource, name: str, found: Sequence[errors.FieldError]) -> None:
    """Raise ApiError 422 if anything was ``found``."""
    if found:
        raise errors.invalid(row.group, row.kind, name, found)


def dry_run(request: Request, options_kind: str, options: dict[str, Any] | None = None) -> bool:
    """Whether the request only asks what would happen. Raises ApiError 422 for an unknown way of doing so."""
    asked = request.query.get("dryRun")
    values = (options or {}).get("dryRun") or ([asked] if asked else [])
    if not values:
        return False
    if values != ["All"]:
        shown = "[" + ",".join(errors.go_quote(v) for v in values) + "]"
        problem = errors.FieldError(
            "FieldValueNotSupported", "dryRun", f'Unsupported value: {shown}: supported values: "All"'
        )
        raise errors.invalid("meta.k8s.io", options_kind, "", [problem])
    return True


def unsupported(row: Resource, verb: str) -> ApiError:
    return ApiError(
        405,
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource",
        details={"group": row.group, "kind": row.plural} if row.group else {"kind": row.plural},
    )
