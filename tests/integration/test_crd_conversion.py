"""Versions of custom resources that a webhook converts."""

from __future__ import annotations

import json
import ssl
import threading
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from tests.clusters import Api, Cluster
from tests.crds import Custom, definition, install, message, object_schema, version

ONE = object_schema(spec=object_schema(host={"type": "string"}))
TWO = object_schema(spec=object_schema(name={"type": "string"}, port={"type": "integer"}))


def converted(obj: Any, api_version: str) -> Any:
    """v1 has ``host: name:port``, v2 has ``name`` and ``port``."""
    spec = obj.get("spec") or {}
    if api_version.endswith("/v2") and "host" in spec:
        name, _, port = spec["host"].partition(":")
        spec = {"name": name, "port": int(port)}
    elif api_version.endswith("/v1") and "name" in spec:
        spec = {"host": f"{spec['name']}:{spec['port']}"}
    return {**obj, "apiVersion": api_version, "spec": spec}


class Webhook(BaseHTTPRequestHandler):
    failure = ""
    calls = 0

    def do_POST(self) -> None:
        Webhook.calls += 1
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        request = review["request"]
        response: Any = {"uid": request["uid"], "result": {"status": "Success"}}
        if Webhook.failure:
            response["result"] = {"status": "Failure", "message": Webhook.failure}
        else:
            response["convertedObjects"] = [converted(obj, request["desiredAPIVersion"]) for obj in request["objects"]]
        body = json.dumps(
            {"kind": "ConversionReview", "apiVersion": review["apiVersion"], "response": response}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: tests print what failed."""


@pytest.fixture(scope="module")
def webhook(bare: Cluster) -> Iterator[Any]:
    """The clientConfig of a webhook that runs."""
    keys = bare.data_dir / "pki"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys / "apiserver.crt", keys / "apiserver.key")
    with ThreadingHTTPServer(("127.0.0.1", 0), Webhook) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        authority = b64encode((keys / "ca.crt").read_bytes()).decode()
        yield {"url": f"https://127.0.0.1:{server.server_port}/convert", "caBundle": authority}
        server.shutdown()
        thread.join()


@pytest.fixture
def custom(bare_api: Api, bare_namespace: str, webhook: Any) -> Custom:
    Webhook.failure = ""
    conversion = {
        "strategy": "Webhook",
        "webhook": {"clientConfig": webhook, "conversionReviewVersions": ["v1"]},
    }
    versions = version("v1", ONE), version("v2", TWO, storage=False, subresources={"status": {}})
    return install(bare_api, definition(*versions, conversion=conversion), bare_namespace)


def test_each_version_is_read_and_written_as_its_own(custom: Custom) -> None:
    assert custom.create("a", spec={"host": "one:1"}).status == 201
    assert custom.get("a", "v2").json["spec"] == {"name": "one", "port": 1}
    made = custom.create("b", "v2", spec={"name": "two", "port": 2})
    assert (made.status, made.json["apiVersion"], made.json["spec"]) == (
        201,
        f"{custom.group}/v2",
        {"name": "two", "port": 2},
    )
    assert custom.get("b").json["spec"] == {"host": "two:2"}
    patched = custom.merge("a", {"spec": {"port": 9}}, version="v2")
    assert patched.json["spec"] == {"name": "one", "port": 9}
    assert custom.get("a").json["spec"] == {"host": "one:9"}
    replaced = {**custom.get("a", "v2").json, "spec": {"name": "new", "port": 3}}
    assert custom.api("PUT", custom.item("a", "v2"), replaced).json["spec"]["name"] == "new"
    listed = custom.api("GET", custom.collection("v2")).json["items"]
    assert [item["spec"]["port"] for item in listed] == [3, 2]
    assert {item["apiVersion"] for item in listed} == {f"{custom.group}/v2"}
    assert custom.api("DELETE", custom.item("a", "v2")).status == 200
    assert custom.get("a").status == 404


def test_who_owns_what_is_seen_in_each_managers_version(custom: Custom) -> None:
    """A manager that applied in one version conflicts with, and yields to, one that applies in another."""

    def apply(name: str, manager: str, spec: Any, at: str = "v1", **query: str) -> Any:
        config = {"apiVersion": f"{custom.group}/{at}", "kind": custom.kind, "metadata": {"name": name}, "spec": spec}
        return custom.api(
            "PATCH",
            custom.item(name, at),
            config,
            query={"fieldManager": manager, **query},
            headers={"Content-Type": "application/apply-patch+yaml"},
        )

    assert apply("a", "one", {"host": "web:1"}).status == 201
    assert apply("a", "two", {"name": "web"}, at="v2").status == 200
    refused = apply("a", "two", {"name": "web", "port": 2}, at="v2")
    assert refused.status == 409
    assert message(refused) == 'Apply failed with 1 conflict: conflict with "one": .spec.host'
    taken = apply("a", "two", {"name": "web", "port": 2}, at="v2", force="true")
    assert taken.json["spec"] == {"name": "web", "port": 2}
    owners = {entry["manager"]: entry["fieldsV1"] for entry in taken.json["metadata"]["managedFields"]}
    assert owners == {"two": {"f:spec": {"f:name": {}, "f:port": {}}}}
    assert custom.get("a").json["spec"] == {"host": "web:2"}


def test_what_was_converted_is_not_asked_for_again(custom: Custom) -> None:
    custom.create("a", spec={"host": "one:1"})
    custom.get("a", "v2")
    before = Webhook.calls
    assert custom.get("a", "v2").json["spec"]["port"] == 1
    assert Webhook.calls == before


def test_watches_see_converted_objects(custom: Custom) -> None:
    custom.create("a", spec={"host": "one:1"})
    with custom.api.watch(custom.collection("v2")) as events:
        first = next(events)
        assert (first["type"], first["object"]["spec"]) == ("ADDED", {"name": "one", "port": 1})
        custom.merge("a", {"spec": {"host": "one:2"}})
        second = next(events)
        assert (second["type"], second["object"]["spec"]["port"]) == ("MODIFIED", 2)
        custom.api("DELETE", custom.item("a"))
        third = next(events)
        assert (third["type"], third["object"]["spec"]["port"]) == ("DELETED", 2)


def test_failures_are_told_as_upstream_does(custom: Custom) -> None:
    custom.create("a", spec={"host": "one:1"})
    Webhook.failure = "no idea"
    failed = custom.get("a", "v2")
    assert failed.status == 500
    said = f"conversion webhook for {custom.group}/v1, Kind=Widget failed: no idea"
    assert said in message(failed)
    assert said.replace("v1", "v2") in message(custom.create("b", "v2", spec={"name": "x", "port": 1}))
    assert custom.get("a").status == 200
    nobody = {"service": {"namespace": "default", "name": "nobody"}}
    custom.change(conversion={"webhook": {"clientConfig": {**nobody, "url": None, "caBundle": None}}})
    assert 'service "nobody" not found' in message(custom.get("a", "v2"))
