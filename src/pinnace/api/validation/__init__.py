"""What is wrong with an object, in upstream's words and order, for every built-in kind.

Objects come in decoded by their schema (right types) and with defaults filled in. Validation is pure, changes nothing
and is fast: a small Pod takes tens of microseconds, so nothing here walks schemas or builds paths that no error needs.
"""

from __future__ import annotations

from pinnace.api.errors import FieldError
from pinnace.api.types import GVK, Object
from pinnace.api.validation import metadata
from pinnace.api.validation.kinds import CLUSTER_SCOPED, NAMES, check_of

__all__ = ["validate", "validate_metadata"]


def validate_metadata(
    new: Object,
    old: Object | None,
    *,
    namespaced: bool,
    name_check: metadata.NameCheck = metadata.subdomain_name,
) -> list[FieldError]:
    """The problems of an object's metadata alone: all there is to check here of custom resources."""
    errors: list[FieldError] = []
    meta = new.get("metadata") or {}
    if old is None:
        metadata.create(errors, meta, namespaced, name_check)
    else:
        metadata.update(errors, meta, old.get("metadata") or {})
    return errors


def validate(gvk: GVK, new: Object, old: Object | None, subresource: str) -> list[FieldError]:
    """All problems of ``new``, which replaces ``old`` (None: a create) at ``subresource`` (``""``, ``status``, ...).

    For built-in kinds; custom resources have ``validate_metadata`` and their schema.
    """
    kind = (gvk.group, gvk.kind)
    name_check = NAMES.get(kind, metadata.subdomain_name)
    errors = validate_metadata(new, old, namespaced=kind not in CLUSTER_SCOPED, name_check=name_check)
    check = check_of(*kind)
    if check is not None:
        check(errors, new, old, subresource)
    return errors
