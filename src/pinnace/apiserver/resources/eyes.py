"""How watchers see events: what is selected, in which format. Equal views share their renderings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from pinnace.api.registry import Resource
from pinnace.api.types import Object
from pinnace.apiserver.http import wire
from pinnace.apiserver.resources import codec, render
from pinnace.apiserver.resources.negotiation import PARTIAL, TABLE, Format
from pinnace.apiserver.resources.selection import Selection
from pinnace.client.transport import WatchEvent
from pinnace.store.protocol import Event, KeyValue

_PREFIX = {
    "ADDED": b'{"type":"ADDED","object":',
    "MODIFIED": b'{"type":"MODIFIED","object":',
    "DELETED": b'{"type":"DELETED","object":',
    "BOOKMARK": b'{"type":"BOOKMARK","object":',
    "ERROR": b'{"type":"ERROR","object":',
}


class Eye(ABC):
    """How one kind of watcher sees events: what is selected, in which format. The renderings of a ``shareable`` one
    serve every watcher of an equal selection."""

    content_type = "application/json"
    shareable = True

    def __init__(self, row: Resource, chosen: Selection) -> None:
        self.row = row
        self.chosen = chosen
        self._matches: Callable[[Object], bool] | None = None if chosen.everything else chosen.matches

    def type_of(self, event: Event) -> str:
        """What the event is to this watcher: ADDED, MODIFIED, DELETED or "" (nothing)."""
        current, previous = event.current, event.previous
        if self._matches is None:
            if current is None:
                return "DELETED"
            return "ADDED" if previous is None else "MODIFIED"
        row, matches = self.row, self._matches
        was = previous is not None and matches(codec.read(previous, row))
        if current is not None and matches(codec.read(current, row)):
            return "MODIFIED" if was else "ADDED"
        return "DELETED" if was else ""

    @abstractmethod
    def events(self, events: Sequence[Event]) -> Any:
        """A batch of events; None if none is to be seen."""

    @abstractmethod
    def state(self, items: Sequence[KeyValue]) -> Any:
        """A batch of ADDED events for the state."""

    @abstractmethod
    def single(self, type: str, obj: Object) -> Any:
        """A batch of one event with this object."""

    def object_of(self, event: Event) -> Object:
        if event.current is not None and (self._matches is None or self._matches(codec.read(event.current, self.row))):
            return codec.read(event.current, self.row)
        assert event.previous is not None
        return codec.deleted(event.previous, self.row, event.revision)

    def selected(self, items: Sequence[KeyValue]) -> list[KeyValue]:
        if self._matches is None:
            return list(items)
        return [item for item in items if self._matches(codec.read(item, self.row))]


class ObjectEye(Eye):
    """For watchers in this process: lists of WatchEvents with shared objects."""

    def events(self, events: Sequence[Event]) -> list[WatchEvent] | None:
        seen = []
        for event in events:
            if type := self.type_of(event):
                if event.frames is None:
                    event.frames = {}
                key = (type, self.row.version, self.row.group)
                held = event.frames.get(key)
                if held is None:
                    held = event.frames[key] = WatchEvent(type, self.object_of(event))
                seen.append(held)
        return seen or None

    def state(self, items: Sequence[KeyValue]) -> list[WatchEvent]:
        return [WatchEvent("ADDED", codec.read(item, self.row)) for item in self.selected(items)]

    def single(self, type: str, obj: Object) -> list[WatchEvent]:
        return [WatchEvent(type, obj)]


class BytesEye(Eye):
    """The canonical bytes, for HTTP: (frames, frames as an HTTP chunk)."""

    def events(self, events: Sequence[Event]) -> tuple[bytes, bytes] | None:
        frames = [self._frame(event, type) for event in events if (type := self.type_of(event))]
        return batch(frames) if frames else None

    def _frame(self, event: Event, type: str) -> bytes:
        if event.frames is None:
            event.frames = {}
        key = (type, self.row.version, self.row.group, b"")
        frame: bytes | None = event.frames.get(key)
        if frame is None:
            if type == "DELETED":
                assert event.previous is not None
                value = codec.deleted_bytes(event.previous, self.row, event.revision)
            else:
                assert event.current is not None
                value = codec.rendered(event.current, self.row)
            frame = event.frames[key] = b"%b%b}\n" % (_PREFIX[type], value)
        return frame

    def state(self, items: Sequence[KeyValue]) -> tuple[bytes, bytes]:
        prefix, row = _PREFIX["ADDED"], self.row
        return batch([b"%b%b}\n" % (prefix, codec.rendered(item, row)) for item in self.selected(items)])

    def single(self, type: str, obj: Object) -> tuple[bytes, bytes]:
        return batch([b"%b%b}\n" % (_PREFIX[type], orjson.dumps(obj))])


class ShapedEye(Eye):
    """Tables, metadata only or YAML, made for one watcher."""

    shareable = False

    def __init__(
        self, row: Resource, chosen: Selection, wanted: Format, include: str, now: Callable[[], float]
    ) -> None:
        super().__init__(row, chosen)
        self._wanted = wanted
        self.content_type = wanted.content_type
        self._include = include
        self._now = now
        self._columns = True  # only the first table has column definitions

    def _encode(self, type: str, obj: Object) -> bytes:
        if type in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK"):
            if self._wanted.shape == TABLE:
                metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
                rows = [] if type == "BOOKMARK" else [obj]
                obj = render.table(rows, self.row, metadata, self._include, self._now(), columns=self._columns)
                self._columns = False
            elif self._wanted.shape == PARTIAL:
                obj = render.partial(obj)
        if self._wanted.yaml:
            return b"---\n" + render.dump({"type": type, "object": obj}, self._wanted)
        return b"%b%b}\n" % (_PREFIX[type], orjson.dumps(obj))

    def events(self, events: Sequence[Event]) -> tuple[bytes, bytes] | None:
        frames = [self._encode(type, self.object_of(event)) for event in events if (type := self.type_of(event))]
        return batch(frames) if frames else None

    def state(self, items: Sequence[KeyValue]) -> tuple[bytes, bytes]:
        return batch([self._encode("ADDED", codec.read(item, self.row)) for item in self.selected(items)])

    def single(self, type: str, obj: Object) -> tuple[bytes, bytes]:
        return batch([self._encode(type, obj)])


def batch(frames: Sequence[bytes]) -> tuple[bytes, bytes]:
    data = b"".join(frames)
    return data, wire.chunk(data)
