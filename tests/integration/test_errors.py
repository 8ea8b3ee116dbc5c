"""Bad input of every kind: a clear error for who sent it, and nothing for everybody else to notice."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.clusters import PATIENCE, Api, Cluster
from tests.tools import Kubectl

JSON_TYPE = {"Content-Type": "application/json"}
YAML_TYPE = {"Content-Type": "application/yaml"}


@pytest.fixture(autouse=True)
def others_are_served(bare: Cluster) -> Iterator[None]:
    """Whatever the test did, the same process answers everybody else, and has nothing to complain about."""
    process, log = bare.facts["pid"], bare.log()
    yield
    assert bare.api()("GET", "/readyz").body == b"ok"
    answer = bare.api()("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"generateName": "well-"}})
    assert answer.status == 201
    assert bare.facts["pid"] == process
    assert "Traceback" not in bare.log().removeprefix(log)


def path(namespace: str, kind: str = "configmaps") -> str:
    return f"/api/v1/namespaces/{namespace}/{kind}"


def refused(answer: Any, code: int, reason: str) -> str:
    """The message of a well-formed Status."""
    status = answer.json
    assert (answer.status, status["kind"], status["status"]) == (code, "Status", "Failure"), status
    assert (status["code"], status["reason"]) == (code, reason), status
    return str(status["message"])


# -- bodies


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b"{", "unexpected end of JSON input"),
        (b'{"metadata": {"name": "c",}}', "invalid character"),
        (b"not json", "couldn't get version/kind; json parse error"),
        (b"\xff\xfe\x00", ""),
        (b"", ""),
        (b"[1, 2]", "cannot unmarshal array into Go value"),
        (b'"text"', "cannot unmarshal string into Go value"),
        (b"null", ""),
        (b'{"metadata": "x"}', "cannot unmarshal string into Go struct field"),
        (b'{"metadata": {"name": 5}}', "cannot unmarshal number into Go struct field"),
        (b'{"metadata": {"name": "c", "labels": {"a": 1}}}', "cannot unmarshal number into Go struct field"),
        (b'{"metadata": {"name": "c"}, "data": [1]}', "cannot unmarshal array into Go struct field"),
        (b'{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "c"}}', "Secret"),
        (b'{"apiVersion": "v9", "kind": "ConfigMap", "metadata": {"name": "c"}}', "v9"),
        (b'{"apiVersion": "v1", "kind": "Nonsense", "metadata": {"name": "c"}}', "Nonsense"),
        (b"[" * 200_000, ""),
        (b'{"a":' * 100_000, ""),
    ],
    ids=lambda value: repr(value[:24]) if isinstance(value, bytes) else "",
)
def test_malformed_json(bare_api: Api, bare_namespace: str, body: bytes, part: str) -> None:
    answer = bare_api("POST", path(bare_namespace), body, headers=JSON_TYPE)
    assert answer.status in (400, 422), answer.body[:500]
    assert answer.json["kind"] == "Status"
    assert part in answer.json["message"]
    assert bare_api("GET", path(bare_namespace)).json["items"] == []


@pytest.mark.parametrize(
    "body",
    [
        b"metadata: [",
        b"a: b: c",
        b"\t- x",
        b"metadata: &a {name: *a}",
        b"a: &a [x,x,x]\nb: &b [*a,*a,*a]\nc: &c [*b,*b,*b]\nmetadata: 5",
        b"!!python/object/apply:os.system ['true']",
        b"\x00",
    ],
    ids=repr,
)
def test_malformed_yaml(bare_api: Api, bare_namespace: str, body: bytes) -> None:
    answer = bare_api("POST", path(bare_namespace), body, headers=YAML_TYPE)
    assert refused(answer, 400, "BadRequest")
    assert bare_api("GET", path(bare_namespace)).json["items"] == []


def test_exploding_yaml(bare_api: Api, bare_namespace: str) -> None:
    """Aliases of aliases: small to send, endless to expand."""
    lines = ['a0: &a0 ["x","x","x","x","x","x","x","x","x","x"]']
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    answer = bare_api("POST", path(bare_namespace), "\n".join(lines).encode(), headers=YAML_TYPE)
    assert answer.status in (400, 413), answer.body[:300]


@pytest.mark.parametrize("body", [b"k8s\0", b"k8s\0\xff\xff\xff\xff", b"k8s\0\x0a\x02\x0a", b"other"], ids=repr)
def test_malformed_protobuf(bare_api: Api, bare_namespace: str, body: bytes) -> None:
    headers = {"Content-Type": "application/vnd.kubernetes.protobuf"}
    assert refused(bare_api("POST", path(bare_namespace), body, headers=headers), 400, "BadRequest")


def test_unknown_media_type(bare_api: Api, bare_namespace: str) -> None:
    answer = bare_api("POST", path(bare_namespace), b"<a/>", headers={"Content-Type": "application/xml"})
    message = refused(answer, 415, "UnsupportedMediaType")
    assert message.startswith("the body of the request was in an unknown format - accepted media types include: ")


def test_oversized_body(bare_api: Api, bare_namespace: str) -> None:
    body = json.dumps({"metadata": {"name": "c"}, "data": {"a": "x" * (4 << 20)}}).encode()
    message = refused(bare_api("POST", path(bare_namespace), body, headers=JSON_TYPE), 413, "RequestEntityTooLarge")
    assert "limit is 3145728" in message


def test_oversized_body_that_is_only_announced(bare_api: Api, bare_namespace: str) -> None:
    with raw(bare_api) as connection:
        connection.sendall(
            f"POST {path(bare_namespace)} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            "Content-Length: 99999999999\r\n\r\n".encode()
        )
        assert connection.recv(64).startswith(b"HTTP/1.1 413 ")


def test_an_object_too_large_to_keep(bare_api: Api, bare_namespace: str) -> None:
    body = {"metadata": {"name": "c"}, "data": {"a": "x" * (1 << 20), "b": "x"}}
    answer = bare_api("POST", path(bare_namespace), body)
    assert refused(answer, 422, "Invalid").endswith("Too long: may not be more than 1048576 bytes")


def test_wrong_types_deep_down(bare_api: Api, bare_namespace: str) -> None:
    container = {"name": "c", "image": "x", "ports": [{"containerPort": "eighty"}]}
    body = {"metadata": {"name": "p"}, "spec": {"containers": [container]}}
    message = refused(bare_api("POST", path(bare_namespace, "pods"), body), 400, "BadRequest")
    assert message == (
        'Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal string into Go struct field '
        "ContainerPort.spec.containers.ports.containerPort of type int32"
    )


def test_validation_lists_everything_at_once(kubectl: Kubectl, namespace: str) -> None:
    manifest = """
