"""etcd's protobuf messages, built at run time from the table ``etcd_v3.json`` (``hack/update_messages.py``)."""

from __future__ import annotations

from importlib import resources
from typing import Any

from pinnace.core import protomessages

_LOADED = protomessages.load(resources.files(__package__).joinpath("etcd_v3.json").read_text(), "etcdserverpb")
METHODS = _LOADED.methods

Compare: Any = _LOADED.classes["Compare"]
CompactionRequest: Any = _LOADED.classes["CompactionRequest"]
RangeRequest: Any = _LOADED.classes["RangeRequest"]
StatusRequest: Any = _LOADED.classes["StatusRequest"]
TxnRequest: Any = _LOADED.classes["TxnRequest"]
WatchRequest: Any = _LOADED.classes["WatchRequest"]

#: Compare.target
VERSION = _LOADED.enums["CompareTarget"]["VERSION"]
MOD = _LOADED.enums["CompareTarget"]["MOD"]
#: Event.type
DELETE = _LOADED.enums["EventType"]["DELETE"]
