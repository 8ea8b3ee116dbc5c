"""The row that says how a kind is created and updated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pinnace.api.types import Object


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How a kind behaves; the defaults are those of a kind with neither status nor generation (ConfigMap)."""

    #: What raises ``metadata.generation``: "spec", "content" (all but metadata and status), or "" for never.
    generation: str = ""
    generation_counts_annotations: bool = False
    #: Whether ``status`` belongs to the status endpoint.
    status: bool = False
    keep_status_on_create: bool = False
    #: What a new object's status is; None for none at all.
    initial_status: Object | None = None
    #: The status endpoint keeps labels, annotations, finalizers and owners.
    reset_metadata: bool = False
    status_keeps_labels: bool = False
    on_create: Callable[[Object], None] | None = None
    on_update: Callable[[Object, Object], None] | None = None
    on_status_update: Callable[[Object, Object], None] | None = None
    #: Endpoints with rules of their own: ``(new, old)``.
    subresources: Mapping[str, Callable[[Object, Object], None]] = field(default_factory=dict)
