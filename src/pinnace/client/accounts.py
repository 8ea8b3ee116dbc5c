"""Clients that act as service accounts, over HTTPS: each controller has an identity of its own and no other rights.

The identity that is given makes an account that is missing and asks for its tokens (an hour, renewed when a fifth of
that is left); requests go out with the token alone. A token that is refused is replaced once: its account was made
anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace

from pinnace.api.errors import ApiError, is_reason
from pinnace.api.resources import SERVICE_ACCOUNTS
from pinnace.api.types import Object
from pinnace.client.client import Client
from pinnace.client.https import Credentials, Https
from pinnace.client.transport import WatchEvent
from pinnace.core.clock import Clock

NAMESPACE = "kube-system"
SECONDS = 3600
#: Renewed when this part of its life is over.
_RENEW_AT = 0.8


class ServiceAccounts:
    """``client`` is who asks for the tokens; "" as an account is that one itself."""

    def __init__(self, client: Client, credentials: Credentials, clock: Clock, *, user_agent: str) -> None:
        self._client = client
        self._clock = clock
        self._user_agent = user_agent
        self._anonymous = replace(credentials, certificate=None, key=None, token="", token_file=None)
        self._clients: dict[str, Client] = {"": client}

    def client(self, account: str) -> Client:
        """The client of an account of ``kube-system``, always the same one."""
        found = self._clients.get(account)
        if found is None:
            https = Https(self._anonymous, self._clock, user_agent=f"{self._user_agent}/{account}")
            found = self._clients[account] = Client(_AsAccount(https, account, self._client, self._clock))
        return found

    async def close(self) -> None:
        """Not the client that asks for the tokens: that is its owner's."""
        for account, client in self._clients.items():
            if account:
                await client.close()


class _AsAccount:
    """Implements ``client.transport.Transport``."""

    def __init__(self, https: Https, account: str, issuer: Client, clock: Clock) -> None:
        self._https = https
        self._account = account
        self._issuer = issuer
        self._clock = clock
        self._due = float("-inf")  # when the token is to be renewed
        self._asking = asyncio.Lock()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] = {},
        body: Object | list[Object] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        token = await self._token()
        try:
            return await self._https.request(method, path, query=query, body=body, content_type=content_type)
        except ApiError as error:
            if not is_reason(error, "Unauthorized"):
                raise
        await self._token(instead_of=token)
        return await self._https.request(method, path, query=query, body=body, content_type=content_type)

    async def read(self, path: str, *, query: Mapping[str, str] = {}) -> bytes:
        await self._token()
        return await self._https.read(path, query=query)

    async def watch(self, path: str, *, query: Mapping[str, str] = {}) -> AsyncGenerator[Sequence[WatchEvent], None]:
        await self._token()
        async with aclosing(self._https.watch(path, query=query)) as batches:
            async for batch in batches:
                yield batch

    async def close(self) -> None:
        await self._https.close()

    async def _token(self, *, instead_of: str = "") -> str:
        """Have a token that is good, and not ``instead_of``."""
        async with self._asking:
            if self._clock.monotonic() >= self._due or self._https.token == instead_of:
                began = self._clock.monotonic()
                self._https.token = await self._ask()
                self._due = began + SECONDS * _RENEW_AT
            return self._https.token

    async def _ask(self) -> str:
        kind = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1"}
        request: Object = {**kind, "metadata": {"namespace": NAMESPACE}, "spec": {"expirationSeconds": SECONDS}}
        where = {"name": self._account, "subresource": "token", "namespace": NAMESPACE}
        try:
            answer = await self._issuer.create(SERVICE_ACCOUNTS, request, **where)
        except ApiError as error:
            if not is_reason(error, "NotFound"):
                raise
            await self._make()
            answer = await self._issuer.create(SERVICE_ACCOUNTS, request, **where)
        return str(answer["status"]["token"])

    async def _make(self) -> None:
        metadata = {"name": self._account, "namespace": NAMESPACE}
        account = {"kind": "ServiceAccount", "apiVersion": "v1", "metadata": metadata}
        try:
            await self._issuer.create(SERVICE_ACCOUNTS, account)
        except ApiError as error:
            if not is_reason(error, "AlreadyExists"):
                raise
