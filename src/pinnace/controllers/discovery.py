"""The resources that an API server serves, found out as any client does: custom resources too."""

from __future__ import annotations

from dataclasses import dataclass

from pinnace.api.errors import ApiError
from pinnace.api.types import GVR, Object, split_api_version
from pinnace.client.client import Client

#: The same objects under a second name, by group and resource.
_ALIASES = frozenset({("events.k8s.io", "events")})


@dataclass(frozen=True, slots=True)
class Served:
    """One resource in the version its group prefers."""

    gvr: GVR
    kind: str
    namespaced: bool
    verbs: frozenset[str]


@dataclass(frozen=True, slots=True)
class Discovered:
    """What was found. ``failures`` maps group versions that could not be asked about to the reason."""

    resources: tuple[Served, ...]
    #: (group, version, kind) of every version served -> the resource.
    kinds: dict[tuple[str, str, str], Served]
    failures: dict[str, str]


async def discover(client: Client) -> Discovered:
    """Ask for every group version. Raises only if the list of groups itself cannot be had."""
    groups = await client.transport.request("GET", "/apis")
    found: dict[tuple[str, str], Served] = {}
    kinds: dict[tuple[str, str, str], Served] = {}
    failures: dict[str, str] = {}
    for group_version in ["v1", *_group_versions(groups)]:
        group, version = split_api_version(group_version)
        path = f"/apis/{group_version}" if group else f"/api/{version}"
        try:
            listed = await client.transport.request("GET", path)
        except (ApiError, OSError, TimeoutError) as error:
            failures[group_version] = str(error)
            continue
        for row in listed.get("resources") or ():
            name = str(row["name"])
            if "/" in name:
                continue
            served = Served(
                GVR(group, version, name), str(row["kind"]), bool(row["namespaced"]), frozenset(row["verbs"])
            )
            kinds[(group, version, served.kind)] = served
            if (group, name) not in _ALIASES:
                found.setdefault((group, name), served)
    return Discovered(tuple(found.values()), kinds, failures)


def _group_versions(groups: Object) -> list[str]:
    """Group versions, of each group the preferred one first."""
    ordered: list[str] = []
    for group in groups.get("groups") or ():
        preferred = (group.get("preferredVersion") or {}).get("groupVersion")
        listed = [version["groupVersion"] for version in group.get("versions") or ()]
        ordered += [text for text in listed if text == preferred] + [text for text in listed if text != preferred]
    return ordered
