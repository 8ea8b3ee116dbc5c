"""CronJobs in virtual time, and their schedules."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinnace.api import meta
from pinnace.api.errors import ApiError
from pinnace.api.resources import CRON_JOBS, JOBS, PODS
from pinnace.api.types import GVR, Object
from pinnace.client.client import Client
from pinnace.controllers import cronjob, cronschedule
from pinnace.core.clock import parse_timestamp, timestamp

Cluster = Any


def cron_job(schedule: str = "*/5 * * * *", **spec: Any) -> Object:
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "x"}]}
    template = {"metadata": {"labels": {"of": "cron"}}, "spec": {"template": {"spec": pod}}}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "tick"},
        "spec": {"schedule": schedule, "jobTemplate": template, **spec},
    }


async def finish_all(cluster: Cluster) -> None:
    for pod in await cluster.list(PODS):
        if pod["status"].get("phase") not in ("Succeeded", "Failed"):
            await cluster.set_status(pod, phase="Succeeded")
    await cluster.settle()


async def test_a_job_at_every_time(cluster: Cluster) -> None:
    made = await cluster.create(CRON_JOBS, cron_job())
    await cluster.settle(11 * 60)
    jobs = sorted(await cluster.list(JOBS), key=meta.name)
    assert len(jobs) in (2, 3)
    first = jobs[0]
    assert meta.controller_of(first) == meta.owner_reference(made)
    assert meta.labels(first)["of"] == "cron"
    at = parse_timestamp(meta.annotations(first)["batch.kubernetes.io/cronjob-scheduled-timestamp"])
    assert at % 300 == 0
    assert meta.name(first) == f"tick-{int(at) // 60}"
    status = (await cluster.get(CRON_JOBS, "tick"))["status"]
    assert len(status["active"]) == len(jobs)
    assert ("SuccessfulCreate", f"Created job {meta.name(first)}") in await cluster.events("tick")
    await finish_all(cluster)
    status = (await cluster.get(CRON_JOBS, "tick"))["status"]
    assert "active" not in status
    assert status["lastSuccessfulTime"]
    assert ("SawCompletedJob", f"Saw completed job: {meta.name(first)}, condition: Complete") in await cluster.events(
        "tick"
    )


async def test_a_week_passes_and_history_stays_short(cluster: Cluster) -> None:
    await cluster.create(CRON_JOBS, cron_job("0 */6 * * *"))
    for _ in range(28):
        await cluster.settle(6 * 3600)
        await finish_all(cluster)
    assert len(await cluster.list(JOBS)) == 3


async def test_nothing_is_written_from_an_outdated_version(bare: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A round that begins before its own last write is seen would only collect Conflicts."""
    written: list[str] = []
    conflicts: list[str] = []
    update = Client.update

    async def watched(self: Client, gvr: GVR, obj: Object, **options: Any) -> Object:
        written.append(gvr.resource)
        try:
            return await update(self, gvr, obj, **options)
        except ApiError as error:
            conflicts.append(str(error))
            raise

    monkeypatch.setattr(Client, "update", watched)
    await bare.start_controllers()
    await bare.create(CRON_JOBS, cron_job("0 * * * *"))
    for _ in range(5):
        await bare.settle(3600)
        await finish_all(bare)
    assert conflicts == []
    assert written.count("cronjobs") <= 10
    assert written.count("jobs") <= 25


async def test_forbid_waits_for_the_running_job(cluster: Cluster) -> None:
    await cluster.create(CRON_JOBS, cron_job(concurrencyPolicy="Forbid"))
    await cluster.settle(1200)
    assert len(await cluster.list(JOBS)) == 1
    assert "JobAlreadyActive" in [reason for reason, _ in await cluster.events("tick")]
    await finish_all(cluster)
    await cluster.settle()
    assert len(await cluster.list(JOBS)) == 2


async def test_replace_takes_the_place_of_the_running_job(cluster: Cluster) -> None:
    await cluster.create(CRON_JOBS, cron_job(concurrencyPolicy="Replace"))
    await cluster.settle(1200)
    (job,) = await cluster.list(JOBS)
    assert int(meta.name(job).rpartition("-")[2]) * 60 > cluster.clock.now() - 301


async def test_suspended_it_does_nothing(cluster: Cluster) -> None:
    await cluster.create(CRON_JOBS, cron_job(suspend=True))
    await cluster.settle(1200)
    assert await cluster.list(JOBS) == []


async def test_times_missed_while_it_was_down(bare: Cluster) -> None:
    await bare.create(CRON_JOBS, cron_job("* * * * *"))
    await bare.clock.advance(3600 * 24)
    await bare.start_controllers()
    await bare.settle(1)
    (job,) = await bare.list(JOBS)
    assert int(meta.name(job).rpartition("-")[2]) == int(bare.clock.now()) // 60
    assert "TooManyMissedTimes" in [reason for reason, _ in await bare.events("tick")]


async def test_times_are_those_of_its_zone(cluster: Cluster) -> None:
    """Nine in the morning in Shanghai is one in the morning in UTC."""
    await cluster.create(CRON_JOBS, cron_job("0 9 * * *", timeZone="Asia/Shanghai"))
    await cluster.settle(24 * 3600)
    (job,) = await cluster.list(JOBS)
    scheduled = meta.annotations(job)["batch.kubernetes.io/cronjob-scheduled-timestamp"]
    assert datetime.fromisoformat(scheduled).astimezone(UTC).strftime("%H:%M") == "01:00"


