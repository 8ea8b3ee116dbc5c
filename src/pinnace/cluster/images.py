"""Bringing image archives into a running cluster's node."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pinnace.cluster.errors import ClusterError, Exit
from pinnace.kubelet import image_files


def load(files: Sequence[Path], data_dir: Path, facts: dict[str, Any]) -> list[str]:
    """Load docker-archive or OCI layout tarballs into the cluster that ``facts`` (run.json) describes; the names that
    Pods can use. On a simulated node, where every image counts as present, they are only checked. Raises
    ClusterError."""
    if facts["runtime"] == "none":
        raise ClusterError(
            Exit.IMAGE_REFUSED, "this cluster has no node to load images into: it runs without that part"
        )
    socket = None
    if facts["runtime"] == "containerd":
        from pinnace.cluster.realnode import containerd_directory

        socket = containerd_directory(data_dir) / "containerd.sock"
        if not socket.exists():
            raise ClusterError(Exit.IMAGE_REFUSED, "the node's containerd is not there yet; try again in a moment")
    try:
        return asyncio.run(image_files.load(files, socket))
    except image_files.ImageFileError as error:
        raise ClusterError(Exit.IMAGE_REFUSED, str(error)) from error
