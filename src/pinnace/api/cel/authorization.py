"""What expressions may ask of authorization: ``authorizer.group('apps').resource('deployments').check('create')``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from pinnace.api.cel.types import Type
from pinnace.api.cel.values import CelError, no_overload

SIGNATURES = """
kubernetes.authorization.Authorizer . path(string) -> kubernetes.authorization.PathCheck
kubernetes.authorization.Authorizer . group(string) -> kubernetes.authorization.GroupCheck
kubernetes.authorization.Authorizer . serviceAccount(string, string) -> kubernetes.authorization.Authorizer
kubernetes.authorization.PathCheck . check(string) -> kubernetes.authorization.Decision
kubernetes.authorization.GroupCheck . resource(string) -> kubernetes.authorization.ResourceCheck
kubernetes.authorization.ResourceCheck . subresource(string) -> kubernetes.authorization.ResourceCheck
kubernetes.authorization.ResourceCheck . namespace(string) -> kubernetes.authorization.ResourceCheck
kubernetes.authorization.ResourceCheck . name(string) -> kubernetes.authorization.ResourceCheck
kubernetes.authorization.ResourceCheck . fieldSelector(string) -> kubernetes.authorization.ResourceCheck
kubernetes.authorization.ResourceCheck . labelSelector(string) -> kubernetes.authorization.ResourceCheck
kubernetes.authorization.ResourceCheck . check(string) -> kubernetes.authorization.Decision
kubernetes.authorization.Decision . allowed() -> bool
kubernetes.authorization.Decision . reason() -> string
kubernetes.authorization.Decision . errored() -> bool
kubernetes.authorization.Decision . error() -> string
"""
_PACKAGE = "kubernetes.authorization"
RESOURCE_CHECK: Final = Type(f"{_PACKAGE}.ResourceCheck")
AUTHORIZER: Final = Type(f"{_PACKAGE}.Authorizer", fields={"requestResource": RESOURCE_CHECK})
#: What asking costs.
CHECK_COST = 350_000


class Question(NamedTuple):
    """``user`` is "" for who sends the request; ``path`` is set for what is no resource."""

    user: str = ""
    verb: str = ""
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""


#: Whether it is allowed, and why (not).
Decide = Callable[[Question], tuple[bool, str]]


class Decision:
    cel_type = f"{_PACKAGE}.Decision"
    __slots__ = ("allowed", "reason")

    def __init__(self, allowed: bool, reason: str) -> None:
        self.allowed = allowed
        self.reason = reason


class _Check:
    """A question that is being put together."""

    __slots__ = ("decide", "question")

    def __init__(self, decide: Decide, question: Question) -> None:
        self.decide = decide
        self.question = question


class GroupCheck(_Check):
    cel_type = f"{_PACKAGE}.GroupCheck"
    __slots__ = ()


class PathCheck(_Check):
    cel_type = f"{_PACKAGE}.PathCheck"
    __slots__ = ()


class ResourceCheck(_Check):
    cel_type = f"{_PACKAGE}.ResourceCheck"
    __slots__ = ()


class Authorizer(_Check):
    """The variable ``authorizer``; ``request`` is what the request itself is about."""

    cel_type = f"{_PACKAGE}.Authorizer"
    __slots__ = ("cel_fields",)

    def __init__(self, decide: Decide, question: Question, request: Question | None = None) -> None:
        super().__init__(decide, question)
        self.cel_fields: Mapping[str, Any] = (
            {"requestResource": ResourceCheck(decide, request)} if request is not None else {}
        )


def _path(receiver: Any, path: str) -> PathCheck:
    check = _of(receiver, Authorizer)
    if not path.strip():
        raise CelError("path must not be empty")
    return PathCheck(check.decide, check.question._replace(path=path))


def _group(receiver: Any, group: str) -> GroupCheck:
    check = _of(receiver, Authorizer)
    return GroupCheck(check.decide, check.question._replace(group=group))


def _service_account(receiver: Any, namespace: str, name: str) -> Authorizer:
    check = _of(receiver, Authorizer)
    if not namespace or not name:
        raise CelError("invalid service account name or namespace")
    return Authorizer(check.decide, Question(user=f"system:serviceaccount:{namespace}:{name}"))


def _resource(receiver: Any, resource: str) -> ResourceCheck:
    check = _of(receiver, GroupCheck)
    if not resource.strip():
        raise CelError("resource must not be empty")
    return ResourceCheck(check.decide, check.question._replace(resource=resource))


def _with(field: str) -> Callable[[Any, str], ResourceCheck]:
    def narrowed(receiver: Any, value: str) -> ResourceCheck:
        check = _of(receiver, ResourceCheck)
        return ResourceCheck(check.decide, check.question._replace(**{field: value}))

    return narrowed


def _selector(receiver: Any, text: str) -> ResourceCheck:
    """No mode of authorization looks at selectors: who may do it only with one may not do it."""
    return _of(receiver, ResourceCheck)


def _check(receiver: Any, verb: str) -> Decision:
    if not isinstance(receiver, PathCheck | ResourceCheck):
        raise no_overload()
    return Decision(*receiver.decide(receiver.question._replace(verb=verb)))


Kind = TypeVar("Kind")


def _of(value: Any, kind: type[Kind]) -> Kind:
    if not isinstance(value, kind):
        raise no_overload()
    return value


def _no_failure(value: Any) -> Callable[[Any], Any]:
    """Authorization here never fails."""
    return lambda decision: _of(decision, Decision) and value


CALLS: dict[str, Callable[..., Any]] = {
    "path": _path,
    "group": _group,
    "serviceAccount": _service_account,
    "resource": _resource,
    "subresource": _with("subresource"),
    "namespace": _with("namespace"),
    "name": _with("name"),
    "fieldSelector": _selector,
    "labelSelector": _selector,
    "check": _check,
    "allowed": lambda decision: _of(decision, Decision).allowed,
    "reason": lambda decision: _of(decision, Decision).reason,
    "errored": _no_failure(False),
    "error": _no_failure(""),
}
