"""PodDisruptionBudgets."""

from __future__ import annotations

from typing import Any

import pytest

from pinnace.api import meta
from pinnace.api.resources import DEPLOYMENTS, PODS
from pinnace.api.types import Object
from pinnace.controllers import budget
from pinnace.controllers.disruption import BUDGETS

Cluster = Any
LABELS = {"app": "web"}


def pdb(**spec: Any) -> Object:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": LABELS}, **spec},
    }


async def deploy(cluster: Cluster, replicas: int) -> None:
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "main", "image": "x"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": LABELS}, "template": template}
    wanted = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}
    await cluster.create(DEPLOYMENTS, wanted)
    await cluster.settle()
    await cluster.make_ready()
    await cluster.settle()


async def numbers(cluster: Cluster) -> tuple[int, int, int, int]:
    status = (await cluster.get(BUDGETS, "web"))["status"]
    return (
        status["expectedPods"],
        status["currentHealthy"],
        status["desiredHealthy"],
        status["disruptionsAllowed"],
    )


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"minAvailable": 2}, (4, 4, 2, 2)),
        ({"minAvailable": "60%"}, (4, 4, 3, 1)),
        ({"maxUnavailable": 1}, (4, 4, 3, 1)),
        ({"maxUnavailable": "30%"}, (4, 4, 2, 2)),
    ],
)
async def test_how_many_may_go(cluster: Cluster, spec: Object, expected: tuple[int, int, int, int]) -> None:
    await deploy(cluster, 4)
    await cluster.create(BUDGETS, pdb(**spec))
    await cluster.settle()
    assert await numbers(cluster) == expected
    held = await cluster.get(BUDGETS, "web")
    condition = meta.condition(held, "DisruptionAllowed")
    assert (condition["status"], condition["reason"]) == ("True", "SufficientPods")


async def test_it_follows_the_pods(cluster: Cluster) -> None:
    await deploy(cluster, 3)
    await cluster.create(BUDGETS, pdb(maxUnavailable=1))
    await cluster.settle()
    pod = (await cluster.list(PODS))[0]
    await cluster.set_status(pod, ready="False")
    await cluster.settle()
    assert await numbers(cluster) == (3, 2, 2, 0)
    condition = meta.condition(await cluster.get(BUDGETS, "web"), "DisruptionAllowed")
    assert condition["reason"] == "InsufficientPods"
    await cluster.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 1}})
    await cluster.settle()
    assert (await numbers(cluster))[0] == 1


def test_an_eviction_that_does_not_happen_is_forgotten() -> None:
    held = pdb(minAvailable=1)
    held["status"] = {"disruptedPods": {"a": "2026-01-01T00:00:00Z", "gone": "2026-01-01T00:00:00Z"}}
    pods: list[Object] = [{"metadata": {"name": "a"}}]
    now = 1767225600.0
    assert budget.disrupted(held, pods, now + 20) == ({"a": "2026-01-01T00:00:00Z"}, 100.0)
    assert budget.disrupted(held, pods, now + 121) == ({}, None)
