"""What everybody does with kubectl, with every stock version."""

from __future__ import annotations

import json
import re

from tests.tools import Kubectl

POD = """
apiVersion: v1
kind: Pod
metadata:
  name: web
  labels: {app: web}
spec:
  containers:
  - name: web
    image: nginx:1.25
    ports: [{containerPort: 80}]
"""


def test_create_get_describe_delete(kubectl: Kubectl) -> None:
    assert kubectl("create", "-f", "-", input=POD) == "pod/web created\n"
    kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=20s")
    header, row = kubectl("get", "pods").splitlines()
    assert header.split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert row.split()[:4] == ["web", "1/1", "Running", "0"]
    wide = kubectl("get", "pod", "web", "-o", "wide").splitlines()
    assert wide[0].split()[5:8] == ["IP", "NODE", "NOMINATED"]
    assert re.search(r"10\.244\.\d+\.\d+ +simulated-0", wide[1])
    described = kubectl("describe", "pod", "web")
    assert re.search(r"^Status: +Running$", described, re.MULTILINE)
    assert re.search(r"Normal +Scheduled .*Successfully assigned \S+/web to simulated-0", described)
    assert re.search(r"Normal +Started ", described)
    assert kubectl("delete", "pod", "web").startswith('pod "web" deleted')
    gone = kubectl.run("get", "pod", "web")
    assert (gone.returncode, gone.stderr) == (1, 'Error from server (NotFound): pods "web" not found\n')
    assert "No resources found" in kubectl.run("get", "pods").stderr


def test_create_twice(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "c", "--from-literal=a=1")
    again = kubectl.run("create", "configmap", "c", "--from-literal=a=1")
    assert again.returncode == 1
    assert 'configmaps "c" already exists' in again.stderr


def test_output_formats(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "c", "--from-literal=a=1")
    assert json.loads(kubectl("get", "cm", "c", "-o", "json"))["data"] == {"a": "1"}
    assert kubectl("get", "cm", "c", "-o", "jsonpath={.data.a}") == "1"
    assert kubectl("get", "cm", "c", "-o", "name") == "configmap/c\n"
    assert 'a: "1"' in kubectl("get", "cm", "c", "-o", "yaml")
    assert kubectl("get", "cm", "c", "-o", "custom-columns=N:.metadata.name").split() == ["N", "c"]


def test_labels_and_selectors(kubectl: Kubectl) -> None:
    for name in ("one", "two", "three"):
        kubectl("create", "configmap", name)
    kubectl("label", "cm", "one", "two", "tier=front")
    kubectl("label", "cm", "three", "tier=back")

    def names(*selector: str) -> set[str]:
        return set(kubectl("get", "cm", "-o", "name", *selector).replace("configmap/", "").split())

    assert names("-l", "tier=front") == {"one", "two"}
    assert names("-l", "tier!=front") == {"three", "kube-root-ca.crt"}
    assert names("-l", "tier in (front,back)") == {"one", "two", "three"}
    assert names("-l", "!tier") == {"kube-root-ca.crt"}
    assert names("--field-selector", "metadata.name=two") == {"two"}
    refused = kubectl.run("label", "cm", "one", "tier=middle")
    assert "already has a value (front), and --overwrite is false" in refused.stderr
    kubectl("label", "cm", "one", "--overwrite", "tier=middle")
    kubectl("label", "cm", "one", "tier-")
    assert names("-l", "tier") == {"two", "three"}
    row = kubectl("get", "cm", "two", "--show-labels").splitlines()[1]
    assert row.endswith("tier=front")


def test_annotate(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "c")
    kubectl("annotate", "cm", "c", "example.com/why=because of this")
    assert kubectl("get", "cm", "c", "-o", r"jsonpath={.metadata.annotations.example\.com/why}") == "because of this"


def test_edit_through_an_editor(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "c", "--from-literal=a=before")
    edited = kubectl.run("edit", "cm", "c", env={"KUBE_EDITOR": "sed -i s/before/after/"})
    assert edited.returncode == 0, edited.stderr
    assert edited.stdout == "configmap/c edited\n"
    assert kubectl("get", "cm", "c", "-o", "jsonpath={.data.a}") == "after"


def test_replace(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "c", "--from-literal=a=1")
    found = json.loads(kubectl("get", "cm", "c", "-o", "json"))
    found["data"] = {"b": "2"}
    assert kubectl("replace", "-f", "-", input=json.dumps(found)) == "configmap/c replaced\n"
    assert json.loads(kubectl("get", "cm", "c", "-o", "json"))["data"] == {"b": "2"}


