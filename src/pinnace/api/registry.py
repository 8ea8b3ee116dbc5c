"""One row per resource: everything the API server needs to know of a kind, as data (design D3).

Built-in rows come from the generated tables (``builtin``); a CustomResourceDefinition adds rows at run time. Routing,
discovery, OpenAPI, decoding, defaulting, validation, patches and tables read rows and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pinnace.api.errors import FieldError
from pinnace.api.types import GVK, GVR, Object

if TYPE_CHECKING:
    from pinnace.api.apply.typed import Type


class Column(NamedTuple):
    """A table column: header, OpenAPI type and format (``name`` marks the object's name), priority (0: always)."""

    name: str
    type: str
    format: str
    priority: int
    description: str = ""


class Subresource(NamedTuple):
    """``pods/log`` and the like: its verbs and the kind it speaks (``Scale``, ``Binding``, ... or the parent's own)."""

    name: str
    kind: GVK
    verbs: frozenset[str]


class ScalePaths(NamedTuple):
    """Where a custom resource has its replicas and selector: names from the object's root. ``selector`` may be ()."""

    replicas: tuple[str, ...]
    status_replicas: tuple[str, ...]
    selector: tuple[str, ...]


class Decode(Protocol):
    """Makes of what was sent a new object without what the schema does not know, and without nulls that it does not
    allow unless ``nulls`` says that these stay; and the warnings to answer with. Raises ApiError 400."""

    def __call__(
        self, sent: Object, validation: str, duplicates: Sequence[str], *, nulls: bool = False
    ) -> tuple[Object, list[str]]: ...


class Custom(NamedTuple):
    """What only the row of a CustomResourceDefinition's version has."""

    list_kind: str
    #: The version's ``openAPIV3Schema``.
    schema: Object
    #: Other for another schema.
    digest: Callable[[], str]
    decode: Decode
    #: Objects written at this revision or before may have been checked by another schema: what is read of them goes
    #: through ``from_storage`` first, also in the version in which they are stored.
    revised: int
    #: Of these the keys and revisions that ``from_storage`` left as they were.
    settled: dict[str, int]
    #: Fields that field selectors may look at.
    selectable: frozenset[str]
    scale: ScalePaths | None = None
    #: What every answer warns of: a deprecated version.
    warnings: tuple[str, ...] = ()
    #: Whether the definition is going away: nothing new is taken.
    terminating: bool = False
    #: Whether its objects are validated by rules, which may take long: not on the event loop.
    rules: Callable[[], bool] = bool
    #: ``spec.conversion.webhook``, where that converts between the versions; else None.
    webhook: Object | None = None
    #: What it has converted to this version, by key and revision.
    converted: dict[tuple[str, int], Object] = {}  # noqa: RUF012 - each row is given its own
    #: What it has converted to other versions, by its text and the version: to see there who owns what.
    translated: dict[tuple[bytes, str], Object] = {}  # noqa: RUF012 - each row is given its own


class Resource(NamedTuple):
    """One resource in one version. The hooks are pure; they change only the object they are handed first."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool
    verbs: frozenset[str]  # create delete deletecollection get list patch update watch
    short_names: tuple[str, ...]
    categories: tuple[str, ...]
    columns: tuple[Column, ...]
    subresources: dict[str, Subresource]
    definition: str  # the schema's name in the tables, "" if the kind has none
    #: Where objects are kept, shared by all versions of the resource: group and plural of the storage path, and the
    #: version in which they are encoded there.
    storage: GVR
    #: Fill in defaults, in place (``api.defaults``).
    default: Callable[[Object], None]
    #: Before the first write, in place: drop what clients may not set (status), set ``metadata.generation``.
    prepare_create: Callable[[Object], None]
    #: ``(new, old, subresource)`` before an update, in place on ``new``: keep what this endpoint may not change
    #: (``""`` keeps old status, ``status`` keeps all but status), raise ``metadata.generation`` if the spec changed.
    prepare_update: Callable[[Object, Object, str], None]
    #: ``(new, old or None, subresource)``: what is wrong with it, metadata included (``api.validation``).
    validate: Callable[[Object, Object | None, str], list[FieldError]]
    #: Field selectors' values beyond metadata.name and metadata.namespace, e.g. ``{"spec.nodeName": "n1"}``.
    selectable: Callable[[Object], dict[str, str]]
    #: ``(object, now)``: its table cells, in the order of ``columns`` (``api.table``).
    cells: Callable[[Object, float], list[Any]]
    #: Between the stored version and this one, in place; identity where the versions are the same.
    from_storage: Callable[[Object], None] = lambda _: None
    to_storage: Callable[[Object], None] = lambda _: None
    #: How the lists and maps of its objects merge, of kinds whose schema is not in the tables: a custom resource's is
    #: ``lambda: typed.of_structural(schema)``, called once (``api.apply.typed``).
    merges: Callable[[], Type] | None = None
    #: ``(new, old or None)``: what its writer is warned of.
    warn: Callable[[Object, Object | None], list[str]] | None = None
    custom: Custom | None = None
    #: What its objects look like (OpenAPI), of kinds whose schema is neither in the tables nor a definition's.
    described: Object | None = None

    @property
    def gvr(self) -> GVR:
        return GVR(self.group, self.version, self.plural)

    @property
    def gvk(self) -> GVK:
        return GVK(self.group, self.version, self.kind)

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_resource(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def prefix(self) -> str:
        """The store's key prefix of all objects of this resource, ending in a slash."""
        group, _, plural = self.storage
        return f"/registry/{group}/{plural}/" if group else f"/registry/{plural}/"

    def key(self, namespace: str, name: str) -> str:
        return f"{self.prefix}{namespace}/{name}" if self.namespaced else f"{self.prefix}{name}"


class Registry:
    """The rows in force. ``generation`` counts changes, for those who cache what they derive from it."""

    def __init__(self) -> None:
        self.generation = 0
        self._by_resource: dict[GVR, Resource] = {}
        self._by_kind: dict[GVK, Resource] = {}

    def add(self, resource: Resource) -> None:
        self._by_resource[resource.gvr] = resource
        self._by_kind[resource.gvk] = resource
        self.generation += 1

    def remove(self, gvr: GVR) -> None:
        resource = self._by_resource.pop(gvr)
        if self._by_kind.get(resource.gvk) is resource:
            del self._by_kind[resource.gvk]
        self.generation += 1

    def get(self, group: str, version: str, plural: str) -> Resource | None:
        return self._by_resource.get(GVR(group, version, plural))

    def of_kind(self, gvk: GVK) -> Resource | None:
        return self._by_kind.get(gvk)

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._by_resource.values())
