"""The documents: OpenAPI 3.0 of one group version, and OpenAPI 2.0 (Swagger) of everything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

import pinnace
from pinnace.api.registry import Resource
from pinnace.api.types import Object
from pinnace.apiserver.openapi import gnostic, operations, schemas
from pinnace.apiserver.openapi.operations import PARAMETERS, PREFIX, Operation, Version

_PATH_PARAMETERS = {
    "namespace": "object name and auth scope, such as for teams and projects",
    "name": "name of the object",
}


def info() -> Object:
    return {"title": "Kubernetes", "version": pinnace.KUBERNETES_VERSION}


def v3(rows: list[Resource]) -> bytes:
    """The document of one group version, given its resources."""
    return _json(
        {"openapi": "3.0.0", "info": info()},
        {
            "paths": ((path, _path_item(path, found, 3)) for path, found in operations.paths(rows)),
            "components.schemas": schemas.all_schemas(rows, 3),
        },
    )


def v2_json(rows: list[Resource]) -> bytes:
    """The document of all group versions as JSON."""
    return _json(
        {"swagger": "2.0", "info": info()}, {"paths": _v2_paths(rows), "definitions": schemas.all_schemas(rows, 2)}
    )


def v2_protobuf(rows: list[Resource]) -> bytes:
    """The document of all group versions as gnostic's ``openapi.v2.Document``."""
    return gnostic.document(info(), _v2_paths(rows), schemas.all_schemas(rows, 2))


def _v2_paths(rows: list[Resource]) -> Iterator[tuple[str, Object]]:
    for path, found in operations.paths(rows):
        yield path, _path_item(path, found, 2)


def _json(head: Object, sections: dict[str, Iterator[tuple[str, Object]]]) -> bytes:
    """A JSON object of ``head`` and of sections whose members are encoded one by one, to hold little at a time."""
    parts = [orjson.dumps(head)[:-1]]
    for name, members in sections.items():
        *outer, inner = name.split(".")
        opening = b"".join(orjson.dumps(level) + b":{" for level in outer)
        encoded = b",".join(orjson.dumps(key) + b":" + orjson.dumps(value) for key, value in members)
        parts.append(b"," + opening + orjson.dumps(inner) + b":{" + encoded + b"}" + b"}" * len(outer))
    parts.append(b"}\n")
    return b"".join(parts)


def _path_item(path: str, found: list[Operation], version: Version) -> Object:
    parameters = []
    for name, text in _PATH_PARAMETERS.items():
        if f"{{{name}}}" in path:
            parameters.append(_parameter(name, "path", "string", text, version) | {"required": True})
    write = _v3_operation if version == 3 else _v2_operation
    item: Object = {operation.method: write(operation) for operation in found}
    return item | {"parameters": parameters} if parameters else item


def _parameter(name: str, where: str, kind: str, text: str, version: Version) -> Object:
    parameter: Object = {"name": name, "in": where, "description": text}
    if version == 3:
        return parameter | {"schema": {"type": kind, "uniqueItems": True}}
    return parameter | {"type": kind, "uniqueItems": True}


def _common(operation: Operation, version: Version) -> Object:
    group, of_version, kind = operation.gvk
    described: Object = {
        "description": operation.description,
        "operationId": operation.operation_id,
        "tags": [f"{(group or 'core').split('.')[0]}_{of_version}"],
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": {"group": group, "version": of_version, "kind": kind},
    }
    parameters = [_parameter(name, "query", *PARAMETERS[name], version) for name in operation.query]
    if parameters:
        described["parameters"] = parameters
    return described


def _statuses(operation: Operation) -> dict[str, str]:
    found = {"200": "OK"}
    if operation.method in ("post", "put", "patch"):
        found["201"] = "Created"
    if operation.action in ("post", "delete"):
        found["202"] = "Accepted"
    return found | {"401": "Unauthorized"}


def _v3_operation(operation: Operation) -> Object:
    described = _common(operation, 3)
    if operation.body:
        link = {"schema": {"$ref": PREFIX[3] + operation.body}}
        content = dict.fromkeys(operation.consumes, link) if operation.action == "patch" else {"*/*": link}
        described["requestBody"] = {"content": content}
        if operation.action not in ("delete", "deletecollection"):
            described["requestBody"]["required"] = True
    schema: Any = {"$ref": PREFIX[3] + operation.response} if operation.response else {"type": "string"}
    media = operations.MEDIA if operation.response else ("*/*",)
    answered = {"content": {name: {"schema": schema} for name in media}}
    described["responses"] = {
        code: {"description": text} | (answered if code != "401" else {}) for code, text in _statuses(operation).items()
    }
    return described


def _v2_operation(operation: Operation) -> Object:
    described = _common(operation, 2)
    described["consumes"] = list(operation.consumes) or ["*/*"]
    described["produces"] = list(operations.MEDIA) if operation.response else ["*/*"]
    if operation.body:
        body: Object = {"name": "body", "in": "body", "schema": {"$ref": PREFIX[2] + operation.body}}
        if operation.action not in ("delete", "deletecollection"):
            body["required"] = True
        described["parameters"] = [*described.get("parameters", ()), body]
    schema: Any = {"$ref": PREFIX[2] + operation.response} if operation.response else {"type": "string"}
    described["responses"] = {
        code: {"description": text} | ({"schema": schema} if code != "401" else {})
        for code, text in _statuses(operation).items()
    }
    return described
