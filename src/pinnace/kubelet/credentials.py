"""Registry credentials out of image pull Secrets."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any

from pinnace.api.types import Object

DOCKER_HUB = "docker.io"
_HUB_NAMES = ("index.docker.io", "registry-1.docker.io", "docker.io")


class CredentialsError(ValueError):
    """A Secret that holds no registry credentials."""


def for_image(secrets: Iterable[Object], image: str) -> list[dict[str, str]]:
    """CRI's AuthConfigs that fit a full image name, the closest match first. Raises CredentialsError."""
    name = image.partition("@")[0]
    found = []
    for secret in secrets:
        for registry, entry in _entries(secret):
            if _fits(registry, name):
                found.append((len(registry), _auth(registry, entry)))
    return [auth for _, auth in sorted(found, key=lambda item: -item[0])]


def _entries(secret: Object) -> Iterator[tuple[str, Any]]:
    data = secret.get("data") or {}
    name = (secret.get("metadata") or {}).get("name", "")
    for key, wrapped in ((".dockerconfigjson", True), (".dockercfg", False)):
        if key not in data:
            continue
        try:
            config = json.loads(base64.b64decode(data[key]))
            entries = config.get("auths") or {} if wrapped else config
            pairs = list(entries.items())
        except (ValueError, AttributeError, binascii.Error) as error:
            raise CredentialsError(f"Secret {name}: {key} is not a Docker configuration: {error}") from error
        for registry, entry in pairs:
            if isinstance(entry, dict):
                yield _bare(registry), entry


def _bare(registry: str) -> str:
    """``https://index.docker.io/v1/`` is ``docker.io``; a path that is no API version stays."""
    text = registry.removeprefix("https://").removeprefix("http://").rstrip("/")
    for version in ("/v1", "/v2"):
        text = text.removesuffix(version)
    host, slash, path = text.partition("/")
    return (DOCKER_HUB if host in _HUB_NAMES else host) + slash + path


def _fits(registry: str, name: str) -> bool:
    host, _, path = registry.partition("/")
    its_host, _, its_path = name.partition("/")
    if len(host.split(".")) != len(its_host.split(".")) or not fnmatchcase(its_host, host):
        return False
    return not path or its_path == path or its_path.startswith(path + "/")


def _auth(registry: str, entry: dict[str, Any]) -> dict[str, str]:
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if not username and entry.get("auth"):
        try:
            username, _, password = base64.b64decode(str(entry["auth"])).decode().partition(":")
        except (ValueError, binascii.Error) as error:
            raise CredentialsError(f"the auth of registry {registry} is not base64 of user:password") from error
    auth = {"username": username, "password": password}  # and no server_address: mirrors are other servers
    if entry.get("identitytoken"):
        auth["identity_token"] = str(entry["identitytoken"])
    return auth
