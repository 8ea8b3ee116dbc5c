"""The preparation of a simulated Pod: nothing on this machine, only what the runtime must be told."""

from __future__ import annotations

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.kubelet.lifecycle.plan import spec_hash
from pinnace.kubelet.runtime.base import (
    CONTAINER_NAME,
    HASH,
    POD_NAME,
    POD_NAMESPACE,
    POD_UID,
    RESTART_COUNT,
    Config,
    Container,
    Image,
    PodState,
)


def identity_labels(pod: Object) -> dict[str, str]:
    return {POD_NAME: meta.name(pod), POD_NAMESPACE: meta.namespace(pod), POD_UID: meta.uid(pod)}


class BarePreparation:
    async def mount(self, pod: Object) -> None:
        return None

    async def sandbox(self, pod: Object, attempt: int) -> Config:
        network = "NODE" if pod["spec"].get("hostNetwork") else "POD"
        return {
            "metadata": {"attempt": attempt},
            "labels": identity_labels(pod),
            "annotations": meta.annotations(pod),
            "linux": {"security_context": {"namespace_options": {"network": network}}},
        }

    async def container(
        self, pod: Object, spec: Object, kind: str, attempt: int, state: PodState, sandbox: Config, image: Image
    ) -> Config:
        return {
            "metadata": {"name": spec["name"], "attempt": attempt},
            "labels": {**identity_labels(pod), CONTAINER_NAME: spec["name"]},
            "annotations": {HASH: spec_hash(spec), RESTART_COUNT: str(attempt)},
        }

    def know_addresses(self, pod: Object, ips: tuple[str, ...]) -> None:
        return None

    async def finished(self, container: Container) -> str:
        return ""

    def forget(self, container: Container) -> None:
        return None

    async def teardown(self, uid: str, *, keep_logs: bool = False) -> None:
        return None

    async def left_behind(self) -> list[str]:
        return []
