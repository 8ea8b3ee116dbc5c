"""Expressions (CEL) of admission: what they may look at, what they must give, and how they are evaluated.

``object``, ``oldObject`` and ``params`` have no types: an expression that names fields which there are not compiles,
and fails when it is evaluated. A policy's variables are evaluated when they are first looked at, once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pinnace.api import cel
from pinnace.api.cel.authorization import AUTHORIZER
from pinnace.api.cel.types import BOOL, DYN, INT, STRING, TIMESTAMP, Type, list_of, map_of, object_of
from pinnace.api.cel.values import CelError, CostError
from pinnace.api.types import Object

#: What one expression may cost, all of a policy for one object, and all conditions of one webhook.
CALL_LIMIT, POLICY_BUDGET, CONDITIONS_BUDGET = 1_000_000, 10_000_000, 2_500_000
_OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"

_TEXTS = map_of(STRING, STRING)
_GVK = object_of("kubernetes.GroupVersionKind", {"group": STRING, "version": STRING, "kind": STRING})
_GVR = object_of("kubernetes.GroupVersionResource", {"group": STRING, "version": STRING, "resource": STRING})
_USER = object_of(
    "kubernetes.UserInfo",
    {
        "username": STRING,
        "uid": STRING,
        "groups": list_of(STRING),
        "extra": map_of(STRING, list_of(STRING)),
    },
)
REQUEST = object_of(
    "kubernetes.AdmissionRequest",
    {
        "kind": _GVK,
        "resource": _GVR,
        "subResource": STRING,
        "requestKind": _GVK,
        "requestResource": _GVR,
        "requestSubResource": STRING,
        "name": STRING,
        "namespace": STRING,
        "operation": STRING,
        "userInfo": _USER,
        "dryRun": BOOL,
        "options": DYN,
    },
)
_CONDITION = object_of(
    "kubernetes.NamespaceCondition",
    {"status": STRING, "type": STRING, "lastTransitionTime": TIMESTAMP, "message": STRING, "reason": STRING},
)
_NAMESPACE_FIELDS = {
    "name": STRING,
    "generateName": STRING,
    "namespace": STRING,
    "labels": _TEXTS,
    "annotations": _TEXTS,
    "UID": STRING,
    "creationTimestamp": TIMESTAMP,
    "deletionGracePeriodSeconds": INT,
    "deletionTimestamp": TIMESTAMP,
    "generation": INT,
    "resourceVersion": STRING,
    "finalizers": list_of(STRING),
}
NAMESPACE = object_of(
    "kubernetes.Namespace",
    {
        "metadata": object_of("kubernetes.NamespaceMetadata", _NAMESPACE_FIELDS),
        "spec": object_of("kubernetes.NamespaceSpec", {"finalizers": list_of(STRING)}),
        "status": object_of("kubernetes.NamespaceStatus", {"conditions": list_of(_CONDITION), "phase": STRING}),
    },
)


class ExpressionError(Exception):
    """An expression that does not compile, gives something else than it must, or fails."""


class BudgetError(Exception):
    """No further expression is to be evaluated."""


class Expression(NamedTuple):
    """One that has been compiled, or ``error`` says why it could not be."""

    text: str
    program: cel.Program | None
    result: Type
    error: str = ""


def names(*, params: bool, authorizer: bool, variables: Mapping[str, Type] | None = None) -> dict[str, Type]:
    """The names that an expression may use, with their types."""
    found = {"object": DYN, "oldObject": DYN, "namespaceObject": NAMESPACE, "request": REQUEST}
    if params:
        found["params"] = DYN
    if authorizer:
        found["authorizer"] = AUTHORIZER
    return found if variables is None else with_variables(found, variables)


def with_variables(known: Mapping[str, Type], variables: Mapping[str, Type]) -> dict[str, Type]:
    """``known`` names and a policy's variables."""
    return {**known, "variables": object_of("kubernetes.variables", variables)}


def compiled(text: str, known: Mapping[str, Type], wanted: Sequence[Type] = ()) -> Expression:
    """Must give one of the types ``wanted``, if any are. Raises ExpressionError."""
    try:
        program, result, _ = cel.compiled(text, known)
    except cel.CompileError as error:
        raise ExpressionError(f"compilation failed: {error}") from None
    if wanted and all(str(result) != str(one) for one in wanted):
        if len(wanted) == 1:
            raise ExpressionError(f"must evaluate to {wanted[0]} but got {result}")
        raise ExpressionError(f"must evaluate to one of [{' '.join(map(str, wanted))}] but got {result}")
    return Expression(text, program, result)


def tried(text: str, known: Mapping[str, Type], wanted: Sequence[Type] = ()) -> Expression:
    """As ``compiled``; an expression that does not compile fails when it is evaluated."""
    try:
        return compiled(text, known, wanted)
    except ExpressionError as error:
        return failed(text, str(error))


def failed(text: str, why: str) -> Expression:
    """One that does not compile."""
    return Expression(text, None, DYN, why)


class Evaluation:
    """All expressions of one policy, or one webhook, over one request: they share a budget."""

    def __init__(self, values: Object, budget: float, variables: Mapping[str, Expression] | None = None) -> None:
        self.left = budget
        self._values = dict(values)
        if variables is not None:
            self._values["variables"] = _Variables(self, variables)

    def value(self, expression: Expression, extra: Object | None = None) -> Any:
        """What it gives. Raises ExpressionError, BudgetError."""
        if expression.program is None:
            raise ExpressionError(f"compilation error: {expression.error}")
        try:
            return self.run(expression, extra)
        except CelError as error:
            raise ExpressionError(f"expression '{expression.text}' resulted in error: {error}") from None

    def run(self, expression: Expression, extra: Object | None = None) -> Any:
        """Raises CelError, BudgetError."""
        assert expression.program is not None
        values = {**self._values, **extra} if extra else self._values
        try:
            value, cost = expression.program.evaluate(values, min(CALL_LIMIT, self.left))
        except CostError as error:
            if self.left > CALL_LIMIT:
                raise CelError(str(error)) from None
            raise BudgetError(_OUT_OF_BUDGET) from None
        self.left -= cost
        if self.left < 0:
            raise BudgetError(_OUT_OF_BUDGET)
        return value


class _Variables(dict[str, Any]):
    """``variables``: evaluated as they are looked at."""

    def __init__(self, evaluation: Evaluation, expressions: Mapping[str, Expression]) -> None:
        super().__init__()
        self._evaluation = evaluation
        self._expressions = expressions
        self._failures: dict[str, str] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._expressions

    def __missing__(self, name: str) -> Any:
        if name not in self._failures:
            expression = self._expressions[name]
            try:
                if expression.program is None:
                    raise CelError(expression.error)
                value = self[name] = self._evaluation.run(expression)
            except CelError as error:
                self._failures[name] = f'composited variable "{name}" fails to evaluate: {error}'
            else:
                return value
        raise CelError(self._failures[name])
