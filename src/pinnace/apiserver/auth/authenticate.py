"""Authentication: a client certificate, or a bearer token, to a ``User``.

A certificate counts first. A request that shows neither is nobody (None); only the health checks answer it
(``anonymous``). What a certificate says is read once and kept; that it has not expired is checked at every request,
because connections live long.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from pinnace.api import errors
from pinnace.apiserver.auth import certificates
from pinnace.apiserver.request import ANONYMOUS, User
from pinnace.core.clock import Clock

#: The paths that answer without credentials.
ANONYMOUS_PATHS = frozenset(("/livez", "/readyz", "/healthz"))
_CERTIFICATES_KEPT = 4096


class TokenAuthenticator(Protocol):
    """Knows one kind of bearer token."""

    def authenticate(self, token: str) -> User | None:
        """Whose it is; None if it is not of this kind. Raises ApiError 401 if it is and is not valid."""


def anonymous(path: str) -> User | None:
    """Who a request for ``path`` without credentials is from; None if that needs credentials (401)."""
    return ANONYMOUS if path in ANONYMOUS_PATHS else None


class Authenticators:
    """An ``Authenticator`` (see ``request``)."""

    def __init__(self, clock: Clock, tokens: tuple[TokenAuthenticator, ...] = ()) -> None:
        self._clock = clock
        self._tokens = tokens
        self._certificates: dict[bytes, certificates.ClientCertificate] = {}  # emptied when full

    def authenticate(self, certificate: bytes | None, headers: Mapping[str, str]) -> User | None:
        if certificate is not None:
            user = self._by_certificate(certificate)
            if user is not None:
                return user
        authorization = headers.get("authorization", "")
        scheme, _, token = authorization.strip().partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            return None
        for authenticator in self._tokens:
            user = authenticator.authenticate(token)
            if user is not None:
                return user
        raise errors.unauthorized()

    def _by_certificate(self, der: bytes) -> User | None:
        known = self._certificates.get(der)
        if known is None:
            try:
                known = certificates.read_certificate(der)
            except certificates.MalformedError as error:
                raise errors.unauthorized() from error
            if len(self._certificates) >= _CERTIFICATES_KEPT:
                self._certificates.clear()
            self._certificates[der] = known
        if not known.not_before <= self._clock.outside.now() <= known.not_after:
            raise errors.unauthorized()
        return known.user
