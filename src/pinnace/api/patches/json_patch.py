"""JSON patch (RFC 6902) as the API server applies it.

Paths follow evanphx/json-patch, which upstream uses: ``-`` and negative indexes as RFC 6902 and Go clients expect, a
missing parent or target is an error, ``test`` compares JSON values. Every failure while applying is the one 422 answer
that upstream gives.
"""

from __future__ import annotations

from typing import Any

from pinnace.api import meta
from pinnace.api.errors import ApiError, bad_request, too_large
from pinnace.api.patches.merge_patch import TOO_DEEP

#: Upstream's limit (``maxJSONPatchOperations``).
MAX_OPERATIONS = 10_000
_REJECTED = "the server rejected our request due to an error in our request"
_OPERATIONS = {"add", "remove", "replace", "move", "copy", "test"}
_MISSING = object()


class _Failed(Exception):
    """The patch does not fit the document."""


def apply(doc: Any, operations: Any) -> Any:
    """``doc`` after all ``operations``, which apply all or not at all.

    Raises ApiError: 400 for what is no JSON patch, 413 for too many operations, 422 where one does not apply.
    """
    checked = _check(operations)
    try:
        result = meta.copy(doc)
        for operation in checked:
            result = _apply_one(result, operation)
    except _Failed:
        raise ApiError(422, "Invalid", _REJECTED, details={}) from None
    except RecursionError:
        raise bad_request(TOO_DEEP) from None
    return result


def _check(operations: Any) -> list[dict[str, Any]]:
    if not isinstance(operations, list):
        found = _go_kind(operations)
        raise bad_request(f"json: cannot unmarshal {found} into Go value of type jsonpatch.Patch")
    if len(operations) > MAX_OPERATIONS:
        raise too_large(
            "Request entity is too large: The allowed maximum operations in a JSON patch is "
            f"{MAX_OPERATIONS}, got {len(operations)}"
        )
    for operation in operations:
        if not isinstance(operation, dict):
            raise bad_request(f"json: cannot unmarshal {_go_kind(operation)} into Go value of type jsonpatch.Operation")
    return operations


def _go_kind(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case dict():
            return "object"
        case list():
            return "array"
        case str():
            return "string"
        case _:
            return "number"


def _apply_one(doc: Any, operation: dict[str, Any]) -> Any:
    kind, path = operation.get("op"), operation.get("path")
    if kind not in _OPERATIONS or not isinstance(path, str):
        raise _Failed
    if kind in ("move", "copy"):
        source = operation.get("from")
        if not isinstance(source, str):
            raise _Failed
        value = _get(doc, source)
        if kind == "copy":
            return _add(doc, path, meta.copy(value))
        if path == source:
            return doc
        if path.startswith(source + "/"):
            raise _Failed
        return _add(_remove(doc, source), path, value)
    if kind == "remove":
        return _remove(doc, path)
    if kind == "test":
        if not equal(_find(doc, path), operation.get("value")):
            raise _Failed
        return doc
    if "value" not in operation:
        raise _Failed
    value = meta.copy(operation["value"])
    return _add(doc, path, value) if kind == "add" else _replace(doc, path, value)


def _tokens(path: str) -> list[str]:
    if not path:
        return []
    if not path.startswith("/"):
        raise _Failed
    return [token.replace("~1", "/").replace("~0", "~") for token in path[1:].split("/")]


def _index(items: list[Any], token: str, *, end: bool) -> int:
    """The position that ``token`` means; ``end`` allows the one after the last."""
    if token == "-" and end:
        return len(items)
    digits = token.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or (digits != "0" and digits.startswith("0")) or len(digits) > 9:
        raise _Failed
    index = int(token)
    limit = len(items) + (1 if end else 0)
    if index < 0:
        index += limit
    if not 0 <= index < limit:
        raise _Failed
    return index


def _step(container: Any, token: str) -> Any:
    if isinstance(container, dict):
        return container.get(token, _MISSING)
    if isinstance(container, list):
        return container[_index(container, token, end=False)]
    raise _Failed


def _get(doc: Any, path: str) -> Any:
    for token in _tokens(path):
        doc = _step(doc, token)
        if doc is _MISSING:
            raise _Failed
    return doc


def _find(doc: Any, path: str) -> Any:
    """As ``_get``, but None where only the last member is missing: ``test`` for null holds there."""
    tokens = _tokens(path)
    for position, token in enumerate(tokens):
        doc = _step(doc, token)
        if doc is _MISSING:
            if position == len(tokens) - 1:
                return None
            raise _Failed
    return doc


def _parent(doc: Any, path: str) -> tuple[Any, str]:
    tokens = _tokens(path)
    for token in tokens[:-1]:
        doc = _step(doc, token)
        if doc is _MISSING:
            raise _Failed
    return doc, tokens[-1]


def _add(doc: Any, path: str, value: Any) -> Any:
    if not path:
        return value
    container, token = _parent(doc, path)
    if isinstance(container, dict):
        container[token] = value
    elif isinstance(container, list):
        container.insert(_index(container, token, end=True), value)
    else:
        raise _Failed
    return doc


def _replace(doc: Any, path: str, value: Any) -> Any:
    if not path:
        return value
    container, token = _parent(doc, path)
    if isinstance(container, dict) and token in container:
        container[token] = value
    elif isinstance(container, list):
        container[_index(container, token, end=False)] = value
    else:
        raise _Failed
    return doc


def _remove(doc: Any, path: str) -> Any:
    if not path:
        raise _Failed
    container, token = _parent(doc, path)
    if isinstance(container, dict) and token in container:
        del container[token]
    elif isinstance(container, list):
        del container[_index(container, token, end=False)]
    else:
        raise _Failed
    return doc


def equal(left: Any, right: Any) -> bool:
    """Equality of JSON values: unlike Python's, ``true`` is not 1; 1 and 1.0 are the same number."""
    if left is right:
        return True
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(value, right[key]) for key, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right))
    return bool(left == right)
