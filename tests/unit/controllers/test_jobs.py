"""Jobs against a real API server; the tests play the kubelet."""

from __future__ import annotations

from typing import Any

import pytest

from pinnace.api import meta
from pinnace.api.resources import JOBS, PODS
from pinnace.api.types import Object
from pinnace.controllers import jobindexes, jobstate
from pinnace.core.clock import timestamp

Cluster = Any


def job(name: str = "work", restart: str = "Never", **spec: Any) -> Object:
    pod = {"restartPolicy": restart, "containers": [{"name": "main", "image": "x"}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"template": {"spec": pod}, **spec},
    }


async def active(cluster: Cluster) -> list[Object]:
    pods = await cluster.list(PODS)
    alive = [
        pod for pod in pods if not meta.is_deleting(pod) and pod["status"].get("phase") in (None, "Pending", "Running")
    ]
    return sorted(alive, key=lambda pod: (jobindexes.index_of(pod) or 0, meta.name(pod)))


async def end(cluster: Cluster, pod: Object, phase: str = "Succeeded", code: int = 0, **status: Any) -> None:
    state = {"terminated": {"exitCode": code, "finishedAt": timestamp(cluster.clock.now()), "reason": phase}}
    container = {"name": "main", "image": "x", "imageID": "", "ready": False, "restartCount": 0, "state": state}
    await cluster.set_status(pod, phase=phase, containerStatuses=[container], **status)
    await cluster.settle()


async def finished(cluster: Cluster, type: str, name: str = "work") -> tuple[str, str]:
    condition = meta.condition(await cluster.get(JOBS, name), type)
    assert condition is not None, (await cluster.get(JOBS, name))["status"]
    return condition["reason"], condition["message"]


async def test_a_job_runs_one_pod_to_completion(cluster: Cluster) -> None:
    await cluster.create(JOBS, job())
    await cluster.settle()
    (pod,) = await active(cluster)
    assert meta.finalizers(pod) == ["batch.kubernetes.io/job-tracking"]
    assert meta.labels(pod)["batch.kubernetes.io/job-name"] == "work"
    status = (await cluster.get(JOBS, "work"))["status"]
    assert (status["active"], status["ready"]) == (1, 0)
    assert status["startTime"]
    await end(cluster, pod)
    done = await cluster.get(JOBS, "work")
    assert done["status"]["succeeded"] == 1
    assert "active" not in done["status"]
    assert done["status"]["completionTime"]
    assert done["status"]["uncountedTerminatedPods"] == {}
    assert [c["type"] for c in done["status"]["conditions"]] == ["SuccessCriteriaMet", "Complete"]
    assert await finished(cluster, "Complete") == ("CompletionsReached", "Reached expected number of succeeded pods")
    assert meta.finalizers(await cluster.get(PODS, meta.name(pod))) == []
    assert await cluster.events("work") == [
        ("SuccessfulCreate", f"Created pod: {meta.name(pod)}"),
        ("Completed", "Job completed"),
    ]


async def test_parallelism_and_completions(cluster: Cluster) -> None:
    await cluster.create(JOBS, job(parallelism=2, completions=5))
    for expected in (2, 2, 2, 2, 1):
        await cluster.settle()
        pods = await active(cluster)
        assert len(pods) == expected
        await end(cluster, pods[0])
    await finished(cluster, "Complete")
    assert (await cluster.get(JOBS, "work"))["status"]["succeeded"] == 5


async def test_failed_pods_are_replaced_with_back_off_up_to_the_limit(cluster: Cluster) -> None:
    await cluster.create(JOBS, job(backoffLimit=2))
    await cluster.settle()
    for delay in (10, 20):
        await end(cluster, (await active(cluster))[0], "Failed", 1)
        await cluster.settle(delay - 5)
        assert await active(cluster) == []
        await cluster.settle(6)
        assert len(await active(cluster)) == 1
    await end(cluster, (await active(cluster))[0], "Failed", 1)
    reason = ("BackoffLimitExceeded", "Job has reached the specified backoff limit")
    assert await finished(cluster, "Failed") == await finished(cluster, "FailureTarget") == reason
    assert (await cluster.get(JOBS, "work"))["status"]["failed"] == 3
    assert reason in await cluster.events("work")


async def test_restarts_in_place_count_as_failures(cluster: Cluster) -> None:
    await cluster.create(JOBS, job(restart="OnFailure", backoffLimit=2))
    await cluster.settle()
    (pod,) = await active(cluster)
    container = {"name": "main", "image": "x", "imageID": "", "ready": False, "restartCount": 2, "state": {}}
    await cluster.set_status(pod, phase="Running", containerStatuses=[container])
    await cluster.settle()
    assert (await finished(cluster, "Failed"))[0] == "BackoffLimitExceeded"
    assert await cluster.list(PODS) == []


