"""Errors as the API answers them: ``ApiError`` is a metav1.Status.

Codes, reasons and messages follow k8s.io/apimachinery ``pkg/api/errors`` because clients match on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from pinnace.api.types import Object


class ApiError(Exception):
    """A request's failure. ``str(error)`` is the message; ``status()`` the metav1.Status object to answer with."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Object | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.headers = headers or {}

    def status(self) -> Object:
        status: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        status["code"] = self.code
        return status

    @classmethod
    def from_status(cls, status: Object) -> ApiError:
        """The error that a server's Status (with ``status: Failure``) tells of."""
        return cls(
            int(status.get("code") or 500),
            str(status.get("reason") or ""),
            str(status.get("message") or "unknown"),
            details=status.get("details"),
        )


class FieldError(NamedTuple):
    """One problem with one field (``field.Error``). ``type`` is its cause reason: FieldValueRequired, ..."""

    type: str
    field: str
    message: str  # the whole detail, without the field's name: 'Invalid value: "x": must be ...'

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"

    def cause(self) -> Object:
        return {"reason": self.type, "message": self.message, "field": self.field}


class GoText(str):
    """A value's text as it is shown, for values that a field error shows neither quoted nor as JSON."""


def _go_escape(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if char.isprintable():
        return char
    short = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}.get(char)
    if short is not None:
        return short
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def go_quote(value: object) -> str:
    """A value as field errors show it: strings in Go's %q, null, numbers and booleans bare, the rest as Go's JSON."""
    import orjson

    if isinstance(value, GoText):
        return str(value)
    if isinstance(value, str):
        return f'"{"".join(map(_go_escape, value))}"'
    shown = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    return shown.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def required(field: str, detail: str = "") -> FieldError:
    return FieldError("FieldValueRequired", field, "Required value" + (f": {detail}" if detail else ""))


def invalid_value(field: str, value: object, detail: str) -> FieldError:
    return FieldError("FieldValueInvalid", field, f"Invalid value: {go_quote(value)}: {detail}")


def type_invalid(field: str, value: object, detail: str) -> FieldError:
    return FieldError("FieldValueTypeInvalid", field, f"Invalid value: {go_quote(value)}: {detail}")


def duplicate(field: str, value: object) -> FieldError:
    return FieldError("FieldValueDuplicate", field, f"Duplicate value: {go_quote(value)}")


def forbidden_field(field: str, detail: str) -> FieldError:
    return FieldError("FieldValueForbidden", field, "Forbidden" + (f": {detail}" if detail else ""))


def not_supported(field: str, value: object, supported: Iterable[str]) -> FieldError:
    listed = ", ".join(go_quote(v) for v in supported)
    text = f"Unsupported value: {go_quote(value)}" + (f": supported values: {listed}" if listed else "")
    return FieldError("FieldValueNotSupported", field, text)


def not_found_field(field: str, value: object) -> FieldError:
    return FieldError("FieldValueNotFound", field, f"Not found: {go_quote(value)}")


def too_long(field: str, limit: int) -> FieldError:
    unit = "byte" if limit == 1 else "bytes"
    return FieldError("FieldValueTooLong", field, f"Too long: may not be more than {limit} {unit}")


def too_many(field: str, count: int, limit: int) -> FieldError:
    unit = "item" if limit == 1 else "items"
    return FieldError("FieldValueTooMany", field, f"Too many: {count}: must have at most {limit} {unit}")


def _details(group: str, resource: str, name: str) -> Object:
    details: Object = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    if resource:
        details["kind"] = resource
    return details


def _qualified(group: str, resource: str) -> str:
    return f"{resource}.{group}" if group else resource


def not_found(group: str, resource: str, name: str) -> ApiError:
    message = f'{_qualified(group, resource)} "{name}" not found'
    return ApiError(404, "NotFound", message, details=_details(group, resource, name))


def path_not_found() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource", details={})


def already_exists(group: str, resource: str, name: str) -> ApiError:
    message = f'{_qualified(group, resource)} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, details=_details(group, resource, name))


OPTIMISTIC_LOCK = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(group: str, resource: str, name: str, why: str = OPTIMISTIC_LOCK) -> ApiError:
    message = f'Operation cannot be fulfilled on {_qualified(group, resource)} "{name}": {why}'
    return ApiError(409, "Conflict", message, details=_details(group, resource, name))


def invalid(group: str, kind: str, name: str, errors: Sequence[FieldError]) -> ApiError:
    """422 for an object that its validation refused; ``errors`` is not empty."""
    shown = str(errors[0]) if len(errors) == 1 else "[" + ", ".join(map(str, errors)) + "]"
    qualified = f"{kind}.{group}" if group else kind
    details = _details(group, kind, name)
    details["causes"] = [error.cause() for error in errors]
    return ApiError(422, "Invalid", f'{qualified} "{name}" is invalid: {shown}', details=details)


def forbidden(group: str, resource: str, name: str, why: str) -> ApiError:
    if not resource:
        message = f"forbidden: {why}"
    elif name:
        message = f'{_qualified(group, resource)} "{name}" is forbidden: {why}'
    else:
        message = f"{_qualified(group, resource)} is forbidden: {why}"
    return ApiError(403, "Forbidden", message, details=_details(group, resource, name))


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized")


def expired(message: str) -> ApiError:
    return ApiError(410, "Expired", message)


def method_not_supported(group: str, resource: str, action: str) -> ApiError:
    message = f"{action} is not supported on resources of kind {go_quote(_qualified(group, resource))}"
    return ApiError(405, "MethodNotAllowed", message, details=_details(group, resource, ""))


def unsupported_media_type(accepted: Iterable[str]) -> ApiError:
    message = "the body of the request was in an unknown format - accepted media types include: " + ", ".join(accepted)
    return ApiError(415, "UnsupportedMediaType", message)


def not_acceptable(accepted: Iterable[str]) -> ApiError:
    message = "only the following media types are accepted: " + ", ".join(accepted)
    return ApiError(406, "NotAcceptable", message)


def too_large(message: str) -> ApiError:
    return ApiError(413, "RequestEntityTooLarge", message)


def too_many_requests(message: str, retry_after: int = 1) -> ApiError:
    return ApiError(
        429,
        "TooManyRequests",
        message,
        details={"retryAfterSeconds": retry_after},
        headers={"Retry-After": str(retry_after)},
    )


def timed_out(message: str) -> ApiError:
    return ApiError(504, "Timeout", f"Timeout: {message}")


def unavailable(message: str) -> ApiError:
    return ApiError(503, "ServiceUnavailable", message)


def internal(message: str) -> ApiError:
    details: Object = {"causes": [{"message": message}]}
    return ApiError(500, "InternalError", f"Internal error occurred: {message}", details=details)


def is_reason(error: BaseException, *reasons: str) -> bool:
    """Whether ``error`` is an ApiError of one of ``reasons`` (``NotFound``, ``Conflict``, ``AlreadyExists``, ...)."""
    return isinstance(error, ApiError) and error.reason in reasons


def is_namespace_terminating(error: BaseException) -> bool:
    """Whether a create was refused because its namespace is going away: nothing to retry or to report."""
    if not isinstance(error, ApiError):
        return False
    return any(cause.get("reason") == "NamespaceTerminating" for cause in details_of(error).get("causes") or ())


def details_of(error: ApiError) -> dict[str, Any]:
    return error.details or {}
