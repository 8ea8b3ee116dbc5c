"""What the client wants to read: the media type and the shape (object, Table, PartialObjectMetadata)."""

from __future__ import annotations

from typing import NamedTuple

from pinnace.api.errors import ApiError
from pinnace.apiserver.request import Request
from pinnace.core.memo import memo

ACCEPTED = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")
OBJECT = ""
TABLE = "Table"
PARTIAL = "PartialObjectMetadata"


class Format(NamedTuple):
    """``shape`` is OBJECT, TABLE or PARTIAL (lists too); ``plain``: the canonical bytes can be sent as they are."""

    yaml: bool
    shape: str
    pretty: bool = False

    @property
    def plain(self) -> bool:
        return self is PLAIN

    @property
    def content_type(self) -> str:
        return "application/yaml" if self.yaml else "application/json"


PLAIN = Format(yaml=False, shape=OBJECT)


def not_acceptable(*, media_known: bool) -> ApiError:
    """Upstream's router refuses unknown media types by itself, in words of its own."""
    listed = "only the following media types are accepted: application/json, application/yaml"
    return ApiError(406, "NotAcceptable", listed if media_known else "406: Not Acceptable", details={})


@memo(512)
def parse_accept(accept: str) -> Format:
    """The first alternative that can be served. Raises ApiError 406."""
    known = False
    for clause in accept.split(","):
        media, *params = (part.strip() for part in clause.split(";"))
        if media in ("application/json", "*/*", "application/*", ""):
            yaml = False
        elif media in ("application/yaml", "application/x-yaml", "text/yaml"):
            yaml = True
        else:
            continue
        known = True
        values = dict(param.partition("=")[::2] for param in params if "=" in param)
        shape = values.get("as", "")
        if shape:
            if values.get("g") != "meta.k8s.io" or values.get("v") not in ("v1", "v1beta1"):
                continue
            if shape == "PartialObjectMetadataList":
                shape = PARTIAL
            if shape not in (TABLE, PARTIAL) or (shape == TABLE and yaml):
                continue
        return Format(yaml=yaml, shape=shape) if yaml or shape else PLAIN
    raise not_acceptable(media_known=known)


def of(request: Request) -> Format:
    """The format of ``request``'s answer."""
    headers = request.headers
    accept = headers.get("accept")
    found = PLAIN if accept is None else parse_accept(accept)
    if request.query_string and "pretty" in request.query_string:
        if request.query.get("pretty") in ("1", "true", ""):
            return found._replace(pretty=True)
        return found
    if "user-agent" in headers and headers["user-agent"].startswith(("curl/", "Wget/", "Mozilla/5.0")):
        return found._replace(pretty=True)
    return found
