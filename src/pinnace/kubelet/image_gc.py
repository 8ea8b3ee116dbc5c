"""Removing images that nobody uses when their disk gets full.

At ``imageGCHighThresholdPercent`` of the disk used, images go until ``imageGCLowThresholdPercent`` is, those first that
were unused for longest. What a container uses, dead or alive, stays; so does what came within ``imageMinimumGCAge``,
what sandboxes run, and what came from a file: no registry could bring it back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from pinnace.api.types import Object
from pinnace.client.recorder import WARNING, Recorder
from pinnace.core.clock import Clock
from pinnace.kubelet.configuration import Configuration
from pinnace.kubelet.runtime.base import Image, PodState, Runtime, RuntimeFailure
from pinnace.kubelet.stats import FileSystem

log = logging.getLogger(__name__)

#: Seconds between two looks.
EVERY = 300.0


@dataclass(frozen=True, slots=True)
class Record:
    """When an image was first seen, and last seen in use (0 for neither)."""

    image: Image
    detected: float
    used: float = 0.0


def in_use(image: Image, references: Collection[str]) -> bool:
    """Whether a container was made of it. ``references`` are containers' images by any of their names."""
    return any(name in references for name in (image.id, *image.tags, *image.digests))


def detect(
    known: Mapping[str, Record], images: Sequence[Image], pods: Collection[PodState], now: float, *, first: bool
) -> dict[str, Record]:
    """The records after a look; at the ``first`` one nobody knows how old the images are, and so they are old."""
    references = {ref for state in pods for c in state.containers for ref in (c.image, c.image_ref) if ref}
    found = {}
    for image in images:
        record = known.get(image.id) or Record(image, 0.0 if first else now)
        found[image.id] = replace(record, image=image, used=now if in_use(image, references) else record.used)
    return found


def unused(records: Mapping[str, Record], now: float, kept: Collection[str], minimum_age: float) -> list[Image]:
    """What may go, what was unused for longest first."""
    free = [
        record
        for record in records.values()
        if record.used < now
        and now - record.detected >= minimum_age
        and record.image.digests
        and not record.image.pinned
        and not in_use(record.image, kept)
    ]
    return [record.image for record in sorted(free, key=lambda record: (record.used, record.detected))]


def enough(images: Sequence[Image], amount: int) -> list[Image]:
    """The first ``images`` that free ``amount`` bytes together, all if they do not."""
    chosen: list[Image] = []
    freed = 0
    for image in images:
        if freed >= amount:
            break
        chosen.append(image)
        freed += image.size
    return chosen


class ImageCollector:
    """``kept`` are names that never go; ``disk()`` is the file system of images."""

    def __init__(
        self,
        runtime: Runtime,
        recorder: Recorder,
        clock: Clock,
        chosen: Configuration,
        *,
        disk: Callable[[], FileSystem],
        node: Object,
        kept: Collection[str],
    ) -> None:
        self._runtime = runtime
        self._recorder = recorder
        self._clock = clock
        self._chosen = chosen
        self._disk = disk
        self._node = node
        self._kept = kept
        self._records: dict[str, Record] = {}
        self._looked = False

    async def run(self) -> None:
        """Never returns."""
        while True:
            try:
                await self.collect()
            except (RuntimeFailure, OSError, TimeoutError) as error:
                log.warning("cannot remove unused images: %s", error)
                self._recorder.event(self._node, WARNING, "ImageGCFailed", str(error))
            await self._clock.sleep(EVERY, routine=True)

    async def collect(self) -> None:
        """One look, and what follows from it. Raises RuntimeFailure, OSError."""
        now = await self._look()
        chosen = self._chosen
        if chosen.imageMaximumGCAge:
            limit = now - chosen.imageMaximumGCAge
            old = [
                image
                for image in unused(self._records, now, self._kept, chosen.imageMinimumGCAge)
                if max(self._records[image.id].used, self._records[image.id].detected) < limit
                and self._records[image.id].detected
            ]
            await self._remove(old)
        disk = self._disk()
        if not disk.capacity or 100 - disk.available * 100 // disk.capacity < chosen.imageGCHighThresholdPercent:
            return
        amount = disk.capacity * (100 - chosen.imageGCLowThresholdPercent) // 100 - disk.available
        freed = await self._remove(enough(unused(self._records, now, self._kept, chosen.imageMinimumGCAge), amount))
        if freed < amount:
            text = (
                f"Failed to garbage collect required amount of images. Attempted to free {amount} bytes, "
                f"but only found {freed} bytes eligible to free."
            )
            log.warning("%s", text)
            self._recorder.event(self._node, WARNING, "FreeDiskSpaceFailed", text)

    async def remove_unused(self) -> int:
        """Remove whatever may go; the bytes freed. Raises RuntimeFailure."""
        now = await self._look()
        return await self._remove(unused(self._records, now, self._kept, self._chosen.imageMinimumGCAge))

    async def _look(self) -> float:
        images, pods = await self._runtime.images(), await self._runtime.pods()
        now = self._clock.now()
        self._records = detect(self._records, images, pods.values(), now, first=not self._looked)
        self._looked = True
        return now

    async def _remove(self, images: Sequence[Image]) -> int:
        freed = 0
        for image in images:
            try:
                await self._runtime.remove_image(image.id)
            except RuntimeFailure as error:
                log.warning("cannot remove image %s: %s", image.id, error)
                continue
            log.info("removed image %s, which nobody uses: %d bytes", image.id, image.size)
            self._records.pop(image.id, None)
            freed += image.size
        return freed
