"""A node's own decision over the Pods bound to it: gathers what ``admission`` decides by."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from pinnace.api.resources import NODES
from pinnace.api.types import Object
from pinnace.client.client import Client
from pinnace.kubelet.lifecycle.situation import Waiting
from pinnace.kubelet.pods import admission


class Gate:
    """``taken()`` are the Pods that the node has taken and that still count."""

    def __init__(
        self,
        client: Client,
        node_name: str,
        allocatable: Mapping[str, str],
        unsafe_sysctls: Collection[str],
        taken: Callable[[], Sequence[Object]],
    ) -> None:
        self._client = client
        self._node_name = node_name
        self._allocatable = allocatable
        self._unsafe_sysctls = unsafe_sysctls
        self._taken = taken
        self._apparmor = admission.has_apparmor()
        self.pressure: Collection[str] = ()
        self.shutting_down = False

    async def refusal(self, pod: Object) -> Waiting | None:
        """Why the node does not take the Pod. Raises ApiError, OSError."""
        spec = pod["spec"]
        chosen = spec.get("nodeSelector") or (spec.get("affinity") or {}).get("nodeAffinity")
        node: Object = {"metadata": {"name": self._node_name}}
        if chosen and not admission.is_static(pod):  # as it is now: its labels may be newer than any copy
            node = await self._client.get(NODES, self._node_name)
        state = admission.NodeState(
            node,
            self._allocatable,
            self._taken(),
            self.pressure,
            self.shutting_down,
            self._unsafe_sysctls,
            self._apparmor,
        )
        return admission.refusal(pod, state)
