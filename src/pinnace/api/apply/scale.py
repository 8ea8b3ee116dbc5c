"""``spec.replicas`` of a workload as the scale subresource has it: who owns it, seen from either side."""

from __future__ import annotations

from pinnace.api.apply import fieldset, managers
from pinnace.api.apply.managers import Entry, Identity, Managed
from pinnace.api.types import Object

SCALE_VERSION = "autoscaling/v1"
IN_SCALE = fieldset.of_paths(("f:spec", "f:replicas"))


def to_scale(parent: list[Object], replicas: tuple[str, ...]) -> list[Object]:
    """The entries of a workload that own its replicas (at the path ``replicas``), as entries of its Scale."""
    return managers.write(
        {
            who: Entry(IN_SCALE, SCALE_VERSION, entry.time)
            for who, entry in managers.read(parent).items()
            if fieldset.has(entry.fields, replicas)
        }
    )


def to_parent(parent: list[Object], scale: list[Object], api_version: str, replicas: tuple[str, ...]) -> list[Object]:
    """The entries of a workload after its Scale has ``scale``: replicas are theirs who have them there."""
    owners = {_regardless(who): who for who, entry in managers.read(scale).items() if entry.fields}
    path = fieldset.of_paths(replicas)
    made: Managed = {}
    for who, entry in managers.read(parent).items():
        if not fieldset.has(entry.fields, replicas):
            made[who] = entry
        elif _regardless(who) in owners:
            made[who] = entry
            del owners[_regardless(who)]
        elif rest := fieldset.difference(entry.fields, path):
            made[who] = Entry(rest, entry.api_version, entry.time)
    for who in owners.values():
        version = "" if who.operation == managers.APPLY else api_version
        mine = Identity(who.manager, who.operation, version, who.subresource)
        held = made.get(mine)
        fields = path if held is None else fieldset.union(held.fields, path)
        made[mine] = Entry(fields, api_version, held.time if held is not None else None)
    return managers.write(made)


def _regardless(who: Identity) -> Identity:
    """Managers of updates are told apart by version, which a Scale does not share with its workload."""
    return who._replace(api_version="")
