"""One request's objects as webhooks and expressions see them: in the version that was matched."""

from __future__ import annotations

from pinnace.api import errors, meta, schema_table
from pinnace.api.errors import ApiError
from pinnace.api.registry import Resource
from pinnace.api.types import Object
from pinnace.apiserver.admission.base import CONNECT, CREATE
from pinnace.apiserver.admission.dynamic.matching import kind_of
from pinnace.apiserver.crd.conversion import WebhookConverter
from pinnace.apiserver.request import AdmissionAttributes
from pinnace.apiserver.resources import body

#: What the API server fills in only when an object is stored; ``name`` too, if it is made from ``generateName``.
_LATER = ("uid", "creationTimestamp", "selfLink")


class Seen:
    """The objects of a request, as they are now. Not changed by those who look at them."""

    def __init__(self, attributes: AdmissionAttributes, converter: WebhookConverter, *, final: bool) -> None:
        """``final``: as it will be stored; otherwise it is still to be changed."""
        self._attributes = attributes
        self._converter = converter
        self._final = final
        self._made: dict[tuple[str, bool], Object | None] = {}

    def forget(self) -> None:
        """Somebody else has changed the object."""
        self._made.clear()

    async def new(self, row: Resource) -> Object | None:
        return await self._of(row, self._attributes.object, old=False)

    async def old(self, row: Resource) -> Object | None:
        if self._attributes.operation in (CREATE, CONNECT):
            return None  # what subresources are about is none
        return await self._of(row, self._attributes.old_object, old=True)

    async def _of(self, row: Resource, obj: Object | None, *, old: bool) -> Object | None:
        if obj is None:
            return None
        key = row.api_version, old
        if key not in self._made:
            self._made[key] = self._shown(await self._converted(obj, self._attributes.resource, row), old=old)
        return self._made[key]

    def _shown(self, obj: Object, *, old: bool) -> Object:
        if old or self._final or self._attributes.operation != CREATE or self._attributes.subresource:
            return obj
        metadata = {name: value for name, value in obj["metadata"].items() if name not in _LATER}
        if not self._attributes.name:
            metadata.pop("name", None)
        return {**obj, "metadata": metadata}

    async def _converted(self, obj: Object, source: Resource, target: Resource) -> Object:
        if source.api_version == target.api_version or obj.get("kind") != source.kind:
            return obj  # what subresources take has one version
        if source.custom is not None and source.custom.webhook is not None:
            return (await self._converter.convert(source, [obj], target.api_version))[0]
        made: Object = meta.copy(obj)
        source.to_storage(made)
        made["apiVersion"] = target.api_version
        target.from_storage(made)
        return made

    async def replace(self, row: Resource, changed: object) -> None:
        """Have ``changed``, made of what ``new(row)`` gave, be the request's object. Raises ApiError 500 if it is no
        object of its kind."""
        attributes = self._attributes
        own, subresource = attributes.resource, attributes.subresource
        was = attributes.object
        assert was is not None
        gvk = kind_of(row, subresource)
        is_own = gvk.kind == row.kind
        request = attributes.request
        assert request is not None
        try:
            definition, custom = (row.definition, row.custom) if is_own else (schema_table.of_kind(gvk), None)
            made = body.checked(request, changed, gvk, definition, custom=custom)
        except ApiError as error:
            raise errors.internal(error.message) from None
        if is_own:
            row.default(made)
        made = await self._converted(made, row, own)
        self._restore(made, was)
        was.clear()
        was.update(made)
        self.forget()

    def _restore(self, made: Object, was: Object) -> None:
        """What was not shown is as it was. Raises ApiError 400 if it was moved to another namespace."""
        metadata, before = made["metadata"], was.get("metadata") or {}
        if (metadata.get("namespace") or "") != (before.get("namespace") or ""):
            raise errors.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        if self._attributes.operation != CREATE or self._attributes.subresource:
            return
        for name in _LATER:
            if name in before:
                metadata[name] = before[name]
            else:
                metadata.pop(name, None)
        if not metadata.get("name") and before.get("name"):
            metadata["name"] = before["name"]
