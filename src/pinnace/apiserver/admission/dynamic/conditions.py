"""``matchConditions``, and what expressions are given to look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from typing import TypeVar, TypeVarTuple

from pinnace.api import admission
from pinnace.api.admission import CONDITIONS_BUDGET, BudgetError, Evaluation, Expression, ExpressionError
from pinnace.api.cel import BOOL
from pinnace.api.cel.authorization import Authorizer as Asking
from pinnace.api.cel.authorization import Question
from pinnace.api.registry import Resource
from pinnace.api.types import Object
from pinnace.apiserver.admission.dynamic import review
from pinnace.apiserver.admission.dynamic.seen import Seen
from pinnace.apiserver.request import AdmissionAttributes, Attributes, Authorizer, User
from pinnace.core.cooperate import aside

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")

#: What may be spent on the event loop, in CEL's units: some milliseconds.
AT_ONCE = 20_000
_ACCOUNT_GROUPS = ("system:serviceaccounts", "system:authenticated")


class ConditionError(Exception):
    """Conditions that could not be evaluated."""


class Conditions:
    """For one API server."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def hold(
        self, conditions: Sequence[Object], row: Resource, attributes: AdmissionAttributes, seen: Seen
    ) -> bool:
        """Whether a request meets a webhook's conditions. Raises ConditionError."""
        values = {**await self.values(row, attributes, seen), "authorizer": self.asking(attributes)}
        asks = any("authorizer" in condition["expression"] for condition in conditions)
        try:
            return await bounded(hold, CONDITIONS_BUDGET, asks, conditions, values)
        except BudgetError as error:
            raise ConditionError(str(error)) from None

    async def values(self, row: Resource, attributes: AdmissionAttributes, seen: Seen) -> Object:
        """What every expression may look at."""
        return {
            "object": await seen.new(row),
            "oldObject": await seen.old(row),
            "request": review.request_of(attributes, row),
            "namespaceObject": None,
        }

    def asking(self, attributes: AdmissionAttributes) -> Asking:
        """The variable ``authorizer``."""
        row = attributes.resource
        request = Question(
            group=row.group,
            resource=row.plural,
            subresource=attributes.subresource,
            namespace=attributes.namespace,
            name=attributes.name,
        )

        @cache
        def decide(question: Question) -> tuple[bool, str]:
            return self._authorizer.authorize(_attributes_of(question, attributes.user))

        return Asking(decide, Question(), request)


def _attributes_of(question: Question, user: User) -> Attributes:
    if question.user:
        namespace = question.user.split(":")[2]
        user = User(question.user, groups=(*_ACCOUNT_GROUPS, f"system:serviceaccounts:{namespace}"))
    if question.path:
        return Attributes(user, question.verb, question.path)
    return Attributes(
        user,
        question.verb,
        "",
        question.group,
        "*",
        question.resource,
        question.subresource,
        question.namespace,
        question.name,
    )


async def bounded(
    work: Callable[[float, *Arguments], Result], budget: float, asks: bool, *arguments: *Arguments
) -> Result:
    """``work(budget, ...)``, which raises BudgetError if that is not enough: what costs much is done aside from the
    event loop, unless it ``asks`` authorization, which belongs there and costs much only in name."""
    if asks:
        return work(budget, *arguments)
    try:
        return work(AT_ONCE, *arguments)
    except BudgetError:
        return await aside(work, budget, *arguments)


def hold(budget: float, conditions: Sequence[Object], values: Object) -> bool:
    """Whether all of a webhook's conditions do; see ``all_hold``."""
    return all_hold(budget, [_condition(condition["expression"]) for condition in conditions], values, {})


def all_hold(
    budget: float, expressions: Sequence[Expression], values: Object, variables: Mapping[str, Expression]
) -> bool:
    """Raises ConditionError if none of the ``expressions`` says no, but some fail; BudgetError."""
    evaluation = Evaluation(values, budget, variables)
    failures = []
    fits = True
    for expression in expressions:
        try:
            fits = evaluation.value(expression) is not False and fits
        except ExpressionError as error:
            failures.append(str(error))
    if not fits:
        return False
    if failures:
        raise ConditionError(failures[0] if len(failures) == 1 else f"[{', '.join(dict.fromkeys(failures))}]")
    return True


@lru_cache(maxsize=1024)
def _condition(text: str) -> Expression:
    return admission.tried(text, admission.names(params=False, authorizer=True), (BOOL,))
