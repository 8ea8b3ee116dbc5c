"""What others need to verify this cluster's tokens: the OpenID configuration and the public keys."""

from __future__ import annotations

from pinnace.api.types import Object
from pinnace.apiserver.auth.jwt import ALGORITHM
from pinnace.apiserver.auth.tokens import ServiceAccountTokens

CONFIGURATION_PATH = "/.well-known/openid-configuration"
KEYS_PATH = "/openid/v1/jwks"
KEYS_CONTENT_TYPE = "application/jwk-set+json"


def openid_configuration(tokens: ServiceAccountTokens, server: str) -> Object:
    """``server`` is the API server's URL as others reach it."""
    return {
        "issuer": tokens.issuer,
        "jwks_uri": f"{server}{KEYS_PATH}",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
    }


def public_keys(tokens: ServiceAccountTokens) -> Object:
    """The JSON Web Key Set."""
    return {"keys": [tokens.keys.public_jwk()]}
