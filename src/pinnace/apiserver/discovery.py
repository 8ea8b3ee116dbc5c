"""Discovery: which groups, versions and resources there are (``/api``, ``/apis`` and below), from the registry.

``Discovery(registry).answer(request)`` is the whole of it; None means that there is no such path. The documents are
built when first asked for and kept as bytes until the registry changes. Groups and versions come in upstream's order:
built-in groups by their priority, then custom ones by name; of a group's versions the preferred one first.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from pinnace.api.builtin import version_priority
from pinnace.api.registry import Registry, Resource, Subresource
from pinnace.api.types import GVK, Object
from pinnace.apiserver.request import Request
from pinnace.apiserver.response import JSON, Response

#: Built-in groups, highest priority first.
GROUP_ORDER = (
    "",
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "resource.k8s.io",
    "storagemigration.k8s.io",
)
_RANK = {group: rank for rank, group in enumerate(GROUP_ORDER)}
AGGREGATED = {
    version: f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
    for version in ("v2", "v2beta1")
}


def groups(registry: Registry) -> dict[str, dict[str, list[Resource]]]:
    """Group -> version -> its resources by name; groups and versions in the order in which clients prefer them."""
    found: dict[str, dict[str, list[Resource]]] = {}
    for row in registry:
        found.setdefault(row.group, {}).setdefault(row.version, []).append(row)
    ordered = {}
    for group in sorted(found, key=lambda group: (_RANK.get(group, len(_RANK)), group)):
        versions = sorted(found[group], key=lambda version: (version_priority(version), version), reverse=True)
        ordered[group] = {version: sorted(found[group][version], key=_plural) for version in versions}
    return ordered


def _plural(row: Resource) -> str:
    return row.plural


def _group(name: str, versions: Iterable[str]) -> Object:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def api_versions(registry: Registry, server_address: str) -> Object:
    """``/api``."""
    return {
        "kind": "APIVersions",
        "versions": list(groups(registry).get("", {})),
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    }


def group_list(registry: Registry) -> Object:
    """``/apis``."""
    listed = [_group(name, versions) for name, versions in groups(registry).items() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}


def group(registry: Registry, name: str) -> Object | None:
    """``/apis/<group>``."""
    versions = groups(registry).get(name) if name else None
    return {"kind": "APIGroup", "apiVersion": "v1"} | _group(name, versions) if versions else None


def resource_list(registry: Registry, name: str, version: str) -> Object | None:
    """``/api/v1`` and ``/apis/<group>/<version>``."""
    rows = groups(registry).get(name, {}).get(version)
    if rows is None:
        return None
    listed: list[Object] = []
    for row in rows:
        listed.append(_resource(row))
        listed += [_subresource(row, row.subresources[key]) for key in sorted(row.subresources)]
    head: Object = {"kind": "APIResourceList"}
    if name:
        head["apiVersion"] = "v1"
    return head | {"groupVersion": f"{name}/{version}" if name else version, "resources": listed}


def _verbs(row: Resource) -> list[str]:
    """Of a resource that is going away, only those that help it go."""
    going = row.custom is not None and row.custom.terminating
    return sorted(row.verbs - {"create", "patch", "update"} if going else row.verbs)


def _resource(row: Resource) -> Object:
    described: Object = {
        "name": row.plural,
        "singularName": row.singular,
        "namespaced": row.namespaced,
        "kind": row.kind,
        "verbs": _verbs(row),
    }
    if row.short_names:
        described["shortNames"] = list(row.short_names)
    if row.categories:
        described["categories"] = list(row.categories)
    if "watch" in row.verbs:
        stored = f"{row.storage.group}/{row.storage.version}/{row.kind}"
        described["storageVersionHash"] = b64encode(hashlib.sha256(stored.encode()).digest()[:8]).decode()
    return described


def _subresource(row: Resource, subresource: Subresource) -> Object:
    described: Object = {"name": f"{row.plural}/{subresource.name}", "singularName": "", "namespaced": row.namespaced}
    group, version, kind = subresource.kind
    if (group, version) != (row.group, row.version):
        described |= {"group": group, "version": version} if group else {"version": version}
    return described | {"kind": kind, "verbs": sorted(subresource.verbs)}


def aggregated(registry: Registry, api: str, core: bool) -> Object:
    """All groups' resources in one document (apidiscovery.k8s.io): of ``/api`` if ``core``, else of ``/apis``."""
    items = []
    for name, versions in groups(registry).items():
        if (name == "") is not core:
            continue
        described = [
            {"version": version, "resources": [_aggregated(row) for row in rows], "freshness": "Current"}
            for version, rows in versions.items()
        ]
        metadata: Object = {"name": name} if name else {}
        items.append({"metadata": metadata | {"creationTimestamp": None}, "versions": described})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{api}",
        "metadata": {},
        "items": items,
    }


