"""What a real node leaves on the machine when its process was killed, and how it is removed."""

from __future__ import annotations

from pathlib import Path


def remove_leftovers(data_dir: Path) -> None:
    """Stop the containers and remove mounts, interfaces and tables that the node of ``data_dir`` left behind.
    Nothing to do for one that only simulated."""
