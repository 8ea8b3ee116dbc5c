"""Which credentials fit which image."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from pinnace.kubelet.credentials import CredentialsError, for_image


def secret(auths: Any) -> dict[str, Any]:
    content = base64.b64encode(json.dumps({"auths": auths}).encode()).decode()
    return {"metadata": {"name": "s"}, "data": {".dockerconfigjson": content}}


def users(auths: Any, image: str) -> list[str]:
    return [auth["username"] for auth in for_image([secret(auths)], image)]


def entry(user: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:pw".encode()).decode()}


def test_matches() -> None:
    auths = {
        "https://index.docker.io/v1/": entry("hub"),
        "r.example:5000": entry("all"),
        "r.example:5000/team": {"username": "team", "password": "pw"},
        "*.wild.example": entry("wild"),
    }
    assert users(auths, "docker.io/library/nginx:latest") == ["hub"]
    assert users(auths, "r.example:5000/team/app:1") == ["team", "all"]
    assert users(auths, "r.example:5000/teammate/app:1") == ["all"]
    assert users(auths, "a.wild.example/x:1") == ["wild"]
    assert users(auths, "a.b.wild.example/x:1") == []
    assert users(auths, "other.example/x:1") == []


def test_broken_secrets() -> None:
    broken = {"metadata": {"name": "s"}, "data": {".dockerconfigjson": base64.b64encode(b"[").decode()}}
    with pytest.raises(CredentialsError, match="is not a Docker configuration"):
        for_image([broken], "x/y:1")
    assert for_image([{"metadata": {"name": "s"}, "data": {"other": "x"}}], "x/y:1") == []
