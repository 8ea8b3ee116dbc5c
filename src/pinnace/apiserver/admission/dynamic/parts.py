"""Webhooks and policies of both kinds together, in upstream's order. Made when the first of them is configured."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pinnace.api.registry import Registry
from pinnace.apiserver.admission.base import View
from pinnace.apiserver.admission.dynamic.conditions import Conditions
from pinnace.apiserver.admission.dynamic.configuration import Followed, webhooks
from pinnace.apiserver.admission.dynamic.hooks import Webhooks, check_owners
from pinnace.apiserver.admission.dynamic.mutations import Mutations
from pinnace.apiserver.admission.dynamic.policies import Invocations, policies
from pinnace.apiserver.admission.dynamic.rounds import Round
from pinnace.apiserver.admission.dynamic.seen import Seen
from pinnace.apiserver.admission.dynamic.validations import Validations
from pinnace.apiserver.crd.conversion import WebhookConverter
from pinnace.apiserver.request import AdmissionAttributes, Authorizer
from pinnace.apiserver.webhooks import WebhookClient
from pinnace.core.clock import Clock
from pinnace.store.protocol import Store

_MUTATING, _VALIDATING = "mutatingwebhookconfigurations", "validatingwebhookconfigurations"
_MUTATIONS = ("mutatingadmissionpolicies", "mutatingadmissionpolicybindings")
_VALIDATIONS = ("validatingadmissionpolicies", "validatingadmissionpolicybindings")


class Parts:
    """One for each API server."""

    def __init__(self, store: Store, clock: Clock, registry: Registry, view: View, authorizer: Authorizer) -> None:
        self._client = WebhookClient(store, clock)
        self._converter = WebhookConverter(store, clock)
        conditions = Conditions(authorizer)
        self._webhooks = Webhooks(
            view,
            self._client,
            conditions,
            Followed(store, registry, [_MUTATING], lambda: webhooks(view, _MUTATING)),
            Followed(store, registry, [_VALIDATING], lambda: webhooks(view, _VALIDATING)),
        )
        invocations = Invocations(store, registry, view, conditions, self._converter)
        self._mutations = Mutations(
            invocations,
            Followed(store, registry, _MUTATIONS, lambda: policies(view, _MUTATIONS[0])),
        )
        self._validations = Validations(
            invocations,
            Followed(store, registry, _VALIDATIONS, lambda: policies(view, _VALIDATIONS[0])),
        )

    def mutates(self, attributes: AdmissionAttributes) -> bool:
        """Whether anything may change the object of a request."""
        return bool(self._mutations.followed.chosen(attributes) or self._webhooks.mutating.chosen(attributes))

    async def mutate(
        self, attributes: AdmissionAttributes, built_in: Callable[[AdmissionAttributes], Awaitable[None]]
    ) -> None:
        """Let all that are for a request change its object; ``built_in`` plugins see what has changed. Raises
        ApiError."""
        owners = ((attributes.object or {}).get("metadata") or {}).get("managedFields")
        seen = Seen(attributes, self._converter, final=False)
        policies, webhooks = Round(), Round()
        await self._mutations.mutate(attributes, seen, policies)
        await self._webhooks.mutate(attributes, seen, webhooks)
        if policies.anything_changed or webhooks.anything_changed:
            await built_in(attributes)
            seen.forget()
            await self._mutations.mutate(attributes, seen, policies)
            await self._webhooks.mutate(attributes, seen, webhooks)
        check_owners(attributes, owners)

    def validate(self, attributes: AdmissionAttributes) -> Awaitable[None] | None:
        """What is awaited, if anything looks at the request. Raises ApiError."""
        policies = self._validations.followed.chosen(attributes)
        webhooks = self._webhooks.validating.chosen(attributes)
        return self._validate(attributes) if policies or webhooks else None

    async def _validate(self, attributes: AdmissionAttributes) -> None:
        seen = Seen(attributes, self._converter, final=True)
        await self._validations.validate(attributes, seen)
        await self._webhooks.validate(attributes, seen)

    def close(self) -> None:
        self._client.close()
        self._converter.close()
