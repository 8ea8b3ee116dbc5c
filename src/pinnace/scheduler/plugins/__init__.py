"""The rules, one a module; ``default_filters`` and ``default_scores`` are the default profile, in kube-scheduler's
order: a node is turned down by the first filter it does not pass."""

from __future__ import annotations

from pinnace.scheduler.framework import FilterPlugin, ScorePlugin
from pinnace.scheduler.plugins.balanced_allocation import BalancedAllocation
from pinnace.scheduler.plugins.node_affinity import NodeAffinity
from pinnace.scheduler.plugins.node_name import NodeName
from pinnace.scheduler.plugins.node_ports import NodePorts
from pinnace.scheduler.plugins.node_resources_fit import NodeResourcesFit
from pinnace.scheduler.plugins.node_unschedulable import NodeUnschedulable
from pinnace.scheduler.plugins.taint_toleration import TaintToleration


def default_filters() -> list[FilterPlugin]:
    return [NodeUnschedulable(), NodeName(), TaintToleration(), NodeAffinity(), NodePorts(), NodeResourcesFit()]


def default_scores() -> list[ScorePlugin]:
    return [TaintToleration(), NodeAffinity(), NodeResourcesFit(), BalancedAllocation()]
