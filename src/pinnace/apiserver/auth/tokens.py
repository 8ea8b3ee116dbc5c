"""Service-account tokens: made, bound to what they stand for, and verified (KEP-1205).

A token is good from ``nbf`` to ``exp`` (a minute's leeway for clocks) and while its ServiceAccount, and the Pod, Secret
or Node it is bound to, exist with the same UID. The signature of a token is checked once and remembered, by the token's
hash, for at most ``_KEPT`` tokens; time and objects are checked at every use, so a deleted Pod's token ends at once.
Of a token whose objects are still the very versions that it was last checked against, only the time is.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

from pinnace.api import errors, meta
from pinnace.api.types import Object
from pinnace.apiserver.auth.jwt import Keys, TokenError, unverified_claims
from pinnace.apiserver.auth.objects import Lookup
from pinnace.apiserver.request import User
from pinnace.core.clock import Clock, parse_timestamp

ISSUER = "https://kubernetes.default.svc.cluster.local"
PRIVATE = "kubernetes.io"
USER_PREFIX = "system:serviceaccount:"
GROUP = "system:serviceaccounts"
_KEPT = 4096
#: Fewer of those that hold on to objects.
_PROVEN = 256
_LEEWAY = 60.0
#: A deleted object's tokens are good for this long after its grace period ended.
_DELETION_LEEWAY = 60.0
#: What kubelets ask for; such tokens are good for a year, so that old clients that never read them again go on
#: working, and carry when they should have been renewed.
WARN_ONLY_SECONDS = 3607
EXTENDED_SECONDS = 365 * 24 * 3600

_BOUND = {"pod": "pods", "secret": "secrets", "node": "nodes"}


class _Proven(NamedTuple):
    """What a token was found to be worth, as long as each of ``held``, none of which is being deleted, stays as it is.
    ``held`` are the arguments of the look-up and its answer."""

    user: User
    begins: float
    ends: float
    held: tuple[tuple[str, str, str, Object], ...]


class Verified(NamedTuple):
    """A good token: whose it is and for which of the audiences asked about."""

    user: User
    audiences: tuple[str, ...]


def user_of(namespace: str, name: str, uid: str = "", extra: dict[str, tuple[str, ...]] | None = None) -> User:
    """The user that a ServiceAccount acts as."""
    groups = (GROUP, f"{GROUP}:{namespace}", "system:authenticated")
    return User(f"{USER_PREFIX}{namespace}:{name}", uid, groups, extra or {})


class ServiceAccountTokens:
    """A ``TokenAuthenticator``, and the maker of tokens."""

    def __init__(self, keys: Keys, lookup: Lookup, clock: Clock, *, issuer: str = ISSUER) -> None:
        self.keys = keys
        self.issuer = issuer
        self.audiences = (issuer,)
        self._lookup = lookup
        self._clock = clock
        self._signed: dict[bytes, dict[str, Any]] = {}  # emptied when full
        self._proven: dict[bytes, _Proven] = {}  # emptied when full; for our own audiences

    # -- making

    def issue(
        self,
        service_account: Object,
        *,
        seconds: int,
        audiences: Sequence[str],
        bound_kind: str = "",
        bound: Object | None = None,
        node: Object | None = None,
    ) -> str:
        """A token for ``audiences``; ``bound_kind`` (pod, secret or node) and ``bound`` end it with that object;
        ``node`` says where a pod runs."""
        now = int(self._clock.now())
        private: dict[str, Any] = {
            "namespace": meta.namespace(service_account),
            "serviceaccount": _reference(service_account),
        }
        expires = now + seconds
        if bound is not None:
            private[bound_kind] = _reference(bound)
        if node is not None:
            private["node"] = _reference(node)
        if bound_kind == "pod" and seconds == WARN_ONLY_SECONDS and self._is_for_us(audiences):
            private["warnafter"] = expires
            expires = now + EXTENDED_SECONDS
        return self.keys.sign(
            {
                "aud": list(audiences),
                "exp": expires,
                "iat": now,
                "iss": self.issuer,
                "jti": str(uuid.uuid4()),
                PRIVATE: private,
                "nbf": now,
                "sub": f"{USER_PREFIX}{meta.namespace(service_account)}:{meta.name(service_account)}",
            }
        )

    def _is_for_us(self, audiences: Sequence[str]) -> bool:
        return all(audience in self.audiences for audience in audiences)

    # -- verifying

    def authenticate(self, token: str) -> User | None:
        digest = hashlib.sha256(token.encode()).digest()
        proven = self._proven.get(digest)
        if proven is not None and self._holds(proven):
            return proven.user
        if not self.is_ours(token):
            return None
        held: list[tuple[str, str, str, Object]] = []
        try:
            user = self._verify(token, self.audiences, held).user
        except TokenError as error:
            raise errors.unauthorized() from error
        if not any(meta.is_deleting(bound) for *_, bound in held):
            if len(self._proven) >= _PROVEN:
                self._proven.clear()
            claims = self._signed_claims(token)
            self._proven[digest] = _Proven(user, claims["nbf"] - _LEEWAY, claims["exp"] + _LEEWAY, tuple(held))
        return user

    def _holds(self, proven: _Proven) -> bool:
        if not proven.begins <= self._clock.now() <= proven.ends:
            return False
        return all(self._lookup(plural, namespace, name) is found for plural, namespace, name, found in proven.held)

    def is_ours(self, token: str) -> bool:
        """Whether it says that this cluster issued it."""
        if hashlib.sha256(token.encode()).digest() in self._signed:
            return True
        claims = unverified_claims(token)
        return claims is not None and claims.get("iss") == self.issuer

    def verify(self, token: str, audiences: Sequence[str]) -> Verified:
        """Raises TokenError."""
        return self._verify(token, audiences, [])

    def _verify(self, token: str, audiences: Sequence[str], held: list[tuple[str, str, str, Object]]) -> Verified:
        """Adds to ``held`` the objects that the token depends on."""
        claims = self._signed_claims(token)
        now = self._clock.now()
        if not isinstance(claims.get("exp"), int) or now > claims["exp"] + _LEEWAY:
            raise TokenError("service account token has expired")
        if not isinstance(claims.get("nbf"), int) or now < claims["nbf"] - _LEEWAY:
            raise TokenError("service account token is not valid yet")
        meant = claims.get("aud") or ()
        matched = tuple(audience for audience in audiences if audience in meant)
        if not matched:
            raise TokenError(f"token audiences {list(meant)!r} is invalid for the target audiences {list(audiences)!r}")
        return Verified(self._user(claims, held), matched)

    def _signed_claims(self, token: str) -> dict[str, Any]:
        digest = hashlib.sha256(token.encode()).digest()
        claims = self._signed.get(digest)
        if claims is None:
            claims = self.keys.verify(token)
            if claims.get("iss") != self.issuer:
                raise TokenError("the token is from another issuer")
            if len(self._signed) >= _KEPT:
                self._signed.clear()
            self._signed[digest] = claims
        return claims

    def _user(self, claims: dict[str, Any], held: list[tuple[str, str, str, Object]]) -> User:
        private = claims.get(PRIVATE)
        if not isinstance(private, dict) or not isinstance(private.get("serviceaccount"), dict):
            raise TokenError("the token is not bound to a service account")
        namespace = str(private.get("namespace") or "")
        account = private["serviceaccount"]
        if claims.get("sub") != f"{USER_PREFIX}{namespace}:{account.get('name')}":
            raise TokenError("the token's subject does not match its service account")
        held.append(self._existing("serviceaccounts", namespace, account))
        extra: dict[str, tuple[str, ...]] = {}
        if claims.get("jti"):
            extra["authentication.kubernetes.io/credential-id"] = (f"JTI={claims['jti']}",)
        for kind, plural in _BOUND.items():
            reference = private.get(kind)
            if not isinstance(reference, dict):
                continue
            # a Pod's token ends with the Pod; its node is only told
            if kind != "node" or "pod" not in private:
                held.append(self._existing(plural, "" if kind == "node" else namespace, reference))
            if kind != "secret":
                extra[f"authentication.kubernetes.io/{kind}-name"] = (str(reference.get("name")),)
                if reference.get("uid"):
                    extra[f"authentication.kubernetes.io/{kind}-uid"] = (str(reference["uid"]),)
        return user_of(namespace, str(account.get("name")), str(account.get("uid") or ""), extra)

    def _existing(self, plural: str, namespace: str, reference: dict[str, Any]) -> tuple[str, str, str, Object]:
        name = str(reference.get("name") or "")
        obj = self._lookup(plural, namespace, name)
        if obj is None or meta.uid(obj) != reference.get("uid"):
            raise TokenError(f"what the token is bound to ({plural}) has been deleted")
        deleted = meta.metadata(obj).get("deletionTimestamp")
        if deleted and self._clock.now() > parse_timestamp(deleted) + _DELETION_LEEWAY:
            raise TokenError(f"what the token is bound to ({plural}) is being deleted")
        return plural, namespace, name, obj


def _reference(obj: Object) -> Object:
    return {"name": meta.name(obj), "uid": meta.uid(obj)}
