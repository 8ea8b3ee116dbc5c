"""What Pods may say of users, namespaces, names and limits, debugging, and static Pods, as kubectl's user sees it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import MANIFESTS
from tests.machine import Machine, eventually
from tests.registry import PRIVATE_PASSWORD, PRIVATE_USER
from tests.tools import KUBECTL_VERSIONS, Kubectl

NAMESPACE = "depth"
CGROUPS = Path("/sys/fs/cgroup")


@pytest.fixture(scope="module")
def depth(kubectl: Kubectl) -> Iterator[Kubectl]:
    there = kubectl.within(NAMESPACE)
    kubectl("create", "namespace", NAMESPACE)
    try:
        eventually(lambda: there.run("get", "serviceaccount", "default").returncode == 0)
        there("apply", "-f", str(MANIFESTS / "depth.yml"))
        yield there
    finally:
        there.run("delete", "pods", "--all", "--grace-period=1")
        kubectl("delete", "namespace", NAMESPACE)


def pod(kubectl: Kubectl, name: str) -> Any:
    return json.loads(kubectl("get", "pod", name, "-o", "json"))


def the_node(kubectl: Kubectl) -> Any:
    return json.loads(kubectl("get", "node", "-o", "json"))["items"][0]


def ready(kubectl: Kubectl, name: str) -> None:
    kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s", timeout=70)


def waiting(kubectl: Kubectl, name: str, reason: str) -> str:
    """The message of the container's waiting state once that has ``reason``."""

    def found() -> Any:
        state = (pod(kubectl, name)["status"].get("containerStatuses") or [{}])[0].get("state") or {}
        return state["waiting"] if state.get("waiting", {}).get("reason") == reason else None

    return str(eventually(found, what=f"{name}: {reason}").get("message", ""))


def log(kubectl: Kubectl, name: str) -> str:
    """What the Pod has said, once it has said all."""
    ready(kubectl, name)

    def all_of_it() -> str:
        text = kubectl("logs", name, "-c", "main")
        assert "done\n" in text, text
        return text

    return eventually(all_of_it)


def cgroup(uid: str, kind: str, controller: str, file: str) -> str:
    return (CGROUPS / controller / "kubepods" / kind / f"pod{uid}" / file).read_text().strip()


