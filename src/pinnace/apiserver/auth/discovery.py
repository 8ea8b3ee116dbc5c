"""What others need to verify this cluster's tokens: the OpenID configuration and the public keys."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from pinnace.api.types import Object
from pinnace.apiserver.auth.jwt import ALGORITHM
from pinnace.apiserver.auth.tokens import ServiceAccountTokens
from pinnace.apiserver.request import Request
from pinnace.apiserver.response import Response, text

CONFIGURATION_PATH = "/.well-known/openid-configuration"
KEYS_PATH = "/openid/v1/jwks"
KEYS_CONTENT_TYPE = "application/jwk-set+json"


def openid_configuration(tokens: ServiceAccountTokens) -> Object:
    """The keys are where the issuer is: who reaches one (a Pod) reaches the other, at whatever address that is."""
    return {
        "issuer": tokens.issuer,
        "jwks_uri": f"{tokens.issuer}{KEYS_PATH}",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
    }


def public_keys(tokens: ServiceAccountTokens) -> Object:
    """The JSON Web Key Set."""
    return {"keys": [tokens.keys.public_jwk()]}


def handlers(tokens: ServiceAccountTokens) -> dict[str, Callable[[Request], Response]]:
    """Handlers of both, by the first part of the path."""

    def configuration(request: Request) -> Response:
        if request.path != CONFIGURATION_PATH:
            return text(404, "404 page not found\n")
        return _answer(request, openid_configuration(tokens), "application/json")

    def keys(request: Request) -> Response:
        if request.path != KEYS_PATH:
            return text(404, "404 page not found\n")
        return _answer(request, public_keys(tokens), KEYS_CONTENT_TYPE)

    return {".well-known": configuration, "openid": keys}


def _answer(request: Request, obj: Object, content_type: str) -> Response:
    if request.shared:
        return Response(200, object=obj)
    headers = (("Cache-Control", "public, max-age=3600"),)
    return Response(200, orjson.dumps(obj), content_type=content_type, headers=headers)
