"""Removes bootstrap tokens that have expired."""

from __future__ import annotations

from base64 import b64decode

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_reason
from pinnace.api.resources import SECRETS
from pinnace.api.types import Object
from pinnace.controllers import kit
from pinnace.core.clock import parse_timestamp

_TYPE = "bootstrap.kubernetes.io/token"


def expires_at(secret: Object) -> float | None:
    """When a token ends; None: never, or nobody can tell. Pure."""
    try:
        return parse_timestamp(b64decode((secret.get("data") or {}).get("expiration") or "").decode())
    except ValueError:  # of the encodings and of the time
        return None


class TokenCleaner(kit.Controller):
    """Watches the Secrets of kube-system."""

    name = "token-cleaner"
    account = "token-cleaner"

    def __init__(self, tools: kit.Kit) -> None:
        super().__init__(tools)
        self._secrets = tools.informer(SECRETS)
        self._secrets.add_handler(self._changed)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None and new.get("type") == _TYPE and meta.namespace(new) == "kube-system":
            self.queue.add(meta.key(new))

    async def sync(self, key: str) -> None:
        secret = self._secrets.by_key(key)
        expires = None if secret is None else expires_at(secret)
        if secret is None or expires is None:
            return
        left = expires - self.clock.now()
        if left > 0:
            self.queue.add_after(key, left)
            return
        try:
            await self.client.delete(SECRETS, meta.name(secret), meta.namespace(secret), uid=meta.uid(secret))
        except ApiError as error:
            if not is_reason(error, "NotFound", "Conflict"):
                raise
