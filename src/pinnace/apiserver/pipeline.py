"""The way of every request: what is asked -> who asks -> as whom -> is there room -> may they -> the handler.

Where nothing has to be awaited the whole way is taken synchronously (GET, LIST); the rest returns a coroutine.
Decisions of the authorizer are cached as long as its ``generation`` stays.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, cast

from pinnace.api import errors
from pinnace.api.errors import ApiError
from pinnace.apiserver import paths
from pinnace.apiserver.auth.authenticate import anonymous
from pinnace.apiserver.auth.authorize import refused
from pinnace.apiserver.request import (
    Authenticator,
    Authorizer,
    Impersonator,
    Request,
    RequestInfo,
    User,
    attributes_of,
)
from pinnace.apiserver.resources import consistency
from pinnace.apiserver.resources.router import Router
from pinnace.apiserver.response import Answer
from pinnace.core.clock import Clock
from pinnace.store.protocol import StoreError

log = logging.getLogger(__name__)

#: Requests that change something, and other ones that wait, at work at the same time (upstream: 200 and 400).
MAX_MUTATING = 1000
MAX_READING = 2000
CACHED_DECISIONS = 4096
CACHED_PATHS = 4096
#: Longer paths are not remembered: who sends them must not be able to fill the memory.
LONGEST_KEPT = 1024
READS = frozenset(("get", "list", "watch"))
_DISCOVERY = ("/api", "/openapi")

Result = Answer | Coroutine[Any, Any, Answer]


class NonResources(Protocol):
    """Everything that is no resource: discovery, health, version, metrics."""

    def route(self, request: Request) -> Result:
        """Raises ApiError or answers 404 itself."""


class Interceptor(Protocol):
    """Stands between a request, of which it is known who sends it, and what becomes of it. For tests of clients."""

    def __call__(self, request: Request, proceed: Callable[[Request], Result]) -> Result:
        """What ``proceed(request)`` answers, or anything else. May raise ApiError; ConnectionError if the request is
        from this process."""


class Pipeline:
    """See the module's docstring. Without an authorizer everything is allowed: for tests only."""

    def __init__(
        self,
        router: Router,
        others: NonResources,
        clock: Clock,
        *,
        authenticator: Authenticator | None,
        impersonator: Impersonator | None,
        authorizer: Authorizer | None,
    ) -> None:
        self._router = router
        self._others = others
        self._clock = clock
        self._authenticator = authenticator
        self._impersonator = impersonator
        self._authorizer = authorizer
        self.interceptor: Interceptor | None = None
        self._decisions: dict[tuple[Any, ...], tuple[bool, str]] = {}
        self._decided_at = -1
        self._infos: dict[tuple[str, str], RequestInfo] = {}
        self._mutating = 0
        self._reading = 0

    @property
    def at_work(self) -> tuple[int, int]:
        """Requests waiting for something right now: those that change something, and others."""
        return self._mutating, self._reading

    def handle(self, request: Request) -> Result:
        """A request from the network. Raises ApiError."""
        if not self._router.remote:
            return self._handle(request)
        revision = self._router.revision
        try:
            return self._handle(request)
        except ApiError as error:
            if error.code not in (401, 403):
                raise
            return self._handle_later(request, error, revision)

    async def _handle_later(self, request: Request, refusal: ApiError, revision: int) -> Answer:
        """What was refused at ``revision`` may have been allowed by another API server a moment ago."""
        try:
            await self._router.sync()
        except StoreError:
            raise refusal from None
        if self._router.revision == revision:
            raise refusal
        result = self._handle(request)
        return await result if isinstance(result, Coroutine) else result

    def _handle(self, request: Request) -> Result:
        request.user = user = self._authenticate(request)
        headers = request.headers
        request.info = self._asked(request)
        if "impersonate-" in "\n".join(headers):
            if self._impersonator is None:
                raise errors.forbidden("", "users", headers.get("impersonate-user", ""), "impersonation is not set up")
            request.user = self._impersonator.impersonate(user, headers)
        return self._admit(request) if self.interceptor is None else self.interceptor(request, self._admit)

    def handle_as(self, request: Request, user: User) -> Result:
        """A request from this process, by ``user``. Raises ApiError."""
        request.user = user
        request.info = paths.parse(request)
        return self._admit(request) if self.interceptor is None else self.interceptor(request, self._admit)

    def _asked(self, request: Request) -> RequestInfo:
        """What is asked; taken apart once for each of the paths asked for most lately."""
        if request.query_string or len(request.path) > LONGEST_KEPT:
            return paths.parse(request)
        key = (request.method, request.path)
        info = self._infos.get(key)
        if info is None:
            if len(self._infos) >= CACHED_PATHS:
                self._infos.clear()
            info = self._infos[key] = paths.parse(request)
        return info

    def _authenticate(self, request: Request) -> User:
        if self._authenticator is None:
            return User("system:admin", groups=("system:masters", "system:authenticated"))
        headers, peer = request.headers, request.peer
        # Nothing but the passing of time and a write to the store can change what these credentials are worth.
        shown = (headers.get("authorization"), self._router.revision, int(self._clock.now()))
        if peer.get("shown") == shown:
            return cast(User, peer["user"])
        user = self._authenticator.authenticate(request.certificate, headers)
        if user is None:
            user = anonymous(request.path)
            if user is None:
                raise errors.unauthorized()
            return user
        peer["shown"], peer["user"] = shown, user
        return user

    def _admit(self, request: Request) -> Result:
        info = request.info
        self._authorize(request.user, info)
        result = self._route_later(request) if self._may_be_outdated(info) else self._route(request)
        if isinstance(result, Coroutine) and not self._long_running(info):
            return self._limited(result, mutating=info.verb not in READS)
        return result

    def _route(self, request: Request) -> Result:
        return self._router.route(request) if request.info.is_resource else self._others.route(request)

    def _may_be_outdated(self, info: RequestInfo) -> bool:
        """Whether the answer depends on which resources there are, and another API server may have made one."""
        if not self._router.remote:
            return False
        return not self._router.knows(info) if info.is_resource else info.path.startswith(_DISCOVERY)

    async def _route_later(self, request: Request) -> Answer:
        try:
            await self._router.sync()
        except StoreError as error:
            if request.info.is_resource:
                raise consistency.failure(error) from error
        result = self._route(request)
        return await result if isinstance(result, Coroutine) else result

    @staticmethod
    def _long_running(info: RequestInfo) -> bool:
        return info.verb == "watch" or info.subresource in ("exec", "attach", "portforward", "proxy", "log")

    async def _limited(self, work: Coroutine[Any, Any, Answer], *, mutating: bool) -> Answer:
        if (self._mutating >= MAX_MUTATING) if mutating else (self._reading >= MAX_READING):
            work.close()
            raise errors.too_many_requests("Too many requests, please try again later.")
        if mutating:
            self._mutating += 1
        else:
            self._reading += 1
        try:
            return await work
        except StoreError as error:  # the disk is full, and the like: said by whoever asked, not only in the log
            log.error("%s", error)
            raise errors.internal(str(error)) from error
        finally:
            if mutating:
                self._mutating -= 1
            else:
                self._reading -= 1

    def _authorize(self, user: User, info: RequestInfo) -> None:
        authorizer = self._authorizer
        if authorizer is None:
            return
        generation = authorizer.generation
        if generation != self._decided_at:
            self._decisions.clear()
            self._decided_at = generation
        if info.is_resource:
            key: tuple[Any, ...] = (
                user.name,
                user.groups,
                info.verb,
                info.group,
                info.resource,
                info.subresource,
                info.namespace,
                info.name,
            )
        else:
            key = (user.name, user.groups, info.verb, info.path)
        decision = self._decisions.get(key)
        if decision is None:
            if len(self._decisions) >= CACHED_DECISIONS:
                self._decisions.clear()
            decision = authorizer.authorize(attributes_of(user, info))
            if len(info.path) <= LONGEST_KEPT:
                self._decisions[key] = decision
        if not decision[0]:
            raise refused(attributes_of(user, info), decision[1])
