import pytest

from pinnace.api import fields
from pinnace.api.types import GVK

POD = GVK("", "v1", "Pod")


def test_a_pod_can_be_found_by_what_upstream_indexes() -> None:
    pod = {
        "spec": {"nodeName": "n1", "restartPolicy": "Always", "schedulerName": "s", "serviceAccountName": "a"},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]},
    }
    assert fields.selectable(POD, pod) == {
        "spec.nodeName": "n1",
        "spec.restartPolicy": "Always",
        "spec.schedulerName": "s",
        "spec.serviceAccountName": "a",
        "spec.hostNetwork": "false",
        "status.phase": "Running",
        "status.podIP": "10.0.0.1",
        "status.nominatedNodeName": "",
    }
    assert fields.supported(POD) == {"metadata.name", "metadata.namespace", *fields.selectable(POD, {})}


@pytest.mark.parametrize(
    ("gvk", "obj", "expected"),
    [
        (GVK("", "v1", "ConfigMap"), {}, {}),
        (GVK("", "v1", "Node"), {"spec": {"unschedulable": True}}, {"spec.unschedulable": "true"}),
        (GVK("", "v1", "Node"), {}, {"spec.unschedulable": "false"}),
        (GVK("", "v1", "Secret"), {"type": "Opaque"}, {"type": "Opaque"}),
        (GVK("", "v1", "Namespace"), {"status": {"phase": "Active"}}, {"status.phase": "Active"}),
        (GVK("batch", "v1", "Job"), {"status": {"succeeded": 2}}, {"status.successful": "2"}),
        (GVK("batch", "v1", "Job"), {"status": {}}, {"status.successful": "0"}),
    ],
)
def test_other_kinds(gvk: GVK, obj: dict[str, object], expected: dict[str, str]) -> None:
    assert fields.selectable(gvk, obj) == expected


def test_events_are_found_by_the_object_they_are_about() -> None:
    event = {
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "n", "uid": "u"},
        "reason": "Pulled",
        "type": "Normal",
        "source": {"component": "kubelet"},
        "reportingComponent": "k",
    }
    found = fields.selectable(GVK("", "v1", "Event"), event)
    assert found["involvedObject.name"] == "p"
    assert found["involvedObject.uid"] == "u"
    assert (found["source"], found["reason"], found["type"]) == ("kubelet", "Pulled", "Normal")


def test_unsupported_labels_are_named_as_upstream_does() -> None:
    assert fields.unsupported_message(POD, "spec.x") == "field label not supported: spec.x"
    assert fields.unsupported_message(GVK("", "v1", "ConfigMap"), "data") == (
        '"data" is not a known field selector: only "metadata.name", "metadata.namespace"'
    )
    assert fields.unsupported_message(GVK("batch", "v1", "Job"), "x") == 'field label "x" not supported for Job'
