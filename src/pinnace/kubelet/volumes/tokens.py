"""Tokens of Pods' service accounts, renewed before they end.

A token is asked for again once 80 % of its life is over, or after a day.
"""

from __future__ import annotations

from pinnace.api import meta
from pinnace.api.resources import SERVICE_ACCOUNTS
from pinnace.api.types import Object
from pinnace.client.client import Client
from pinnace.core.clock import Clock, parse_timestamp

DAY = 24 * 3600.0
FRESH = 0.8


class Tokens:
    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._known: dict[tuple[str, str, int], tuple[str, float]] = {}  # (UID, audience, seconds) -> token, renew at

    async def get(self, pod: Object, audience: str, seconds: int) -> str:
        """Raises ApiError, OSError."""
        key = meta.uid(pod), audience, seconds
        known = self._known.get(key)
        if known is not None and self._clock.now() < known[1]:
            return known[0]
        request: Object = {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"namespace": meta.namespace(pod)},
            "spec": {
                "audiences": [audience] if audience else [],
                "expirationSeconds": seconds,
                "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": meta.name(pod), "uid": meta.uid(pod)},
            },
        }
        account = str(pod["spec"].get("serviceAccountName") or "default")
        now = self._clock.now()
        answer = await self._client.create(
            SERVICE_ACCOUNTS, request, name=account, subresource="token", namespace=meta.namespace(pod)
        )
        status = answer["status"]
        life = parse_timestamp(status["expirationTimestamp"]) - now
        life = min(life, float(answer["spec"].get("expirationSeconds") or life))
        self._known[key] = status["token"], now + min(life * FRESH, DAY)
        return str(status["token"])

    def renewal(self, uid: str) -> float | None:
        """When the Pod's next token is due, in seconds since the epoch."""
        due = [renew for (owner, _, _), (_, renew) in self._known.items() if owner == uid]
        return min(due) if due else None

    def forget(self, uid: str) -> None:
        for key in [key for key in self._known if key[0] == uid]:
            del self._known[key]
