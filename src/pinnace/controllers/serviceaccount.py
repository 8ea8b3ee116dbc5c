"""Every active Namespace has a ServiceAccount ``default``."""

from __future__ import annotations

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_namespace_terminating, is_reason
from pinnace.api.resources import NAMESPACES, SERVICE_ACCOUNTS
from pinnace.api.types import Object
from pinnace.controllers import kit


class ServiceAccountController(kit.Controller):
    """Creates the ``default`` ServiceAccount of new Namespaces, and again where it was deleted."""

    name = "service-account-controller"
    account = "service-account-controller"

    def __init__(self, tools: kit.Kit) -> None:
        super().__init__(tools)
        self._namespaces = tools.informer(NAMESPACES)
        self._accounts = tools.informers.of(SERVICE_ACCOUNTS, field_selector="metadata.name=default")
        self._namespaces.add_handler(self._namespace_changed)
        self._accounts.add_handler(self._account_changed)

    def _namespace_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self.enqueue(new)

    def _account_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None and old is not None:
            self.queue.add(meta.namespace(old))

    async def sync(self, key: str) -> None:
        namespace = self._namespaces.by_key(key)
        if namespace is None or meta.is_deleting(namespace) or self._accounts.get("default", key) is not None:
            return
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": key}}
        try:
            await self.client.create(SERVICE_ACCOUNTS, account)
        except ApiError as error:
            if not is_reason(error, "AlreadyExists", "NotFound") and not is_namespace_terminating(error):
                raise
