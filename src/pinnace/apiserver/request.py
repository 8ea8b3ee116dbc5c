"""What travels through the request pipeline, and what the pipeline asks of authentication, authorization and
admission."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qsl

from pinnace.api.registry import Resource
from pinnace.api.types import Object
from pinnace.core.cooperate import LARGE, LARGE_YAML

_NO_EXTRA: Mapping[str, tuple[str, ...]] = {}


class User(NamedTuple):
    """Who asks, as authentication found out (``user.Info``)."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = _NO_EXTRA


ANONYMOUS = User("system:anonymous", groups=("system:unauthenticated",))


class Attributes(NamedTuple):
    """What is asked, as authorization sees it. For a path that is no resource, only ``verb`` (lower-case method) and
    ``path`` are set. ``verb`` is get, list, watch, create, update, patch, delete, deletecollection or a special one
    (``impersonate``, ``bind``, ``escalate``)."""

    user: User
    verb: str
    path: str = ""
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    @property
    def is_resource(self) -> bool:
        return bool(self.resource)


class RequestInfo:
    """What a method, path and query ask for, as upstream's RequestInfo has it. For a path that is no resource only
    ``verb`` and ``path`` are set."""

    __slots__ = ("group", "is_resource", "name", "namespace", "path", "resource", "subresource", "verb", "version")

    def __init__(
        self,
        verb: str,
        path: str,
        group: str = "",
        version: str = "",
        resource: str = "",
        subresource: str = "",
        namespace: str = "",
        name: str = "",
    ) -> None:
        self.verb = verb
        self.path = path
        self.group = group
        self.version = version
        self.resource = resource
        self.subresource = subresource
        self.namespace = namespace
        self.name = name
        self.is_resource = bool(resource)


def attributes_of(user: User, info: RequestInfo, verb: str = "") -> Attributes:
    """What authorization is asked about ``info``; with ``verb`` instead of its own if given."""
    if not info.is_resource:
        return Attributes(user, verb or info.verb, info.path)
    return Attributes(
        user,
        verb or info.verb,
        info.path,
        info.group,
        info.version,
        info.resource,
        info.subresource,
        info.namespace,
        info.name,
    )


class Request:
    """One request. ``shared`` is set for those from this process: they are answered with objects, not bytes, and
    their ``body`` is an object. ``headers`` have lower-case names. ``peer`` is a scratch space that lives as long as
    the connection."""

    __slots__ = (
        "_query",
        "body",
        "certificate",
        "headers",
        "info",
        "method",
        "path",
        "peer",
        "query_string",
        "shared",
        "user",
        "warnings",
    )

    def __init__(
        self,
        method: str,
        path: str,
        query_string: str,
        headers: Mapping[str, str],
        body: Any,
        *,
        certificate: bytes | None = None,
        peer: dict[str, Any] | None = None,
        shared: bool = False,
    ) -> None:
        self.method = method
        self.path = path
        self.query_string = query_string
        self.headers = headers
        self.body = body
        self.certificate = certificate
        self.peer = peer if peer is not None else {}
        self.shared = shared
        self.user = ANONYMOUS
        self.info = RequestInfo("", path)
        self.warnings: list[str] = []
        self._query: dict[str, str] | None = None

    @property
    def query(self) -> dict[str, str]:
        """The first value of every query parameter."""
        if self._query is None:
            self._query = {}
            if self.query_string:
                for name, value in parse_qsl(self.query_string, keep_blank_values=True):
                    self._query.setdefault(name, value)
        return self._query

    @property
    def large(self) -> bool:
        """Whether working on the body would hold the event loop."""
        if type(self.body) is not bytes or len(self.body) <= LARGE_YAML:
            return False
        return len(self.body) > LARGE or "yaml" in self.headers.get("content-type", "")

    def asks(self, name: str) -> bool:
        """Whether a boolean parameter is given, as anything but 0 and false: as upstream reads them."""
        value = self.query.get(name)
        return value is not None and value != "0" and value.lower() != "false"

    def set_query(self, query: Mapping[str, str]) -> None:
        """Give the parameters already taken apart."""
        self._query = dict(query)


class Charge(NamedTuple):
    """Another object that is written with the one that is admitted, in one transaction, if its ``key`` is still at
    ``mod_revision``."""

    key: str
    mod_revision: int
    object: Object


class OutrunError(Exception):
    """Another API server was faster, and what admission decided does not hold any more: the request is to be handled
    once more."""


class AdmissionAttributes:
    """One change on its way to the store. Mutating plugins may change ``object`` in place (None for DELETE)."""

    __slots__ = (
        "charges",
        "dry_run",
        "name",
        "namespace",
        "object",
        "old_object",
        "operation",
        "options",
        "request",
        "resource",
        "subresource",
        "undo",
        "user",
        "warnings",
    )

    def __init__(
        self,
        operation: str,  # CREATE, UPDATE, DELETE, CONNECT
        resource: Resource,
        subresource: str,
        namespace: str,
        name: str,  # "" for a create whose name is not known yet
        object: Object | None,
        old_object: Object | None,
        user: User,
        dry_run: bool = False,
        options: Object | None = None,
        warnings: list[str] | None = None,
        request: Request | None = None,
    ) -> None:
        self.operation = operation
        self.resource = resource
        self.subresource = subresource
        self.namespace = namespace
        self.name = name
        self.object = object
        self.old_object = old_object
        self.user = user
        self.dry_run = dry_run
        self.options: Object = {} if options is None else options
        self.request = request
        #: Warnings for the client, in order; plugins append.
        self.warnings: list[str] = [] if warnings is None else warnings
        #: Asked for what to write with the object, when that is known and valid. Each raises ApiError to refuse, and
        #: OutrunError if admission has to look again.
        self.charges: list[Callable[[], list[Charge]]] = []
        #: What to call if the change is refused after all or is not committed: gives back what plugins reserved for
        #: it (Service addresses, node ports). Whoever has called ``admit`` calls these then, each once.
        self.undo: list[Callable[[], None]] = []

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters of the request."""
        return self.request.query if self.request is not None else {}


class Authenticator(Protocol):
    def authenticate(self, certificate: bytes | None, headers: Mapping[str, str]) -> User | None:
        """Who sent a request over a connection with this client certificate (DER; already verified by TLS against the
        client CA) and these headers. None if it shows no credentials. Raises ApiError 401 for wrong ones."""


class Impersonator(Protocol):
    def impersonate(self, user: User, headers: Mapping[str, str]) -> User:
        """Whom ``user`` acts as, by the ``impersonate-*`` headers. Raises ApiError 403, 400."""


class Authorizer(Protocol):
    @property
    def generation(self) -> int:
        """Changes whenever an answer may: answers are cached as long as it stays."""

    def authorize(self, attributes: Attributes) -> tuple[bool, str]:
        """Whether it is allowed, and if not why, for the message ("" for nothing to add)."""


class Admission(Protocol):
    async def admit(self, attributes: AdmissionAttributes) -> None:
        """Let mutating plugins change the object, then validating ones look at it. Raises ApiError to refuse."""

    def validate(self, attributes: AdmissionAttributes) -> Awaitable[None] | None:
        """Let validating policies and webhooks look at an object that is otherwise valid and as it will be stored.
        What it returns, if anything, is awaited. Raises ApiError to refuse."""

    def close(self) -> None:
        """Let go of what it holds, when the API server has stopped."""
