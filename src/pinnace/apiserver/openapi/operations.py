"""What can be done at which path, as data from which both OpenAPI versions are written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from pinnace.api import schema_table
from pinnace.api.registry import Resource, Subresource
from pinnace.api.types import GVK

Version = Literal[2, 3]
PREFIX: dict[int, str] = {2: "#/definitions/", 3: "#/components/schemas/"}
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
DELETE_OPTIONS, STATUS, PATCH = META + "DeleteOptions", META + "Status", META + "Patch"

JSON_PATCH, MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"
STRATEGIC, APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
MEDIA = ("application/json", "application/yaml")

#: Query parameters: type and description.
PARAMETERS: dict[str, tuple[str, str]] = {
    "allowWatchBookmarks": ("boolean", "Ask for events of type BOOKMARK, which say how far the watch has come."),
    "continue": ("string", "Where the last page ended, as the server said."),
    "dryRun": ("string", "All: go through every step but do not persist the change."),
    "fieldManager": ("string", "The name of the actor that makes this change."),
    "fieldSelector": ("string", "Restrict the returned objects by their fields."),
    "fieldValidation": ("string", "What unknown or duplicate fields cause: Ignore, Warn or Strict."),
    "force": ("boolean", "Apply even where other field managers own a field."),
    "gracePeriodSeconds": ("integer", "Seconds before the object should be deleted; zero means at once."),
    "labelSelector": ("string", "Restrict the returned objects by their labels."),
    "limit": ("integer", "The most objects to return; the rest can be asked for with continue."),
    "orphanDependents": ("boolean", "Deprecated: use propagationPolicy."),
    "pretty": ("string", "If 'true', the answer is indented."),
    "propagationPolicy": ("string", "Whether and how garbage collection is done: Orphan, Background or Foreground."),
    "resourceVersion": ("string", "Which versions of the objects the answer may hold."),
    "resourceVersionMatch": ("string", "How resourceVersion is applied to lists."),
    "sendInitialEvents": ("boolean", "Whether a watch starts with the objects there are."),
    "timeoutSeconds": ("integer", "How long a list or watch may take."),
    "watch": ("boolean", "Watch for changes instead of returning a list."),
}
_LIST: tuple[str, ...] = (
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
)
_LIST += ("resourceVersionMatch", "sendInitialEvents", "timeoutSeconds", "watch")
_WRITE = ("dryRun", "fieldManager", "fieldValidation")
_DELETE = ("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy")
_COLLECTION: tuple[str, ...] = ("continue", "dryRun", "fieldSelector", "gracePeriodSeconds", "labelSelector", "limit")
_COLLECTION += ("orphanDependents", "propagationPolicy", "resourceVersion", "resourceVersionMatch", "timeoutSeconds")


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. ``body`` and ``response`` are definitions; "" means none, or a plain string."""

    method: str
    action: str
    gvk: GVK
    operation_id: str
    description: str
    query: tuple[str, ...] = ()
    body: str = ""
    consumes: tuple[str, ...] = ()
    response: str = ""


def definition_of(row: Resource) -> str:
    """The schema's name; for a kind without one a name of the form that custom resources have."""
    if row.definition:
        return row.definition
    return f"{'.'.join(reversed(row.group.split('.')))}.{row.version}.{row.kind}"


def list_definition_of(row: Resource) -> str:
    return definition_of(row) + "List"


def base(group: str, version: str) -> str:
    return f"/apis/{group}/{version}" if group else f"/api/{version}"


def paths(rows: Iterable[Resource]) -> Iterator[tuple[str, list[Operation]]]:
    """Every path of ``rows`` with its operations."""
    for row in rows:
        root = base(row.group, row.version)
        if row.namespaced:
            if "list" in row.verbs:
                name = f"list{_title(row)}{row.kind}ForAllNamespaces"
                everywhere = _operation(row, "get", "list", name, "list or watch objects of kind", _LIST)
                yield f"{root}/{row.plural}", [everywhere]
            root += "/namespaces/{namespace}"
        collection = f"{root}/{row.plural}"
        found = list(_collection(row))
        if found:
            yield collection, found
        item = f"{collection}/{{name}}"
        found = list(_item(row))
        if found:
            yield item, found
        for name, subresource in sorted(row.subresources.items()):
            yield f"{item}/{name}", list(_subresource(row, subresource))