apiVersion: v1
kind: Pod
metadata: {name: Not_Valid}
spec:
  containers:
  - {name: "bad name", image: ""}
  restartPolicy: Sometimes
"""
    done = kubectl.run("create", "-f", "-", input=manifest)
    assert done.returncode == 1
    assert 'The Pod "Not_Valid" is invalid:' in done.stderr
    for part in (
        '* metadata.name: Invalid value: "Not_Valid": a lowercase RFC 1123 subdomain must consist of',
        '* spec.containers[0].name: Invalid value: "bad name": a lowercase RFC 1123 label must consist of',
        "* spec.containers[0].image: Required value",
        '* spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"',
    ):
        assert part in done.stderr


def test_kubectl_says_what_it_does_not_know(kubectl: Kubectl) -> None:
    unknown = kubectl.run("create", "-f", "-", input="apiVersion: v1\nkind: Podd\nmetadata: {name: p}\n")
    assert 'no matches for kind "Podd" in version "v1"' in unknown.stderr
    assert 'the server doesn\'t have a resource type "podz"' in kubectl.run("get", "podz").stderr
    malformed = kubectl.run("create", "-f", "-", input="apiVersion: v1\nkind: Pod\nmetadata: {name: p\n")
    assert malformed.returncode == 1


# -- paths and queries


@pytest.mark.parametrize(
    "target",
    [
        "/api/v1/podz",
        "/api/v9/pods",
        "/apis/nope.io/v1/things",
        "/apis/apps/v1/namespaces/default/nothings/x",
        "/api/v1/namespaces/default/pods/x/y/z",
        "/apis/apps/v1/namespaces/default",
        "/api/v1/namespaces/default/nodes",
        "/nothing",
        "/api/v1/../../etc/passwd",
        "/api/v1/namespaces/%2e%2e/pods/x",
        "/api/v1/namespaces/default/configmaps/%00",
        "/api/v1/namespaces/default/configmaps/a%2Fb",
    ],
)
def test_invalid_paths(bare_api: Api, target: str) -> None:
    assert bare_api("GET", target).status in (404, 400)


def test_methods_that_are_not_allowed(bare_api: Api, bare_namespace: str) -> None:
    body = {"metadata": {"name": "x"}}
    for method, target in (("POST", path(bare_namespace) + "/x"), ("PUT", path(bare_namespace))):
        message = refused(bare_api(method, target, body), 405, "MethodNotAllowed")
        assert message == "the server does not allow this method on the requested resource"
    assert bare_api("BREW", path(bare_namespace)).status in (400, 405)


# -- connections


def raw(api: Api, timeout: float = PATIENCE) -> ssl.SSLSocket:
    """A TLS connection as the admin, without HTTP."""
    plain = socket.create_connection((api.host, api.port), timeout=timeout)
    return api.tls.wrap_socket(plain, server_hostname=api.host)


def abort(connection: socket.socket) -> None:
    """Reset it, as a client that crashed does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x00",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc" + b"\xff" * 500,
        b"\x80" * 4096,
    ],
    ids=["nothing", "plain HTTP", "half a hello", "a garbled hello", "garbage"],
)
@pytest.mark.parametrize("how", ["close", "abort"])
def test_broken_handshakes(bare_api: Api, data: bytes, how: str) -> None:
    connection = socket.create_connection((bare_api.host, bare_api.port), timeout=PATIENCE)
    connection.sendall(data)
    abort(connection) if how == "abort" else connection.close()


