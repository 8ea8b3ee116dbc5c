"""Keeping container logs from filling the disk: 10 MiB a file, five files a container.

A full file is renamed and the runtime told to begin a new one; nothing is lost, and what is followed goes on.
"""

from __future__ import annotations

import logging
from pathlib import Path

from pinnace.core.clock import Clock, timestamp
from pinnace.kubelet.runtime.base import RUNNING, PodState, Runtime, RuntimeFailure

log = logging.getLogger(__name__)

LIMIT = 10 << 20
FILES = 5


async def rotate(runtime: Runtime, state: PodState, clock: Clock, *, limit: int, files: int) -> None:
    """Rotate the logs of a Pod's running containers that have grown beyond ``limit`` bytes; each keeps ``files``."""
    for container in state.containers:
        if container.state != RUNNING or not container.log_path:
            continue
        path = Path(container.log_path)
        try:
            if path.stat().st_size <= limit:
                continue
            kept = sorted(path.parent.glob(f"{path.name}.*"))
            for old in kept[: max(0, len(kept) - (files - 2))]:
                old.unlink(missing_ok=True)
            aside = path.with_name(f"{path.name}.{timestamp(clock.now()).translate({45: None, 58: None})}")
            path.rename(aside)
        except OSError as error:
            log.warning("cannot rotate the log of container %s of Pod %s: %s", container.name, state.name, error)
            continue
        try:
            await runtime.reopen_log(container.id)
        except (RuntimeFailure, TimeoutError) as error:
            log.warning("cannot begin a new log for container %s of Pod %s: %s", container.name, state.name, error)
            aside.rename(path)
