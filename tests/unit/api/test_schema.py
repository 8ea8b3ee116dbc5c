"""Decoding objects against the built-in schemas: what goes, what is refused and how that is worded."""

from __future__ import annotations

from typing import Any

import pytest

from pinnace.api import meta, schema
from pinnace.api.errors import ApiError
from pinnace.api.schema import DecodeError
from pinnace.api.types import GVK, Object

POD = "io.k8s.api.core.v1.Pod"
DEPLOYMENT = "io.k8s.api.apps.v1.Deployment"
CONFIG_MAP = "io.k8s.api.core.v1.ConfigMap"
SECRET = "io.k8s.api.core.v1.Secret"
CRD = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition"
ROLE = "io.k8s.api.rbac.v1.Role"


def pod(**container: Any) -> Object:
    return {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", **container}]}}


def refusal(definition: str, value: Any) -> str:
    with pytest.raises(DecodeError) as caught:
        schema.decode(definition, value)
    return str(caught.value)


def test_what_the_schema_knows_is_kept_and_the_argument_stays_as_it_was() -> None:
    given = pod(image="nginx", ports=[{"containerPort": 80}], env=[{"name": "A", "value": "b"}])
    before = meta.copy(given)
    assert schema.decode(POD, given) == given
    assert given == before
    decoded = schema.decode(POD, given)
    assert decoded["spec"] is not given["spec"]


def test_unknown_fields_go_and_are_told_of_with_their_path() -> None:
    problems: list[str] = []
    given = pod(Image="nginx", livenessProbe={"exec": {"comand": ["x"]}}) | {"extra": {"deep": 1}}
    assert schema.decode(POD, given, problems) == pod(livenessProbe={"exec": {}})
    assert problems == [
        'unknown field "spec.containers[0].Image"',  # names are case-sensitive
        'unknown field "spec.containers[0].livenessProbe.exec.comand"',
        'unknown field "extra"',
    ]


def test_no_more_than_a_hundred_problems_are_told() -> None:
    problems: list[str] = []
    schema.decode(CONFIG_MAP, {f"x{number}": 1 for number in range(200)}, problems)
    assert len(problems) == 100


def test_nulls_and_empty_optional_collections_go() -> None:
    given = pod(args=[], env=None, resources={}, image=None)
    given["metadata"] |= {"creationTimestamp": None, "labels": {}, "annotations": {"a": "b"}}
    decoded = schema.decode(POD, given)
    assert decoded["metadata"] == {"name": "a", "annotations": {"a": "b"}}
    assert decoded["spec"]["containers"] == [{"name": "c", "resources": {}}]


def test_empty_required_lists_and_empty_objects_stay() -> None:
    assert schema.decode(POD, {"spec": {"containers": [], "volumes": [{"name": "v", "emptyDir": {}}]}}) == {
        "spec": {"containers": [], "volumes": [{"name": "v", "emptyDir": {}}]}
    }


def test_zero_values_go_where_go_leaves_them_out_and_stay_where_they_mean_something() -> None:
    spec = {"replicas": 0, "minReadySeconds": 0, "paused": False, "revisionHistoryLimit": 0}
    assert schema.decode(DEPLOYMENT, {"spec": spec}) == {"spec": {"replicas": 0, "revisionHistoryLimit": 0}}
    claim = {"spec": {"volumeName": "", "storageClassName": ""}}  # an empty class asks for no class
    assert schema.decode("io.k8s.api.core.v1.PersistentVolumeClaim", claim) == {"spec": {"storageClassName": ""}}
    assert schema.decode(POD, pod(tty=False, imagePullPolicy="") | {"spec": {"hostNetwork": False}})["spec"] == {}


def test_null_in_a_list_or_map_is_the_zero_value() -> None:
    assert schema.decode(CONFIG_MAP, {"data": {"a": None}}) == {"data": {"a": ""}}
    decoded = schema.decode(POD, {"spec": {"containers": [None, None]}})
    assert decoded["spec"]["containers"] == [{}, {}]
    assert decoded["spec"]["containers"][0] is not decoded["spec"]["containers"][1]


@pytest.mark.parametrize(
    ("given", "canonical"),
    [(1, "1"), (0.5, "500m"), ("1000m", "1"), ("1024Mi", "1Gi"), ("0.1", "100m"), ("1e3", "1e3"), (" 2 ", "2")],
)
def test_quantities_take_their_canonical_form(given: Any, canonical: str) -> None:
    decoded = schema.decode(POD, pod(resources={"limits": {"cpu": given}}))
    assert decoded["spec"]["containers"][0]["resources"]["limits"]["cpu"] == canonical


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("2026-11-21T09:14:00Z", "2026-11-21T09:14:00Z"),
        ("2026-11-21T09:14:00.999Z", "2026-11-21T09:14:00Z"),
        ("2026-11-21T09:14:00+02:00", "2026-11-21T07:14:00Z"),
    ],
)
def test_times_are_written_in_utc_and_whole_seconds(given: str, canonical: str) -> None:
    assert schema.decode(POD, {"status": {"startTime": given}}) == {"status": {"startTime": canonical}}


