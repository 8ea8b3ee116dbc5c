"""From method and path to what is asked for (upstream's RequestInfo)."""

from __future__ import annotations

from pinnace.apiserver.request import Request, RequestInfo

_VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
#: What can follow a namespace's name that is a subresource of the namespace itself.
_NAMESPACE_SUBRESOURCES = ("status", "finalize")


def parse(request: Request) -> RequestInfo:
    """``/apis/apps/v1/namespaces/default/deployments/web/scale`` taken apart."""
    path = request.path
    parts = path.strip("/").split("/")
    root = parts[0]
    if root == "api" and len(parts) >= 3:
        group, version, rest = "", parts[1], parts[2:]
    elif root == "apis" and len(parts) >= 4:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return RequestInfo(request.method.lower(), path)
    verb = _VERBS.get(request.method, "")
    if not verb and request.method != "OPTIONS":
        return RequestInfo(request.method.lower(), path)
    watching = False
    if rest[0] == "watch" and len(rest) > 1:  # the older form, still served
        watching, rest = True, rest[1:]
    elif rest[0] == "proxy":
        return RequestInfo(request.method.lower(), path)
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        if not group or len(rest) > 2:
            namespace = rest[1]
        if len(rest) > 2 and not (rest[2] in _NAMESPACE_SUBRESOURCES and not group and len(rest) == 3):
            rest = rest[2:]
    resource = rest[0]
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    if not verb and subresource != "proxy":  # which passes on whatever it is asked
        return RequestInfo(request.method.lower(), path)
    if not name:
        if verb == "get":
            verb = "list"
        elif verb == "delete":
            verb = "deletecollection"
    if watching:
        verb = "watch"
    elif verb in ("list", "get") and not subresource and request.query_string and "watch" in request.query_string:
        if request.asks("watch"):
            verb = "watch"
    elif verb in ("list", "get") and request.shared and request.asks("watch"):
        verb = "watch"
    if verb in ("list", "watch", "deletecollection") and not name and (request.shared or request.query_string):
        name = _named(request)
    return RequestInfo(verb, path, group, version, resource, subresource, namespace, name)


def _named(request: Request) -> str:
    """The one object that a field selector allows, for authorization by name."""
    if not request.shared and "metadata.name" not in request.query_string:
        return ""
    for term in request.query.get("fieldSelector", "").split(","):
        field, _, value = term.partition("=")
        if field == "metadata.name":
            return value.removeprefix("=")
    return ""
