"""A real node from first start to purge, without a registry: images from files, a containerd that dies, ``down`` and
``up``, and a kill; nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import images
from tests.machine import PINNACE, Machine, eventually
from tests.tools import Kubectl

SCRIPT = "trap 'echo bye >/kept/end; exit' TERM; n=0; while :; do n=$((n+1)); echo $n; sleep 0.1; done"
MANIFEST = f"""
apiVersion: v1
kind: Pod
metadata: {{name: counts}}
spec:
  terminationGracePeriodSeconds: 10
  containers:
  - name: main
    image: registry.example/tools:v1
    imagePullPolicy: IfNotPresent
    command: [sh, -c, "{SCRIPT}"]
    ports: [{{containerPort: 80, hostPort: 18080}}]
    volumeMounts: [{{name: token, mountPath: /token}}, {{name: kept, mountPath: /kept}}]
  volumes:
  - {{name: kept, emptyDir: {{}}}}
  - name: token
    secret: {{secretName: token}}
---
apiVersion: v1
kind: Secret
metadata: {{name: token}}
stringData: {{token: abc}}
---
apiVersion: v1
kind: Pod
metadata: {{name: guaranteed}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: registry.example/other:v1
    command: [sleep, "1000"]
    resources: {{limits: {{cpu: 100m, memory: 32Mi}}}}
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    directory = tmp_path_factory.mktemp("archives")
    layer = images.base_layer().content()
    config = {"Cmd": ["sh"], "Env": ["PATH=/bin"]}
    return [
        images.docker_archive(directory / "docker.tar", ["registry.example/tools:v1"], layer, config),
        images.oci_archive(directory / "oci.tar", ["registry.example/other:v1"], layer, config),
    ]


@pytest.fixture(scope="module")
def there() -> Iterator[Machine]:
    machine = Machine()
    try:
        yield machine
    finally:
        machine.remove()


@pytest.fixture(scope="module")
def running(there: Machine, files: list[Path]) -> Kubectl:
    return start(there, files)


def start(there: Machine, files: list[Path]) -> Kubectl:
    """Two Pods run there, of images loaded from files."""
    there.up()
    shown = there.pinnace("image", "load", *files)
    assert shown.split() == ["registry.example/tools:v1", "registry.example/other:v1"]
    kubectl = there.kubectl()
    kubectl("apply", "-f", "-", input=MANIFEST)
    wait(kubectl)
    return kubectl


def wait(kubectl: Kubectl) -> None:
    kubectl("wait", "--for=condition=Ready", "pod", "--all", "--timeout=30s")


def pods(kubectl: Kubectl) -> list[Any]:
    return list(json.loads(kubectl("get", "pods", "-o", "json"))["items"])


def processes(machine: Machine) -> list[str]:
    """What runs because of this machine's Pinnace: its own processes and its containers'."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, ValueError):
            continue
        if state != "Z" and str(machine.directory) in command:
            found.append(command)
    return found


def traces(machine: Machine, uids: list[str]) -> dict[str, Any]:
    """What is left of it on this computer, by kind."""
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(machine.directory) in line]
    groups = [path for path, _, _ in os.walk("/sys/fs/cgroup")]
    cgroups = [path for path in groups if any(uid in path for uid in uids)]
    links = machine.run("ip", "-o", "link").stdout
    found: dict[str, Any] = {
        "processes": processes(machine),
        "mounts": mounts,
        "cgroups": cgroups,
        "interfaces": [
            line.split()[1] for line in links.splitlines() if "pinnace" in line or "veth" in line.split()[1]
        ],
        "tables": "pinnace" in machine.run("nft", "list", "tables").stdout,
        "host ports": "18080" in machine.run("nft", "list", "ruleset").stdout,
        "forwarding": machine.run("cat", "/proc/sys/net/ipv4/ip_forward").stdout != "0\n",
    }
    return {kind: value for kind, value in found.items() if value}


def test_images_from_files_run_without_a_registry(running: Kubectl) -> None:
    shown = running("describe", "pod", "counts")
    assert 'Container image "registry.example/tools:v1" already present on machine' in shown
    listed = ("get", "nodes", "-o", "jsonpath={.items[*].status.images[*].names}")
    eventually(lambda: "registry.example/tools:v1" in running(*listed), what="the node lists the image")


def test_a_file_that_is_no_image(there: Machine, running: Kubectl, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.tar"
    garbage.write_bytes(b"not a tar file at all" * 100)
    cases = {garbage: f"{garbage} is not a tar file", tmp_path / "none.tar": "No such file or directory"}
    broken = images.docker_archive(tmp_path / "broken.tar", ["registry.example/broken:v1"], b"no layer", {})
    cases[broken] = str(broken)
    for file, words in cases.items():
        done = there.run(PINNACE, "image", "load", file, "--data-dir", there.data, check=False)
        assert done.returncode == 19, done
        (line,) = done.stderr.splitlines()
        assert words in line


def test_status_for_people_and_for_programs(there: Machine, running: Kubectl) -> None:
    shown = there.pinnace("status")
    rows = dict(line.split(maxsplit=1) for line in shown.splitlines())
    assert rows["cluster"].startswith("running, since ")
    assert rows["runtime"] in ("containerd with crun", "containerd with runc")
    assert rows["nodes"] == "1 of 1 ready"
    assert rows["pods"] == "2 Running"
    status = json.loads(there.pinnace("status", "-o", "json"))
    assert status["ready"] is True
    assert (status["runtime"], status["nodes"], status["pods"]) == (
        "containerd", {"total": 1, "ready": 1}, {"Running": 2},
    )  # fmt: skip
    assert (
        rows["server"] == status["server"] == running("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}")
    )


def test_containerd_that_is_killed_is_started_again_and_pods_go_on(there: Machine, running: Kubectl) -> None:
    before = pods(running)
    file = there.data / "node" / "containerd" / "containerd.pid"
    pid = int(file.read_text())
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: file.exists() and file.read_text() not in ("", str(pid)), what="a new containerd")
    eventually(lambda: running.run("exec", "counts", "--", "true").returncode == 0, what="exec works again")
    after = pods(running)
    assert [pod["status"]["containerStatuses"] for pod in after] == [p["status"]["containerStatuses"] for p in before]
    started = running("run", "later", "--image=registry.example/tools:v1", "--restart=Never", "--", "true")
    assert "created" in started
    running("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/later", "--timeout=30s")
    running("delete", "pod", "later")


def test_down_leaves_nothing_and_up_brings_the_pods_back(there: Machine, running: Kubectl) -> None:
    before = pods(running)
    uids = [pod["metadata"]["uid"] for pod in before]
    assert set(traces(there, uids)) == {
        "processes", "mounts", "cgroups", "interfaces", "tables", "host ports", "forwarding",
    }  # fmt: skip
    there.pinnace("down")
    assert traces(there, uids) == {}
    done = there.run(PINNACE, "status", "--data-dir", there.data, check=False)
    assert (done.returncode, done.stdout[:11]) == (16, "not running")
    there.up()
    eventually(lambda: counts(running) == [1, 1])
    wait(running)
    assert [pod["metadata"]["uid"] for pod in pods(running)] == uids
    assert running("exec", "counts", "--", "cat", "/kept/end") == "bye\n", "it was told before it was ended"


def test_down_after_a_kill_ends_the_containers_and_up_starts_them_again(there: Machine, running: Kubectl) -> None:
    uids = [pod["metadata"]["uid"] for pod in pods(running)]
    running("exec", "counts", "--", "rm", "/kept/end")
    restarts = counts(running)
    there.kill()
    assert "stopped the containers of a Pinnace that was killed" in there.pinnace("down")
    assert traces(there, uids) == {}
    assert there.run(PINNACE, "down", "--data-dir", there.data, check=False).returncode == 16
    there.up()
    eventually(lambda: all(n > m for n, m in zip(counts(running), restarts, strict=True)), what="they restart")
    wait(running)
    assert running("exec", "counts", "--", "cat", "/kept/end") == "bye\n"


def counts(kubectl: Kubectl) -> list[int]:
    return [pod["status"]["containerStatuses"][0]["restartCount"] for pod in pods(kubectl)]


def test_purging_after_a_kill_leaves_nothing(there: Machine, running: Kubectl, files: list[Path]) -> None:
    for also_containerd in (False, True):
        uids = [pod["metadata"]["uid"] for pod in pods(running)]
        containerd = int((there.data / "node" / "containerd" / "containerd.pid").read_text())
        there.kill()
        if also_containerd:
            os.kill(containerd, signal.SIGKILL)
        assert len(processes(there)) >= 2, "shims go on"
        there.pinnace("down", "--purge")
        assert traces(there, uids) == {}
        assert not there.data.exists()
        assert "pinnace" not in there.kubeconfig.read_text()
        if not also_containerd:
            start(there, files)


@pytest.fixture
def bare() -> Iterator[Machine]:
    """A machine on which nothing has been started."""
    machine = Machine()
    try:
        yield machine
    finally:
        machine.remove()


def up(machine: Machine, path: str, *arguments: str) -> tuple[int, str, list[str]]:
    """``up`` where programs are looked for in ``path``: exit code, what it printed, its error."""
    command = (PINNACE, "up", "--detach", "--data-dir", machine.data, "--kubeconfig", machine.kubeconfig)
    done = machine.run("env", f"PATH={path}", *command, *arguments, check=False)
    return done.returncode, done.stdout, done.stderr.splitlines()


def test_a_containerd_that_fails_is_quoted(bare: Machine, tmp_path: Path) -> None:
    broken = tmp_path / "containerd"
    broken.write_text("#!/bin/sh\necho first of all >&2\necho plugin cri: no such luck >&2\nexit 3\n")
    broken.chmod(0o755)
    for runtime in ("containerd", "auto"):
        code, _, error = up(bare, f"{tmp_path}:{os.environ['PATH']}", "--runtime", runtime)
        assert code == 14
        assert error == ["pinnace: containerd failed (exit code 3): first of all", "  plugin cri: no such luck"]
    broken.write_text("#!/no/such/interpreter\n")
    code, _, error = up(bare, f"{tmp_path}:{os.environ['PATH']}")
    assert code == 14
    assert error[0].startswith(f"pinnace: containerd failed: cannot run {broken}: ")
    assert traces(bare, []) == {}


def test_without_containerd_the_node_is_simulated_or_refused(bare: Machine, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "runc").symlink_to("/usr/sbin/runc")
    code, _, error = up(bare, str(tools), "--runtime", "containerd")
    wanted = "--runtime containerd: this machine cannot yet: install containerd (hack/install-components)"
    assert (code, error) == (18, [f"pinnace: {wanted}"])
    code, shown, error = up(bare, str(tools), "--runtime", "auto")
    assert (code, error) == (0, [])
    (line,) = (line for line in shown.splitlines() if "simulated" in line and "real node" in line)
    assert line.endswith("for a real node: install containerd (hack/install-components)")
    assert bare.kubectl()("get", "nodes", "-o", "name") == "node/simulated-0\n"