def test_old_tls_is_refused(bare_api: Api) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    plain = socket.create_connection((bare_api.host, bare_api.port), timeout=PATIENCE)
    with plain, pytest.raises(OSError):
        context.wrap_socket(plain)


@pytest.mark.parametrize(
    "data",
    [
        b"\0\1\2\3\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /api HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"GET /api HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /api HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /api HTTP/1.1\r\nbad header\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=repr,
)
def test_malformed_http(bare_api: Api, data: bytes) -> None:
    with raw(bare_api) as connection:
        connection.sendall(data)
        answer = connection.recv(4096)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 "), answer


def test_huge_headers(bare_api: Api) -> None:
    with raw(bare_api) as connection:
        try:
            connection.sendall(
                b"GET /api HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"x" * 1000) for n in range(3000))
            )
            answer = connection.recv(64)
        except OSError:
            answer = b""
    assert answer == b"" or answer.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 ")), answer


def test_a_very_long_path(bare_api: Api) -> None:
    try:
        assert bare_api("GET", "/api/v1/" + "x" * 2_000_000).status in (400, 404, 414, 431)
    except (OSError, http.client.HTTPException):
        pass  # cut off


@pytest.mark.parametrize("how", ["close", "abort"])
def test_gone_in_the_middle_of_a_body(bare_api: Api, bare_namespace: str, how: str) -> None:
    connection = raw(bare_api)
    connection.sendall(
        f"POST {path(bare_namespace)} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        'Content-Length: 500\r\n\r\n{"metadata": {"name": "half"'.encode()
    )
    abort(connection) if how == "abort" else connection.close()
    assert bare_api("GET", path(bare_namespace)).json["items"] == []


@pytest.mark.parametrize("how", ["close", "abort"])
def test_gone_in_the_middle_of_a_watch(bare_api: Api, bare_namespace: str, how: str) -> None:
    for _ in range(5):
        connection = raw(bare_api)
        connection.sendall(f"GET {path(bare_namespace)}?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert connection.recv(64).startswith(b"HTTP/1.1 200 ")
        abort(connection) if how == "abort" else connection.close()
    for number in range(20):
        assert bare_api("POST", path(bare_namespace), {"metadata": {"name": f"c{number}"}}).status == 201


def test_a_watcher_that_does_not_read(bare_api: Api, bare_namespace: str) -> None:
    """It is cut off at some point; nobody waits for it, and the server does not keep what it does not take."""
    watcher = raw(bare_api)
    watcher.sendall(f"GET {path(bare_namespace)}?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert watcher.recv(64).startswith(b"HTTP/1.1 200 ")
    try:
        bare_api("POST", path(bare_namespace), {"metadata": {"name": "c"}})
        headers = {"Content-Type": "application/merge-patch+json"}
        slowest = 0.0
        for number in range(40):
            began = time.monotonic()
            change = {"data": {"large": str(number) * 200_000}}
            assert bare_api("PATCH", path(bare_namespace) + "/c", change, headers=headers).status == 200
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < 10
    finally:
        watcher.close()


def test_slow_senders(bare_api: Api, bare_namespace: str) -> None:
    """Many who never finish what they say keep nobody else from being served."""
    slow = [raw(bare_api) for _ in range(20)]
    try:
        for connection in slow:
            connection.sendall(b"GET /api/v1/pods HT")
        assert bare_api("GET", path(bare_namespace)).status == 200
        for connection in slow:
            connection.sendall(b"TP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(64).startswith(b"HTTP/1.1 200 ")
    finally:
        for connection in slow:
            connection.close()


def test_pipelined_and_kept_connections(bare_api: Api) -> None:
    with raw(bare_api) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 5)
        received = b""
        while received.count(b"HTTP/1.1 200 OK") < 5:
            chunk = connection.recv(65536)
            assert chunk
            received += chunk


def test_many_connections_that_say_nothing(bare_api: Api) -> None:
    idle = [socket.create_connection((bare_api.host, bare_api.port), timeout=PATIENCE) for _ in range(200)]
    try:
        assert bare_api("GET", "/livez").status == 200
    finally:
        for connection in idle:
            connection.close()


def test_stopped_server_ends_its_watches(tmp_path_factory: pytest.TempPathFactory) -> None:
    cluster = Cluster(tmp_path_factory.mktemp("stopped")).up("--parts", "apiserver")
    with cluster.api().watch(path("default")) as events:
        cluster.down()
        assert list(events) == []
