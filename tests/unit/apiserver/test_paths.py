"""What a method and path ask for."""

from __future__ import annotations

import pytest

from pinnace.apiserver import paths
from pinnace.apiserver.request import Request


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("GET /api/v1/pods", ("list", "", "v1", "pods", "", "", "")),
        ("GET /api/v1/pods?watch=true", ("watch", "", "v1", "pods", "", "", "")),
        ("GET /api/v1/pods?watch=0", ("list", "", "v1", "pods", "", "", "")),
        ("GET /api/v1/watch/namespaces/d/pods", ("watch", "", "v1", "pods", "", "d", "")),
        ("GET /api/v1/namespaces", ("list", "", "v1", "namespaces", "", "", "")),
        ("GET /api/v1/namespaces/d", ("get", "", "v1", "namespaces", "", "d", "d")),
        ("PUT /api/v1/namespaces/d/finalize", ("update", "", "v1", "namespaces", "finalize", "d", "d")),
        ("PATCH /api/v1/namespaces/d/status", ("patch", "", "v1", "namespaces", "status", "d", "d")),
        ("POST /api/v1/namespaces/d/pods", ("create", "", "v1", "pods", "", "d", "")),
        ("DELETE /api/v1/namespaces/d/pods", ("deletecollection", "", "v1", "pods", "", "d", "")),
        ("DELETE /api/v1/namespaces/d/pods/a", ("delete", "", "v1", "pods", "", "d", "a")),
        ("GET /api/v1/namespaces/d/pods/a/log?follow=1", ("get", "", "v1", "pods", "log", "d", "a")),
        ("GET /api/v1/nodes/n/proxy/logs/x", ("get", "", "v1", "nodes", "proxy", "", "n")),
        ("GET /apis/apps/v1/deployments", ("list", "apps", "v1", "deployments", "", "", "")),
        ("GET /apis/apps/v1/namespaces/d/deployments/w/scale", ("get", "apps", "v1", "deployments", "scale", "d", "w")),
        ("GET /api/v1/nodes?fieldSelector=metadata.name%3Dn", ("list", "", "v1", "nodes", "", "", "n")),
    ],
)
def test_resources(asked: str, expected: tuple[str, ...]) -> None:
    method, _, target = asked.partition(" ")
    path, _, query = target.partition("?")
    info = paths.parse(Request(method, path, query, {}, b""))
    assert info.is_resource
    assert (
        info.verb,
        info.group,
        info.version,
        info.resource,
        info.subresource,
        info.namespace,
        info.name,
    ) == expected


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/healthz", "/version"]
)
def test_everything_else_is_its_path(path: str) -> None:
    info = paths.parse(Request("GET", path, "", {}, b""))
    assert (info.is_resource, info.verb, info.path) == (False, "get", path)
