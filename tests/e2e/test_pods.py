"""The courses that Pods' lives take, with real containers, as stock kubectl shows them."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import MANIFESTS
from tests.machine import ADDRESS, Machine, eventually
from tests.tools import CLIENTS, KUBECTL_VERSIONS, Kubectl

NAMESPACE = "lives"


@pytest.fixture(scope="module")
def watched(kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What ``kubectl get pods -w`` has printed since before the Pods were there."""
    file = tmp_path_factory.mktemp("watch") / "pods"
    lives = kubectl.within(NAMESPACE)
    kubectl("create", "namespace", NAMESPACE)
    try:
        with file.open("w") as output:
            process = subprocess.Popen(
                [*lives.command, "get", "pods", "-w"], stdout=output, stderr=output, env=lives.environment()
            )
            try:
                yield file
            finally:
                process.kill()
                process.wait(10)
    finally:
        held = [f"pod/{name}" for name in ("graceful", "stubborn")]
        lives.run("patch", *held, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
        lives.run("delete", "pods,jobs", "--all", "--grace-period=1")
        kubectl("delete", "namespace", NAMESPACE)


@pytest.fixture(scope="module")
def lives(watched: Path, kubectl: Kubectl) -> Kubectl:
    there = kubectl.within(NAMESPACE)
    there("apply", "-f", "-", input=(MANIFESTS / "lives.yml").read_text().replace("CLIENTS", str(CLIENTS)))
    return there


@pytest.fixture(scope="module", params=KUBECTL_VERSIONS)
def either(request: pytest.FixtureRequest, machine: Machine, lives: Kubectl) -> Kubectl:
    """Each stock kubectl in turn, where the Pods are."""
    return machine.kubectl(request.param).within(NAMESPACE)


def pod(kubectl: Kubectl, name: str) -> Any:
    return json.loads(kubectl("get", "pod", name, "-o", "json"))


def states(kubectl: Kubectl, name: str, field: str = "state") -> dict[str, Any]:
    return {c["name"]: c.get(field) or {} for c in pod(kubectl, name)["status"].get("containerStatuses") or ()}


def state(kubectl: Kubectl, name: str, field: str = "state") -> Any:
    return states(kubectl, name, field).get("main") or {}


def ready(kubectl: Kubectl, name: str) -> None:
    kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s", timeout=70)


def phase(kubectl: Kubectl, name: str, wanted: str) -> None:
    kubectl("wait", f"--for=jsonpath={{.status.phase}}={wanted}", f"pod/{name}", "--timeout=60s", timeout=70)


def restarted(kubectl: Kubectl, name: str, container: str) -> bool:
    statuses = pod(kubectl, name)["status"]["containerStatuses"]
    return any(c["name"] == container and c["restartCount"] > 0 and c["state"].get("running") for c in statuses)


# -- start


def test_init_containers_run_in_order_before_the_others(lives: Kubectl) -> None:
    ready(lives, "setup")
    assert lives("logs", "setup", "-c", "main") == "one\ntwo\nmain\n"
    inits = pod(lives, "setup")["status"]["initContainerStatuses"]
    assert [(c["name"], c["state"]["terminated"]["reason"], c["ready"]) for c in inits] == [
        ("one", "Completed", True), ("two", "Completed", True),
    ]  # fmt: skip


def test_environment(lives: Kubectl) -> None:
    ready(lives, "setup")
    status = pod(lives, "setup")
    lines = lives("exec", "setup", "-c", "main", "--", "env").splitlines()
    shown = dict(line.split("=", 1) for line in lines if "=" in line)
    wanted = {
        "LITERAL": "plain", "COMPOSED": "plain-$(PASSWORD)-$(LITERAL)", "LEVEL": "7", "PASSWORD": "hunter2",
        "POD_NAME": "setup", "POD_IP": status["status"]["podIP"], "NODE": status["spec"]["nodeName"],
        "MEMORY": str(64 << 20), "SET_COLOR": "green", "HOSTNAME": "setup", "KUBERNETES_SERVICE_HOST": "10.96.0.1",
    }  # fmt: skip
    assert {key: shown.get(key) for key in wanted} == wanted
    assert "ABSENT" not in shown


def test_volumes_of_every_kind_and_files_that_follow(lives: Kubectl) -> None:
    ready(lives, "setup")

    def run(*command: str) -> str:
        return lives("exec", "setup", "-c", "main", "--", *command)

    assert set(run("ls", "/host").split()) >= {"kubectl-1.32", "kubectl-1.37"}
    refused = lives.run("exec", "setup", "-c", "main", "--", "touch", "/host/new")
    assert (refused.returncode, "Read-only file system" in refused.stderr) == (1, True)
    assert run("sh", "-c", "cd /all; cat texts/motd PASSWORD note") == "hello\nhunter2first"
    assert run("cat", "/all/token").count(".") == 2
    assert set(run("ls", "/settings").split()) == {"COLOR", "LEVEL", "motd"}
    lives("patch", "configmap", "settings", "-p", '{"data":{"motd":"changed","MORE":"new"}}')
    lives("annotate", "pod", "setup", "note=second", "--overwrite")
    files = "cat /all/texts/motd /settings/motd /settings/MORE /all/note 2>/dev/null; true"
    eventually(lambda: run("sh", "-c", files) == "changedchangednewsecond", what="the files to follow")
    shown = lives("exec", "setup", "-c", "main", "--", "cat", "/proc/self/mountinfo")
    assert "/var/run/secrets/kubernetes.io/serviceaccount" in shown


# -- images


def test_an_image_that_may_not_be_pulled(lives: Kubectl) -> None:
    eventually(lambda: "ErrImageNeverPull" in lives("get", "pod", "never-pull"))
    message = 'Container image "example.org/unknown:v1" is not present with pull policy of Never'
    assert state(lives, "never-pull")["waiting"]["message"] == message
    assert message in lives("describe", "pod", "never-pull")


def test_a_tag_that_the_registry_does_not_have(lives: Kubectl) -> None:
    eventually(lambda: "ImagePullBackOff" in lives("get", "pod", "missing-tag"))
    shown = lives("describe", "pod", "missing-tag")
    for words in (
        'Failed to pull image "busybox:missing":',
        "docker.io/library/busybox:missing: not found",
        "Error: ErrImagePull",
        'Back-off pulling image "busybox:missing"',
        "Error: ImagePullBackOff",
    ):
        assert words in shown
    assert pod(lives, "missing-tag")["status"]["phase"] == "Pending"


# -- ends


def test_out_of_memory(lives: Kubectl) -> None:
    phase(lives, "oom", "Failed")
    ended = state(lives, "oom")["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)
    assert "OOMKilled" in lives("get", "pod", "oom")


def test_a_container_that_crashes_is_tried_again_later(lives: Kubectl) -> None:
    def shown() -> list[str]:
        return lives("get", "pod", "crash").splitlines()[1].split()

    eventually(lambda: shown()[2] == "CrashLoopBackOff" and int(shown()[3]) >= 1)
    row = shown()
    assert row[1] == "0/1"
    waiting = eventually(lambda: state(lives, "crash").get("waiting"))
    uid = pod(lives, "crash")["metadata"]["uid"]
    assert waiting["reason"] == "CrashLoopBackOff"
    assert waiting["message"].endswith(f"restarting failed container=main pod=crash_{NAMESPACE}({uid})")
    last = state(lives, "crash", "lastState")["terminated"]
    assert (last["exitCode"], last["reason"]) == (3, "Error")
    assert sorted(lives("logs", "crash", "--previous").splitlines()) == ["attempt", "in vain"]
    assert "Back-off restarting failed container main in pod crash" in lives("describe", "pod", "crash")


def test_exit_codes_and_messages(lives: Kubectl) -> None:
    phase(lives, "fails", "Failed")
    ended = {name: s["terminated"] for name, s in states(lives, "fails").items()}
    assert (ended["bad"]["exitCode"], ended["bad"]["reason"], ended["bad"]["message"]) == (42, "Error", "why\n")
    assert (ended["good"]["exitCode"], ended["good"]["reason"]) == (0, "Completed")
    assert lives("get", "pod", "fails").splitlines()[1].split()[1:3] == ["0/2", "Error"]
    phase(lives, "second-try", "Succeeded")
    assert pod(lives, "second-try")["status"]["containerStatuses"][0]["restartCount"] == 1
    assert lives("logs", "second-try") == "better\n"


def test_phases_and_conditions_as_a_watcher_sees_them(lives: Kubectl, watched: Path) -> None:
    phase(lives, "succeeds", "Succeeded")

    def seen() -> list[str]:
        rows = [line.split() for line in watched.read_text().splitlines()]
        shown = [row[2] for row in rows if row[0] == "succeeds"]
        return [s for number, s in enumerate(shown) if number == 0 or shown[number - 1] != s]

    course = ["Pending", "Init:0/1", "PodInitializing", "Running", "Completed"]
    eventually(lambda: seen()[-1] == "Completed")
    assert seen() == course
    status = pod(lives, "succeeds")["status"]
    conditions = {c["type"]: (c["status"], c.get("reason")) for c in status["conditions"]}
    assert conditions == {
        "PodReadyToStartContainers": ("False", None),
        "Initialized": ("True", "PodCompleted"),
        "Ready": ("False", "PodCompleted"),
        "ContainersReady": ("False", "PodCompleted"),
        "PodScheduled": ("True", None),
    }


def test_a_job_of_four(lives: Kubectl) -> None:
    lives("wait", "--for=condition=Complete", "job/pi", "--timeout=90s", timeout=100)
    assert lives("get", "job", "pi").splitlines()[1].split()[1:3] == ["Complete", "4/4"]
    names = lives("get", "pods", "-l", "job-name=pi", "-o", "name").split()
    assert len(names) == 4
    digits = lives("logs", names[0])
    assert digits.startswith("3.14159265358979323846")
    assert len(digits.strip()) == 2001
    assert lives("logs", "job/pi").startswith("3.1415926535")


# -- probes


def test_readiness_decides_over_the_condition(lives: Kubectl) -> None:
    eventually(lambda: state(lives, "waits").get("running"))
    eventually(lambda: "Readiness probe failed: cat: can't open '/ready': No such" in lives("describe", "pod", "waits"))
    conditions = {c["type"]: c for c in pod(lives, "waits")["status"]["conditions"]}
    assert conditions["Ready"]["status"] == "False"
    assert conditions["Ready"]["message"] == "containers with unready status: [main]"
    assert lives("get", "pod", "waits").splitlines()[1].split()[1:3] == ["0/1", "Running"]
    lives("exec", "waits", "--", "touch", "/ready")
    ready(lives, "waits")
    lives("exec", "waits", "--", "rm", "/ready")
    lives("wait", "--for=condition=Ready=false", "pod/waits", "--timeout=20s")


def test_liveness_by_http_tcp_and_exec(lives: Kubectl) -> None:
    pods = {"http": "probed", "tcp": "probed", "exec": "probed-exec"}
    for name in ("probed", "probed-exec"):
        eventually(lambda n=name: all(s.get("running") for s in states(lives, n).values()) and states(lives, n))  # type: ignore[misc]
    lives("exec", "probed", "-c", "http", "--", "rm", "/www/ok")
    lives("exec", "probed", "-c", "tcp", "--", "touch", "/closed")
    lives("exec", "probed-exec", "--", "touch", "/sick")
    for container, name in pods.items():
        eventually(lambda n=name, c=container: restarted(lives, n, c), what=f"{container} restarts")  # type: ignore[misc]
    address = pod(lives, "probed")["status"]["podIP"]
    for container, words in (
        ("http", "Liveness probe failed: HTTP probe failed with statuscode: 404"),
        ("http", "Container http failed liveness probe, will be restarted"),
        ("tcp", f"Liveness probe failed: dial tcp {address}:9090: connect: connection refused"),
        ("tcp", "Container tcp failed liveness probe, will be restarted"),
        ("exec", "Container exec failed liveness probe, will be restarted"),
    ):
        eventually(lambda n=pods[container], w=words: w in lives("describe", "pod", n), what=words)  # type: ignore[misc]


# -- logs and streams


def test_logs_in_every_way(either: Kubectl) -> None:
    ready(either, "talks")
    five = "".join(f"count {n}\n" for n in range(1, 6))
    assert either("logs", "talks", "-c", "counts").startswith(five)
    assert either("logs", "talks", "-c", "serves", "--tail=1") == "serving\n"
    assert either("logs", "talks", "-c", "counts", "--limit-bytes=9") == "count 1\nc"
    shown = either("logs", "talks", "--all-containers", "--prefix")
    assert "[pod/talks/counts] count 5" in shown
    assert "[pod/talks/serves] serving" in shown
    assert either("logs", "talks", "-c", "serves", "--since=1h") == "serving\n"
    assert either("logs", "talks", "-c", "serves", "--since-time=2999-01-01T00:00:00Z") == ""
    stamp = either("logs", "talks", "-c", "serves", "--timestamps").split()[0]
    assert stamp.startswith("2") and stamp.endswith("Z")
    assert 'Defaulted container "counts"' in either.run("logs", "talks").stderr
    failed = either.run("logs", "talks", "-c", "nobody")
    assert "container nobody is not valid for pod talks" in failed.stderr
    failed = either.run("logs", "talks", "-c", "counts", "--previous")
    assert 'previous terminated container "counts" in pod "talks" not found' in failed.stderr


def test_logs_are_followed(lives: Kubectl) -> None:
    ready(lives, "talks")
    process = subprocess.Popen(
        [*lives.command, "logs", "-f", "talks", "-c", "counts"],
        stdout=subprocess.PIPE, text=True, env=lives.environment(),
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(5)][-1] == "count 5\n"
        lives("exec", "talks", "-c", "counts", "--", "touch", "/tmp/go")
        assert process.stdout.readline() == "went\n"
    finally:
        process.kill()
        process.communicate()


def test_exec(either: Kubectl, machine: Machine) -> None:
    ready(either, "talks")
    done = either.run("exec", "talks", "-c", "counts", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout) == (7, "out\n")
    assert done.stderr == "err\ncommand terminated with exit code 7\n"
    long = "0123456789" * 50_000
    assert either("exec", "-i", "talks", "-c", "counts", "--", "cat", input=long) == long
    missing = either.run("exec", "talks", "-c", "counts", "--", "no-such-program")
    assert missing.returncode != 0
    assert "no-such-program" in missing.stderr
    command = " ".join(
        [either.command[-2], f"-n {NAMESPACE}", "exec -it talks -c counts -- sh -c 'tty; stty size; exit 9'"]
    )
    terminal = machine.run("script", "-qec", command, "/dev/null", check=False)
    assert "/dev/pts/" in terminal.stdout
    assert terminal.returncode == 9


def test_attach(either: Kubectl) -> None:
    ready(either, "talks")
    process = subprocess.Popen(
        [*either.command, "attach", "-i", "talks", "-c", "reads"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=either.environment(),
    )  # fmt: skip
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("something\n")
        process.stdin.flush()
        assert process.stdout.readline() == "heard something\n"
    finally:
        process.kill()
        process.communicate()
    assert "heard something" in either("logs", "talks", "-c", "reads")


def test_copying_files(either: Kubectl, tmp_path: Path) -> None:
    ready(either, "talks")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(bytes(range(256)) * 400)
    either("cp", str(tmp_path / "tree"), f"{NAMESPACE}/talks:/tmp/tree", "-c", "counts")
    either("cp", f"{NAMESPACE}/talks:/tmp/tree/file", str(tmp_path / "back"), "-c", "counts")
    assert (tmp_path / "back").read_bytes() == (tmp_path / "tree" / "file").read_bytes()
    either("exec", "talks", "-c", "counts", "--", "rm", "-r", "/tmp/tree")


@pytest.mark.parametrize("target", ["pod/talks", "svc/talks"])
def test_port_forward(either: Kubectl, machine: Machine, target: str) -> None:
    """Several connections side by side through one forwarding."""
    ready(either, "talks")
    port = "8080" if target.startswith("pod") else "80"
    process = subprocess.Popen(
        [*either.command, "port-forward", target, f":{port}"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=either.environment(),
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        local = line.split()[2].rpartition(":")[2]
        with ThreadPoolExecutor(4) as pool:
            pages = list(pool.map(lambda _: machine.get(f"http://127.0.0.1:{local}/"), range(8)))
        assert pages == ["page\n"] * 8
    finally:
        process.kill()
        process.communicate()


# -- the ways of a day


def test_a_pod_for_one_command(either: Kubectl, machine: Machine) -> None:
    """``run --rm -it``, on a terminal, with its exit code."""
    run = f"run once --rm -it --restart=Never --image=busybox -n {NAMESPACE}"
    command = f"{either.command[-2]} {run} -- sh -c 'tty; read word; echo got-$word; exit 4'"
    done = machine.run("script", "-qec", command, "/dev/null", input="something\n", check=False)
    assert "got-something" in done.stdout
    assert 'pod "once" deleted' in done.stdout
    assert done.returncode == 4
    assert "NotFound" in either.run("get", "pod", "once").stderr


def test_a_deployment_and_its_service_by_commands(either: Kubectl, machine: Machine) -> None:
    either("create", "deployment", "day", "--image=nginx", "--replicas=2", "--port=80")
    either("expose", "deployment", "day", "--type=NodePort")
    either("rollout", "status", "deploy/day", "--timeout=60s", timeout=70)
    port = either("get", "svc", "day", "-o", "jsonpath={.spec.ports[0].nodePort}")
    assert "Welcome to nginx!" in eventually(lambda: machine.get(f"http://{ADDRESS}:{port}/"))
    either("set", "image", "deploy/day", "nginx=nginx:v2")
    either("rollout", "status", "deploy/day", "--timeout=60s", timeout=70)
    eventually(lambda: "nginx v2" in machine.get(f"http://{ADDRESS}:{port}/"))
    either("rollout", "undo", "deploy/day")
    either("rollout", "status", "deploy/day", "--timeout=60s", timeout=70)
    either("scale", "deploy/day", "--replicas=1")
    either("wait", "--for=jsonpath={.status.replicas}=1", "deploy/day", "--timeout=20s")
    assert "nginx" in either("exec", "deploy/day", "--", "cat", "/etc/nginx/nginx.conf")
    assert "NodePort" in either("describe", "svc", "day")
    either("delete", "deploy,svc", "day")
    either("wait", "--for=delete", "pod", "-l", "app=day", "--timeout=30s")


# -- termination, last


def test_termination_within_the_grace_period_and_after_it(lives: Kubectl) -> None:
    for name in ("graceful", "stubborn"):
        eventually(lambda n=name: lives.run("logs", n).stdout == "up\n")  # type: ignore[misc]
    began = time.monotonic()
    lives("delete", "pod", "graceful", "stubborn", "--wait=false")
    assert "Terminating" in lives("get", "pod", "stubborn")
    graceful = eventually(lambda: state(lives, "graceful").get("terminated"))
    assert time.monotonic() - began < 20
    assert (graceful["exitCode"], graceful["reason"]) == (5, "Error")
    assert lives("logs", "graceful") == "up\ngoodbye\n"
    stubborn = eventually(lambda: state(lives, "stubborn").get("terminated"))
    assert time.monotonic() - began >= 2
    assert (stubborn["exitCode"], stubborn["reason"]) == (137, "Error")
    phase(lives, "graceful", "Failed")
    phase(lives, "stubborn", "Failed")


def test_deletion_by_force_does_not_wait(lives: Kubectl) -> None:
    lives("run", "slow", "--image=busybox", "--", "sh", "-c", "trap '' TERM; while :; do sleep 1; done")
    ready(lives, "slow")
    began = time.monotonic()
    done = lives.run("delete", "pod", "slow", "--force")
    assert done.returncode == 0
    assert "Immediate deletion does not wait for confirmation" in done.stderr
    assert time.monotonic() - began < 5
    assert "NotFound" in lives.run("get", "pod", "slow").stderr
