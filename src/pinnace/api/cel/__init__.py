"""The Common Expression Language, as Kubernetes' API server extends it: parse, check types, evaluate with bounded cost.

    program = cel.compiled("self.replicas <= self.max", {"self": type_of_self}, cel.BOOL)
    program.evaluate({"self": {"replicas": 1, "max": 3}}, budget)

``syntax`` makes a tree, ``types`` and ``checker`` find what is wrong with it before it is ever run, ``evaluate`` turns
it into functions that count what they cost, ``library`` has the functions. Imported when the first rule comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from pinnace.api.cel import checker, cost, evaluate, syntax
from pinnace.api.cel.syntax import CompileError
from pinnace.api.cel.types import BOOL, STRING, Type
from pinnace.api.cel.values import CelError, CostError

__all__ = ["BOOL", "STRING", "CelError", "CompileError", "CostError", "Program", "compiled", "worst_cost"]

Program = evaluate.Program


def compiled(text: str, variables: Mapping[str, Type]) -> tuple[Program, Type, frozenset[str]]:
    """The program, the type of its result, and the variables that it uses. Raises CompileError, worded as cel-go."""
    checked = checker.check(text, _tree(text), variables)
    return _program(text), checked.result, checked.used


# What does not depend on the variables' types is kept: the same rules come again with every version and update.


@lru_cache(maxsize=2048)
def _tree(text: str) -> syntax.Node:
    return syntax.parse(text)


@lru_cache(maxsize=2048)
def _program(text: str) -> Program:
    return Program(_tree(text))


def worst_cost(text: str, variables: Mapping[str, Type], sizes: cost.Sizes) -> int:
    """What an expression that compiles may cost at most. ``sizes`` says how long the value at a path may be."""
    tree = _tree(text)
    return cost.estimate(tree, checker.check(text, tree, variables), sizes).most
