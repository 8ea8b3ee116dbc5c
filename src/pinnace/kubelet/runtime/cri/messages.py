"""CRI's protobuf messages, built at run time from the generated table ``cri_v1.json`` (``hack/update_messages.py``)."""

from __future__ import annotations

from importlib import resources

from pinnace.core import protomessages
from pinnace.core.protomessages import Method

__all__ = ["ENUMS", "METHODS", "Method", "number"]

_LOADED = protomessages.load(resources.files(__package__).joinpath("cri_v1.json").read_text(), "runtime.v1")
#: Method name -> how to call it; enum name -> value -> number.
METHODS, ENUMS = _LOADED.methods, _LOADED.enums


def number(enum: str, value: str) -> int:
    """The number of an enum's value. Raises KeyError."""
    return int(ENUMS[enum][value])
