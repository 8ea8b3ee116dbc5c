"""Bodies of typed Go clients become what their JSON form would have been; broken ones are refused in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinnace.api.codecs import protobuf


def varint(number: int) -> bytes:
    encoded = b""
    number &= (1 << 64) - 1
    while True:
        number, low = number >> 7, number & 0x7F
        if not number:
            return encoded + bytes([low])
        encoded += bytes([low | 0x80])


def block(field: int, content: bytes | str) -> bytes:
    data = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(data)) + data


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def body(api_version: str, kind: str, content: bytes) -> bytes:
    return protobuf.MAGIC + block(1, block(1, api_version) + block(2, kind)) + block(2, content)


def metadata(name: str) -> bytes:
    """As Go writes it: scalars that are not pointers even if empty, the zero time as an empty message."""
    return block(
        1, block(1, name) + block(2, "") + number(7, 0) + block(8, b"") + block(11, block(1, "a") + block(2, "b"))
    )


def test_a_deployment_keeps_pointers_to_zero_and_drops_what_was_not_set():
    spec = number(1, 0) + block(4, b"") + number(5, 0) + number(7, 0)
    obj = protobuf.decode(body("apps/v1", "Deployment", metadata("web") + block(2, spec) + block(3, b"")))
    assert obj == {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {"name": "web", "labels": {"a": "b"}},
        "spec": {"replicas": 0, "strategy": {}},
        "status": {},
    }


def test_a_definitions_schemas_are_what_json_writes_them_as():
    def entry(name: str, schema: bytes) -> bytes:
        return block(29, block(1, name) + block(2, schema))

    def schema(type: str, more: bytes = b"") -> bytes:
        """As Go writes it: scalars that are not pointers even if empty."""
        return block(1, "") + block(2, "") + block(5, type) + number(10, 0) + more + number(37, 0) + number(39, 0)

    fields = (
        entry("open", schema("object", block(30, number(1, 1))))
        + entry("closed", schema("object", block(30, number(1, 0))))
        + entry("map", schema("object", block(30, number(1, 1) + block(2, schema("string", number(13, 0))))))
        + entry("list", schema("array", block(24, block(1, schema("string"))) + block(42, "set")))
        + entry("off", schema("boolean", block(8, block(1, "false")) + number(38, 1)))
        + entry("one", schema("integer", block(20, block(1, "0")) + block(20, block(1, "null")) + block(3, "")))
    )
    version = block(1, "v1") + number(2, 1) + number(3, 0) + block(4, block(1, schema("object", fields)))
    spec = block(1, "example.com") + block(4, "Namespaced") + block(7, version) + number(10, 0)
    obj = protobuf.decode(
        body("apiextensions.k8s.io/v1", "CustomResourceDefinition", metadata("things.example.com") + block(2, spec))
    )
    [found] = obj["spec"]["versions"]
    assert (found["served"], found["storage"]) == (True, False)
    assert found["schema"]["openAPIV3Schema"] == {
        "type": "object",
        "properties": {
            "open": {"type": "object", "additionalProperties": True},
            "closed": {"type": "object", "additionalProperties": False},
            "map": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 0}},
            "list": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "off": {"type": "boolean", "default": False, "x-kubernetes-preserve-unknown-fields": True},
            "one": {"type": "integer", "enum": [0, None], "$ref": ""},
        },
    }


def test_a_pods_quantities_ports_and_inline_structs():
    quantity = block(1, "100m")
    resources = block(2, block(1, "cpu") + block(2, quantity))
    by_number, by_name = number(1, 0) + number(2, 8080), number(1, 1) + block(3, "http")
    probe = block(1, block(2, block(1, "/") + block(2, by_name))) + number(2, 3)
    container = block(1, "c") + block(2, "i") + block(8, resources) + block(10, probe)
    volume = block(1, "v") + block(2, block(2, block(1, "")))  # volumeSource is inline; emptyDir
    spec = block(1, volume) + block(2, container) + number(4, 0)
    obj = protobuf.decode(body("v1", "Pod", metadata("p") + block(2, spec)))
    assert obj["spec"] == {
        "volumes": [{"name": "v", "emptyDir": {}}],
        "containers": [
            {
                "name": "c",
                "image": "i",
                "resources": {"requests": {"cpu": "100m"}},
                "livenessProbe": {"httpGet": {"path": "/", "port": "http"}, "initialDelaySeconds": 3},
            }
        ],
        "terminationGracePeriodSeconds": 0,
    }
    assert protobuf._decode_value("k8s.io.apimachinery.pkg.util.intstr.IntOrString", memoryview(by_number), 0) == 8080


def test_secret_data_is_base64_and_times_are_rfc3339():
    obj = protobuf.decode(body("v1", "Secret", metadata("s") + block(2, block(1, "k") + block(2, b"\x00\xff"))))
    assert obj["data"] == {"k": "AP8="}
    lease = block(2, block(4, number(1, 1000) + number(2, 500_000_000)))
    obj = protobuf.decode(body("coordination.k8s.io/v1", "Lease", lease))
    assert obj["spec"] == {"renewTime": "1970-01-01T00:16:40.500000Z"}


def test_options_belong_to_every_group():
    obj = protobuf.decode(body("apps/v1", "DeleteOptions", number(1, 0) + block(4, "Foreground")))
    assert obj["gracePeriodSeconds"] == 0
    assert obj["propagationPolicy"] == "Foreground"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"kind":"Pod"}', "does not appear to be a protobuf message"),
        (protobuf.MAGIC, "no kind '' is registered"),
        (body("v1", "Nonsense", b""), "no kind 'Nonsense' is registered for version 'v1'"),
        (body("v1", "Pod", b"\x0a\xff"), "unexpected EOF"),
        (body("v1", "Pod", b"\x0f"), "wireType 7"),
        (body("v1", "Pod", block(1, block(1, b"\xff\xfe"))), "invalid UTF-8"),
    ],
)
def test_broken_bodies(data: bytes, message: str):
    with pytest.raises(protobuf.DecodeError, match=message):
        protobuf.decode(data)


@given(st.binary(max_size=200))
def test_garbage_is_an_error_or_an_object_never_a_crash(garbage: bytes):
    try:
        obj = protobuf.decode(body("v1", "Pod", garbage))
    except protobuf.DecodeError:
        return
    assert obj["kind"] == "Pod"
