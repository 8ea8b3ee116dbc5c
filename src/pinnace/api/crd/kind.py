"""One version of a custom resource: the hooks of its registry row, over its schema.

Promises what upstream's customresource strategy does: creation drops status where that is a subresource, the generation
counts every change but those of metadata (and of status), validation ratchets on update, rules see valid objects only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from pinnace.api import meta, schema
from pinnace.api.crd import defaulting, embedded, jsonpath, listtypes, pruning, scale, schemas
from pinnace.api.crd.structural import Structural
from pinnace.api.crd.values import NOWHERE, Validator
from pinnace.api.errors import FieldError, invalid_value
from pinnace.api.patches.json_patch import equal
from pinnace.api.registry import ScalePaths
from pinnace.api.schema_walk import DecodeError
from pinnace.api.types import GVK, Object
from pinnace.api.validation import validate_metadata

#: Kinds of error after which validation rules are not looked at.
_BLOCKING = frozenset(
    (
        "FieldValueNotSupported",
        "FieldValueRequired",
        "FieldValueTooLong",
        "FieldValueTooMany",
        "FieldValueTypeInvalid",
    )
)
_UNCHECKED = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete "
    "validation"
)


class CustomKind:
    """Everything that one version's schema decides."""

    def __init__(
        self,
        gvk: GVK,
        node: Object,
        *,
        namespaced: bool,
        status: bool,
        paths: ScalePaths | None,
        selectable: Sequence[str],
    ) -> None:
        self.gvk = gvk
        self.schema = Structural(node)
        self._validator = Validator(node)
        self._namespaced = namespaced
        self._status = status
        self._paths = paths
        self._selectable = [(path.removeprefix("."), jsonpath.compiled(path)) for path in selectable]

    @cached_property
    def _rules(self) -> Callable[[Any, Any], list[FieldError]] | None:
        """``x-kubernetes-validations``, compiled when the first object comes."""
        if not schemas.has_rules(self.schema.node):
            return None
        from pinnace.api.crd import rules

        return rules.compiled(self.schema)

    def decode(
        self, sent: Object, validation: str, duplicates: Sequence[str], *, nulls: bool = False
    ) -> tuple[Object, list[str]]:
        """See ``registry.Decode``."""
        unknown: list[str] | None = None if validation == schema.IGNORE else []
        obj: Object = meta.copy(sent)
        try:
            obj["metadata"] = embedded.decode_metadata(obj["metadata"], "metadata", unknown)
            pruning.prune(obj, self.schema, unknown)
            if not nulls:
                pruning.prune_nulls(obj, self.schema)
            if self.schema.has_embedded:
                embedded.coerce(obj, self.schema, unknown)
        except DecodeError as error:
            raise schema.unhandled(self.gvk, str(error)) from None
        except RecursionError:
            raise schema.unhandled(self.gvk, "exceeded max depth") from None
        problems = [*duplicates, *(f'unknown field "{path}"' for path in unknown or ())]
        if problems and validation == schema.STRICT:
            raise schema.unhandled(self.gvk, "strict decoding error: " + ", ".join(problems))
        return obj, problems if validation != schema.IGNORE else []

    def default(self, obj: Object) -> None:
        defaulting.default(obj, self.schema)

    def refresh(self, obj: Object) -> None:
        """Make an object that was written under another schema one of this version, in place."""
        pruning.prune(obj, self.schema)
        pruning.prune_nulls(obj, self.schema)
        defaulting.default(obj, self.schema)

    def prepare_create(self, obj: Object) -> None:
        if self._status:
            obj.pop("status", None)
            self._default_status(obj)
        obj["metadata"]["generation"] = 1

    def _default_status(self, obj: Object) -> None:
        """Upstream's reading fills in what writing has dropped."""
        known = self.schema.properties.get("status")
        if known is not None and known.default is not None and "status" not in obj:
            obj["status"] = meta.copy(known.default)
            defaulting.default(obj["status"], known)

    def prepare_update(self, new: Object, old: Object, subresource: str) -> None:
        if subresource == "status":
            metadata, ours = dict(old["metadata"]), new["metadata"]
            for field in ("managedFields", "resourceVersion"):
                metadata.pop(field, None)
                if field in ours:
                    metadata[field] = ours[field]
            for name in (new.keys() | old.keys()) - {"status"}:
                if name in old:
                    new[name] = old[name]
                else:
                    del new[name]
            new["metadata"] = metadata
            return
        if self._status:
            new.pop("status", None)
            if "status" in old:
                new["status"] = old["status"]
            self._default_status(new)
        names = (new.keys() | old.keys()) - {"metadata"}
        generation = meta.generation(old)
        if any(not equal(new.get(name), old.get(name)) or (name in new) != (name in old) for name in names):
            generation += 1
        new["metadata"]["generation"] = generation

    def validate(self, new: Object, old: Object | None, subresource: str) -> list[FieldError]:
        found = validate_metadata(new, old, namespaced=self._namespaced)
        if subresource == "status" and old is not None:
            self._validate_status(found, new, old)
        else:
            if old is None:
                found += self._validator.validate(new)
            else:
                found += self._validator.validate_update(new, old, self.schema)
            if self._paths is not None:
                found += scale.validate_spec(new, self._paths)
                found += scale.validate_status(new, self._paths)
            if self.schema.has_embedded:
                embedded.validate(found, new, self.schema)
        self._validate_lists(found, new, old)
        if self._rules is not None:
            if any(error.type in _BLOCKING for error in found):
                found.append(invalid_value(NOWHERE, None, _UNCHECKED))
            else:
                found += self._rules(new, old)
        return found

    def _validate_status(self, found: list[FieldError], new: Object, old: Object) -> None:
        below, validator = self.schema.properties.get("status"), self._validator.properties.get("status")
        if "status" in new and validator is not None:
            found += validator.validate_update(new["status"], old.get("status"), below, "status")
        if self._paths is not None:
            found += scale.validate_status(new, self._paths)

    def _validate_lists(self, found: list[FieldError], new: Object, old: Object | None) -> None:
        errors: list[FieldError] = []
        listtypes.validate(errors, new, self.schema)
        if errors and old is not None:
            before: list[FieldError] = []
            listtypes.validate(before, old, self.schema)
            if before:
                return
        found += errors

    def selectable(self, obj: Object) -> dict[str, str]:
        found = {}
        for name, find in self._selectable:
            values = find(obj)
            found[name] = _text(values[0]) if values else ""
        return found


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
