"""What reaches the API server's socket and is not as it should be: it gets a clear answer, and harms nobody else."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import re
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.apiserver import Api, closed, running

from pinnace.api.resources import CONFIG_MAPS
from pinnace.apiserver import pipeline
from pinnace.apiserver.http import server, wire
from pinnace.apiserver.http.connection import Connection
from pinnace.apiserver.resources import codec
from pinnace.core import listener
from pinnace.store.protocol import Put, Txn

MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Api]:
    async with running(tmp_path) as api:
        yield api


async def raw(api: Api, *pieces: bytes, until: bytes = b"", pause: float = 0.0) -> bytes:
    """Send bytes, return what comes back until the server closes (or ``until`` has come)."""
    connection = await api.connect()
    received = b""
    try:
        for piece in pieces:
            connection.writer.write(piece)
            await connection.writer.drain()
            if pause:
                await asyncio.sleep(pause)
        async with asyncio.timeout(10):
            while data := await connection.reader.read(65536):
                received += data
                if until and until in received:
                    break
    finally:
        connection.close()
        await closed(connection)
    return received


async def healthy(api: Api) -> None:
    answer = await api.call("GET", "/readyz")
    assert (answer.status, answer.body) == (200, b"ok")


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"\xff" * 64,
    ],
    ids=["words", "version", "nul", "tls-in-tls", "garbage"],
)
async def test_malformed_http_is_400_and_the_end_of_the_connection(served: Api, sent: bytes) -> None:
    answer = await raw(served, sent)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["reason"] == "BadRequest"
    await healthy(served)


async def test_headers_are_bounded(served: Api) -> None:
    lines = b"".join(b"X-%d: y\r\n" % n for n in range(600))
    answer = await raw(served, b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 431 ")
    await healthy(served)


async def test_body_that_is_announced_too_large_is_refused_before_it_is_sent(served: Api) -> None:
    answer = await raw(
        served,
        b"POST " + MAPS.encode() + b" HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        b"Expect: 100-continue\r\nContent-Length: 3145729\r\n\r\n",
    )
    assert answer.startswith(b"HTTP/1.1 413 ")
    status = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert status["message"] == "Request entity too large: limit is 3145728"
    assert status["reason"] == "RequestEntityTooLarge"
    await healthy(served)


async def test_chunked_body_that_grows_too_large_is_refused(served: Api) -> None:
    head = b"POST " + MAPS.encode() + b" HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    answer = await raw(served, head + b"Transfer-Encoding: chunked\r\n\r\n", chunk, chunk, chunk, b"1\r\nx\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    await healthy(served)


async def test_expectation_is_answered_before_the_body_comes(served: Api) -> None:
    body = b'{"metadata":{"name":"expected"}}'
    head = b"POST " + MAPS.encode() + b" HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nConnection: close\r\n"
    answer = await raw(
        served, head + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body), body, pause=0.05
    )
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\n")


async def test_pipelined_requests_are_answered_in_order(served: Api) -> None:
    post = b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
    requests = []
    for number in range(40):
        body = b'{"metadata":{"name":"piped-%d"}}' % number
        requests.append(post % (MAPS.encode(), len(body), body))
        requests.append(b"GET %b/piped-%d HTTP/1.1\r\nHost: a\r\n\r\n" % (MAPS.encode(), number))
    requests.append(b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    answer = await raw(served, b"".join(requests))
    codes = re.findall(rb"HTTP/1\.1 (\d+)", answer)
    assert codes == [b"201", b"200"] * 40 + [b"200"]


async def test_plain_http_is_told_so(served: Api) -> None:
    for method in (b"GET / HTTP/1.1\r\n", b"PATCH /api/v1/nodes/n HTTP/1.1\r\nContent-Length: 900000\r\n"):
        reader, writer = await asyncio.open_connection(served.host, served.port)
        writer.write(method + b"Host: a\r\n\r\n" + b"x" * 900_000)
        answer = await reader.read()
        assert answer == b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
        writer.close()
    await healthy(served)


async def test_a_failed_handshake_is_logged_and_leaves_others_alone(
    served: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "pinnace.core.listener")
    for sent, alert in ((b"\x16\x03\x01\x00\x05hello", b"\x15\x03\x03\x00\x02\x02\x0a"), (b"\x00" * 100, b"")):
        reader, writer = await asyncio.open_connection(served.host, served.port)
        writer.write(sent)
        async with asyncio.timeout(10):
            assert await reader.read() == alert, "fatal, unexpected message; none for what is no TLS at all"
        writer.close()
    assert [record.message for record in caplog.records if "TLS handshake error from 127.0.0.1:" in record.message]
    untrusted = ssl.create_default_context()
    with pytest.raises(ssl.SSLError):
        await asyncio.open_connection(served.host, served.port, ssl=untrusted, server_hostname="localhost")
    await healthy(served)


async def test_who_says_nothing_is_dropped(served: Api) -> None:
    reader, writer = await asyncio.open_connection(served.host, served.port)
    await healthy(served)
    for _ in range(listener.PATIENCE + 2):
        served.server._http._sweep()
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    writer.close()


async def test_a_lost_connection_is_no_garbage(served: Api) -> None:
    """Nothing of it waits for the cycle collector, which would hold the event loop."""
    await healthy(served)
    gc.collect()
    gc.disable()
    try:
        connection = await served.connect()
        await (await connection.request("GET", "/livez", [("Host", "a")])).read()
        connection.close()
        await closed(connection)
        while served.server._http.connections:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)
        assert not [thing for thing in gc.get_objects() if isinstance(thing, Connection)]
    finally:
        gc.enable()


async def test_clients_that_go_away_leave_nothing_behind(served: Api) -> None:
    for sent in (
        b"GET /api/v1/pods HTTP/1.1\r\nHo",
        b"POST " + MAPS.encode() + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{",
        b"GET " + MAPS.encode() + b"?watch=true HTTP/1.1\r\nHost: a\r\n\r\n",
    ):
        connection = await served.connect()
        connection.writer.write(sent)
        await connection.writer.drain()
        await asyncio.sleep(0.05)
        connection.writer.transport.abort()
        await closed(connection)
    for _ in range(100):
        metrics = (await served.call("GET", "/metrics")).body.decode()
        figures = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#"))
        if figures["pinnace_connections"] == "1" and figures["pinnace_watches"] == "0":
            return
        await asyncio.sleep(0.02)
    raise AssertionError(figures)


BAD_BODIES: list[tuple[str, bytes, int, str]] = [
    (
        "application/json",
        b"{",
        400,
        "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: "
        "unexpected end of JSON input ({)",
    ),
    (
        "application/json",
        b"nope",
        400,
        "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: "
        "invalid character 'n' looking for beginning of value (6e6f7065)",
    ),
    ("application/json", b"", 400, "unexpected end of JSON input (<empty>)"),
    ("application/json", b"[" * 2000 + b"]" * 2000, 400, "the object provided is unrecognized"),
    ("application/json", b"[]", 400, "the object provided is unrecognized (must be of type ConfigMap)"),
    (
        "application/json",
        b'{"kind":"Secret","apiVersion":"v1","metadata":{"name":"a"}}',
        400,
        'Secret in version "v1" cannot be handled as a ConfigMap',
    ),
    (
        "application/json",
        b'{"kind":"ConfigMap","apiVersion":"v2","metadata":{"name":"a"}}',
        400,
        "the API version in the data (v2) does not match the expected API version (v1)",
    ),
    (
        "application/json",
        b'{"metadata":{"name":"a"},"data":{"a":1}}',
        400,
        "cannot unmarshal number into Go struct field",
    ),
    ("application/json", b'{"metadata":"x"}', 400, "cannot be handled as a ConfigMap"),
    ("application/json", b'{"metadata":{"name":"Upper_Case"}}', 422, "a lowercase RFC 1123 subdomain must consist of"),
    ("application/yaml", b"a: [", 400, "error converting YAML to JSON: yaml:"),
    ("application/yaml", b"a: !!python/object:os.system {}", 400, "error converting YAML to JSON: yaml:"),
    (
        "application/yaml",
        b"a: &a [x,x,x,x,x,x,x,x]\n"
        + b"".join(b"%c: &%c [%b]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in b"bcdefgh"),
        400,
        "document contains excessive aliasing",
    ),
    ("application/yaml", b"[" * 1_000_000, 400, "exceeded max depth"),
    ("application/yaml", b"- " * 500_000 + b"a", 400, "exceeded max depth"),
    ("application/json", b"[" * 1_000_000, 400, "couldn't get version/kind"),
    ("application/vnd.kubernetes.protobuf", b"\x00\x01", 400, "does not appear to be a protobuf message"),
    ("text/plain", b"x", 415, "the body of the request was in an unknown format - accepted media types include:"),
]


@pytest.mark.parametrize(("content_type", "body", "code", "message"), BAD_BODIES)
async def test_bad_bodies(served: Api, content_type: str, body: bytes, code: int, message: str) -> None:
    answer = await served.call("POST", MAPS, body, {"Content-Type": content_type})
    status: Any = answer.json()
    assert (answer.status, status["code"], status["kind"]) == (code, code, "Status")
    assert message in status["message"]
    await healthy(served)


async def test_unknown_fields_follow_field_validation(served: Api) -> None:
    def body(name: str) -> dict[str, Any]:
        return {"metadata": {"name": name}, "dta": {"a": "b"}}

    strict = await served.call("POST", f"{MAPS}?fieldValidation=Strict", body("a"))
    assert (strict.status, strict.json()["message"]) == (
        400,
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "dta"',
    )
    warned = await served.call("POST", f"{MAPS}?fieldValidation=Warn", body("a"))
    assert warned.status == 201
    assert warned.headers["warning"] == '299 - "unknown field \\"dta\\""'
    assert "dta" not in warned.json()
    ignored = await served.call("POST", f"{MAPS}?fieldValidation=Ignore", body("b"))
    assert ignored.status == 201
    assert "warning" not in ignored.headers
    twice = await served.call(
        "POST", f"{MAPS}?fieldValidation=Strict", b'{"metadata":{"name":"c"},"data":{"a":"1","a":"2"}}'
    )
    assert twice.status == 400
    assert 'duplicate field "data.a"' in twice.json()["message"]
    noticed = await served.call("POST", MAPS, b'{"metadata":{"name":"c"},"data":{"a":"1","a":"2"}}')
    assert (noticed.status, noticed.headers["warning"]) == (201, '299 - "duplicate field \\"data.a\\""')
    assert noticed.json()["data"] == {"a": "2"}


async def test_keys_given_twice_in_yaml_are_told_of(served: Api) -> None:
    twice = b"metadata: {name: twice}\ndata:\n  a: x\n  a: y\n  b: z\n  b: z\n"
    yaml = {"Content-Type": "application/yaml"}
    strict = await served.call("POST", f"{MAPS}?fieldValidation=Strict", twice, yaml)
    assert (strict.status, strict.json()["message"]) == (
        400,
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: yaml: unmarshal errors:\n'
        '  line 4: key "a" already set in map\n  line 6: key "b" already set in map',
    )
    warned = await served.call("POST", MAPS, twice, yaml)
    assert warned.status == 201
    assert warned.headers["warning"] == '299 - "line 6: key \\"b\\" already set in map"', "the last of two"
    ignored = await served.call("PUT", f"{MAPS}/twice?fieldValidation=Ignore", twice, yaml)
    assert (ignored.status, "warning" in ignored.headers, ignored.json()["data"]["a"]) == (200, False, "y")


@pytest.mark.parametrize(("value", "watches"), [("zz", True), ("", True), ("1", True), ("0", False), ("FALSE", False)])
async def test_any_watch_but_0_and_false_is_one(served: Api, value: str, watches: bool) -> None:
    answer = await served.call("GET", f"{MAPS}?watch={value}&timeoutSeconds=1")
    assert (b"ConfigMapList" not in answer.body) == watches


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("Impersonate-Uid", "7", 'UID:"7", Groups:[]string(nil), Extra:map[string][]string(nil)'),
        ("Impersonate-Group", "a", 'UID:"", Groups:[]string{"a"}, Extra:map[string][]string(nil)'),
        (
            "Impersonate-Extra-Scopes",
            "x",
            'UID:"", Groups:[]string(nil), Extra:map[string][]string{"scopes":[]string{"x"}}',
        ),
    ],
)
async def test_nobody_is_impersonated_without_a_name(served: Api, name: str, value: str, shown: str) -> None:
    answer = await served.call("GET", MAPS, headers={name: value})
    why = f'requested &user.DefaultInfo{{Name:"", {shown}}} without impersonating a user name'
    assert (answer.status, answer.json()["reason"], answer.json()["message"]) == (400, "BadRequest", why)


async def test_the_root_lists_what_is_served(served: Api) -> None:
    paths = (await served.call("GET", "/")).json()["paths"]
    assert paths == sorted(paths)
    wanted = [
        "/.well-known/openid-configuration",
        "/api/v1",
        "/apis/apps",
        "/apis/apps/v1",
        "/healthz/ping",
        "/metrics",
    ]
    assert set(wanted) <= set(paths)
    for path in paths:
        assert (await served.call("GET", path)).status == 200, path


async def test_warnings_are_limited(served: Api) -> None:
    sent = {"metadata": {"name": "many"}, **{f"field{number}" * 100: 1 for number in range(60)}}
    connection = await served.connect()
    answer = await connection.request(
        "POST", MAPS, [("Host", "x"), ("Content-Type", "application/json")], json.dumps(sent).encode()
    )
    told = [value for name, value in answer.raw_headers if name == b"Warning"]
    assert answer.status == 201
    assert 0 < sum(map(len, told)) < 6000
    connection.close()
    await closed(connection)


async def test_a_comma_separates_no_groups_but_headers_do(served: Api) -> None:
    review = b'{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1"}'
    lines = b"POST /apis/authentication.k8s.io/v1/selfsubjectreviews HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    lines += b"Content-Type: application/json\r\nContent-Length: %d\r\nImpersonate-User: ann\r\n" % len(review)
    groups = b"Impersonate-Group: a,b\r\nImpersonate-Group: c\r\n\r\n"
    answer = json.loads((await raw(served, lines + groups + review)).partition(b"\r\n\r\n")[2])
    assert answer["status"]["userInfo"]["groups"] == ["a,b", "c", "system:authenticated"]


async def test_a_header_repeated_without_end_is_refused(served: Api) -> None:
    answer = await raw(served, b"GET /readyz HTTP/1.1\r\n" + b"a: b\r\n" * 1000 + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 431 ")


async def test_yaml_in_and_out(served: Api) -> None:
    made = await served.call(
        "POST", MAPS, b"metadata:\n  name: y\ndata:\n  a: b\n", {"Content-Type": "application/yaml"}
    )
    assert made.status == 201, made.body
    read = await served.call("GET", f"{MAPS}/y", headers={"Accept": "application/yaml"})
    assert read.headers["content-type"] == "application/yaml"
    assert b"data:\n  a: b\n" in read.body


async def longest_turn(work: asyncio.Task[Any]) -> float:
    """The most CPU time that the event loop's thread took from one turn to the next while the work was done."""
    longest, last = 0.0, time.thread_time()
    while not work.done():
        await asyncio.sleep(0)
        now = time.thread_time()
        longest, last = max(longest, now - last), now
    return longest


