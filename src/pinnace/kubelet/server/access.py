"""Who may ask a kubelet: holders of a client certificate of the cluster's CA, as the API server authorizes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pinnace.api.errors import ApiError
from pinnace.api.types import GVR
from pinnace.client.client import Client
from pinnace.core.clock import Clock
from pinnace.kubelet.server.http import Refusal

REVIEWS = GVR("authorization.k8s.io", "v1", "subjectaccessreviews")
MASTERS = "system:masters"
#: Seconds that an answer is good for.
REMEMBERED = 60.0
ANSWERS = 4096
_SUBRESOURCES = {"stats": "stats", "metrics": "metrics", "logs": "log", "pods": "pods", "healthz": "healthz"}


class Access:
    def __init__(self, client: Client, clock: Clock, node_name: str) -> None:
        self._client = client
        self._clock = clock
        self._node_name = node_name
        self._answers: dict[tuple[str, tuple[str, ...], str, str], tuple[float, bool]] = {}  # emptied when full

    async def check(self, certificate: Mapping[str, object], method: str, path: str) -> None:
        """Raises Refusal (401, 403)."""
        user, groups = subject(certificate)
        if not user:
            raise Refusal(401, "Unauthorized")
        if MASTERS in groups:
            return
        verb = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "DELETE": "delete"}.get(method, "get")
        part = _SUBRESOURCES.get(path.split("/")[1], "proxy")
        asked = user, tuple(groups), verb, part
        known = self._answers.get(asked)
        now = self._clock.monotonic()
        if known is None or known[0] < now:
            known = now + REMEMBERED, await self._ask(user, groups, verb, part)
            if len(self._answers) >= ANSWERS:
                self._answers.clear()
            self._answers[asked] = known
        if not known[1]:
            raise Refusal(403, f"Forbidden (user={user}, verb={verb}, resource=nodes, subresource(s)=[{part}])")

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