def test_micro_times_keep_six_digits() -> None:
    lease = "io.k8s.api.coordination.v1.Lease"
    decoded = schema.decode(lease, {"spec": {"renewTime": "2026-11-21T09:14:00.5Z"}})
    assert decoded == {"spec": {"renewTime": "2026-11-21T09:14:00.500000Z"}}


def test_ports_may_be_names_or_numbers() -> None:
    service = "io.k8s.api.core.v1.Service"
    ports = [{"port": 80, "targetPort": "http"}, {"port": 81, "targetPort": 8081}]
    assert schema.decode(service, {"spec": {"ports": ports}}) == {"spec": {"ports": ports}}
    assert refusal(service, {"spec": {"ports": [{"targetPort": True}]}}) == (
        "json: cannot unmarshal bool into Go struct field ServicePort.spec.ports.targetPort of type int32"
    )


def test_free_parts_are_kept_as_they_are() -> None:
    props = {"type": "object", "properties": {"spec": {"default": {"a": None}, "items": {"type": "string"}}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": props}}
    given = {
        "metadata": {"managedFields": [{"fieldsV1": {"f:spec": {".": {}}}}]},
        "spec": {"group": "example.com", "versions": [version]},
    }
    assert schema.decode(CRD, given) == given


@pytest.mark.parametrize(
    ("definition", "given", "message"),
    [
        (
            DEPLOYMENT,
            {"spec": {"replicas": "two"}},
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            DEPLOYMENT,
            {"spec": {"replicas": 1.5}},
            "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            DEPLOYMENT,
            {"spec": {"replicas": 2**31}},
            "json: cannot unmarshal number 2147483648 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            DEPLOYMENT,
            {"spec": {"replicas": True}},
            "json: cannot unmarshal bool into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            DEPLOYMENT,
            {"spec": {"template": {"spec": {"containers": {"name": "c"}}}}},
            "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type "
            "[]v1.Container",
        ),
        (
            DEPLOYMENT,
            {"spec": []},
            "json: cannot unmarshal array into Go struct field Deployment.spec of type v1.DeploymentSpec",
        ),
        (POD, [], "json: cannot unmarshal array into Go value of type v1.Pod"),
        (
            POD,
            {"spec": {"containers": [{"name": 7}]}},
            "json: cannot unmarshal number into Go struct field Container.spec.containers.name of type string",
        ),
        (
            POD,
            {"spec": {"restartPolicy": 1}},
            "json: cannot unmarshal number into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy",
        ),
        (
            CONFIG_MAP,
            {"data": {"port": 80}},
            "json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
        ),
        (
            CONFIG_MAP,
            {"data": "x"},
            "json: cannot unmarshal string into Go struct field ConfigMap.data of type map[string]string",
        ),
        (SECRET, {"data": {"a": "not base64"}}, "illegal base64 data at input byte 3"),
        (
            POD,
            pod(resources={"limits": {"cpu": "much"}}),
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            POD,
            {"metadata": {"creationTimestamp": "yesterday"}},
            'parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006"',
        ),
    ],
)
def test_wrong_types_are_refused_in_the_words_of_gos_decoder(definition: str, given: Any, message: str) -> None:
    assert refusal(definition, given) == message


def test_a_request_with_unknown_fields_by_field_validation() -> None:
    gvk, given = GVK("", "v1", "ConfigMap"), {"data": {"a": "b"}, "foo": 1}
    duplicates = ['duplicate field "data.a"']
    assert schema.decode_object(gvk, CONFIG_MAP, given, schema.IGNORE, duplicates) == ({"data": {"a": "b"}}, [])
    obj, warnings = schema.decode_object(gvk, CONFIG_MAP, given, schema.WARN, duplicates)
    assert obj == {"data": {"a": "b"}}
    assert warnings == ['duplicate field "data.a"', 'unknown field "foo"']
    with pytest.raises(ApiError) as caught:
        schema.decode_object(gvk, CONFIG_MAP, given, schema.STRICT, duplicates)
    assert (caught.value.code, caught.value.reason) == (400, "BadRequest")
    assert str(caught.value) == (
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: '
        'duplicate field "data.a", unknown field "foo"'
    )


def test_problems_come_as_in_the_document() -> None:
    given = {"foo": 1, "data": {"a": "b"}, "bar": 1}
    _, warnings = schema.decode_object(
        GVK("", "v1", "ConfigMap"), CONFIG_MAP, given, schema.WARN, ['duplicate field "data.a"']
    )
    assert warnings == ['unknown field "foo"', 'duplicate field "data.a"', 'unknown field "bar"']


def test_a_request_with_a_wrong_type_is_refused_whatever_the_field_validation() -> None:
    for validation in (schema.IGNORE, schema.WARN, schema.STRICT):
        with pytest.raises(ApiError) as caught:
            schema.decode_object(GVK("", "v1", "ConfigMap"), CONFIG_MAP, {"data": [], "x": 1}, validation)
        assert str(caught.value).startswith(
            'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal array'
        )


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"a":1,"b":{"a":2}}', []),
        (b'{"a":1,"a":2}', ["a"]),
        (b'{"spec":{"list":[{"x":1},{"x":1,"x":2}],"y":{"z":1,"z":1,"z":1}}}', ["spec.list[1].x", "spec.y.z"]),
        (b'{"a": "\\":", "b" : 1}', []),
        (b'{"a" :1,"b":2,"b":3}', ["b"]),
        (b'{"a\\u0022:":1,"a":1,"a":2}', ["a"]),
        (b"[]", []),
    ],
)
def test_fields_named_twice_are_found(body: bytes, found: list[str]) -> None:
    assert schema.duplicate_fields(body) == [f'duplicate field "{path}"' for path in found]


