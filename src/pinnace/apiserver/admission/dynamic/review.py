"""AdmissionReview: what webhooks are asked, and what their answers say. Pure."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from typing import Any, NamedTuple

import orjson

from pinnace.api.errors import ApiError, go_quote
from pinnace.api.patches import json_patch
from pinnace.api.registry import Resource
from pinnace.api.types import GVK, Object
from pinnace.apiserver.admission.base import CREATE, DELETE, UPDATE
from pinnace.apiserver.admission.dynamic.matching import kind_of
from pinnace.apiserver.request import AdmissionAttributes

GROUP = "admission.k8s.io"
#: Versions of the review that are spoken.
VERSIONS = ("v1", "v1beta1")
_META = "meta.k8s.io/v1"
_OPTIONS = {CREATE: "CreateOptions", UPDATE: "UpdateOptions"}


class ResponseError(Exception):
    """An answer that is none."""


class Verdict(NamedTuple):
    allowed: bool
    patch: list[Any] | None
    #: The Status of a denial.
    result: Object
    warnings: list[str]


def request_of(attributes: AdmissionAttributes, row: Resource) -> Object:
    """The request as webhooks and expressions see it, without uid and objects; ``row`` is as what it was matched."""
    subresource, own = attributes.subresource, attributes.resource
    user = attributes.user
    request: Object = {
        "kind": _kind(kind_of(row, subresource)),
        "resource": _resource(row),
        "requestKind": _kind(kind_of(own, subresource)),
        "requestResource": _resource(own),
        "operation": attributes.operation,
        "userInfo": _without_empty(
            {
                "username": user.name,
                "uid": user.uid,
                "groups": list(user.groups),
                "extra": {key: list(values) for key, values in user.extra.items()},
            }
        ),
        "dryRun": attributes.dry_run,
        "options": options_of(attributes),
    }
    if subresource:
        request["subResource"] = request["requestSubResource"] = subresource
    if attributes.name:
        request["name"] = attributes.name
    if attributes.namespace:
        request["namespace"] = attributes.namespace
    return request


def _without_empty(fields: Object) -> Object:
    return {name: value for name, value in fields.items() if value}


def _kind(gvk: GVK) -> Object:
    return {"group": gvk.group, "version": gvk.version, "kind": gvk.kind}


def _resource(row: Resource) -> Object:
    return {"group": row.group, "version": row.version, "resource": row.plural}


def options_of(attributes: AdmissionAttributes) -> Object | None:
    """The CreateOptions, UpdateOptions or DeleteOptions of the request."""
    if attributes.operation == DELETE:
        return {**attributes.options, "kind": "DeleteOptions", "apiVersion": _META}
    kind = _OPTIONS.get(attributes.operation)
    if kind is None:
        return None
    options: Object = {"kind": kind, "apiVersion": _META}
    if attributes.dry_run:
        options["dryRun"] = ["All"]
    for name in ("fieldManager", "fieldValidation"):
        if value := attributes.query.get(name):
            options[name] = value
    return options


def question(version: str, uid: str, request: Object, new: Object | None, old: Object | None) -> Object:
    """The AdmissionReview to send."""
    return {
        "kind": "AdmissionReview",
        "apiVersion": f"{GROUP}/{version}",
        "request": {"uid": uid, **request, "object": new, "oldObject": old},
    }


def verdict(answer: Any, version: str, uid: str, *, mutating: bool) -> Verdict:
    """What an answer says. Raises ResponseError."""
    response = _response(answer, version, uid)
    patch, patch_type = response.get("patch") or "", response.get("patchType")
    if not isinstance(patch, str):
        raise ResponseError("json: cannot unmarshal into Go struct field AdmissionResponse.patch of type []uint8")
    if version == "v1" and mutating:
        if patch and patch_type is None:
            raise ResponseError("webhook returned response.patch but not response.patchType")
        if not patch and patch_type is not None:
            raise ResponseError("webhook returned response.patchType but not response.patch")
        if patch_type == "":
            raise ResponseError('webhook returned invalid response.patchType of ""')
    elif version == "v1":
        if patch:
            raise ResponseError("validating webhook may not return response.patch")
        if patch_type is not None:
            raise ResponseError("validating webhook may not return response.patchType")
    allowed, result = response.get("allowed"), response.get("status")
    warnings = response.get("warnings") or []
    return Verdict(
        allowed is True,
        _operations(patch, patch_type) if mutating and patch and allowed is True else None,
        result if isinstance(result, dict) else {},
        [str(text) for text in warnings] if isinstance(warnings, list) else [],
    )


def _response(answer: Any, version: str, uid: str) -> Object:
    if not isinstance(answer, dict):
        raise ResponseError("couldn't get version/kind; json parse error: the answer is no object")
    response = answer.get("response")
    if not isinstance(response, dict):
        raise ResponseError("webhook response was absent")
    if version != "v1":
        return response  # uid and version were not verified of old
    if response.get("uid") != uid:
        raise ResponseError(f"expected response.uid={go_quote(uid)}, got {go_quote(str(response.get('uid') or ''))}")
    kind, api_version = answer.get("kind") or "", answer.get("apiVersion") or "/"
    if (kind, api_version) != ("AdmissionReview", f"{GROUP}/v1"):
        wanted = f"{GROUP}/v1, Kind=AdmissionReview"
        raise ResponseError(f"expected webhook response of {wanted}, got {api_version}, Kind={kind}")
    return response


def _operations(patch: str, patch_type: Any) -> list[Any]:
    try:
        operations = orjson.loads(b64decode(patch, validate=True))
    except Base64Error as error:
        raise ResponseError(f"illegal base64 data: {error}") from None
    except orjson.JSONDecodeError as error:
        raise ResponseError(f"received undecodable patch in webhook response: {error}") from None
    if patch_type not in (None, "JSONPatch"):
        raise ResponseError(f"unsupported patch type {go_quote(str(patch_type))}")
    if not isinstance(operations, list):
        why = "json: cannot unmarshal object into Go value of type jsonpatch.Patch"
        raise ResponseError(f"received undecodable patch in webhook response: {why}")
    return operations


def patched(obj: Object, operations: list[Any]) -> Any:
    """``obj``, which is left alone, with a patch applied. Raises ResponseError, naming the operation that fails."""
    try:
        return json_patch.apply(obj, operations)
    except ApiError:
        pass
    at: Any = obj
    for operation in operations:
        try:
            at = json_patch.apply(at, [operation])
        except ApiError:
            break
    op = operation.get("op") if isinstance(operation, dict) else operation
    path = operation.get("path") if isinstance(operation, dict) else None
    if op == "test":
        raise ResponseError(f"testing value {path} failed: test failed")
    raise ResponseError(f"{op} operation does not apply: doc is missing path: {go_quote(path)}: missing value")


def denial(webhook: str, result: Object) -> ApiError:
    """The error that tells of a webhook's denial; code, reason and details are as the webhook has them."""
    code = result.get("code")
    code = code if isinstance(code, int) and code >= 400 else 400
    reason, message = str(result.get("reason") or ""), str(result.get("message") or "")
    denied = f"admission webhook {go_quote(webhook)} denied the request"
    said = f"{denied}: {message or reason}" if message or reason else f"{denied} without explanation"
    details = result.get("details")
    return ApiError(code, reason, said, details=details if isinstance(details, dict) else None)