def _title(row: Resource) -> str:
    group = re.sub(r"\.k8s\.io$", "", row.group) or "core"
    return "".join(part.capitalize() for part in re.split(r"[.-]", group)) + row.version.capitalize()


def _operation(
    row: Resource,
    method: str,
    action: str,
    operation_id: str,
    what: str,
    query: tuple[str, ...],
    *,
    body: str = "",
    consumes: tuple[str, ...] = MEDIA,
    response: str = "",
) -> Operation:
    responds = response or (list_definition_of(row) if action == "list" else definition_of(row))
    description = f"{what} {row.kind}"
    return Operation(
        method, action, row.gvk, operation_id, description, ("pretty", *query), body, consumes if body else (), responds
    )


def _collection(row: Resource) -> Iterator[Operation]:
    scope = "Namespaced" if row.namespaced else ""
    title, own = _title(row), definition_of(row)
    if "list" in row.verbs:
        yield _operation(row, "get", "list", f"list{title}{scope}{row.kind}", "list or watch objects of kind", _LIST)
    if "create" in row.verbs:
        yield _operation(row, "post", "post", f"create{title}{scope}{row.kind}", "create a", _WRITE, body=own)
    if "deletecollection" in row.verbs:
        name = f"delete{title}Collection{scope}{row.kind}"
        yield _operation(
            row,
            "delete",
            "deletecollection",
            name,
            "delete collection of",
            _COLLECTION,
            body=DELETE_OPTIONS,
            response=STATUS,
        )


def _patch_types(row: Resource) -> tuple[str, ...]:
    return (JSON_PATCH, MERGE_PATCH, STRATEGIC, APPLY) if row.definition else (JSON_PATCH, MERGE_PATCH, APPLY)


def _item(row: Resource) -> Iterator[Operation]:
    title = _title(row) + ("Namespaced" if row.namespaced else "") + row.kind
    if "get" in row.verbs:
        yield _operation(row, "get", "get", f"read{title}", "read the specified", ())
    if "update" in row.verbs:
        yield _operation(row, "put", "put", f"replace{title}", "replace the specified", _WRITE, body=definition_of(row))
    if "patch" in row.verbs:
        query = (*_WRITE, "force")
        yield _operation(
            row,
            "patch",
            "patch",
            f"patch{title}",
            "partially update the specified",
            query,
            body=PATCH,
            consumes=_patch_types(row),
        )
    if "delete" in row.verbs:
        yield _operation(
            row, "delete", "delete", f"delete{title}", "delete a", _DELETE, body=DELETE_OPTIONS, response=STATUS
        )


_SUBRESOURCE_METHODS = {
    "get": ("get", "read"),
    "update": ("put", "replace"),
    "patch": ("patch", "patch"),
    "create": ("post", "create"),
    "delete": ("delete", "delete"),
}


def _subresource(row: Resource, subresource: Subresource) -> Iterator[Operation]:
    title = _title(row) + ("Namespaced" if row.namespaced else "") + row.kind + subresource.name.capitalize()
    kind = subresource.kind
    own = definition_of(row) if kind == row.gvk else schema_table.of_kind(kind)
    for verb, (method, prefix) in _SUBRESOURCE_METHODS.items():
        if verb not in subresource.verbs:
            continue
        if not own or subresource.name == "log":  # options of a stream, or a stream of text
            what = f"{subresource.name} of the specified {row.kind}"
            action = "get" if subresource.name == "log" else "connect"
            yield Operation(method, action, kind, f"{prefix if action == 'get' else 'connect'}{title}", what)
            continue
        body = {"get": "", "patch": PATCH}.get(verb, own)
        consumes = _patch_types(row) if verb == "patch" else MEDIA if body else ()
        query = (
            ("pretty",) if verb == "get" else ("pretty", *_WRITE, "force") if verb == "patch" else ("pretty", *_WRITE)
        )
        what = f"{prefix} {subresource.name} of the specified {row.kind}"
        yield Operation(
            method, "post" if method == "post" else method, kind, f"{prefix}{title}", what, query, body, consumes, own
        )