@pytest.mark.parametrize("kind", ["json", "yaml"])
async def test_a_large_body_does_not_hold_the_loop(served: Api, kind: str) -> None:
    """In one piece, the JSON took 0.08 s and the YAML 0.5 s, and the answer in YAML 0.2 s."""
    keys = {f"key-{number:05}": "a value" for number in range(30_000)}
    body = json.dumps({"metadata": {"name": "large"}, "data": keys}).encode()
    sent = asyncio.create_task(served.call("POST", MAPS, body, {"Content-Type": f"application/{kind}"}))
    assert await longest_turn(sent) < 0.06
    assert (await sent).status == 201
    shown = asyncio.create_task(served.call("GET", f"{MAPS}/large", headers={"Accept": "application/yaml"}))
    assert await longest_turn(shown) < 0.06
    assert b"key-29999: a value\n" in (await shown).body
    label = {"metadata": {"labels": {"a": "b"}}}
    patch = served.call("PATCH", f"{MAPS}/large", label, {"Content-Type": "application/merge-patch+json"})
    patched = asyncio.create_task(patch)
    assert await longest_turn(patched) < 0.06
    assert (await patched).json()["metadata"]["labels"] == {"a": "b"}


async def test_what_cannot_be_answered_is_406(served: Api) -> None:
    answer = await served.call("GET", MAPS, headers={"Accept": "application/xml"})
    assert (answer.status, answer.json()["reason"]) == (406, "NotAcceptable")