async def test_a_start_that_comes_too_late_is_left_out(bare: Cluster) -> None:
    await bare.create(CRON_JOBS, cron_job("0 0 * * *", startingDeadlineSeconds=600))
    midnight = (int(bare.clock.now()) // 86400 + 1) * 86400
    await bare.clock.advance(midnight + 3600 - bare.clock.now())
    await bare.start_controllers()
    await bare.settle(1)
    assert await bare.list(JOBS) == []
    await bare.settle(23 * 3600)
    assert len(await bare.list(JOBS)) == 1, "the next one is on time"


async def test_how_many_ended_jobs_stay(cluster: Cluster) -> None:
    limits = {"successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 2}
    await cluster.create(CRON_JOBS, cron_job("0 * * * *", **limits))
    for _ in range(5):
        await cluster.settle(3600)
        await finish_all(cluster)
    (job,) = await cluster.list(JOBS)
    assert meta.has_condition(job, "Complete")
    held = await cluster.get(CRON_JOBS, "tick")
    failing = meta.copy(held)
    failing["spec"]["jobTemplate"]["spec"] |= {"backoffLimit": 0}
    await cluster.client.update(CRON_JOBS, failing)
    for _ in range(5):
        await cluster.settle(3600)
        for pod in await cluster.list(PODS):
            if (pod["status"].get("phase")) not in ("Succeeded", "Failed"):
                await cluster.set_status(pod, phase="Failed")
        await cluster.settle()
    jobs = await cluster.list(JOBS)
    assert sorted(meta.has_condition(job, "Failed") for job in jobs) == [False, True, True]


# -- schedules


def at(text: str) -> float:
    return parse_timestamp(text)


@pytest.mark.parametrize(
    ("schedule", "zone", "after", "expected"),
    [
        ("0 0 * * *", "UTC", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"),
        ("*/15 * * * *", "UTC", "2026-03-01T00:14:59Z", "2026-03-01T00:15:00Z"),
        ("30 8 * * MON-FRI", "UTC", "2026-03-06T09:00:00Z", "2026-03-09T08:30:00Z"),
        ("0 0 29 2 *", "UTC", "2026-03-01T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("0 0 1,15 * 3", "UTC", "2026-03-01T12:00:00Z", "2026-03-04T00:00:00Z"),
        ("0 12 * * 7", "UTC", "2026-03-02T00:00:00Z", "2026-03-08T12:00:00Z"),
        ("@hourly", "UTC", "2026-03-01T00:00:01Z", "2026-03-01T01:00:00Z"),
        ("@every 1h30m", "UTC", "2026-03-01T00:00:01Z", "2026-03-01T01:30:01Z"),
        ("0 9 * * *", "America/New_York", "2026-01-01T00:00:00Z", "2026-01-01T14:00:00Z"),
        ("0 9 * * *", "America/New_York", "2026-07-01T00:00:00Z", "2026-07-01T13:00:00Z"),
        ("30 2 * * *", "America/New_York", "2026-03-08T06:00:00Z", "2026-03-09T06:30:00Z"),  # 02:30 does not exist
        ("5/20 * * * *", "UTC", "2026-03-01T00:06:00Z", "2026-03-01T00:25:00Z"),
    ],
)
def test_next_time(schedule: str, zone: str, after: str, expected: str) -> None:
    found = cronschedule.parse(schedule).next_after(at(after), zone)
    assert found is not None
    assert timestamp(found) == expected


def test_never() -> None:
    assert cronschedule.parse("0 0 30 2 *").next_after(0.0, "UTC") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "* * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "*/0 * * * *",
        "5-1 * * * *",
        "@no",
        "x * * * *",
        "@every x",
    ],
)
def test_what_is_no_schedule(text: str) -> None:
    with pytest.raises(cronschedule.ScheduleError):
        cronschedule.parse(text)


def test_what_is_no_time_zone() -> None:
    with pytest.raises(cronschedule.ScheduleError, match="unknown time zone"):
        cronschedule.parse("* * * * *").next_after(0.0, "Mars/Olympus")


@given(st.floats(1.5e9, 2.0e9), st.sets(st.integers(0, 59), min_size=1), st.sets(st.integers(0, 23), min_size=1))
def test_the_next_time_is_the_first_that_matches(moment: float, minutes: set[int], hours: set[int]) -> None:
    text = f"{','.join(map(str, minutes))} {','.join(map(str, hours))} * * *"
    found = cronschedule.parse(text).next_after(moment, "UTC")
    probe = int(moment) // 60 * 60 + 60
    while True:
        local = datetime.fromtimestamp(probe, UTC)
        if local.minute in minutes and local.hour in hours:
            break
        probe += 60
    assert found == probe


def test_many_missed_times_end_at_the_latest() -> None:
    wanted = cron_job("* * * * *")
    wanted["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    now = at("2026-03-01T12:34:30Z")
    latest, missed, following = cronjob.due(wanted, now)
    assert latest is not None
    assert following is not None
    assert (timestamp(latest), timestamp(following)) == ("2026-03-01T12:34:00Z", "2026-03-01T12:35:00Z")
    assert missed > 100