def test_explain(kubectl: Kubectl) -> None:
    explained = kubectl("explain", "deployment.spec.strategy.rollingUpdate")
    assert "GROUP:      apps" in explained
    assert "maxUnavailable\t<IntOrString>" in explained
    assert "maxSurge\t<IntOrString>" in explained
    missing = kubectl.run("explain", "pod.spec.nonsense")
    assert missing.returncode == 1
    assert 'field "nonsense" does not exist' in missing.stderr


def test_api_resources_and_versions(kubectl: Kubectl) -> None:
    text = kubectl("api-resources")
    for short, kind in (("po", "Pod"), ("deploy", "Deployment"), ("cm", "ConfigMap"), ("netpol", "NetworkPolicy")):
        assert re.search(rf"\b{short}\b.*\b{kind}$", text, re.MULTILINE)
    assert len(text.splitlines()) > 60
    versions = kubectl("api-versions").split()
    assert {"v1", "apps/v1", "batch/v1", "rbac.authorization.k8s.io/v1"} <= set(versions)


def test_kinds_by_short_name_category_and_group(kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "d", "--image=nginx")
    kubectl("rollout", "status", "deployment/d", "--timeout=20s")
    shown = kubectl("get", "all", "-o", "name").split()
    assert {name.split("/")[0] for name in shown} == {"pod", "deployment.apps", "replicaset.apps"}
    assert kubectl("get", "deploy,rs,po", "-o", "name").split() == shown[1:] + shown[:1]
    assert kubectl("get", "deployments.v1.apps", "d", "-o", "name") == "deployment.apps/d\n"


def test_wait_for_deletion_and_for_a_field(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", input=POD)
    kubectl("wait", "--for=jsonpath={.status.phase}=Running", "pod/web", "--timeout=20s")
    kubectl("delete", "pod", "web", "--wait=false", "--grace-period=1")
    kubectl("wait", "--for=delete", "pod/web", "--timeout=20s")
    timed_out = kubectl.run("wait", "--for=condition=Ready", "pod/web", "--timeout=1s")
    assert timed_out.returncode == 1


def test_run_and_expose(kubectl: Kubectl) -> None:
    kubectl("run", "web", "--image=nginx", "--port=80", "--labels=app=web")
    assert kubectl("expose", "pod", "web", "--name=web") == "service/web exposed\n"
    kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=20s")
    service = json.loads(kubectl("get", "service", "web", "-o", "json"))
    assert service["spec"]["selector"] == {"app": "web"}
    assert service["spec"]["clusterIP"].startswith("10.96.")
    kubectl("wait", "--for=jsonpath={.subsets[0].addresses[0].ip}", "endpoints/web", "--timeout=20s")
    slices = json.loads(kubectl("get", "endpointslices", "-l", "kubernetes.io/service-name=web", "-o", "json"))
    assert slices["items"][0]["endpoints"][0]["conditions"]["ready"] is True
    for name in ((), ("web",)):
        told = kubectl.run("get", "endpoints", *name).stderr
        assert told == "Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice\n"


def test_create_commands(kubectl: Kubectl) -> None:
    for command in (
        "configmap c --from-literal=a=1",
        "secret generic s --from-literal=p=x",
        "serviceaccount sa",
        "service clusterip svc --tcp=80:8080",
        "service nodeport np --tcp=80:8080",
        "job j --image=busybox -- true",
        "cronjob cj --image=busybox --schedule=1_2_3_4_5 -- true",
        "role r --verb=get --resource=pods",
        "rolebinding rb --role=r --serviceaccount=default:default",
        "ingress i --rule=example.com/*=svc:80",
        "quota q --hard=pods=100",
        "poddisruptionbudget pdb --selector=app=x --min-available=1",
    ):
        kubectl("create", *(word.replace("_", " ") for word in command.split()))
    shown = kubectl("describe", "configmap/c", "secret/s", "service/svc", "job/j", "cronjob/cj", "ingress/i", "role/r")
    assert "1 2 3 4 5" in shown


def test_version_and_cluster_info(kubectl: Kubectl) -> None:
    version = json.loads(kubectl("version", "-o", "json"))
    assert version["serverVersion"]["gitVersion"].startswith("v1.37.")
    assert "Kubernetes control plane is running at https://127.0.0.1:" in kubectl("cluster-info")
