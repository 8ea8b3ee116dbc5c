"""ValidatingAdmissionPolicies at work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pinnace.api import errors
from pinnace.api.admission import CONDITIONS_BUDGET, POLICY_BUDGET, BudgetError, Evaluation, Expression, ExpressionError
from pinnace.api.cel import BOOL, STRING
from pinnace.api.cel.types import NULL
from pinnace.api.errors import ApiError
from pinnace.api.types import Object
from pinnace.apiserver.admission.base import refuse
from pinnace.apiserver.admission.dynamic.conditions import ConditionError, all_hold, bounded
from pinnace.apiserver.admission.dynamic.configuration import Followed
from pinnace.apiserver.admission.dynamic.policies import Invocation, Invocations, Policy
from pinnace.apiserver.admission.dynamic.seen import Seen
from pinnace.apiserver.request import AdmissionAttributes

_CODES = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413, "Invalid": 422}
#: Policies kept compiled.
COMPILED = 1000
#: Bytes of a message.
LONGEST_MESSAGE = 5 * 1024


class Finding(NamedTuple):
    """Why a policy is against a request."""

    message: str
    reason: str = "Invalid"
    #: It could not be evaluated.
    failed: bool = False
    #: It denies the request whatever the binding's actions are.
    always: bool = False


class _Compiled:
    """A policy's expressions."""

    def __init__(self, policy: Policy) -> None:
        self.conditions = policy.conditions
        self.validations: list[tuple[Object, Expression, Expression | None]] = []
        for validation in policy.spec.get("validations") or ():
            message = validation.get("messageExpression")
            self.validations.append(
                (
                    validation,
                    policy.compile(validation["expression"], BOOL),
                    policy.compile(message, STRING, authorizer=False) if message else None,
                )
            )
        self.annotations = [
            policy.compile(annotation["valueExpression"].strip(), STRING, NULL)
            for annotation in policy.spec.get("auditAnnotations") or ()
        ]


class Validations:
    """For one API server."""

    def __init__(self, invocations: Invocations, followed: Followed[Policy]) -> None:
        self._invocations = invocations
        self.followed = followed
        self._compiled: dict[Policy, _Compiled] = {}

    async def validate(self, attributes: AdmissionAttributes, seen: Seen) -> None:
        """Raises ApiError, of the first binding that denies."""
        denial: ApiError | None = None
        async for invocation in self._invocations.of(self.followed.chosen(attributes), attributes):
            policy, binding = invocation.policy, invocation.binding
            if invocation.failure:
                if not policy.ignores_failures:
                    denial = denial or _denial(invocation, Finding(invocation.failure), attributes)
                continue
            assert binding is not None
            actions = binding.spec.get("validationActions") or ()
            for finding in await self._findings(invocation, attributes, seen):
                if finding.always or "Deny" in actions:
                    denial = denial or _denial(invocation, finding, attributes)
                if "Warn" in actions and not finding.always:
                    attributes.warnings.append(
                        f"Validation failed for ValidatingAdmissionPolicy '{policy.name}' with binding "
                        f"'{binding.name}': {finding.message}"
                    )
        if denial is not None:
            raise denial

    async def _findings(self, invocation: Invocation, attributes: AdmissionAttributes, seen: Seen) -> list[Finding]:
        policy = invocation.policy
        compiled = self._expressions(policy)
        values = await self._invocations.values(invocation, attributes, seen)
        asks, variables = policy.asks, policy.variables
        try:
            if not await bounded(all_hold, CONDITIONS_BUDGET, asks, compiled.conditions, values, variables):
                return []
            found = await bounded(_evaluate, POLICY_BUDGET, asks, compiled, values, variables)
        except (ConditionError, BudgetError) as error:
            found = [Finding(str(error), failed=True)]
        return [finding for finding in found if not (finding.failed and policy.ignores_failures)]

    def _expressions(self, policy: Policy) -> _Compiled:
        held = self._compiled.get(policy)
        if held is None:
            if len(self._compiled) >= COMPILED:
                self._compiled.clear()
            held = self._compiled[policy] = _Compiled(policy)
        return held


def _evaluate(budget: float, compiled: _Compiled, values: Object, variables: Mapping[str, Expression]) -> list[Finding]:
    """What is against the request. Raises BudgetError."""
    evaluation = Evaluation(values, budget, variables)
    found = []
    for validation, expression, message in compiled.validations:
        try:
            if evaluation.value(expression) is not True:
                reason = validation.get("reason") or "Invalid"
                found.append(Finding(_message(evaluation, validation, message), reason))
        except ExpressionError as error:
            found.append(Finding(str(error), failed=True))
    annotations = Evaluation(values, budget, variables)
    for expression in compiled.annotations:
        try:
            annotations.value(expression)  # there is no audit log to write it to; that it fails counts
        except ExpressionError as error:
            found.append(Finding(str(error), failed=True, always=True))
    return found


def _message(evaluation: Evaluation, validation: Object, expression: Expression | None) -> str:
    """Raises BudgetError."""
    said = ""
    if expression is not None:
        try:
            value = evaluation.value(expression)
        except ExpressionError:
            value = None
        said = value.strip() if isinstance(value, str) else ""
        if "\n" in said or len(said.encode()) > LONGEST_MESSAGE:
            said = ""
    return said or (validation.get("message") or "").strip() or f"failed expression: {validation['expression'].strip()}"


def _denial(invocation: Invocation, finding: Finding, attributes: AdmissionAttributes) -> ApiError:
    who = f"ValidatingAdmissionPolicy '{invocation.policy.name}'"
    if invocation.binding is not None:
        who += f" with binding '{invocation.binding.name}'"
    message = f"{who} denied request: {finding.message}"
    error = refuse(attributes, message)
    details = {**errors.details_of(error), "causes": [{"message": message}]}
    return ApiError(_CODES.get(finding.reason, 422), finding.reason, error.message, details=details)
