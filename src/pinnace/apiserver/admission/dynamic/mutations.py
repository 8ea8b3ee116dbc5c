"""MutatingAdmissionPolicies at work."""

from __future__ import annotations

from pinnace.api import admission, errors, meta, mutations
from pinnace.api.admission import CONDITIONS_BUDGET, POLICY_BUDGET, BudgetError, Evaluation, Expression, ExpressionError
from pinnace.api.errors import ApiError, go_quote
from pinnace.api.registry import Resource
from pinnace.api.types import Object
from pinnace.apiserver.admission.base import refuse
from pinnace.apiserver.admission.dynamic.conditions import ConditionError, all_hold, bounded
from pinnace.apiserver.admission.dynamic.configuration import Followed
from pinnace.apiserver.admission.dynamic.policies import Invocation, Invocations, Policy
from pinnace.apiserver.admission.dynamic.rounds import Round
from pinnace.apiserver.admission.dynamic.seen import Seen
from pinnace.apiserver.request import AdmissionAttributes
from pinnace.apiserver.resources import ownership

#: Expressions kept compiled.
COMPILED = 1000


class Mutations:
    """For one API server."""

    def __init__(self, invocations: Invocations, followed: Followed[Policy]) -> None:
        self._invocations = invocations
        self.followed = followed
        self._compiled: dict[tuple[Policy, str], Expression] = {}

    async def mutate(self, attributes: AdmissionAttributes, seen: Seen, round: Round) -> None:
        """Let every policy that is for the request change its object, one after the other. Raises ApiError."""
        round.begin(attributes.object)
        failures: list[tuple[str, bool]] = []  # what is said of a failure, and whether it is of an evaluation
        async for invocation in self._invocations.of(self.followed.chosen(attributes), attributes):
            if invocation.failure:
                if not invocation.policy.ignores_failures:
                    failures.append((_said(invocation, invocation.failure), False))
                continue
            try:
                await self._apply(invocation, attributes, seen, round)
            except (ConditionError, ExpressionError, BudgetError) as error:
                if not invocation.policy.ignores_failures:
                    failures.append((_said(invocation, str(error)), True))
        round.end(attributes.object)
        if failures:
            raise _refusal(attributes, failures)

    async def _apply(self, invocation: Invocation, attributes: AdmissionAttributes, seen: Seen, round: Round) -> None:
        """Raises ConditionError, ExpressionError, BudgetError, ApiError."""
        policy, row = invocation.policy, invocation.matched.row
        values = await self._invocations.values(invocation, attributes, seen)
        asks, variables = policy.asks, policy.variables
        if not await bounded(all_hold, CONDITIONS_BUDGET, asks, policy.conditions, values, variables):
            return
        if not round.calls(_key(invocation)) or values["object"] is None:
            return
        changed = False
        try:
            for mutation in policy.spec.get("mutations") or ():
                obj = await seen.new(row)
                assert obj is not None
                expression = self._expression(policy, mutation)
                given = await bounded(_evaluated, POLICY_BUDGET, asks, expression, {**values, "object": obj}, policy)
                made = _patched(mutation["patchType"], row, attributes.subresource, obj, given)
                if made != obj:
                    await seen.replace(row, made)
                    changed = True
        finally:
            if changed:
                round.changed()
        if policy.spec.get("reinvocationPolicy") == "IfNeeded":
            round.called(_key(invocation))

    def _expression(self, policy: Policy, mutation: Object) -> Expression:
        kind = mutation["patchType"]
        text = mutation[mutations.FIELDS[kind]]["expression"]
        held = self._compiled.get((policy, text))
        if held is None:
            if len(self._compiled) >= COMPILED:
                self._compiled.clear()
            assert policy.variables is not None  # compiled, and known to what uses them
            try:
                held = mutations.compiled(kind, text, policy.names())
            except ExpressionError as error:
                held = admission.failed(text, str(error))
            self._compiled[policy, text] = held
        return held


def _key(invocation: Invocation) -> str:
    binding, params = invocation.binding, invocation.params
    where = f"{meta.namespace(params)}/{meta.name(params)}" if params is not None else ""
    return f"{invocation.policy.name}/{binding.name if binding is not None else ''}/{where}"


def _evaluated(budget: float, expression: Expression, values: Object, policy: Policy) -> object:
    return Evaluation(values, budget, policy.variables).value(expression)


def _patched(kind: str, row: Resource, subresource: str, obj: Object, given: object) -> Object:
    """Raises ExpressionError."""
    if kind == "JSONPatch":
        made: Object = mutations.patched(obj, mutations.operations(given))
        return made
    if obj["kind"] != row.kind:
        raise ExpressionError(f"an apply configuration cannot change a {obj['kind']}: use a JSONPatch")
    return mutations.apply(ownership.type_of(row), obj, given)


def _said(invocation: Invocation, why: str) -> str:
    name = invocation.policy.name
    if invocation.binding is None:
        return f"policy {go_quote(name)} denied request: {why}"
    return f"policy '{name}' with binding '{invocation.binding.name}' denied request: {why}"


def _refusal(attributes: AdmissionAttributes, failures: list[tuple[str, bool]]) -> ApiError:
    error = refuse(attributes, "")
    message, evaluated = failures[0]
    details = {**errors.details_of(error), "causes": [{"message": said} for said, _ in failures]}
    return ApiError(error.code, "Invalid" if evaluated else error.reason, message, details=details)
