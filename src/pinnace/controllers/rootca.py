"""Every active Namespace has a ConfigMap ``kube-root-ca.crt`` with the certificate authority that Pods verify the API
server with; a change or deletion of it is undone."""

from __future__ import annotations

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_namespace_terminating, is_reason
from pinnace.api.resources import CONFIG_MAPS, NAMESPACES
from pinnace.api.types import Object
from pinnace.controllers import kit

NAME = "kube-root-ca.crt"
DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


class RootCAPublisher(kit.Controller):
    """Publishes ``root_ca`` (PEM)."""

    name = "root-ca-certificate-publisher-controller"
    account = "root-ca-cert-publisher"

    def __init__(self, tools: kit.Kit, root_ca: str) -> None:
        super().__init__(tools)
        self._wanted = {"ca.crt": root_ca}
        self._annotations = {"kubernetes.io/description": DESCRIPTION}
        self._namespaces = tools.informer(NAMESPACES)
        self._published = tools.informers.of(CONFIG_MAPS, field_selector=f"metadata.name={NAME}")
        self._namespaces.add_handler(self._namespace_changed)
        self._published.add_handler(self._published_changed)

    def _namespace_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self.enqueue(new)

    def _published_changed(self, old: Object | None, new: Object | None) -> None:
        obj = new if new is not None else old
        if obj is not None:
            self.queue.add(meta.namespace(obj))

    async def sync(self, key: str) -> None:
        namespace = self._namespaces.by_key(key)
        if namespace is None or meta.is_deleting(namespace):
            return
        held = self._published.get(NAME, key)
        try:
            if held is None:
                metadata = {"name": NAME, "namespace": key, "annotations": self._annotations}
                wanted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": self._wanted}
                await self.client.create(CONFIG_MAPS, wanted)
            elif held.get("data") != self._wanted or not self._annotations.items() <= meta.annotations(held).items():
                annotations = {**meta.annotations(held), **self._annotations}
                changed = {**held, "metadata": {**held["metadata"], "annotations": annotations}, "data": self._wanted}
                await self.client.update(CONFIG_MAPS, changed)
        except ApiError as error:
            if not is_reason(error, "AlreadyExists", "NotFound") and not is_namespace_terminating(error):
                raise