async def test_the_active_deadline(cluster: Cluster) -> None:
    await cluster.create(JOBS, job(activeDeadlineSeconds=30, parallelism=2))
    await cluster.settle(20)
    assert len(await active(cluster)) == 2
    await cluster.settle(15)
    assert await finished(cluster, "Failed") == ("DeadlineExceeded", "Job was active longer than specified deadline")
    assert await cluster.list(PODS) == []


async def test_ttl_after_finished(cluster: Cluster) -> None:
    await cluster.create(JOBS, job(ttlSecondsAfterFinished=60))
    await cluster.settle()
    await end(cluster, (await active(cluster))[0])
    await cluster.settle(50)
    assert await cluster.get(JOBS, "work")
    await cluster.settle(20)
    assert await cluster.maybe(JOBS, "work") is None
    assert await cluster.list(PODS) == []


async def test_suspend_and_resume(cluster: Cluster) -> None:
    await cluster.create(JOBS, job(suspend=True, parallelism=2))
    await cluster.settle()
    assert await active(cluster) == []
    assert await finished(cluster, "Suspended") == ("JobSuspended", "Job suspended")
    await cluster.patch(JOBS, "work", {"spec": {"suspend": False}})
    await cluster.settle()
    assert len(await active(cluster)) == 2
    await cluster.patch(JOBS, "work", {"spec": {"suspend": True}})
    await cluster.settle()
    assert await active(cluster) == []
    assert (await cluster.get(JOBS, "work"))["status"].get("failed", 0) in (0, 2)
    reasons = [reason for reason, _ in await cluster.events("work") if reason in ("Suspended", "Resumed")]
    assert sorted(set(reasons)) == ["Resumed", "Suspended"]


async def test_indexed(cluster: Cluster) -> None:
    await cluster.create(JOBS, job(completionMode="Indexed", completions=4, parallelism=3))
    await cluster.settle()
    pods = await active(cluster)
    assert [jobindexes.index_of(pod) for pod in pods] == [0, 1, 2]
    first = pods[0]
    assert meta.name(first).startswith("work-0-")
    assert first["spec"]["hostname"] == "work-0"
    assert meta.labels(first)["batch.kubernetes.io/job-completion-index"] == "0"
    assert first["spec"]["containers"][0]["env"][0]["name"] == "JOB_COMPLETION_INDEX"
    await end(cluster, pods[2])
    await end(cluster, pods[0])
    assert (await cluster.get(JOBS, "work"))["status"]["completedIndexes"] == "0,2"
    assert [jobindexes.index_of(pod) for pod in await active(cluster)] == [1, 3]
    await end(cluster, pods[1], "Failed", 1)
    await cluster.settle(15)
    for pod in await active(cluster):
        await end(cluster, pod)
    await finished(cluster, "Complete")
    status = (await cluster.get(JOBS, "work"))["status"]
    assert (status["completedIndexes"], status["succeeded"], status["failed"]) == ("0-3", 4, 1)


async def test_back_off_limit_per_index(cluster: Cluster) -> None:
    spec = {"completionMode": "Indexed", "completions": 2, "parallelism": 2, "backoffLimitPerIndex": 1}
    await cluster.create(JOBS, job(**spec))
    await cluster.settle()
    await end(cluster, (await active(cluster))[1])
    for _ in range(2):
        (pod,) = await active(cluster)
        await end(cluster, pod, "Failed", 1)
        await cluster.settle(30)
    assert await finished(cluster, "Failed") == ("FailedIndexes", "Job has failed indexes")
    status = (await cluster.get(JOBS, "work"))["status"]
    assert (status["completedIndexes"], status["failedIndexes"], status["failed"]) == ("1", "0", 2)


async def test_success_policy(cluster: Cluster) -> None:
    policy = {"rules": [{"succeededIndexes": "0"}]}
    await cluster.create(JOBS, job(completionMode="Indexed", completions=3, parallelism=3, successPolicy=policy))
    await cluster.settle()
    await end(cluster, (await active(cluster))[0])
    assert await finished(cluster, "Complete") == ("SuccessPolicy", "Matched rules at index 0")
    assert await active(cluster) == []


