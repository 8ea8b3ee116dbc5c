"""The seeds' PersistentVolumes and claims, and their hostPath, on real directories."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.conftest import SEEDS
from tests.machine import eventually
from tests.tools import Kubectl

NAMESPACE = "seeds-volumes"


@pytest.fixture(scope="module")
def seeds(kubectl: Kubectl) -> Iterator[Kubectl]:
    kubectl("create", "namespace", NAMESPACE)
    yield kubectl.within(NAMESPACE)
    kubectl("delete", "namespace", NAMESPACE)
    kubectl("delete", "pv,storageclass", "--all")


def apply(seeds: Kubectl, name: str, directory: Path) -> None:
    """A manifest of the seeds; their ``/mnt/data`` is a directory of the test's."""
    seeds("apply", "-f", "-", input=(SEEDS / f"{name}.yml").read_text().replace("/mnt/data", str(directory)))


def phase(seeds: Kubectl, kind: str, name: str) -> str:
    return seeds("get", kind, name, "-o", "jsonpath={.status.phase}")


def write_and_read(seeds: Kubectl, claim: str, command: str) -> str:
    """What a Pod prints that has the claim at /data."""
    spec = {
        "restartPolicy": "Never",
        "containers": [
            {
                "name": "main",
                "image": "busybox",
                "command": ["sh", "-c", command],
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            }
        ],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}],
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "user"}, "spec": spec}
    seeds("apply", "-f", "-", input=json.dumps(pod))
    seeds("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/user", "--timeout=60s", timeout=70)
    logged = seeds("logs", "user")
    seeds("delete", "pod", "user")
    return logged


def test_a_claim_of_a_class_gets_the_volume_of_that_class(seeds: Kubectl, tmp_path: Path) -> None:
    """The class's provisioner is a cloud's: what is there already is bound all the same."""
    for name in ("class-standard", "class-fast", "my-pv", "my-pvc-dynamic"):
        apply(seeds, name, tmp_path)
    eventually(lambda: phase(seeds, "pvc", "my-pvc") == "Bound")
    assert seeds("get", "pv", "my-pv", "--no-headers").split()[1:7] == [
        "5Gi", "RWO", "Retain", "Bound", f"{NAMESPACE}/my-pvc", "standard",
    ]  # fmt: skip
    assert seeds("get", "storageclass", "fast-storage", "--no-headers").split()[1:4] == [
        "kubernetes.io/aws-ebs", "Delete", "Immediate",
    ]  # fmt: skip
    write_and_read(seeds, "my-pvc", "echo kept >/data/file")
    assert write_and_read(seeds, "my-pvc", "cat /data/file") == "kept\n"
    assert (tmp_path / "file").read_text() == "kept\n"
    seeds("delete", "pvc", "my-pvc")
    eventually(lambda: phase(seeds, "pv", "my-pv") == "Released")
    assert (tmp_path / "file").exists()
    apply(seeds, "my-pvc-dynamic", tmp_path)
    told = "Waiting for a volume to be created either by the external provisioner 'ebs.csi.aws.com'"
    eventually(lambda: told in seeds("describe", "pvc", "my-pvc"))
    assert phase(seeds, "pv", "my-pv") == "Released", "nobody gets what another one left"
    seeds("delete", "pvc/my-pvc", "pv/my-pv", "sc/standard", "sc/fast-storage")


def test_a_claim_without_a_class_waits_where_there_is_no_default(seeds: Kubectl, tmp_path: Path) -> None:
    apply(seeds, "my-pv", tmp_path)
    apply(seeds, "my-pvc", tmp_path)
    told = "no persistent volumes available for this claim and no storage class is set"
    eventually(lambda: told in seeds("describe", "pvc", "my-pvc"))
    seeds("delete", "pvc/my-pvc")
    apply(seeds, "class-standard", tmp_path)
    seeds("annotate", "storageclass", "standard", "storageclass.kubernetes.io/is-default-class=true")
    apply(seeds, "my-pvc", tmp_path)
    eventually(lambda: phase(seeds, "pvc", "my-pvc") == "Bound")
    seeds("delete", "pvc/my-pvc", "pv/my-pv", "sc/standard")


def test_a_larger_volume_serves_a_smaller_claim_and_is_cleaned_after_it(seeds: Kubectl, tmp_path: Path) -> None:
    for name in ("my-pv-manual", "my-pvc-manual"):
        apply(seeds, name, tmp_path)
    eventually(lambda: phase(seeds, "pvc", "my-pvc") == "Bound")
    assert seeds("get", "pvc", "my-pvc", "-o", "jsonpath={.status.capacity.storage}") == "10Gi"
    write_and_read(seeds, "my-pvc", "echo left >/data/file; mkdir /data/.hidden")
    seeds("delete", "pvc", "my-pvc")
    eventually(lambda: phase(seeds, "pv", "my-pv") == "Available", what="recycled")
    assert list(tmp_path.iterdir()) == []
    assert "VolumeRecycled" in seeds("describe", "pv", "my-pv")
    apply(seeds, "my-pvc-manual", tmp_path)
    eventually(lambda: phase(seeds, "pvc", "my-pvc") == "Bound")
    seeds("delete", "pvc", "my-pvc")
    seeds("delete", "pv", "my-pv")


