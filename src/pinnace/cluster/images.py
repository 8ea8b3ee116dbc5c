"""Bringing image archives into a running cluster's node."""

from __future__ import annotations

import asyncio
import json
import tarfile
from pathlib import Path
from typing import Any

from pinnace.cluster.errors import ClusterError, Exit

#: A manifest is a few kilobytes; more is something else.
MANIFEST_LIMIT = 4 << 20
_OCI_NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")


def load(file: Path, data_dir: Path, facts: dict[str, Any]) -> list[str]:
    """Load a docker-archive or OCI layout tarball into the cluster that ``facts`` (run.json) describes; the names that
    Pods can use. On a simulated node, where every image counts as present, it is only checked. Raises ClusterError."""
    names = names_in(file)
    if facts["runtime"] == "containerd":
        from pinnace.cluster.realnode import containerd_directory
        from pinnace.kubelet.containerd import ContainerdFailed, import_image

        try:
            names = asyncio.run(import_image(containerd_directory(data_dir) / "containerd.sock", file)) or names
        except ContainerdFailed as error:
            raise ClusterError(Exit.CONTAINERD_FAILED, str(error)) from error
    return names


def names_in(file: Path) -> list[str]:
    """The image names that an archive says it holds. Raises ClusterError if it is no image archive."""
    try:
        with tarfile.open(file) as archive:
            members = {member.name.removeprefix("./"): member for member in archive}
            if "manifest.json" in members:
                listed = _read_json(archive, members["manifest.json"])
                return [name for image in listed for name in image.get("RepoTags") or ()]
            if "index.json" in members:
                return [
                    name for entry in _read_json(archive, members["index.json"])["manifests"] if (name := _name(entry))
                ]
    except PermissionError as error:
        raise ClusterError(Exit.NOT_PERMITTED, f"{file}: {error.strerror}") from error
    except (tarfile.TarError, EOFError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ClusterError(Exit.USAGE, f"{file} is not an image archive: {error}") from error
    raise ClusterError(
        Exit.USAGE,
        f"{file} is not an image archive: neither manifest.json (docker save) nor index.json (OCI layout) is in it",
    )


def _read_json(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Any:
    if member.size > MANIFEST_LIMIT:
        raise ValueError(f"{member.name} has {member.size} bytes")
    content = archive.extractfile(member)
    if content is None:
        raise ValueError(f"{member.name} is not a file")
    return json.loads(content.read())


def _name(entry: dict[str, Any]) -> str:
    annotations = entry.get("annotations") or {}
    return str(next((annotations[key] for key in _OCI_NAMES if key in annotations), ""))
