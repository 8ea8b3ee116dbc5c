"""Fields that an endpoint leaves as they are whatever a client sends: nobody comes to own them through it.

They are upstream's strategies' ``GetResetFields``.
"""

from __future__ import annotations

from functools import cache

from pinnace.api.apply.fieldset import EMPTY, Set, of_paths
from pinnace.api.types import GVK

#: What is never anybody's: it names the object, or is the server's own.
NEVER: Set = of_paths(
    ("f:apiVersion",),
    ("f:kind",),
    ("f:metadata",),
    *[
        ("f:metadata", f"f:{name}")
        for name in (
            "clusterName",
            "creationTimestamp",
            "generation",
            "managedFields",
            "name",
            "namespace",
            "resourceVersion",
            "selfLink",
            "uid",
        )
    ],
)
_STATUS = of_paths(("f:status",))
_SPEC = of_paths(("f:spec",))
_SPEC_AND_METADATA = of_paths(("f:spec",), ("f:metadata",))
_SPEC_AND_LABELS = of_paths(("f:spec",), ("f:metadata", "f:labels"))
_POD_STATUS = of_paths(("f:spec",), ("f:metadata", "f:deletionTimestamp"), ("f:metadata", "f:ownerReferences"))
#: Custom resources: metadata is the main endpoint's.
_CUSTOM_STATUS = of_paths(("f:metadata",), ("f:spec",))


@cache
def fields(gvk: GVK, subresource: str, *, custom: bool = False, has_status: bool = True) -> Set:
    """What ``subresource`` ("" for the object itself) ignores of an object of ``gvk``."""
    if custom:
        if not has_status:
            return EMPTY
        return _CUSTOM_STATUS if subresource == "status" else _STATUS
    from pinnace.api.strategy import rules_of  # not before the first write: a start does without

    rules = rules_of(gvk)
    if subresource == "":
        return _STATUS if rules.status else EMPTY
    if subresource != "status":
        return EMPTY
    if (gvk.group, gvk.kind) == ("", "Pod"):
        return _POD_STATUS
    if rules.reset_metadata:
        return _SPEC_AND_METADATA
    return _SPEC_AND_LABELS if rules.status_keeps_labels else _SPEC
