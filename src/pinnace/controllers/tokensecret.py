"""Secrets of type ``kubernetes.io/service-account-token``: filled with a token of the ServiceAccount they name, and
deleted with it. The token is bound to its Secret and dies with it."""

from __future__ import annotations

from base64 import b64encode

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_reason
from pinnace.api.resources import SECRETS, SERVICE_ACCOUNTS
from pinnace.api.types import Object
from pinnace.controllers import kit

TYPE = "kubernetes.io/service-account-token"
ACCOUNT = "kubernetes.io/service-account.name"
ACCOUNT_UID = "kubernetes.io/service-account.uid"
#: The longest life that a TokenRequest may ask for, in seconds: these tokens are meant not to expire.
_SECONDS = 1 << 32


class TokenSecretController(kit.Controller):
    """Keys are Secrets."""

    name = "serviceaccount-token-controller"
    account = ""

    def __init__(self, tools: kit.Kit, root_ca: str) -> None:
        super().__init__(tools)
        self._root_ca = root_ca
        self._secrets = tools.informers.of(SECRETS, field_selector=f"type={TYPE}")
        self._accounts = tools.informer(SERVICE_ACCOUNTS)
        self._secrets.add_index("account", _account_of)
        self.watch(self._secrets)
        self._accounts.add_handler(self._account_changed)

    def _account_changed(self, old: Object | None, new: Object | None) -> None:
        if old is not None and new is not None and meta.uid(old) == meta.uid(new):
            return
        for secret in self._secrets.indexed("account", meta.key(new if new is not None else old or {})):
            self.enqueue(secret)

    async def sync(self, key: str) -> None:
        secret = self._secrets.by_key(key)
        if secret is None or meta.is_deleting(secret) or not _account_of(secret):
            return
        name, space = meta.annotations(secret)[ACCOUNT], meta.namespace(secret)
        account = await self._account(name, space)
        bound_to = meta.annotations(secret).get(ACCOUNT_UID)
        if account is None or bound_to not in (None, "", meta.uid(account)):
            await self._delete(secret)
            return
        data = dict(secret.get("data") or {})
        wanted = {"ca.crt": self._root_ca.encode(), "namespace": space.encode()}
        data |= {field: b64encode(value).decode() for field, value in wanted.items()}
        if not data.get("token"):
            data["token"] = b64encode((await self._token(secret, name, space)).encode()).decode()
        if data != (secret.get("data") or {}) or not bound_to:
            annotations = {**meta.annotations(secret), ACCOUNT_UID: meta.uid(account)}
            changed = {**secret, "metadata": {**secret["metadata"], "annotations": annotations}, "data": data}
            await self.client.update(SECRETS, changed)

    async def _account(self, name: str, space: str) -> Object | None:
        """The ServiceAccount; asked for at the API before it counts as gone."""
        held = self._accounts.get(name, space)
        if held is not None:
            return held
        try:
            return await self.client.get(SERVICE_ACCOUNTS, name, space)
        except ApiError as error:
            if is_reason(error, "NotFound"):
                return None
            raise

    async def _token(self, secret: Object, name: str, space: str) -> str:
        bound = {"kind": "Secret", "apiVersion": "v1", "name": meta.name(secret), "uid": meta.uid(secret)}
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": _SECONDS, "boundObjectRef": bound},
        }
        answer = await self.client.create(SERVICE_ACCOUNTS, request, name=name, subresource="token", namespace=space)
        return str(answer["status"]["token"])

    async def _delete(self, secret: Object) -> None:
        try:
            await self.client.delete(SECRETS, meta.name(secret), meta.namespace(secret), uid=meta.uid(secret))
        except ApiError as error:
            if not is_reason(error, "NotFound", "Conflict"):
                raise


def _account_of(secret: Object) -> tuple[str, ...]:
    name = meta.annotations(secret).get(ACCOUNT)
    return (f"{meta.namespace(secret)}/{name}",) if name else ()