def _response_kind(row: Resource, kind: GVK) -> Object:
    own = (kind.group, kind.version) == (row.group, row.version)
    return {"group": "" if own else kind.group, "version": "" if own else kind.version, "kind": kind.kind}


def _aggregated(row: Resource) -> Object:
    described: Object = {
        "resource": row.plural,
        "responseKind": _response_kind(row, row.gvk),
        "scope": "Namespaced" if row.namespaced else "Cluster",
        "singularResource": row.singular,
        "verbs": _verbs(row),
    }
    if row.short_names:
        described["shortNames"] = list(row.short_names)
    if row.categories:
        described["categories"] = list(row.categories)
    if row.subresources:
        described["subresources"] = [
            {"subresource": name, "responseKind": _response_kind(row, of.kind), "verbs": sorted(of.verbs)}
            for name, of in sorted(row.subresources.items())
        ]
    return described


def wanted(accept: str) -> str:
    """``v2`` or ``v2beta1`` for aggregated discovery, "" for the older form: the first that ``accept`` names."""
    for clause in accept.split(","):
        media, *parameters = (part.strip() for part in clause.split(";"))
        values = dict(parameter.partition("=")[::2] for parameter in parameters)
        if values.get("as") == "APIGroupDiscoveryList" and media == "application/json":
            if values.get("g") == "apidiscovery.k8s.io" and values.get("v") in AGGREGATED:
                return values["v"]
        elif "as" not in values and media in ("application/json", "*/*", "application/*"):
            return ""
    return ""


class Discovery:
    """Answers for one registry. ``server_address`` is what ``/api`` names, host:port."""

    def __init__(self, registry: Registry, server_address: str = "") -> None:
        self._registry = registry
        self.server_address = server_address
        self._generation = -1
        self._documents: dict[tuple[str, str], tuple[bytes, str]] = {}

    def answer(self, request: Request) -> Response | None:
        """The answer to a GET; None if there is no such path."""
        headers = request.headers
        return self.handle(request.path, headers.get("accept", ""), headers.get("if-none-match", ""))

    def handle(self, path: str, accept: str = "", if_none_match: str = "") -> Response | None:
        if self._generation != self._registry.generation:
            self._documents.clear()
            self._generation = self._registry.generation
        path = path.rstrip("/")
        form = wanted(accept) if path in ("/api", "/apis") else ""
        document = self._documents.get((path, form))
        if document is None:
            build = self._builder(path, form)
            content: Any = build() if build is not None else None
            if content is None:
                return None
            body = orjson.dumps(content) + b"\n"
            etag = f'"{hashlib.sha256(body).hexdigest().upper()}"' if form else ""
            document = self._documents[path, form] = (body, etag)
        body, etag = document
        content_type = AGGREGATED[form] if form else JSON
        if not etag:
            return Response(200, body, content_type=content_type, headers=(("Vary", "Accept"),))
        known = (("Vary", "Accept"), ("Etag", etag))
        if if_none_match == etag:
            return Response(304, content_type=content_type, headers=known)
        return Response(200, body, content_type=content_type, headers=known)

    def _builder(self, path: str, form: str) -> Callable[[], Object | None] | None:
        registry = self._registry
        parts = path.split("/")[1:]
        if path in ("/api", "/apis") and form:
            return lambda: aggregated(registry, form, core=path == "/api")
        match parts:
            case ["api"]:
                return lambda: api_versions(registry, self.server_address)
            case ["apis"]:
                return lambda: group_list(registry)
            case ["api", version]:
                return lambda: resource_list(registry, "", version)
            case ["apis", name]:
                return lambda: group(registry, name)
            case ["apis", name, version] if name:
                return lambda: resource_list(registry, name, version)
        return None
