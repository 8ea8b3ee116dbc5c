"""The seeds' Pods with volumes, Secrets, ConfigMaps and a liveness probe, unmodified, and their kubectl lines."""

from __future__ import annotations

import base64
from pathlib import Path

from tests.e2e.conftest import MANIFESTS
from tests.machine import Machine, eventually
from tests.tools import Kubectl


def test_producer_and_consumer_share_a_volume(kubectl: Kubectl):
    manifest = str(MANIFESTS / "producer-consumer.yml")
    kubectl("apply", "-f", manifest)
    kubectl("wait", "--for=condition=Ready", "pod/producer-consumer", "--timeout=60s", timeout=70)
    assert eventually(lambda: kubectl("logs", "producer-consumer", "consumer")) == "hello\n"
    assert kubectl("exec", "producer-consumer", "-c", "consumer", "--", "cat", "/consumer_dir/hello") == "hello\n"
    kubectl("delete", "-f", manifest, "--grace-period=1")


def test_a_secret_as_files_that_follow_it(kubectl: Kubectl):
    kubectl("apply", "-f", str(MANIFESTS / "secret.yml"), "-f", str(MANIFESTS / "secret-pod.yml"))
    kubectl("wait", "--for=condition=Ready", "pod/secret-pod", "--timeout=60s", timeout=70)
    assert "Opaque" in kubectl("get", "secret", "secret")
    assert "password:  6 bytes" in kubectl("describe", "secret", "secret")

    def read(key: str) -> str:
        return kubectl("exec", "secret-pod", "--", "cat", f"/etc/secret/{key}")

    assert kubectl("exec", "secret-pod", "--", "ls", "/etc/secret").split() == ["password", "username"]
    assert (read("username"), read("password")) == ("admin", "123456")
    fresh = base64.b64encode(b"changed").decode()
    kubectl("patch", "secret", "secret", "-p", f'{{"data":{{"password":"{fresh}"}}}}')
    eventually(lambda: read("password") == "changed", what="the file follows the Secret")
    kubectl("delete", "pod", "secret-pod", "--grace-period=1")
    kubectl("delete", "secret", "secret")


def test_config_maps_from_a_manifest_literals_and_a_file(kubectl: Kubectl, tmp_path: Path):
    kubectl("apply", "-f", str(MANIFESTS / "configmap.yml"))
    assert kubectl("get", "cm", "app-config", "-o", "jsonpath={.data.DATABASE_PORT}") == "3306"
    kubectl("delete", "cm", "app-config")
    kubectl(
        "create", "configmap", "app-config",
        "--from-literal=DATABASE_HOST=db.example.com", "--from-literal=DATABASE_PORT=3306",
    )  # fmt: skip
    pod = {
        "image": "busybox",
        "command": ["sh", "-c", "echo $DATABASE_HOST:$DATABASE_PORT; cat /etc/config/vhost.conf"],
    }
    (tmp_path / "vhost.conf").write_text("server { listen 8080; }\n")
    kubectl("create", "configmap", "nginx-config", f"--from-file={tmp_path / 'vhost.conf'}")
    manifest = f"""
apiVersion: v1
kind: Pod
metadata: {{name: app-pod}}
spec:
  restartPolicy: Never
  containers:
  - name: app-container
    image: {pod["image"]}
    command: {pod["command"]!r}
    envFrom:
    - configMapRef: {{name: app-config}}
    volumeMounts:
    - {{name: config, mountPath: /etc/config}}
  volumes:
  - name: config
    configMap: {{name: nginx-config}}
"""
    kubectl("apply", "-f", "-", input=manifest)
    kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/app-pod", "--timeout=60s", timeout=70)
    assert kubectl("logs", "app-pod") == "db.example.com:3306\nserver { listen 8080; }\n"
    kubectl("delete", "pod/app-pod", "cm/app-config", "cm/nginx-config")


RESOURCES = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: limited}
spec:
  selector: {matchLabels: {app: limited}}
  template:
    metadata: {labels: {app: limited}}
    spec:
      terminationGracePeriodSeconds: 1
      nodeSelector:
        diskType: ssd
      containers:
      - name: main
        image: busybox
        command: [sleep, "3600"]
        resources:
          requests:
            memory: "64Mi"
            cpu: "250m"
          limits:
            memory: "128Mi"
            cpu: "500m"
"""


def test_resources_and_node_selectors(kubectl: Kubectl):
    node = kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
    kubectl("apply", "-f", "-", input=RESOURCES)
    message = eventually(
        lambda: kubectl("get", "pods", "-l", "app=limited", "-o", "jsonpath={.items[0].status.conditions[0].message}")
    )
    assert message == (
        "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. no new claims to deallocate, "
        "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    )
    kubectl("label", "node", node, "disktype=ssd")
    assert "disktype=ssd" in kubectl("get", "node", "--show-labels")
    assert "Pending" in kubectl("get", "pods", "-l", "app=limited")  # the seeds' label and selector differ in case
    kubectl("label", "node", node, "diskType=ssd")
    kubectl("rollout", "status", "deploy/limited", "--timeout=60s", timeout=70)
    limit = kubectl(
        "exec", "deploy/limited", "--", "sh", "-c",
        "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max",
    )  # fmt: skip
    assert limit.strip() == str(128 * 2**20)
    assert "Burstable" in kubectl("describe", "pods", "-l", "app=limited")
    kubectl("label", "node", node, "disktype-", "diskType-")
    assert "disktype" not in kubectl("get", "node", "--show-labels").lower()
    kubectl("delete", "deploy", "limited")


def test_a_terminal_in_a_pod(machine: Machine, kubectl: Kubectl):
    """``kubectl run --rm -it``, with a real terminal on our side."""
    command = (
        f"{kubectl._command[-1]} run busybox-tty --rm -it --restart=Never --image=busybox -- "
        "/bin/sh -c 'tty; read word; echo got-$word'"
    )
    done = machine.run("script", "-qec", command, "/dev/null", input="something\n", timeout=60)
    assert "/dev/pts/" in done.stdout
    assert "got-something" in done.stdout
    assert 'pod "busybox-tty" deleted' in done.stdout
