"""The Pod lifecycle as functions: what is decided, and what is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pinnace.api import meta, qos
from pinnace.kubelet.lifecycle import restarts
from pinnace.kubelet.lifecycle.plan import plan, spec_hash
from pinnace.kubelet.lifecycle.qos import oom_score_adjustment
from pinnace.kubelet.lifecycle.situation import (
    SANDBOX,
    BackoffEntry,
    CreateSandbox,
    KillContainer,
    Probes,
    RemoveContainer,
    Situation,
    StartContainer,
    StopSandbox,
    Waiting,
)
from pinnace.kubelet.lifecycle.status import pod_status
from pinnace.kubelet.runtime.base import CREATED, EXITED, HASH, RUNNING, Container, PodState, Sandbox

NOW = 1_600_000_000.0


def pod(*names: str, init: list[dict[str, Any]] | None = None, **spec: Any) -> dict[str, Any]:
    containers = [{"name": name, "image": "busybox"} for name in names or ("main",)]
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": "web", "namespace": "default", "uid": "u1", "generation": 1},
        "spec": {"containers": containers, "initContainers": init or [], "restartPolicy": "Always", **spec},
    }


def container(name: str = "main", state: str = RUNNING, code: int = 0, *, attempt: int = 0, **more: Any) -> Container:
    finished = NOW - 1 if state == EXITED else 0.0
    fields: dict[str, Any] = {"created_at": NOW - 20 + attempt, "started_at": NOW - 10, "finished_at": finished}
    return Container(
        f"id-{name}-{attempt}", name, "box", attempt, state, exit_code=code, image="busybox", **{**fields, **more}
    )


def situation(subject: dict[str, Any], *containers: Container, ready: bool = True, **more: Any) -> Situation:
    boxes = (Sandbox("box", 0, ready, NOW - 30, ("10.0.0.2",)),)
    return Situation(subject, PodState("u1", "web", "default", boxes, tuple(containers)), NOW, **more)


def status(s: Situation, **more: Any) -> dict[str, Any]:
    return pod_status(s, "containerd", **more)


class TestPlan:
    def test_first_comes_the_sandbox(self) -> None:
        assert plan(Situation(pod(), PodState("u1"), NOW)).actions == (CreateSandbox(0),)

    def test_then_all_containers_together(self) -> None:
        started = plan(situation(pod("a", "b"))).actions
        assert started == (StartContainer("a", "regular", 0), StartContainer("b", "regular", 0))

    def test_init_containers_come_one_after_the_other(self) -> None:
        init = [{"name": "one"}, {"name": "two"}]
        assert plan(situation(pod(init=init))).actions == (StartContainer("one", "init", 0),)
        assert plan(situation(pod(init=init), container("one"))).actions == ()
        after = plan(situation(pod(init=init), container("one", EXITED))).actions
        assert after == (StartContainer("two", "init", 0),)

    def test_a_sidecar_runs_beside_what_follows(self) -> None:
        init = [{"name": "side", "restartPolicy": "Always"}, {"name": "two"}]
        assert plan(situation(pod(init=init), container("side"))).actions == (StartContainer("two", "init", 0),)

    def test_a_sidecar_with_a_startup_probe_holds_up_what_follows(self) -> None:
        init = [{"name": "side", "restartPolicy": "Always", "startupProbe": {"exec": {}}}]
        s = situation(pod(init=init), container("side"))
        assert plan(s).actions == ()
        begun = replace(s, probes={"side": Probes("id-side-0", started=True)})
        assert plan(begun).actions == (StartContainer("main", "regular", 0),)

    def test_a_failed_init_container_ends_a_pod_that_never_restarts(self) -> None:
        s = situation(pod(init=[{"name": "one"}], restartPolicy="Never"), container("one", EXITED, 1))
        assert plan(s).actions == (StopSandbox("box"),)

    def test_sidecars_end_last_and_in_reverse(self) -> None:
        init = [{"name": "a", "restartPolicy": "Always"}, {"name": "b", "restartPolicy": "Always"}]
        subject = pod(init=init, restartPolicy="Never")
        s = situation(subject, container("main"), container("a"), container("b"), terminating=True)
        assert [action.name for action in plan(s).actions if isinstance(action, KillContainer)] == ["main"]
        s = situation(subject, container("main", EXITED), container("a"), container("b"), terminating=True)
        assert [action.name for action in plan(s).actions if isinstance(action, KillContainer)] == ["b"]

    def test_restarts_wait_for_their_back_off(self) -> None:
        dead = container(state=EXITED, code=1)
        first = plan(situation(pod(), dead)).actions
        assert first == (StartContainer("main", "regular", 1, BackoffEntry(10, NOW)),)
        held = plan(situation(pod(), dead, backoff={"main": BackoffEntry(20, NOW - 5)}))
        assert held.actions == ()
        assert held.wake == 19
        message = "back-off 20s restarting failed container=main pod=web_default(u1)"
        assert held.waiting == {"main": Waiting("CrashLoopBackOff", message)}

    def test_a_failed_liveness_probe_kills(self) -> None:
        probes = {"main": Probes("id-main-0", alive=False)}
        (kill,) = plan(situation(pod(), container(), probes=probes)).actions
        assert isinstance(kill, KillContainer)
        assert kill.message == "Container main failed liveness probe, will be restarted"
        never = plan(situation(pod(restartPolicy="Never"), container(), probes=probes)).actions
        assert isinstance(never[0], KillContainer)
        assert never[0].message == "Container main failed liveness probe"

    def test_results_of_an_earlier_container_do_not_count(self) -> None:
        probes = {"main": Probes("id-main-7", alive=False)}
        assert plan(situation(pod(), container(), probes=probes)).actions == ()

    def test_another_image_is_another_container(self) -> None:
        subject = pod()
        same = container(annotations={HASH: spec_hash(subject["spec"]["containers"][0])})
        assert plan(situation(subject, same)).actions == ()
        (kill,) = plan(situation(subject, replace(same, annotations={HASH: "other"}))).actions
        assert isinstance(kill, KillContainer)
        assert kill.message == "Container main definition changed, will be restarted"

    def test_a_dead_sandbox_is_replaced_if_anything_will_run(self) -> None:
        gone = situation(pod(), container(state=EXITED, code=137), ready=False)
        assert plan(gone).actions == (StopSandbox("box", changed=True), CreateSandbox(1))
        done = situation(pod(restartPolicy="OnFailure"), container(state=EXITED), ready=False)
        assert plan(done).actions == ()
        never = situation(pod(restartPolicy="Never"), container(state=EXITED, code=1), ready=False)
        assert plan(never).actions == ()

    def test_a_container_that_never_started_is_made_anew_or_removed(self) -> None:
        s = situation(pod(), container(state=CREATED))
        assert plan(s).actions == (RemoveContainer("id-main-0"), StartContainer("main", "regular", 1))
        ending = replace(s, terminating=True)
        assert plan(ending).actions == (RemoveContainer("id-main-0"), StopSandbox("box"))

    def test_what_failed_is_left_alone_for_a_while(self) -> None:
        held = plan(situation(pod("a", "b"), hold={"a": NOW + 5}))
        assert held.actions == (StartContainer("b", "regular", 0),)
        assert held.wake == 5
        held = plan(Situation(pod(), PodState("u1"), NOW, hold={SANDBOX: NOW + 3}))
        assert (held.actions, held.wake) == ((), 3)

    def test_old_dead_containers_are_collected(self) -> None:
        found = [container(attempt=3), *(container(state=EXITED, attempt=n) for n in (2, 1, 0))]
        assert plan(situation(pod(), *found)).actions == (RemoveContainer("id-main-1"), RemoveContainer("id-main-0"))


STATES = st.sampled_from(["none", RUNNING, EXITED])


@settings(max_examples=300, deadline=None)
@given(
    policy=st.sampled_from(["Always", "OnFailure", "Never"]),
    states=st.lists(st.tuples(STATES, st.sampled_from([0, 1, 137])), min_size=1, max_size=4),
    ready=st.booleans(),
    terminating=st.booleans(),
)
def test_plans_hold_their_promises(policy: str, states: list[tuple[str, int]], ready: bool, terminating: bool) -> None:
    names = [f"c{number}" for number in range(len(states))]
    found = [container(name, state, code) for name, (state, code) in zip(names, states, strict=True) if state != "none"]
    s = situation(pod(*names, restartPolicy=policy), *found, ready=ready, terminating=terminating)
    actions = plan(s).actions
    started = {action.name for action in actions if isinstance(action, StartContainer)}
    killed = {action.name for action in actions if isinstance(action, KillContainer)}
    running = {c.name for c in found if c.state == RUNNING}
    assert not started & running, "what runs is not started again"
    assert not (terminating and started), "nothing starts in a Pod that ends"
    assert not terminating or killed == running, "what runs in a Pod that ends is ended"
    if started:
        assert ready, "containers need a sandbox"
    for c in found:
        if c.state == EXITED and policy == "Never":
            assert c.name not in started
        if c.state == EXITED and policy == "OnFailure" and c.exit_code == 0:
            assert c.name not in started
    told = status(s, ended=terminating and not running)
    assert told["phase"] in ("Pending", "Running", "Succeeded", "Failed")
    if running:
        assert told["phase"] not in ("Succeeded", "Failed"), "a final phase promises that nothing runs"
    assert meta.has_condition({"status": told}, "Ready") <= (len(running) == len(names))


class TestStatus:
    def test_a_pod_before_its_sandbox(self) -> None:
        told = status(Situation(pod(), PodState("u1"), NOW, host_ips=("192.0.2.1",)))
        assert told["phase"] == "Pending"
        assert told["hostIP"] == "192.0.2.1"
        assert "podIP" not in told
        assert told["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}
        assert [(c["type"], c["status"]) for c in told["conditions"]] == [
            ("PodReadyToStartContainers", "False"),
            ("Initialized", "True"),
            ("Ready", "False"),
            ("ContainersReady", "False"),
            ("PodScheduled", "True"),
        ]
        ready = told["conditions"][2]
        assert (ready["reason"], ready["message"]) == (
            "ContainersNotReady",
            "containers with unready status: [main]",
        )
        assert ready["observedGeneration"] == 1

    def test_a_running_pod(self) -> None:
        told = status(situation(pod(), container()))
        assert (told["phase"], told["podIP"], told["qosClass"]) == ("Running", "10.0.0.2", "BestEffort")
        entry = told["containerStatuses"][0]
        assert entry["state"] == {"running": {"startedAt": "2020-09-13T12:26:30Z"}}
        assert (entry["ready"], entry["started"], entry["restartCount"]) == (True, True, 0)
        assert entry["containerID"] == "containerd://id-main-0"

    def test_transition_times_stay_while_the_status_does(self) -> None:
        subject = pod()
        told = status(situation(subject, container()))
        again = status(replace(situation({**subject, "status": told}, container()), now=NOW + 99))
        assert again == told

    def test_readiness_waits_for_the_probe(self) -> None:
        subject = pod()
        subject["spec"]["containers"][0]["readinessProbe"] = {"exec": {}}
        s = situation(subject, container())
        assert status(s)["containerStatuses"][0]["ready"] is False
        told = status(replace(s, probes={"main": Probes("id-main-0", ready=True)}))
        assert told["containerStatuses"][0]["ready"] is True

    def test_a_crash_loop_keeps_the_last_state(self) -> None:
        waiting = {"main": Waiting("CrashLoopBackOff", "back-off")}
        told = status(situation(pod(), container(state=EXITED, code=3, attempt=2), waiting=waiting))
        entry = told["containerStatuses"][0]
        assert entry["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
        assert entry["lastState"]["terminated"]["exitCode"] == 3
        assert entry["restartCount"] == 2
        assert told["phase"] == "Running"

    def test_final_phases(self) -> None:
        done = status(situation(pod(restartPolicy="OnFailure"), container(state=EXITED)))
        assert done["phase"] == "Succeeded"
        assert meta.condition({"status": done}, "Ready")["reason"] == "PodCompleted"  # type: ignore[index]
        failed = status(situation(pod(restartPolicy="Never"), container(state=EXITED, code=1)))
        assert failed["phase"] == "Failed"
        deleted = status(situation(pod(), container(state=EXITED, code=0), terminating=True), ended=True)
        assert deleted["phase"] == "Succeeded"

    def test_a_container_that_vanished(self) -> None:
        before = status(situation(pod(), container(attempt=1)))
        subject = {**pod(), "status": before}
        told = status(Situation(subject, PodState("u1"), NOW))
        entry = told["containerStatuses"][0]
        assert entry["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"
        assert entry["lastState"]["terminated"]["exitCode"] == 137
        assert entry["restartCount"] == 2

    def test_readiness_gates(self) -> None:
        subject = pod(readinessGates=[{"conditionType": "x/y"}])
        ready = meta.condition({"status": status(situation(subject, container()))}, "Ready")
        assert ready is not None
        assert ready["reason"] == "ReadinessGatesNotReady"
        assert ready["message"] == 'corresponding condition of pod readiness gate "x/y" does not exist.'


class TestRestarts:
    def test_the_delays(self) -> None:
        entry, now, seen = None, NOW, []
        for _ in range(8):
            seen.append(restarts.remaining(entry, now, now))
            entry = restarts.following(entry, now, now)
            now += entry.delay
        assert seen == [0, 10, 20, 40, 80, 160, 300, 300]

    def test_ten_minutes_of_running_forgive(self) -> None:
        entry = BackoffEntry(300, NOW)
        assert restarts.remaining(entry, NOW + 601, NOW + 601) == 0
        assert restarts.following(entry, NOW + 601, NOW + 601).delay == 10

    def test_rules_of_a_container(self) -> None:
        rule = {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}
        subject = pod(restartPolicy="Never")
        spec = subject["spec"]["containers"][0] | {"restartPolicy": "Never", "restartPolicyRules": [rule]}
        assert restarts.should_restart(subject, spec, False, container(state=EXITED, code=42))
        assert not restarts.should_restart(subject, spec, False, container(state=EXITED, code=1))


def test_quality_of_service() -> None:
    def of(*resources: dict[str, Any]) -> str:
        subject = pod(*(f"c{n}" for n in range(len(resources))))
        for spec, given_resources in zip(subject["spec"]["containers"], resources, strict=True):
            spec["resources"] = given_resources
        return qos.compute(subject)

    amounts = {"cpu": "1", "memory": "1Gi"}
    full = {"limits": amounts, "requests": amounts}
    assert of({}) == "BestEffort"
    assert of({"requests": {"cpu": "1"}}) == "Burstable"
    assert of(full) == "Guaranteed"
    assert of({**full, "requests": {"cpu": "1000m", "memory": "1024Mi"}}) == "Guaranteed"
    assert of(full, {}) == "Burstable"
    burstable = {**pod(), "status": {"qosClass": "Burstable"}}
    spec = {"resources": {"requests": {"memory": "1Gi"}}}
    assert oom_score_adjustment(burstable, spec, 4 << 30) == 750
