"""Authorization: ``system:masters`` first, then the node authorizer, then RBAC; and how a refusal is worded."""

from __future__ import annotations

from typing import Protocol

from pinnace.api import errors
from pinnace.api.errors import ApiError, go_quote
from pinnace.apiserver.request import Attributes

MASTERS = "system:masters"


class Mode(Protocol):
    """One authorization mode; see ``request.Authorizer``."""

    @property
    def generation(self) -> int: ...

    def authorize(self, attributes: Attributes) -> tuple[bool, str]: ...


class Authorizers:
    """An ``Authorizer`` (see ``request``): allowed if any of ``modes`` allows it."""

    def __init__(self, *modes: Mode) -> None:
        self._modes = modes

    @property
    def generation(self) -> int:
        return sum(mode.generation for mode in self._modes)

    def authorize(self, attributes: Attributes) -> tuple[bool, str]:
        if MASTERS in attributes.user.groups:
            return True, ""
        reasons = []
        for mode in self._modes:
            allowed, reason = mode.authorize(attributes)
            if allowed:
                return True, reason
            if reason:
                reasons.append(reason)
        return False, "\n".join(reasons)


def refusal(attributes: Attributes) -> str:
    """What a user may not do, as every client knows it."""
    user = go_quote(attributes.user.name)
    if not attributes.resource:
        return f"User {user} cannot {attributes.verb} path {go_quote(attributes.path)}"
    resource = attributes.resource
    if attributes.subresource:
        resource += f"/{attributes.subresource}"
    what = (
        f"User {user} cannot {attributes.verb} resource {go_quote(resource)} in API group {go_quote(attributes.group)}"
    )
    if attributes.namespace:
        return f"{what} in the namespace {go_quote(attributes.namespace)}"
    return f"{what} at the cluster scope"


def refused(attributes: Attributes, reason: str = "") -> ApiError:
    """The 403 for ``attributes``."""
    why = f"{refusal(attributes)}: {reason}" if reason else refusal(attributes)
    return errors.forbidden(attributes.group, attributes.resource, attributes.name, why)