async def test_large_answers_are_compressed_for_those_who_accept_it(served: Api) -> None:
    for number in range(4):
        await served.client.create(
            CONFIG_MAPS,
            {"metadata": {"name": f"big-{number}", "namespace": "default"}, "data": {"a": "x" * 60_000}},
        )
    plain = await served.call("GET", MAPS)
    packed = await served.call("GET", MAPS, headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert len(packed.body) < len(plain.body) / 10
    assert gzip.decompress(packed.body) == plain.body


async def test_a_large_list_is_compressed_once_for_all_who_ask_for_the_same(
    served: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(served, 200, 2_000)
    begun: list[int] = []
    compress = wire.gzip

    def counted(parts: list[bytes]) -> bytes:
        begun.append(len(parts))
        return compress(parts)

    monkeypatch.setattr(wire, "gzip", counted)

    async def listed() -> bytes:
        return gzip.decompress((await served.call("GET", MAPS, headers={"Accept-Encoding": "gzip"})).body)

    first, *others = await asyncio.gather(*(listed() for _ in range(8)))
    assert len(json.loads(first)["items"]) >= 200
    assert all(other == first for other in others)
    assert len(begun) == 1
    await fill(served, 201, 2_000)
    again = await listed()
    assert len(json.loads(again)["items"]) == len(json.loads(first)["items"]) + 1, "what is kept is not what was"


async def test_head_has_no_body_and_unknown_paths_are_404(served: Api) -> None:
    answer = await raw(served, b"HEAD /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Content-Length: 2" in head
    assert body == b""
    missing = await served.call("GET", "/nowhere")
    assert (missing.status, missing.body) == (404, b"404 page not found\n")
    group = await served.call("GET", "/apis/nope.io/v1/things")
    assert (group.status, group.body) == (404, b"404 page not found\n")


async def test_stop_ends_watches_and_finishes_what_is_under_way(tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        connection = await api.connect()
        answer = await connection.request("GET", f"{MAPS}?watch=true", [("Host", "a")])
        await api.server.stop()
        assert await answer.read() == b""
        connection.close()
        await closed(connection)


async def fill(api: Api, count: int, size: int) -> None:
    """Big ConfigMaps, straight into the store."""
    for number in range(count):
        name = f"big-{number:04d}"
        obj = {
            "kind": "ConfigMap",
            "apiVersion": "v1",
            "metadata": {"name": name, "namespace": "default"},
            "data": {"a": "x" * size},
        }
        await api.store.commit(Txn((), (Put(f"/registry/configmaps/default/{name}", codec.encode(obj)),)))


async def test_the_state_at_the_start_of_a_watch_waits_for_a_slow_reader(served: Api) -> None:
    await fill(served, 600, 60_000)  # more than is ever held for one watch
    connection = await served.connect()
    answer = await connection.request("GET", f"{MAPS}?watch=true", [("Host", "a")])
    names: list[str] = []
    rest = b""
    async for chunk in answer.chunks():
        *lines, rest = (rest + chunk).split(b"\n")
        names += [json.loads(line)["object"]["metadata"]["name"] for line in lines]
        if len(names) < 5:
            await asyncio.sleep(0.2)
        if len(names) >= 600:
            break
    assert names == [f"big-{number:04d}" for number in range(600)]
    connection.close()
    await closed(connection)


async def test_a_watcher_that_does_not_read_is_dropped(served: Api) -> None:
    connection = await served.connect()
    await connection.request("GET", f"{MAPS}?watch=true", [("Host", "a")])
    await fill(served, 1000, 60_000)
    for _ in range(100):
        if served.server.backend.hub.watchers == 0:
            break
        await asyncio.sleep(0.02)
    assert served.server.backend.hub.watchers == 0
    connection.close()
    await closed(connection)
    await healthy(served)


async def test_too_many_requests_at_once_are_told_to_come_back(served: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "MAX_MUTATING", 0)
    answer = await served.call("POST", MAPS, {"metadata": {"name": "a"}})
    assert (answer.status, answer.headers["retry-after"]) == (429, "1")
    assert answer.json()["reason"] == "TooManyRequests"
    await healthy(served)


async def test_every_connection_ends_that_sends_no_whole_request(served: Api) -> None:
    silent, slow = await served.connect(), await served.connect()
    slow.writer.write(b"GET /livez HTTP/1.1\r\nHost: a\r\n")
    await slow.writer.drain()
    await asyncio.sleep(0.05)
    http = served.server._http
    for _ in range(server.REQUEST_TICKS + 1):
        http._sweep()
        slow.writer.write(b"X-More: a\r\n")  # staying busy does not help
        await asyncio.sleep(0.005)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await slow.reader.readexactly(1)
    assert not silent.closed
    for _ in range(server.IDLE_TICKS):
        http._sweep()
    async with asyncio.timeout(5):
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await silent.reader.readexactly(1)
    for connection in (silent, slow):
        connection.close()
        await closed(connection)
