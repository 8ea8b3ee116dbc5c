"""``pinnace image load``: image archives into the running cluster's node."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pinnace.cluster.datadir import DataDir
from pinnace.cluster.errors import ClusterError, Exit


def load(files: Sequence[Path], path: Path) -> int:
    """Load docker-archive or OCI layout tarballs; prints the names that Pods can use from now on."""
    from pinnace.cluster import images

    facts = DataDir(path).running()
    if facts is None:
        raise ClusterError(Exit.NOT_RUNNING, f"no cluster is running on {path}; start it first: pinnace up")
    for name in images.load(files, path.absolute(), facts):
        print(name)
    return 0
