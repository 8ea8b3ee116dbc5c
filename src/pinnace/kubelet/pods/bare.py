"""The preparation of a simulated Pod: nothing on this machine, only what the runtime must be told.

What a Pod needs of the API server it needs here too: without its ConfigMaps and Secrets it waits, as on a real node.
"""

from __future__ import annotations

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_reason
from pinnace.api.types import GVR, Object
from pinnace.client.client import Client
from pinnace.kubelet.lifecycle.plan import spec_hash
from pinnace.kubelet.pods import env
from pinnace.kubelet.pods.failure import StartFailure
from pinnace.kubelet.runtime import simulated
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
from pinnace.kubelet.volumes import payload
from pinnace.kubelet.volumes.payload import PayloadError


def identity_labels(pod: Object) -> dict[str, str]:
    return {POD_NAME: meta.name(pod), POD_NAMESPACE: meta.namespace(pod), POD_UID: meta.uid(pod)}


#: The volume that every Pod has, whose objects are the cluster's own.
_OWN_VOLUME = "kube-api-access-"


class BarePreparation:
    __slots__ = ("_client",)

    def __init__(self, client: Client) -> None:
        self._client = client

    async def mount(self, pod: Object) -> None:
        volumes = [v for v in pod["spec"].get("volumes") or () if not v["name"].startswith(_OWN_VOLUME)]
        for volume in volumes:
            if not any(kind in volume for kind in payload.KINDS):
                continue
            try:
                await payload.files(volume, payload.Context(pod, (), (), {}, self._fetch(pod), _no_token))
            except (PayloadError, ApiError) as error:
                text = f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}'
                raise StartFailure("ContainerCreating", text, event="FailedMount") from error

    def _fetch(self, pod: Object) -> env.Fetch:
        async def fetch(gvr: GVR, name: str) -> Object | None:
            try:
                return await self._client.get(gvr, name, meta.namespace(pod))
            except ApiError as error:
                if is_reason(error, "NotFound"):
                    return None
                raise

        return fetch

    async def sandbox(self, pod: Object, attempt: int) -> Config:
        network = "NODE" if pod["spec"].get("hostNetwork") else "POD"
        return {
            "metadata": {"attempt": attempt},
            "labels": identity_labels(pod),
            "annotations": simulated.steering(pod),
            "linux": {"security_context": {"namespace_options": {"network": network}}},
        }

    async def container(
        self, pod: Object, spec: Object, kind: str, attempt: int, state: PodState, sandbox: Config, image: Image
    ) -> Config:
        if spec.get("envFrom") or any("valueFrom" in entry for entry in spec.get("env") or ()):
            try:
                await env.environment(pod, spec, env.Surroundings((), (), (), {}), self._fetch(pod))
            except ApiError as error:
                raise env.config_error(str(error)) from error
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


async def _no_token(audience: str, seconds: int) -> str:
    return ""
