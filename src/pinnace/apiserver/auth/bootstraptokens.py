"""Bootstrap tokens: how a machine that has no identity yet asks to become a node.

``abcdef.0123456789abcdef`` is the user ``system:bootstrap:abcdef`` while the Secret ``bootstrap-token-abcdef`` of
kube-system holds its secret half, allows authentication, and has not expired.
"""

from __future__ import annotations

import binascii
import hmac
import re
from base64 import b64decode

from pinnace.api import errors, meta
from pinnace.api.types import Object
from pinnace.apiserver.auth.objects import Lookup
from pinnace.apiserver.request import User
from pinnace.core.clock import Clock, parse_timestamp

TYPE = "bootstrap.kubernetes.io/token"
NAMESPACE, PREFIX = "kube-system", "bootstrap-token-"
USER_PREFIX = "system:bootstrap:"
GROUP = "system:bootstrappers"
_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_EXTRA_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")


class BootstrapTokens:
    """A ``TokenAuthenticator``."""

    def __init__(self, lookup: Lookup, clock: Clock) -> None:
        self._lookup = lookup
        self._clock = clock

    def authenticate(self, token: str) -> User | None:
        matched = _TOKEN.fullmatch(token)
        if matched is None:
            return None
        identity, secret = matched.groups()
        held = self._lookup("secrets", NAMESPACE, PREFIX + identity)
        user = None if held is None else self._user(held, identity, secret)
        if user is None:
            raise errors.unauthorized()
        return user

    def _user(self, held: Object, identity: str, secret: str) -> User | None:
        if held.get("type") != TYPE or meta.is_deleting(held):
            return None
        try:
            data = {name: b64decode(value).decode() for name, value in (held.get("data") or {}).items()}
            expires = parse_timestamp(data["expiration"]) if data.get("expiration") else float("inf")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return None
        if data.get("token-id") != identity or data.get("usage-bootstrap-authentication") != "true":
            return None
        if not hmac.compare_digest(data.get("token-secret", ""), secret) or self._clock.now() >= expires:
            return None
        extra = [group for group in data.get("auth-extra-groups", "").split(",") if group]
        if not all(_EXTRA_GROUP.fullmatch(group) for group in extra):
            return None
        return User(USER_PREFIX + identity, groups=(GROUP, *extra, "system:authenticated"))
