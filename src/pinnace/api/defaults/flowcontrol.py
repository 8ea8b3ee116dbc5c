"""Defaults of API priority and fairness."""

from __future__ import annotations

from pinnace.api.defaults.base import child, fill, fill_empty, given
from pinnace.api.types import Object

_GROUP = "flowcontrol.apiserver.k8s.io"


def flow_schema(obj: Object) -> None:
    fill_empty(child(obj, "spec"), matchingPrecedence=1000)
    child(obj, "status")


def priority_level(obj: Object) -> None:
    spec = child(obj, "spec")
    child(obj, "status")
    exempt = given(spec, "exempt")
    if spec.get("type") == "Exempt":
        exempt = child(spec, "exempt")
    if exempt is not None:
        fill(exempt, nominalConcurrencyShares=0, lendablePercent=0)
    limited = given(spec, "limited")
    if limited is None:
        return
    fill(limited, nominalConcurrencyShares=30, lendablePercent=0)
    queuing = given(child(limited, "limitResponse"), "queuing")
    if queuing is not None:
        fill_empty(queuing, handSize=8, queues=64, queueLengthLimit=50)


DEFAULTS = {(_GROUP, "FlowSchema"): flow_schema, (_GROUP, "PriorityLevelConfiguration"): priority_level}
