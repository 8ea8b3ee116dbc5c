"""Which objects of a range a list or watch is about: label and field selectors."""

from __future__ import annotations

from pinnace.api import meta
from pinnace.api.errors import bad_request
from pinnace.api.fields import supported, unsupported_message
from pinnace.api.registry import Resource
from pinnace.api.selectors import EVERYTHING, Selector, SelectorError, parse_field_selector, parse_label_selector
from pinnace.api.types import Object
from pinnace.apiserver.request import Request
from pinnace.store.protocol import prefix_end


class Selection:
    """``start`` and ``end`` of the keys to look at, and which of their objects count. ``everything`` if all do."""

    __slots__ = ("_fields", "_labels", "_row", "end", "everything", "key", "start")

    def __init__(self, row: Resource, namespace: str, name: str, labels: Selector, fields: Selector) -> None:
        if name and (namespace or not row.namespaced):
            self.start = row.key(namespace, name)
            self.end = self.start + "\0"
        else:
            self.start = f"{row.prefix}{namespace}/" if namespace and row.namespaced else row.prefix
            self.end = prefix_end(self.start)
        self._row = row
        self._labels = labels
        self._fields = fields
        self.everything = labels.empty and fields.empty
        #: Equal for selections of the same objects.
        self.key = (row.gvr, self.start, str(labels), str(fields))

    def matches(self, obj: Object) -> bool:
        if not self._labels.matches(meta.labels(obj)):
            return False
        if self._fields.empty:
            return True
        return self._fields.matches(field_values(self._row, obj))


def field_values(row: Resource, obj: Object) -> dict[str, str]:
    values = row.selectable(obj)
    values["metadata.name"] = meta.name(obj)
    if row.namespaced:
        values["metadata.namespace"] = meta.namespace(obj)
    return values


def of(request: Request, row: Resource) -> Selection:
    """The selection that ``request`` asks for. Raises ApiError 400 for selectors that cannot be understood."""
    info = request.info
    if not request.query_string and not request.shared:
        return Selection(row, info.namespace, info.name, EVERYTHING, EVERYTHING)
    query = request.query
    return selected(row, info.namespace, info.name, query.get("labelSelector", ""), query.get("fieldSelector", ""))


def selected(row: Resource, namespace: str, name: str, label_text: str, field_text: str) -> Selection:
    labels: Selector = EVERYTHING
    fields: Selector = EVERYTHING
    try:
        if label_text:
            labels = parse_label_selector(label_text)
    except SelectorError as error:
        raise bad_request(str(error)) from None
    try:
        if field_text:
            fields = parse_field_selector(field_text)
    except SelectorError as error:
        raise bad_request(str(error)) from None
    if not fields.empty:
        known = supported(row.gvk) if row.custom is None else supported(row.gvk) | row.custom.selectable
        for requirement in fields.requirements:
            if requirement.key not in known:
                if row.custom is not None:
                    raise bad_request(f"field label not supported: {requirement.key}")
                raise bad_request(unsupported_message(row.gvk, requirement.key))
        name = name or fields.requires("metadata.name") or ""
        if not namespace and row.namespaced:
            namespace = fields.requires("metadata.namespace") or ""
    return Selection(row, namespace, name, labels, fields)
