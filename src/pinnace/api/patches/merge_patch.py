"""JSON merge patch (RFC 7386): objects merge, null deletes, everything else replaces."""

from __future__ import annotations

from typing import Any

from pinnace.api import meta
from pinnace.api.errors import bad_request

#: How a patch is refused that is nested deeper than any object of the API.
TOO_DEEP = "error decoding patch: exceeded max depth"


def apply(doc: Any, patch: Any) -> Any:
    """``doc`` with ``patch`` merged in. Raises ApiError 400 for a patch that is no JSON object."""
    if not isinstance(patch, dict):
        kind = {list: "array", str: "string", bool: "bool"}.get(type(patch), "number")
        raise bad_request(
            f"error decoding patch: json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
        )
    try:
        return merge(doc, patch)
    except RecursionError:
        raise bad_request(TOO_DEEP) from None


def merge(doc: Any, patch: Any) -> Any:
    """RFC 7386's MergePatch for any two JSON values; neither is changed, nothing of ``patch`` is shared."""
    if not isinstance(patch, dict):
        return meta.copy(patch)
    result = dict(doc) if isinstance(doc, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result
