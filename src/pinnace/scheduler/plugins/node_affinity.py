"""NodeAffinity: nodeSelector and required node affinity decide, preferred node affinity scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from pinnace.api.types import Object
from pinnace.scheduler.framework import Scores, no_node_resolvable, normalize_to_max
from pinnace.scheduler.nodes import Mask, NodeTable, PodInfo, Rows


class NodeAffinity:
    name = "NodeAffinity"
    weight = 2.0

    def prepare(self, info: PodInfo, table: NodeTable) -> tuple[dict[str, str], list[Object] | None] | None:
        spec = info.pod["spec"]
        required = _node_affinity(spec).get("requiredDuringSchedulingIgnoredDuringExecution")
        terms = (required.get("nodeSelectorTerms") or []) if required else None
        labels = spec.get("nodeSelector") or {}
        return (labels, terms) if labels or terms is not None else None

    def filter(self, state: tuple[dict[str, str], list[Object] | None], table: NodeTable, rows: Rows) -> Mask:
        labels, terms = state
        passed = np.ones(len(table.present[rows]), np.bool_)
        for key, value in labels.items():
            passed &= table.label_equals(key, value, rows)
        if terms is not None:
            passed &= any_term(terms, table, rows)
        return passed

    def explain(self, state: object, table: NodeTable, rejected: npt.NDArray[np.intp]) -> Counter[str]:
        return Counter({"node(s) didn't match Pod's node affinity/selector": len(rejected)})

    def resolvable(self, state: object, table: NodeTable, rejected: npt.NDArray[np.intp]) -> Mask:
        return no_node_resolvable(rejected)

    def prepare_score(self, info: PodInfo, table: NodeTable) -> list[Object] | None:
        return _node_affinity(info.pod["spec"]).get("preferredDuringSchedulingIgnoredDuringExecution") or None

    def score(self, state: list[Object], table: NodeTable, rows: Rows) -> Scores:
        """The sum of the weights of the preferences that a node meets."""
        total = np.zeros(len(table.present[rows]), np.float64)
        for preference in state:
            term = preference.get("preference") or {}
            if term.get("matchExpressions") or term.get("matchFields"):
                total += preference["weight"] * matches_term(term, table, rows)
        return total

    def normalize(self, scores: Scores, feasible: Mask) -> Scores:
        return normalize_to_max(scores, feasible, reverse=False)


def _node_affinity(spec: Object) -> Object:
    return ((spec.get("affinity") or {}).get("nodeAffinity")) or {}


def any_term(terms: Iterable[Object], table: NodeTable, rows: Rows) -> Mask:
    """Terms are alternatives; a term without requirements matches no node."""
    passed = np.zeros(len(table.present[rows]), np.bool_)
    for term in terms:
        if term.get("matchExpressions") or term.get("matchFields"):
            passed |= matches_term(term, table, rows)
    return passed


def matches_term(term: Object, table: NodeTable, rows: Rows) -> Mask:
    passed = np.ones(len(table.present[rows]), np.bool_)
    for requirement in term.get("matchExpressions") or ():
        passed &= _matches_label(requirement, table, rows)
    for requirement in term.get("matchFields") or ():
        passed &= _matches_name(requirement, table, rows)
    return passed


def _matches_label(requirement: Object, table: NodeTable, rows: Rows) -> Mask:
    key, values = requirement["key"], tuple(requirement.get("values") or ())
    match requirement["operator"]:
        case "In":
            return table.label_in(key, values, rows)
        case "NotIn":
            return ~table.label_in(key, values, rows)
        case "Exists":
            return table.label_exists(key, rows)
        case "DoesNotExist":
            return ~table.label_exists(key, rows)
        case "Gt" | "Lt" as operator:
            return _compares(key, operator, values, table, rows)
        case operator:
            raise ValueError(f"node selector operator {operator!r} passed validation but is not known")


def _compares(key: str, operator: str, values: tuple[str, ...], table: NodeTable, rows: Rows) -> Mask:
    limit = _integer(values[0]) if len(values) == 1 else None
    known = table.label_values(key)
    holds = np.zeros(len(known) + 1, np.bool_)
    if limit is not None:
        for value, code in known.items():
            number = _integer(value)
            holds[code] = number is not None and (number > limit if operator == "Gt" else number < limit)
    return holds[table.label_codes(key, rows)]


def _integer(text: str) -> int | None:
    return int(text) if text.removeprefix("-").isdecimal() else None


def _matches_name(requirement: Object, table: NodeTable, rows: Rows) -> Mask:
    """The only field of nodes that can be asked for is metadata.name."""
    named = np.zeros(len(table.present), np.bool_)
    for value in requirement.get("values") or ():
        if (row := table.rows.get(value)) is not None:
            named[row] = True
    return named[rows] if requirement["operator"] == "In" else ~named[rows]
