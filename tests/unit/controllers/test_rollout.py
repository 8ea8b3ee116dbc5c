"""The rollout as functions: bounds that hold at every step, whatever the Pods do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pinnace.api.types import Object
from pinnace.controllers import replicas, rollout, rollout_status


def deployment(desired: int, surge: int | str = "25%", unavailable: int | str = "25%", **spec: Any) -> Object:
    bounds = {"maxSurge": surge, "maxUnavailable": unavailable}
    strategy = {"type": "RollingUpdate", "rollingUpdate": bounds}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "new"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default", "uid": "d", "generation": 1},
        "spec": {"replicas": desired, "strategy": strategy, "template": template, **spec},
        "status": {},
    }


def replica_set(name: str, size: int, available: int = 0, image: str = "old", **annotations: str) -> Object:
    labels = {"a": "b", rollout.HASH_LABEL: name}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": name,
            "creationTimestamp": f"2026-01-01T00:00:{len(name):02}Z",
            "annotations": {k.replace("_", "-"): v for k, v in annotations.items()},
        },
        "spec": {
            "replicas": size,
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": image}]}},
        },
        "status": {"replicas": size, "availableReplicas": available, "readyReplicas": available},
    }


@pytest.mark.parametrize(
    ("desired", "surge", "unavailable", "expected"),
    [
        (10, "25%", "25%", (3, 2)),
        (3, "25%", "25%", (1, 0)),
        (1, "25%", "25%", (1, 0)),
        (4, 2, 1, (2, 1)),
        (10, 0, 0, (0, 1)),
        (1, "0%", "25%", (0, 1)),
        (10, "100%", "100%", (10, 10)),
    ],
)
def test_surge_rounds_up_and_unavailable_down(
    desired: int, surge: int | str, unavailable: int | str, expected: tuple[int, int]
) -> None:
    assert rollout.fenceposts(deployment(desired, surge, unavailable)["spec"], desired) == expected


BOUND = st.one_of(st.integers(0, 12), st.integers(0, 100).map(lambda percent: f"{percent}%"))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 30), BOUND, BOUND, st.lists(st.integers(0, 10), max_size=3), st.randoms(use_true_random=False))
def test_a_rollout_keeps_its_bounds_and_ends(
    desired: int, surge: int | str, unavailable: int | str, olds: list[int], random: Any
) -> None:
    """Pods become available, and stop being so, at random; the steps never ask for more than they may, and take no
    available Pod away below the minimum. Once all Pods become available the rollout ends."""
    web = deployment(desired, surge, unavailable)
    new = replica_set("n" * 9, 0, image="new")
    old = [replica_set("o" * (index + 1), size, size) for index, size in enumerate(olds)]
    start = rollout.total(old)
    ceiling = max(desired + rollout.max_surge(web), start)
    minimum = desired - rollout.max_unavailable(web)
    for step_number in range(400):
        every = [*old, new]
        step = rollout.new_step(web, every, new)
        steps = [step] if step is not None else rollout.old_steps(web, old, new)
        available_before = sum(map(rollout.available_of, every))
        for replica_set_, size in steps:
            status = replica_set_["status"]
            # The ReplicaSet deletes Pods that are not available first.
            lost = max(status["availableReplicas"] - size, 0)
            replica_set_["spec"]["replicas"] = size
            status.update(replicas=size, availableReplicas=status["availableReplicas"] - lost)
        assert rollout.total(every) <= ceiling
        assert sum(map(rollout.available_of, every)) >= min(minimum, available_before)
        if not steps and step_number > 100 and all(rollout.available_of(rs) == rs["spec"]["replicas"] for rs in every):
            break
        for rs in every:
            status, size = rs["status"], rs["spec"]["replicas"]
            flaky = step_number < 100
            ready = random.randint(0 if flaky else status["availableReplicas"], size)
            status["availableReplicas"] = ready if flaky else max(ready, min(size, status["availableReplicas"] + 1))
    assert rollout.replicas_of(new) == desired
    assert rollout.total(old) == 0


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 40), st.lists(st.integers(0, 20), min_size=1, max_size=4), BOUND)
@example(after=2, shares=[2, 2, 2, 2], surge=0)
def test_scaling_in_the_middle_shares_out_and_stays_in_bounds(after: int, shares: list[int], surge: int | str) -> None:
    was, now = deployment(sum(shares), surge, 0), deployment(after, surge, 0)
    marks = rollout.size_annotations(was)
    sets = [replica_set("o" * (i + 1), size, size) for i, size in enumerate(shares)]
    for rs in sets:
        rs["metadata"]["annotations"] = marks
    new = sets[-1]
    for rs, size in rollout.scaling_steps(now, sets, new):
        assert size >= 0
        rs["spec"]["replicas"] = size
    active = [size for size in shares if size > 0]
    total = rollout.total(sets)
    if len(active) > 1 and not rollout.is_saturated(now, new):
        wanted = after + rollout.max_surge(now) if after else 0
        emptied = any(share and not rs["spec"]["replicas"] for share, rs in zip(shares, sets, strict=True))
        # What rounding leaves over is taken from one of them; if that is not enough, the rest is the next round's.
        assert total == wanted or (emptied and wanted < total < sum(shares))
    else:
        assert total == after


def test_proportional_scaling() -> None:
    """The example of the Kubernetes documentation: 10 Pods, maxSurge 3, maxUnavailable 2; from 10 to 15."""
    web = deployment(15, 3, 2)
    marks = {rollout.DESIRED_REPLICAS: "10", rollout.MAX_REPLICAS: "13"}
    old, new = replica_set("old", 8, 8), replica_set("newer", 5, 0, image="new")
    for rs in (old, new):
        rs["metadata"]["annotations"] = marks
    assert {rs["metadata"]["name"]: size for rs, size in rollout.scaling_steps(web, [old, new], new)} == {
        "old": 11,
        "newer": 7,
    }


def test_the_current_replica_set_is_known_by_its_template() -> None:
    web = deployment(1)
    old, new, newer = replica_set("o", 1), replica_set("nn", 1, image="new"), replica_set("nnn", 1, image="new")
    assert rollout.find_new(web, [newer, old, new]) is new
    assert rollout.find_new(web, [old]) is None


def test_template_hashes_are_stable_and_change_with_collisions() -> None:
    template = deployment(1)["spec"]["template"]
    first = rollout.template_hash(template, None)
    assert first == rollout.template_hash(
        {**template, "metadata": {"labels": {"a": "b"}, "creationTimestamp": None}}, None
    )
    assert first != rollout.template_hash(template, 1) != rollout.template_hash(template, 2)


def test_history_is_cleaned_up_oldest_revision_first() -> None:
    web = deployment(1, revisionHistoryLimit=1)
    old = [replica_set("o" * (i + 1), 0) for i in range(3)]
    for number, rs in enumerate(old):
        rs["metadata"]["annotations"] = {rollout.REVISION: str(10 - number)}
    assert [rs["metadata"]["name"] for rs in rollout.to_clean_up(web, old)] == ["ooo", "oo"]


def test_progress_and_completion() -> None:
    web = deployment(2, progressDeadlineSeconds=600)
    new = replica_set("n", 2, 1, image="new")
    counted = rollout_status.counts(web, [new], new, 1000.0)
    status = rollout_status.with_rollout(web, counted, [new], new, 1000.0)
    shown = {c["type"]: (c["status"], c["reason"], c["message"]) for c in status["conditions"]}
    assert shown == {
        "Available": ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."),
        "Progressing": ("True", "ReplicaSetUpdated", 'ReplicaSet "n" is progressing.'),
    }
    assert (status["replicas"], status["updatedReplicas"], status["unavailableReplicas"]) == (2, 2, 1)


# -- which Pods a ReplicaSet deletes first


def pod(
    name: str, *, node: str = "n1", phase: str = "Running", ready: bool = True, since: int = 0, **more: Any
) -> Object:
    stamp = f"2026-01-01T00:{since:02}:00Z"
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": stamp}
    restarts = more.get("restarts", 0)
    return {
        "metadata": {
            "name": name,
            "uid": name,
            "creationTimestamp": stamp,
            "annotations": {"controller.kubernetes.io/pod-deletion-cost": str(more.get("cost", 0))},
        },
        "spec": {"nodeName": node},
        "status": {"phase": phase, "conditions": [condition], "containerStatuses": [{"restartCount": restarts}]},
    }


NOW = 1767229200.0  # 2026-01-01T01:00:00Z


@pytest.mark.parametrize(
    ("doomed", "spared"),
    [
        (pod("z", node=""), pod("a")),
        (pod("z", phase="Pending"), pod("a")),
        (pod("z", ready=False), pod("a")),
        (pod("z", cost=-1), pod("a")),
        (pod("z", since=59), pod("a", since=1)),
        (pod("z", restarts=3), pod("a")),
    ],
)
def test_which_of_two_pods_goes_first(doomed: Object, spared: Object) -> None:
    for pods in ([doomed, spared], [spared, doomed]):
        assert replicas.to_delete(pods, [], 1, NOW) == [doomed]


def test_pods_on_the_fullest_node_go_first() -> None:
    crowded = [pod("a", node="full"), pod("b", node="full"), pod("c", node="lonely")]
    assert {p["metadata"]["name"] for p in replicas.to_delete(crowded, crowded, 2, NOW)} == {"a", "b"}
