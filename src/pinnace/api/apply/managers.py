"""The entries of ``metadata.managedFields``: read, written, ordered, and no more than ten of updates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

from pinnace.api.apply import fieldset
from pinnace.api.apply.fieldset import FieldsError, Set
from pinnace.api.types import Object

APPLY, UPDATE = "Apply", "Update"
#: Whom the oldest entries of updates are merged into where there are more than this many.
ANCIENT = "ancient-changes"
MOST_UPDATES = 10
#: Whose fields those are that were there before anybody applied, of an object without entries.
BEFORE_FIRST_APPLY = "before-first-apply"
#: The longest name of a manager.
LONGEST_NAME = 128


class Identity(NamedTuple):
    """What tells managers apart: one who applies in several versions stays the same (``api_version`` is "")."""

    manager: str
    operation: str
    api_version: str
    subresource: str


class Entry(NamedTuple):
    """What a manager owns, in the version it last wrote. ``raw`` is the entry as it was read, if it is unchanged."""

    fields: Set
    api_version: str
    time: str | None
    raw: Object | None = None


Managed: TypeAlias = "dict[Identity, Entry]"


def identity(manager: str, operation: str, api_version: str, subresource: str = "") -> Identity:
    return Identity(manager or "unknown", operation, "" if operation == APPLY else api_version, subresource)


def is_reset(entries: Any) -> bool:
    """Whether a client asks with this to forget all ownership: by an empty list, or one empty entry."""
    return isinstance(entries, list) and (not entries or (len(entries) == 1 and not entries[0]))


def read(entries: Iterable[Object]) -> Managed:
    """The entries of an object of the store, which are in canonical form."""
    found: Managed = {}
    for entry in entries:
        operation, version = entry["operation"], entry["apiVersion"]
        who = Identity(
            entry.get("manager", ""), operation, "" if operation == APPLY else version, entry.get("subresource", "")
        )
        found[who] = Entry(entry.get("fieldsV1") or fieldset.EMPTY, version, entry.get("time"), entry)
    return found


def decode(entries: Iterable[Mapping[str, Any]]) -> Managed:
    """The entries that a client has sent. Raises FieldsError."""
    found: Managed = {}
    for index, entry in enumerate(entries):
        operation, version = entry.get("operation", ""), entry.get("apiVersion", "")
        if operation not in (APPLY, UPDATE):
            raise FieldsError("operation must be `Apply` or `Update`")
        if not version:
            raise FieldsError("apiVersion must not be empty")
        kind = entry.get("fieldsType", "")
        if kind != "FieldsV1":
            why = f'invalid fieldsType "{kind}"' if kind else "missing fieldsType"
            raise FieldsError(f"{why} in managed fields entry {index}")
        who = Identity(
            entry.get("manager", ""), operation, "" if operation == APPLY else version, entry.get("subresource", "")
        )
        found[who] = Entry(fieldset.decode(entry.get("fieldsV1")), version, entry.get("time"))
    return found


def write(managed: Managed) -> list[Object]:
    """The entries as an object has them; unchanged ones are the very ones that were read."""
    listed = sorted(managed.items(), key=_order) if len(managed) > 1 else managed.items()
    return [entry.raw if entry.raw is not None else _written(who, entry) for who, entry in listed]


def _written(who: Identity, entry: Entry) -> Object:
    written: Object = {"manager": who.manager, "operation": who.operation, "apiVersion": entry.api_version}
    if not who.manager:
        del written["manager"]
    if entry.time is not None:
        written["time"] = entry.time
    written["fieldsType"] = "FieldsV1"
    written["fieldsV1"] = entry.fields
    if who.subresource:
        written["subresource"] = who.subresource
    return written


def _order(item: tuple[Identity, Entry]) -> tuple[str, str, str, str, str]:
    who, entry = item
    return (who.operation, entry.time or "", who.manager, entry.api_version, who.subresource)


def capped(managed: Managed) -> Managed:
    """``managed`` with at most ten entries of updates: the oldest of each version become one."""
    updates = [(who, entry) for who, entry in managed.items() if who.operation != APPLY]
    if len(updates) <= MOST_UPDATES:
        return managed
    updates.sort(key=lambda item: (item[1].time or "", item[0]))
    kept, count = dict(managed), len(updates)
    first: dict[str, Identity] = {}
    for who, _ in updates:
        if count <= MOST_UPDATES:
            break
        entry = kept[who]
        version = entry.api_version
        bucket = Identity(ANCIENT, UPDATE, version, "")
        if version not in first:
            first[version] = who
            continue
        if bucket not in kept:
            kept[bucket] = kept.pop(first[version])._replace(raw=None)
        kept[bucket] = Entry(fieldset.union(entry.fields, kept[bucket].fields), version, entry.time)
        if who != bucket:
            del kept[who]
        count -= 1
    return kept


def user_agent_manager(user_agent: str) -> str:
    """Who a client without a ``fieldManager`` is: its user agent up to the first slash."""
    name, size = "", 0
    for character in user_agent.partition("/")[0]:
        if not character.isprintable():
            continue
        size += len(character.encode("utf-8", "replace"))
        if size > LONGEST_NAME:
            break
        name += character
    return name