def test_a_network_volume_is_bound_by_its_class(seeds: Kubectl, tmp_path: Path) -> None:
    apply(seeds, "pv1-nfs", tmp_path)
    apply(seeds, "pvc1-nfs", tmp_path)
    eventually(lambda: phase(seeds, "pvc", "pvc1") == "Bound")
    assert seeds("get", "pvc", "pvc1", "--no-headers").split()[1:4] == ["Bound", "pv1", "1Gi"]
    assert phase(seeds, "pv", "pv1") == "Bound"


def test_a_host_path_that_is_made(seeds: Kubectl, tmp_path: Path) -> None:
    wanted = tmp_path / "ssl" / "certs"
    spec = {
        "restartPolicy": "Never",
        "containers": [
            {
                "name": "main",
                "image": "busybox",
                "command": ["touch", "/certs/new"],
                "volumeMounts": [{"name": "ca-certs", "mountPath": "/certs"}],
            }
        ],
        "volumes": [{"name": "ca-certs", "hostPath": {"path": str(wanted), "type": "DirectoryOrCreate"}}],
    }
    seeds(
        "apply", "-f", "-",
        input=json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "certs"}, "spec": spec}),
    )  # fmt: skip
    seeds("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/certs", "--timeout=60s", timeout=70)
    assert (wanted / "new").exists()


STATEFUL = """
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 9100}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 2
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers:
      - name: main
        image: my-app-image
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec:
      accessModes: [ReadWriteOnce]
      storageClassName: manual
      resources: {requests: {storage: 1Gi}}
"""
VOLUME = """
---
apiVersion: v1
kind: PersistentVolume
metadata: {{name: disk-{number}}}
spec:
  capacity: {{storage: 1Gi}}
  accessModes: [ReadWriteOnce]
  storageClassName: manual
  hostPath: {{path: {path}/{number}}}
"""


def test_a_stateful_set_keeps_names_order_and_data(seeds: Kubectl, tmp_path: Path) -> None:
    volumes = "".join(VOLUME.format(number=number, path=tmp_path) for number in range(3))
    seeds("apply", "-f", "-", input=STATEFUL + volumes)
    seeds("rollout", "status", "sts/db", "--timeout=60s", timeout=70)
    made = json.loads(seeds("get", "pods", "-l", "app=db", "-o", "json"))["items"]
    ready = {
        pod["metadata"]["name"]: next(
            c["lastTransitionTime"] for c in pod["status"]["conditions"] if c["type"] == "Ready"
        )
        for pod in made
    }
    started = {pod["metadata"]["name"]: pod["metadata"]["creationTimestamp"] for pod in made}
    assert set(ready) == {"db-0", "db-1"}
    assert started["db-1"] >= ready["db-0"], "one after the other"
    for name in ready:
        seeds("exec", name, "--", "sh", "-c", "hostname >/data/owner")
    found = seeds("exec", "db-1", "--", "nslookup", "-type=a", f"db-0.db.{NAMESPACE}.svc.cluster.local")
    assert json.loads(seeds("get", "pod", "db-0", "-o", "json"))["status"]["podIP"] in found

    seeds("delete", "pod", "db-0")
    seeds("wait", "--for=condition=Ready", "pod/db-0", "--timeout=60s", timeout=70)
    assert seeds("exec", "db-0", "--", "cat", "/data/owner") == "db-0\n"
    seeds("scale", "sts/db", "--replicas=1")
    eventually(lambda: seeds("get", "pods", "-l", "app=db", "-o", "name") == "pod/db-0\n")
    claims = seeds("get", "pvc", "-l", "app=db", "-o", "name").split()
    assert claims == ["persistentvolumeclaim/data-db-0", "persistentvolumeclaim/data-db-1"], "of the Pod that went too"
    seeds("scale", "sts/db", "--replicas=2")
    seeds("rollout", "status", "sts/db", "--timeout=60s", timeout=70)
    assert seeds("exec", "db-1", "--", "cat", "/data/owner") == "db-1\n"

    partition = {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 1}}}}
    seeds("patch", "sts", "db", "-p", json.dumps(partition))
    seeds("set", "env", "sts/db", "DONE=yes")
    eventually(lambda: "DONE=yes" in seeds.run("logs", "db-1").stdout)
    assert "DONE=yes" not in seeds("logs", "db-0")
    seeds("delete", "sts,svc", "db")
    seeds("delete", "pvc", "--all")
