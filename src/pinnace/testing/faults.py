"""Requests that go wrong on purpose: which ones, how, how often, and what was hit. Pure.

A ``Fault`` is in force from the call that makes it until it has hit as often as it was to, its ``with`` ends, it is
removed, or the test is over. Of several that select a request, the first made is the one that hits.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase
from types import TracebackType
from typing import NamedTuple

from pinnace.api import errors
from pinnace.api.errors import ApiError
from pinnace.testing import duration

Pattern = str | Collection[str]

#: The reason that goes with a status, as apimachinery has it.
REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Expired",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class Request(NamedTuple):
    """What a fault looks at, and what it remembers of a hit."""

    verb: str
    resource: str
    subresource: str
    group: str
    namespace: str
    name: str
    user: str
    user_agent: str

    def __str__(self) -> str:
        what = f"{self.resource}.{self.group}" if self.group else self.resource
        where = "/".join(part for part in (self.namespace, self.name, self.subresource) if part)
        return f"{self.verb} {what} {where}".rstrip() + f" by {self.user}"


class Selection(NamedTuple):
    """Each a name, a pattern with ``*``, or several of them; None selects all. ``resource`` is a plural
    (``deployments``), with its group if that matters (``deployments.apps``), with a subresource if one is meant
    (``pods/status``, ``pods/*``)."""

    verb: Pattern | None = None
    resource: Pattern | None = None
    namespace: Pattern | None = None
    name: Pattern | None = None
    user: Pattern | None = None
    user_agent: Pattern | None = None

    def selects(self, request: Request) -> bool:
        return (
            _matches(self.verb, request.verb)
            and (self.resource is None or any(_is_resource(p, request) for p in _patterns(self.resource)))
            and _matches(self.namespace, request.namespace)
            and _matches(self.name, request.name)
            and _matches(self.user, request.user)
            and _matches(self.user_agent, request.user_agent)
        )


def _patterns(pattern: Pattern) -> Collection[str]:
    return (pattern,) if isinstance(pattern, str) else pattern


def _matches(pattern: Pattern | None, value: str) -> bool:
    return pattern is None or any(fnmatchcase(value, one) for one in _patterns(pattern))


def _is_resource(pattern: str, request: Request) -> bool:
    plural, _, subresource = pattern.partition("/")
    if not fnmatchcase(request.subresource, subresource):
        return False
    full = f"{request.resource}.{request.group}" if request.group else request.resource
    return fnmatchcase(request.resource, plural) or fnmatchcase(full, plural)


class Effect(Enum):
    """What happens to a request that is hit."""

    FAIL = "fail"  # it is answered with an error instead of being done
    DELAY = "delay"  # it is done later
    TIME_OUT = "time out"  # it is answered late, and with an error
    DROP = "drop"  # its connection ends without an answer
    END = "end"  # a watch: it ends


@dataclass(slots=True)
class Fault:
    """``hits`` is what it hit, in order. ``times``: how often it hits (None: always). ``rate``: the chance of each
    request that it selects, drawn from ``seed``, so that a run can be had again. ``done``: whether what times out or is
    dropped is done all the same."""

    effect: Effect
    selection: Selection
    times: int | None = None
    rate: float = 1.0
    seed: int = 0
    seconds: float = 0.0
    done: bool = False
    error: Callable[[Request], ApiError] | None = None
    hits: list[Request] = field(default_factory=list)
    _remove: Callable[[Fault], None] = lambda fault: None
    _random: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        if not 0.0 <= self.rate <= 1.0:
            raise ValueError(f"rate {self.rate!r}: expected a share from 0 to 1")
        if self.times is not None and self.times < 1:
            raise ValueError(f"times {self.times!r}: expected a number from 1, or None for always")
        self._random.seed(self.seed)

    def takes(self, request: Request) -> bool:
        """Whether ``request`` is hit, which is remembered."""
        if self.times is not None and len(self.hits) >= self.times:
            return False
        if not self.selection.selects(request):
            return False
        if self.rate < 1.0 and self._random.random() >= self.rate:
            return False
        self.hits.append(request)
        return True

    def remove(self) -> None:
        """Let requests through again. Idempotent."""
        self._remove(self)

    def __enter__(self) -> Fault:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


class Faults:
    """A cluster's faults. Every method makes one and returns it; ``times``, ``rate`` and ``seed`` say how often it
    hits, and ``verb``, ``resource``, ``namespace``, ``name``, ``user`` and ``user_agent`` which requests
    (``Selection``): those of everybody, the cluster's own parts included, unless the last two say whose."""

    def __init__(self, end_watches: Callable[[Fault], None]) -> None:
        self._faults: tuple[Fault, ...] = ()  # replaced, never changed: the cluster's thread walks it
        self._end_watches = end_watches

    def __len__(self) -> int:
        return len(self._faults)

    def fail(
        self,
        status: int = 500,
        *,
        reason: str = "",
        message: str = "",
        retry_after: int | None = None,
        times: int | None = None,
        rate: float = 1.0,
        seed: int = 0,
        **where: Pattern,
    ) -> Fault:
        """Answer with an error instead of doing it."""
        if not 400 <= status <= 599:
            raise ValueError(f"status {status}: expected one of an error, 400 to 599")

        def error(request: Request) -> ApiError:
            return ApiError(
                status,
                reason or REASONS.get(status, "" if status < 500 else "InternalError"),
                message or f"a fault that the test asked for: {request}",
                details=None if retry_after is None else {"retryAfterSeconds": retry_after},
                headers=None if retry_after is None else {"Retry-After": str(retry_after)},
            )

        return self._add(Effect.FAIL, where, times=times, rate=rate, seed=seed, error=error)

    def conflict(self, *, times: int | None = None, rate: float = 1.0, seed: int = 0, **where: Pattern) -> Fault:
        """Answer 409 Conflict, as if somebody else had changed the object meanwhile: to update and patch, unless
        ``verb`` says otherwise."""
        where.setdefault("verb", ("update", "patch"))

        def error(request: Request) -> ApiError:
            return errors.conflict(request.group, request.resource, request.name)

        return self._add(Effect.FAIL, where, times=times, rate=rate, seed=seed, error=error)

    def delay(
        self,
        time: duration.Duration,
        *,
        times: int | None = None,
        rate: float = 1.0,
        seed: int = 0,
        **where: Pattern,
    ) -> Fault:
        """Do it after ``time`` on the cluster's clock."""
        seconds = duration.seconds(time)
        return self._add(Effect.DELAY, where, times=times, rate=rate, seed=seed, seconds=seconds)

    def time_out(
        self,
        time: duration.Duration = 60.0,
        *,
        done: bool = False,
        times: int | None = None,
        rate: float = 1.0,
        seed: int = 0,
        **where: Pattern,
    ) -> Fault:
        """Say nothing for ``time`` on the cluster's clock and then answer 504 Timeout; with ``done`` it was done, which
        whoever asked cannot know."""

        def error(request: Request) -> ApiError:
            return errors.timed_out("request did not complete within the allotted timeout")

        seconds = duration.seconds(time)
        return self._add(
            Effect.TIME_OUT, where, times=times, rate=rate, seed=seed, seconds=seconds, done=done, error=error
        )

    def drop(
        self,
        *,
        done: bool = False,
        times: int | None = None,
        rate: float = 1.0,
        seed: int = 0,
        **where: Pattern,
    ) -> Fault:
        """End the connection without an answer; with ``done`` after the request was done."""
        return self._add(Effect.DROP, where, times=times, rate=rate, seed=seed, done=done)

    def drop_watch(self, *, expired: bool = False, **where: Pattern) -> Fault:
        """End the watches that are open now, as the server does when their time is over, or with ``expired`` by 410, so
        that clients have to list again. Those that open later are left alone."""

        def error(request: Request) -> ApiError:
            return errors.expired("The resourceVersion for the provided watch is too old.")

        fault = Fault(Effect.END, _selection({**where, "verb": "watch"}), error=error if expired else None)
        self._end_watches(fault)
        return fault

    def clear(self) -> None:
        """Remove every fault."""
        self._faults = ()

    def first(self, request: Request) -> Fault | None:
        """The fault that hits ``request``, if any."""
        for fault in self._faults:
            if fault.takes(request):
                return fault
        return None

    def _add(
        self,
        effect: Effect,
        where: dict[str, Pattern],
        *,
        times: int | None,
        rate: float,
        seed: int,
        seconds: float = 0.0,
        done: bool = False,
        error: Callable[[Request], ApiError] | None = None,
    ) -> Fault:
        chosen = _selection(where)
        fault = Fault(effect, chosen, times=times, rate=rate, seed=seed, seconds=seconds, done=done, error=error)
        fault._remove = self._take_out
        self._faults = (*self._faults, fault)
        return fault

    def _take_out(self, fault: Fault) -> None:
        self._faults = tuple(one for one in self._faults if one is not fault)


def _selection(where: dict[str, Pattern]) -> Selection:
    if unknown := sorted(set(where) - set(Selection._fields)):
        raise TypeError(f"faults select by {', '.join(Selection._fields)}; not by {', '.join(unknown)}")
    return Selection(**where)