async def test_pod_failure_policy(cluster: Cluster) -> None:
    codes = {"operator": "In", "values": [42]}
    disrupted = [{"type": "DisruptionTarget", "status": "True"}]
    rules = [{"action": "FailJob", "onExitCodes": codes}, {"action": "Ignore", "onPodConditions": disrupted}]
    await cluster.create(JOBS, job(backoffLimit=0, podFailurePolicy={"rules": rules}))
    await cluster.settle()
    (pod,) = await active(cluster)
    condition = {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": timestamp(cluster.clock.now())}
    await end(cluster, pod, "Failed", 1, conditions=[condition])
    (pod,) = await active(cluster)
    await end(cluster, pod, "Failed", 42)
    reason, message = await finished(cluster, "Failed")
    assert reason == "PodFailurePolicy"
    assert message == (
        f"Container main for pod default/{meta.name(pod)} failed with exit code 42 matching FailJob rule at index 0"
    )


async def test_pods_of_a_job_that_is_gone_are_let_go(cluster: Cluster) -> None:
    await cluster.create(JOBS, job())
    await cluster.settle()
    await cluster.client.delete(JOBS, "work", "default", propagation="Background")
    await cluster.settle(5)
    assert await cluster.list(PODS) == []
    await cluster.create(JOBS, job())
    await cluster.settle()
    await cluster.client.delete(JOBS, "work", "default", propagation="Foreground")
    await cluster.settle(5)
    assert await cluster.list(PODS) == []
    assert await cluster.maybe(JOBS, "work") is None


async def test_a_deleted_pod_counts_as_failed_and_is_replaced(cluster: Cluster) -> None:
    await cluster.create(JOBS, job())
    await cluster.settle()
    (pod,) = await active(cluster)
    await cluster.client.delete(PODS, meta.name(pod), "default")
    await cluster.settle(15)
    assert len(await active(cluster)) == 1
    assert (await cluster.get(JOBS, "work"))["status"]["failed"] == 1


@pytest.mark.parametrize("moment", range(1, 12))
async def test_no_pod_is_lost_or_counted_twice_over_a_crash(bare: Cluster, moment: int) -> None:
    """The controllers stop answering to their writes at every moment of the accounting, and start anew."""
    await bare.start_controllers()
    await bare.create(JOBS, job(completions=3, parallelism=3))
    await bare.settle()
    pods = await active(bare)
    client = bare.client_for("job-controller")
    original, left = client.update, moment
    original_patch = client.patch

    async def dying(call: Any, *args: Any, **kwargs: Any) -> Object:
        nonlocal left
        left -= 1
        if left < 0:
            raise ConnectionError("crashed")
        return await call(*args, **kwargs)

    for pod in pods:
        await bare.set_status(pod, phase="Succeeded")
    client.update = lambda *args, **kwargs: dying(original, *args, **kwargs)
    client.patch = lambda *args, **kwargs: dying(original_patch, *args, **kwargs)
    await bare.settle(0.1)
    await bare.stop_controllers()
    client.update, client.patch = original, original_patch
    await bare.start_controllers()
    await bare.settle(5)
    status = (await bare.get(JOBS, "work"))["status"]
    assert status["succeeded"] == 3
    assert status["uncountedTerminatedPods"] == {}
    await finished(bare, "Complete")


def test_index_text() -> None:
    assert jobindexes.parse("1,3-5,9", 9) == {1, 3, 4, 5}
    assert jobindexes.render({0, 1, 2, 4, 6, 7}) == "0-2,4,6,7"
    assert jobindexes.render(()) == ""


def test_back_off_doubles_up_to_ten_minutes() -> None:
    waits = [jobstate.BackoffRecord(failures, 100.0).wait(100.0) for failures in range(9)]
    assert waits == [0, 10, 20, 40, 80, 160, 320, 600, 600]


async def test_adoption_and_release(cluster: Cluster) -> None:
    made = await cluster.create(JOBS, job(parallelism=2, completions=4))
    await cluster.settle()
    pod = (await active(cluster))[0]
    await cluster.patch(PODS, meta.name(pod), {"metadata": {"ownerReferences": None}})
    await cluster.settle()
    assert meta.controller_of(await cluster.get(PODS, meta.name(pod))) == meta.owner_reference(made)
    assert len(await active(cluster)) == 2
    alone = {"labels": dict.fromkeys(meta.labels(pod)), "ownerReferences": None}
    await cluster.patch(PODS, meta.name(pod), {"metadata": alone})
    await cluster.settle()
    left = await cluster.get(PODS, meta.name(pod))
    assert (meta.controller_of(left), meta.finalizers(left)) == (None, [])
    assert len(await active(cluster)) == 3
