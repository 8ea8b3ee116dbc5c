"""``/openapi/v2`` and ``/openapi/v3``, from the registry and the schema tables.

``OpenApi(registry).answer(request)`` is the whole of it: a Response, a coroutine of one while the document has yet to
be made (in a thread: it takes tens of milliseconds), or None if there is no such path. What was made is kept
compressed until the registry changes.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

import orjson

import pinnace
from pinnace.api.registry import Registry, Resource
from pinnace.api.types import Object
from pinnace.apiserver import discovery
from pinnace.apiserver.openapi import documents, gnostic
from pinnace.apiserver.request import Request
from pinnace.apiserver.response import JSON, Response, of_error

_JSON_TYPES = ("application/json", "application/*", "*/*", "")


Maker = Callable[[list[Resource]], bytes]


class _Document(NamedTuple):
    content_type: str
    etag: str
    compressed: bytes


class OpenApi:
    """Answers for one registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._generation = -1
        self._index = b""
        self._documents: dict[str, _Document] = {}
        self._making: dict[str, asyncio.Task[_Document]] = {}

    def answer(self, request: Request) -> Response | Coroutine[Any, Any, Response] | None:
        """The answer to a GET."""
        if self._generation != self._registry.generation:
            self._documents.clear()
            self._making.clear()
            self._index = b""
            self._generation = self._registry.generation
        path = request.path.rstrip("/")
        accept = request.headers.get("accept", "")
        if path == "/openapi/v3":
            self._index = self._index or orjson.dumps(self.index()) + b"\n"
            return Response(200, self._index, headers=(("Vary", "Accept"),))
        # The rows are gathered here: in the thread the registry might change meanwhile.
        groups = discovery.groups(self._registry)
        if path == "/openapi/v2":
            protobuf = _wants_protobuf(accept)
            if not protobuf and not _wants_json(accept):
                return _not_acceptable(JSON, gnostic.ASKED_TYPE)
            everything = [row for versions in groups.values() for rows in versions.values() for row in rows]
            if protobuf:
                return self._document(request, "v2.pb", gnostic.CONTENT_TYPE, documents.v2_protobuf, everything)
            return self._document(request, "v2", JSON, documents.v2_json, everything)
        group, version = _group_version(path)
        rows = groups.get(group, {}).get(version)
        if rows is None:
            return None
        if not _wants_json(accept):
            return _not_acceptable(JSON)
        return self._document(request, path, JSON, documents.v3, rows)

    def index(self) -> Object:
        """``/openapi/v3``: where the document of each group version is."""
        paths = {}
        for group, versions in discovery.groups(self._registry).items():
            for version, rows in versions.items():
                path = f"apis/{group}/{version}" if group else f"api/{version}"
                paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={self._hash(rows)}"}
        return {"paths": paths}

    def _hash(self, rows: list[Resource]) -> str:
        """Changes whenever the document of ``rows`` does, without making it: from what it is made of."""
        made_of = [(row.plural, row.definition, sorted(row.verbs), sorted(row.subresources)) for row in rows]
        custom = [(row.kind, row.custom.list_kind, row.custom.digest()) for row in rows if row.custom is not None]
        seed: list[Any] = [pinnace.__version__, pinnace.KUBERNETES_VERSION, made_of, custom]
        return hashlib.sha256(orjson.dumps(seed)).hexdigest().upper()

    def _document(
        self, request: Request, key: str, content_type: str, make: Maker, rows: list[Resource]
    ) -> Response | Coroutine[Any, Any, Response]:
        document = self._documents.get(key)
        if document is not None:
            return _respond(request, document)
        return self._made(request, key, content_type, make, rows)

    async def _made(self, request: Request, key: str, content_type: str, make: Maker, rows: list[Resource]) -> Response:
        """Make the document once, however many ask for it at the same time."""
        making = self._making.get(key)
        if making is None:
            work = asyncio.to_thread(_made_document, content_type, make, rows)
            making = self._making[key] = asyncio.get_running_loop().create_task(work)
        generation = self._generation
        try:
            document = await asyncio.shield(making)
        finally:
            if making.done() and self._making.get(key) is making:
                del self._making[key]
        if generation == self._generation:
            self._documents[key] = document
        return _respond(request, document)


def _made_document(content_type: str, make: Maker, rows: list[Resource]) -> _Document:
    content = make(rows)
    etag = f'"{hashlib.sha256(content).hexdigest().upper()}"'
    return _Document(content_type, etag, gzip.compress(content, 6, mtime=0))


def _respond(request: Request, document: _Document) -> Response:
    headers: list[tuple[str, str]] = [("Etag", document.etag), ("Vary", "Accept-Encoding, Accept")]
    if request.headers.get("if-none-match") == document.etag:
        return Response(304, content_type=document.content_type, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers.append(("Content-Encoding", "gzip"))
        return Response(200, document.compressed, content_type=document.content_type, headers=headers)
    return Response(200, gzip.decompress(document.compressed), content_type=document.content_type, headers=headers)


def _group_version(path: str) -> tuple[str, str]:
    """Group and version of a document's path; two empty strings for any other."""
    match path.split("/")[1:]:
        case ["openapi", "v3", "api", version]:
            return "", version
        case ["openapi", "v3", "apis", group, version] if group:
            return group, version
    return "", ""


def _media_types(accept: str) -> list[str]:
    return [clause.partition(";")[0].strip() for clause in accept.split(",")]


def _wants_protobuf(accept: str) -> bool:
    """Whether the protobuf form is named before JSON is."""
    for media in _media_types(accept):
        if media in (gnostic.ASKED_TYPE, gnostic.CONTENT_TYPE):
            return True
        if media in _JSON_TYPES:
            return False
    return False


def _wants_json(accept: str) -> bool:
    return any(media in _JSON_TYPES for media in _media_types(accept))


def _not_acceptable(*accepted: str) -> Response:
    from pinnace.api import errors

    return of_error(errors.not_acceptable(accepted))