def may_protect() -> bool:
    """Whether this machine's root may have CAP_SYS_RESOURCE, which sparing Pods from the kernel needs."""
    (held,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff:"))
    return bool(int(held.split()[1], 16) >> 24 & 1)


# -- what a container may know and do


def test_the_downward_api_in_variables_and_files(depth: Kubectl) -> None:
    ready(depth, "plain")
    cpu, milli, memory, disk, free = depth("logs", "plain").split()
    assert (cpu, milli, memory, disk) == ("1", "100", "64", "0")
    node = the_node(depth)
    assert free == node["status"]["allocatable"]["ephemeral-storage"], "what has no limit may use what the node has"
    assert depth("exec", "plain", "--", "sh", "-c", "cat /info/labels") == 'app="plain"'
    assert depth("exec", "plain", "--", "sh", "-c", "cat /info/milli /info/memory") == "25032768"
    depth("label", "pod", "plain", "more=yes")
    eventually(lambda: 'more="yes"' in depth("exec", "plain", "--", "cat", "/info/labels"))


def test_users_groups_capabilities_seccomp_and_sysctls(depth: Kubectl) -> None:
    said = log(depth, "confined")
    for words in (
        "uid=1000 gid=3000 groups=2000,3000,4000",
        "boat.fleet.depth.svc.cluster.local",
        "touch: /x: Read-only file system",
        "\n80\n",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000400",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ):
        assert words in said
    directory, file = (line for line in said.splitlines() if " /v" in line)
    assert directory.startswith("drwxrwsrwx") and " 2000 " in directory
    assert " 1000 " in file and " 2000 " in file, "what is made in the volume is the group's"


def test_the_node_s_own_namespaces(depth: Kubectl, machine: Machine) -> None:
    said = log(depth, "unconfined").splitlines()
    assert said[0] == machine.run("hostname").stdout.strip()
    assert said[1] == Path("/proc/1/comm").read_text().strip()
    assert said[2] == machine.run("readlink", "/proc/self/ns/ipc").stdout.strip()
    assert "Seccomp:\t0" in said and "mounted" in said
    status = pod(depth, "unconfined")["status"]
    assert status["podIP"] == status["hostIP"]


def test_containers_that_share_their_processes(depth: Kubectl) -> None:
    said = log(depth, "shared")
    assert "sleep 4321" in said and "/pause" in said


def test_host_ports(depth: Kubectl, machine: Machine) -> None:
    ready(depth, "door")
    address = pod(depth, "door")["status"]["hostIP"]
    assert machine.get(f"http://{address}:18088/x") == "welcome\n"
    assert machine.get("http://127.0.0.1:18088/x") == "welcome\n"


def test_termination_messages(depth: Kubectl) -> None:
    depth("wait", "--for=jsonpath={.status.phase}=Failed", "pod/last-words", "--timeout=60s", timeout=70)
    ended = {c["name"]: c["state"]["terminated"] for c in pod(depth, "last-words")["status"]["containerStatuses"]}
    assert ended["log"]["message"] == "from the log\n"
    assert ended["file"]["message"] == "from the file\n"


def test_cgroups_of_pods_and_classes(depth: Kubectl) -> None:
    for name in ("plain", "guaranteed", "door"):
        ready(depth, name)
    burstable, guaranteed, rest = (pod(depth, name) for name in ("plain", "guaranteed", "door"))
    assert [p["status"]["qosClass"] for p in (burstable, guaranteed, rest)] == ["Burstable", "Guaranteed", "BestEffort"]
    uid = burstable["metadata"]["uid"]
    assert cgroup(uid, "burstable", "cpu", "cpu.shares") == "102"
    assert cgroup(uid, "burstable", "cpu", "cpu.cfs_quota_us") == "25000"
    assert cgroup(uid, "burstable", "memory", "memory.limit_in_bytes") == str(64 << 20)
    uid = guaranteed["metadata"]["uid"]
    assert cgroup(uid, "", "cpu", "cpu.cfs_quota_us") == "20000"
    assert cgroup(uid, "", "memory", "memory.limit_in_bytes") == str(48 << 20)
    assert cgroup(rest["metadata"]["uid"], "besteffort", "cpu", "cpu.shares") == "2"
    assert (CGROUPS / "cpu/kubepods/besteffort/cpu.shares").read_text() == "2\n", "what promises nothing comes last"
    assert depth("exec", "door", "--", "cat", "/proc/1/oom_score_adj") == "1000\n"
    least = "-997" if may_protect() else Path("/proc/self/oom_score_adj").read_text().strip()
    said = depth("exec", "guaranteed", "--", "cat", "/proc/1/oom_score_adj").strip()
    assert said in (least, str(int(least) + 1)), "crun takes 0 for nothing said, and leaves what a shim has: one more"


# -- what cannot start, and why


def test_images_and_configurations_that_cannot_be_had(depth: Kubectl, machine: Machine) -> None:
    text = (
        'Failed to apply default image tag "Bad_Name": couldn\'t parse image name "Bad_Name": '
        "invalid reference format: repository name (library/Bad_Name) must be lowercase"
    )
    assert waiting(depth, "malformed", "InvalidImageName") == text
    shown = depth("describe", "pod", "malformed")
    assert "InspectFailed" in shown and text in shown and "Error: InvalidImageName" in shown
    assert waiting(depth, "unset", "CreateContainerConfigError") == 'configmap "later" not found'
    depth("create", "configmap", "later", "--from-literal=other=1")
    eventually(
        lambda: waiting(depth, "unset", "CreateContainerConfigError") == "couldn't find key k in ConfigMap depth/later"
    )
    depth("patch", "configmap", "later", "-p", '{"data":{"k":"v"}}')
    ready(depth, "unset")
    assert depth("exec", "unset", "--", "sh", "-c", "echo $X") == "v\n"
    profiles = machine.data / "node" / "kubelet" / "seccomp"
    said = waiting(depth, "unprofiled", "CreateContainerError")
    assert f'cannot load seccomp profile "{profiles}/mine.json"' in said
    profiles.mkdir(exist_ok=True)
    (profiles / "mine.json").write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
    ready(depth, "unprofiled")


def test_an_image_that_only_some_may_pull(depth: Kubectl) -> None:
    account = [
        "--docker-server=docker.io",
        f"--docker-username={PRIVATE_USER}",
        f"--docker-password={PRIVATE_PASSWORD}",
    ]
    depth("create", "secret", "docker-registry", "pass", *account)
    spec = {"containers": [{"name": "main", "image": "private/tool:v1", "command": ["sleep", "1000"]}]}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stranger"}, "spec": spec}
    depth("apply", "-f", "-", input=json.dumps(body))
    waiting(depth, "stranger", "ImagePullBackOff")
    shown = depth("describe", "pod", "stranger")
    why = "(401 Unauthorized|authorization failed: no basic auth credentials)"  # containerd 1, 2
    assert re.search(f'Failed to pull image "private/tool:v1": .*{why}', shown), shown
    body = {**body, "metadata": {"name": "member"}, "spec": {**spec, "imagePullSecrets": [{"name": "pass"}]}}
    depth("apply", "-f", "-", input=json.dumps(body))
    ready(depth, "member")
    shown = depth("describe", "pod", "member")
    assert 'Successfully pulled image "private/tool:v1" in ' in shown


# -- debugging


@pytest.mark.parametrize("version", KUBECTL_VERSIONS)
def test_a_running_pod_is_debugged_from_inside(depth: Kubectl, machine: Machine, version: str) -> None:
    ready(depth, "plain")
    name = "inside-" + version.replace(".", "-")
    debug = machine.kubectl(version).within(NAMESPACE)
    debug("debug", "plain", "--image=busybox", "--target=main", "-c", name, "--", "sh", "-c", "ps; sleep 1000")
    status = eventually(
        lambda: next(
            (
                s
                for s in pod(depth, "plain")["status"].get("ephemeralContainerStatuses") or ()
                if s["name"] == name and "running" in s["state"]
            ),
            None,
        )
    )
    assert status["containerID"].startswith("containerd://")
    eventually(lambda: "sleep 1000" in depth("logs", "plain", "-c", name))
    lines = depth("logs", "plain", "-c", name).splitlines()
    assert any(line.split() == ["1", "root", "sleep", "1000"] for line in lines[1:]), f"not its target's: {lines}"
    assert f"{name}:" in depth("describe", "pod", "plain")
    ready(depth, "plain")


def test_copies_and_nodes_are_debugged(depth: Kubectl) -> None:
    ready(depth, "plain")
    arguments = ["--image=busybox", "--copy-to=copied", "--share-processes", "-c", "beside", "--", "sleep", "1000"]
    depth("debug", "plain", *arguments)
    ready(depth, "copied")
    assert "sleep 1000" in depth("exec", "copied", "-c", "beside", "--", "ps")
    name = json.loads(depth("get", "node", "-o", "json"))["items"][0]["metadata"]["name"]
    depth(
        "debug",
        f"node/{name}",
        "--image=busybox",
        "--profile=sysadmin",
        "--",
        "sh",
        "-c",
        "ls /host; id -u; sleep 1000",
    )
    (debugger,) = [
        p for p in json.loads(depth("get", "pods", "-o", "json"))["items"] if "debugger" in p["metadata"]["name"]
    ]
    ready(depth, debugger["metadata"]["name"])
    said = depth("logs", debugger["metadata"]["name"]).split()
    assert {"etc", "proc", "0"} <= set(said)
    assert debugger["spec"]["hostNetwork"] and debugger["spec"]["containers"][0]["securityContext"]["privileged"]


# -- static Pods


def test_static_pods(depth: Kubectl, machine: Machine) -> None:
    node = the_node(depth)["metadata"]["name"]
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "own", "namespace": NAMESPACE},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "main", "image": "busybox", "command": ["sh", "-c", "echo here; sleep 1000"]}],
        },
    }
    file = machine.data / "node" / "manifests" / "own.json"
    file.write_text(json.dumps(body))
    eventually(lambda: depth.run("get", "pod", f"own-{node}").returncode == 0)
    ready(depth, f"own-{node}")
    assert depth("logs", f"own-{node}") == "here\n"
    assert depth("exec", f"own-{node}", "--", "hostname") == f"own-{node}\n"
    shown = depth("describe", "pod", f"own-{node}")
    assert f"Controlled By:  Node/{node}" in shown and "Container started" in shown
    before = pod(depth, f"own-{node}")
    depth("delete", "pod", f"own-{node}", "--wait=false")
    again = eventually(
        lambda: (
            json.loads(found.stdout)
            if (found := depth.run("get", "pod", f"own-{node}", "-o", "json")).returncode == 0
            and json.loads(found.stdout)["metadata"]["uid"] != before["metadata"]["uid"]
            and json.loads(found.stdout)["status"].get("containerStatuses")
            else None
        )
    )
    assert (
        again["status"]["containerStatuses"][0]["containerID"]
        == before["status"]["containerStatuses"][0]["containerID"]
    )
    file.unlink()
    eventually(lambda: depth.run("get", "pod", f"own-{node}").returncode != 0)
