"""Webhooks at work: which are called for a request, in which order, and what their answers do to it.

Mutating webhooks are called one after the other, each with what the one before has made; validating ones side by side.
"""

from __future__ import annotations

import asyncio
import logging

from pinnace.api import errors, meta
from pinnace.api.apply import managers
from pinnace.api.apply.fieldset import FieldsError
from pinnace.api.errors import go_quote
from pinnace.api.types import Object
from pinnace.apiserver.admission.base import View
from pinnace.apiserver.admission.dynamic import review
from pinnace.apiserver.admission.dynamic.conditions import ConditionError, Conditions
from pinnace.apiserver.admission.dynamic.configuration import Followed, Webhook
from pinnace.apiserver.admission.dynamic.matching import Candidates, Matched
from pinnace.apiserver.admission.dynamic.rounds import Round
from pinnace.apiserver.admission.dynamic.seen import Seen
from pinnace.apiserver.request import AdmissionAttributes
from pinnace.apiserver.webhooks import WebhookClient, WebhookError

log = logging.getLogger(__name__)

_DRY_RUN_SAFE = frozenset(("None", "NoneOnDryRun"))


class Webhooks:
    """Both kinds, for one API server."""

    def __init__(
        self,
        view: View,
        client: WebhookClient,
        conditions: Conditions,
        mutating: Followed[Webhook],
        validating: Followed[Webhook],
    ) -> None:
        self._view = view
        self._client = client
        self._conditions = conditions
        self.mutating = mutating
        self.validating = validating

    async def mutate(self, attributes: AdmissionAttributes, seen: Seen, round: Round) -> None:
        """Let every webhook that is for the request change its object. Raises ApiError."""
        round.begin(attributes.object)
        for webhook, found in self.mutating.chosen(attributes):
            matched = await self._is_for(webhook, found, attributes, seen)
            if matched is None or not round.calls(webhook.key):
                continue
            verdict = await self._call(webhook, matched, attributes, seen)
            if verdict is not None and verdict.patch:
                if await self._patch(webhook, matched, verdict.patch, attributes, seen):
                    round.changed()
            if webhook.hook.get("reinvocationPolicy") == "IfNeeded":
                round.called(webhook.key)
        round.end(attributes.object)

    async def validate(self, attributes: AdmissionAttributes, seen: Seen) -> None:
        """Ask every webhook that is for the request. Raises ApiError, of the first that refuses it."""
        wanted = []
        for webhook, found in self.validating.chosen(attributes):
            matched = await self._is_for(webhook, found, attributes, seen)
            if matched is not None:
                wanted.append((webhook, matched))
        if len(wanted) == 1:
            await self._call(*wanted[0], attributes, seen)
            return
        calls = [self._call(webhook, matched, attributes, seen) for webhook, matched in wanted]
        for answer in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer

    async def _is_for(
        self, webhook: Webhook, found: Candidates, attributes: AdmissionAttributes, seen: Seen
    ) -> Matched | None:
        """As what the request is the webhook's; None if it is not."""
        if not webhook.selectors.match(attributes, self._view):
            return None
        matched = found.of(attributes.name)
        conditions = webhook.hook.get("matchConditions")
        if matched is None or not conditions:
            return matched
        try:
            fits = await self._conditions.hold(conditions, matched.row, attributes, seen)
        except ConditionError as error:
            if webhook.ignores_failures:
                return None
            row = attributes.resource
            raise errors.forbidden(row.group, row.plural, attributes.name, str(error)) from None
        return matched if fits else None

    async def _call(
        self, webhook: Webhook, matched: Matched, attributes: AdmissionAttributes, seen: Seen
    ) -> review.Verdict | None:
        """What the webhook says; None if it failed and that is to be ignored. Raises ApiError."""
        if attributes.dry_run and webhook.hook.get("sideEffects") not in _DRY_RUN_SAFE:
            raise errors.bad_request(f"admission webhook {go_quote(webhook.name)} does not support dry run")
        try:
            verdict = await self._ask(webhook, matched, attributes, seen)
        except (WebhookError, review.ResponseError) as error:
            failure = f"failed calling webhook {go_quote(webhook.name)}: {error}"
            if webhook.ignores_failures:
                log.warning("%s, failing open", failure)
                return None
            raise errors.internal(failure) from error
        attributes.warnings += verdict.warnings
        if not verdict.allowed:
            raise review.denial(webhook.name, verdict.result)
        return verdict

    async def _ask(
        self, webhook: Webhook, matched: Matched, attributes: AdmissionAttributes, seen: Seen
    ) -> review.Verdict:
        hook, row = webhook.hook, matched.row
        version = next((v for v in hook.get("admissionReviewVersions") or () if v in review.VERSIONS), "")
        if not version:
            why = "webhook does not accept known AdmissionReview versions (v1, v1beta1)"
            raise WebhookError(f"could not create admission objects: {why}")
        uid = meta.new_uid()
        request = review.request_of(attributes, row)
        question = review.question(version, uid, request, await seen.new(row), await seen.old(row))
        try:
            answer = await self._client.post(hook["clientConfig"], question, webhook.seconds)
        except WebhookError as error:
            raise WebhookError(f"failed to call webhook: {error}") from error
        try:
            return review.verdict(answer, version, uid, mutating=webhook.mutating)
        except review.ResponseError as error:
            raise review.ResponseError(f"received invalid webhook response: {error}") from None

    async def _patch(
        self,
        webhook: Webhook,
        matched: Matched,
        operations: list[object],
        attributes: AdmissionAttributes,
        seen: Seen,
    ) -> bool:
        """Whether it has changed the request's object. Raises ApiError 500."""
        obj = await seen.new(matched.row)
        if obj is None:
            raise errors.internal(
                f"admission webhook {go_quote(webhook.name)} attempted to modify the object, which is not supported "
                "for this operation"
            )
        try:
            changed = review.patched(obj, operations)
        except review.ResponseError as error:
            raise errors.internal(str(error)) from None
        if changed == obj:
            return False
        await seen.replace(matched.row, changed)
        return True


def check_owners(attributes: AdmissionAttributes, before: list[Object] | None) -> None:
    """Put back the managed fields that there were ``before`` if webhooks have left them in disorder, and warn."""
    metadata = (attributes.object or {}).get("metadata") or {}
    entries = metadata.get("managedFields")
    if entries is before or entries == before:
        return
    try:
        managers.decode(entries or [])
    except FieldsError as error:
        if before is None:
            metadata.pop("managedFields", None)
        else:
            metadata["managedFields"] = before
        attributes.warnings.append(
            ".metadata.managedFields was in an invalid state after admission; this could be caused by an outdated "
            f"mutating admission controller; please fix your requests: {error}"
        )