def test_deep_nesting_is_refused() -> None:
    deep: Any = {"type": "string"}
    for _ in range(1000):
        deep = {"type": "object", "properties": {"a": deep}}
    version = {"name": "v1", "schema": {"openAPIV3Schema": deep}}
    assert refusal(CRD, {"spec": {"versions": [version]}}) == "exceeded max depth"
    with pytest.raises(ApiError, match="exceeded max depth"):
        schema.duplicate_fields(b'{"a":' * 500 + b"1" + b"}" * 500)


def test_fields_say_how_they_merge() -> None:
    containers = schema.field("io.k8s.api.core.v1.PodSpec", "containers")
    assert containers is not None
    assert (containers.kind, containers.ref) == ("array", "io.k8s.api.core.v1.Container")
    assert (containers.patch_strategy, containers.merge_key) == ({"merge"}, "name")
    volumes = schema.field("io.k8s.api.core.v1.PodSpec", "volumes")
    assert volumes is not None and volumes.patch_strategy == {"merge", "retainKeys"}
    ports = schema.field("io.k8s.api.core.v1.Container", "ports")
    assert ports is not None and (ports.list_type, ports.list_map_keys) == ("map", ("containerPort", "protocol"))


@pytest.mark.parametrize(
    ("definition", "name", "kind", "ref"),
    [
        ("io.k8s.api.core.v1.ConfigMap", "data", "map", ""),
        ("io.k8s.api.core.v1.ResourceRequirements", "limits", "map", ""),
        ("io.k8s.api.core.v1.Container", "args", "array", ""),
        ("io.k8s.api.core.v1.ServicePort", "targetPort", "any", ""),
        ("io.k8s.api.core.v1.Pod", "spec", "object", "io.k8s.api.core.v1.PodSpec"),
        ("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "creationTimestamp", "string", ""),
        ("io.k8s.apimachinery.pkg.apis.meta.v1.ManagedFieldsEntry", "fieldsV1", "any", ""),
    ],
)
def test_fields_say_of_what_kind_they_are(definition: str, name: str, kind: str, ref: str) -> None:
    found = schema.field(definition, name)
    assert found is not None and (found.kind, found.ref) == (kind, ref)


def test_free_and_unknown_definitions_have_no_fields() -> None:
    assert not schema.fields("io.k8s.apimachinery.pkg.runtime.RawExtension")
    assert not schema.fields("no.such.Definition")
    assert schema.field(POD, "nope") is None


def test_what_is_remembered_of_a_pods_spec_hides_no_warning_and_is_not_shared() -> None:
    pod = "io.k8s.api.core.v1.Pod"
    for _ in range(2):
        problems: list[str] = []
        decoded = schema.decode(pod, {"spec": {"containers": [], "nope": 1}}, problems)
        assert (decoded["spec"], problems) == ({"containers": []}, ['unknown field "spec.nope"'])
    sent = {"spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "0.5"}}}]}}
    first, second = (schema.decode(pod, sent, []) for _ in range(2))
    assert first == second
    assert first["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "500m"}
    first["spec"]["containers"][0]["name"] = "d"
    assert schema.decode(pod, sent, []) == second
