"""JSON Web Tokens as Kubernetes signs them: ES256 with the cluster's service-account key.

Only that algorithm and that key are accepted, whatever a token's header asks for. Times are the caller's business.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import orjson

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

ALGORITHM = "ES256"


class TokenError(Exception):
    """Why a token is not accepted; never holds the token."""


class Keys:
    """The signing key in ``path`` (PEM, ECDSA P-256), read when it is first needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._key: EllipticCurvePrivateKey | None = None
        self._kid = ""

    def _load(self) -> EllipticCurvePrivateKey:
        if self._key is None:
            from cryptography.hazmat.primitives import serialization
            from cryptography.hazmat.primitives.asymmetric import ec

            key = serialization.load_pem_private_key(self._path.read_bytes(), None)
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise ValueError(f"{self._path} holds a key of another kind than ECDSA")
            der = key.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            self._kid = base64url(hashlib.sha256(der).digest())
            self._key = key
        return self._key

    def sign(self, claims: dict[str, Any]) -> str:
        from jwt.api_jws import PyJWS

        key = self._load()
        return PyJWS().encode(orjson.dumps(claims), key, ALGORITHM, headers={"typ": None, "kid": self._kid})

    def verify(self, token: str) -> dict[str, Any]:
        """The claims of a token that this key signed. Raises TokenError."""
        from jwt.api_jws import PyJWS
        from jwt.exceptions import PyJWTError

        key = self._load().public_key()
        try:
            payload = PyJWS().decode(token, key, algorithms=[ALGORITHM])
        except (PyJWTError, ValueError) as error:
            raise TokenError("failed to verify the token's signature") from error
        return _claims(payload)

    def public_jwk(self) -> dict[str, str]:
        """The public key as a JSON Web Key."""
        numbers = self._load().public_key().public_numbers()
        return {
            "use": "sig",
            "kty": "EC",
            "kid": self._kid,
            "crv": "P-256",
            "alg": ALGORITHM,
            "x": base64url(numbers.x.to_bytes(32, "big")),
            "y": base64url(numbers.y.to_bytes(32, "big")),
        }


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unverified_claims(token: str) -> dict[str, Any] | None:
    """What a token claims, believed by nobody yet; None if it is no JWT."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        return _claims(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, TokenError):
        return None


def _claims(payload: bytes) -> dict[str, Any]:
    try:
        claims = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise TokenError("the token's claims are not JSON") from error
    if not isinstance(claims, dict):
        raise TokenError("the token's claims are not an object")
    return cast(dict[str, Any], claims)
