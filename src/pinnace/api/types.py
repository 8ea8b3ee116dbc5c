"""Names for the shapes that go through every room."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

#: A Kubernetes object: JSON as Python data (dict, list, str, int, float, bool, None). What an informer, a lister or
#: the in-process client hands out is shared and read-only: copy before changing (``api.meta.copy``).
Object: TypeAlias = dict[str, Any]


class GVK(NamedTuple):
    """Group, version and kind; the core group is ``""``."""

    group: str
    version: str
    kind: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


class GVR(NamedTuple):
    """Group, version and plural resource name; the core group is ``""``."""

    group: str
    version: str
    resource: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_resource(self) -> str:
        """``pods`` or ``deployments.apps``, as error messages name a resource."""
        return f"{self.resource}.{self.group}" if self.group else self.resource


def split_api_version(api_version: str) -> tuple[str, str]:
    """``apps/v1`` -> ``("apps", "v1")``; ``v1`` -> ``("", "v1")``."""
    group, slash, version = api_version.rpartition("/")
    return (group, version) if slash else ("", api_version)
