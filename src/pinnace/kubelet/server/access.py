"""Who may ask a kubelet: holders of a client certificate of the cluster's CA or of a token that the API server knows,
as the API server authorizes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pinnace.api.errors import ApiError
from pinnace.api.types import GVR
from pinnace.client.client import Client
from pinnace.core.clock import Clock
from pinnace.kubelet.server.http import Refusal

TOKEN_REVIEWS = GVR("authentication.k8s.io", "v1", "tokenreviews")
REVIEWS = GVR("authorization.k8s.io", "v1", "subjectaccessreviews")
MASTERS = "system:masters"
#: Seconds that an answer is good for, and one that refuses.
REMEMBERED, REFUSED = 60.0, 5.0
ANSWERS = 4096
_SUBRESOURCES = {
    "stats": "stats",
    "metrics": "metrics",
    "logs": "log",
    "pods": "pods",
    "healthz": "healthz",
    "configz": "configz",
}
#: Finer parts than there once were: who may use the proxy may use them too.
_FINER = ("pods", "healthz", "configz")


class Access:
    def __init__(self, client: Client, clock: Clock, node_name: str) -> None:
        self._client = client
        self._clock = clock
        self._node_name = node_name
        self._answers: dict[tuple[str, tuple[str, ...], str, str], tuple[float, bool]] = {}  # emptied when full
        self._tokens: dict[str, tuple[float, str, list[str]]] = {}  # likewise

    async def check(self, certificate: Mapping[str, object], method: str, path: str, authorization: str = "") -> None:
        """``authorization`` is the request's header. Raises Refusal (401, 403)."""
        user, groups = subject(certificate)
        if not user and authorization.lower().startswith("bearer "):
            user, groups = await self._who(authorization[7:].strip())
        if not user:
            raise Refusal(401, "Unauthorized")
        if MASTERS in groups:
            return
        verb = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "DELETE": "delete"}.get(method, "get")
        part = _SUBRESOURCES.get(path.split("/")[1], "proxy")
        parts = [part, "proxy"] if part in _FINER else [part]
        for one in parts:
            if await self._may(user, groups, verb, one):
                return
        raise Refusal(403, f"Forbidden (user={user}, verb={verb}, resource=nodes, subresource(s)=[{' '.join(parts)}])")

    async def _may(self, user: str, groups: list[str], verb: str, part: str) -> bool:
        asked = user, tuple(groups), verb, part
        known = self._answers.get(asked)
        now = self._clock.monotonic()
        if known is None or known[0] < now:
            allowed = await self._ask(user, groups, verb, part)
            known = now + (REMEMBERED if allowed else REFUSED), allowed
            if len(self._answers) >= ANSWERS:
                self._answers.clear()
            self._answers[asked] = known
        return known[1]

    async def _who(self, token: str) -> tuple[str, list[str]]:
        """User and groups of a token; no user if nobody knows it."""
        now = self._clock.monotonic()
        known = self._tokens.get(token)
        if known is not None and known[0] >= now:
            return known[1], known[2]
        review = {
            "kind": "TokenReview",
            "apiVersion": "authentication.k8s.io/v1",
            "spec": {"token": token},
        }
        try:
            status = (await self._client.create(TOKEN_REVIEWS, review)).get("status") or {}
        except (ApiError, OSError, TimeoutError) as error:
            raise Refusal(401, "Unauthorized") from error
        if not status.get("authenticated"):
            return "", []
        who = status.get("user") or {}
        user, groups = str(who.get("username") or ""), [str(group) for group in who.get("groups") or ()]
        if len(self._tokens) >= ANSWERS:
            self._tokens.clear()
        self._tokens[token] = now + REMEMBERED, user, groups
        return user, groups

    async def _ask(self, user: str, groups: list[str], verb: str, part: str) -> bool:
        attributes = {
            "verb": verb,
            "group": "",
            "version": "v1",
            "resource": "nodes",
            "subresource": part,
            "name": self._node_name,
        }
        review = {
            "kind": "SubjectAccessReview",
            "apiVersion": "authorization.k8s.io/v1",
            "spec": {
                "user": user,
                "groups": [*groups, "system:authenticated"],
                "resourceAttributes": attributes,
            },
        }
        try:
            answer = await self._client.create(REVIEWS, review)
        except (ApiError, OSError, TimeoutError) as error:
            raise Refusal(500, f"Authorization error (user={user}, verb={verb}): {error}") from error
        return bool((answer.get("status") or {}).get("allowed"))


def subject(certificate: Mapping[str, object]) -> tuple[str, list[str]]:
    """User (common name) and groups (organizations) of a verified client certificate."""
    user, groups = "", []
    for relative in cast(Any, certificate.get("subject") or ()):
        for name, value in relative:
            if name == "commonName":
                user = str(value)
            elif name == "organizationName":
                groups.append(str(value))
    return user, groups
