"""CustomResourceDefinitions and their objects, by kubectl and over HTTPS."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.clusters import Api, Cluster, wait_for
from tests.crds import DEFINITIONS, Custom, definition, install, message, object_schema, version
from tests.tools import Kubectl, helm_binary

CRON = object_schema(
    spec={
        **object_schema(
            cronSpec={"type": "string", "pattern": r"^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$", "description": "when"},
            image={"type": "string", "default": "busybox"},
            replicas={"type": "integer", "minimum": 1, "maximum": 10},
            port={"x-kubernetes-int-or-string": True},
        ),
        "required": ["cronSpec"],
    },
    status=object_schema(replicas={"type": "integer"}, labelSelector={"type": "string"}, ready={"type": "boolean"}),
)
COLUMNS = [
    {"name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec"},
    {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas", "description": "how many"},
    {"name": "Ready", "type": "boolean", "jsonPath": ".status.ready", "priority": 1},
    {"name": "Since", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]
SCALE = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": ".status.labelSelector",
}


def crontabs() -> Any:
    made = definition(
        version(
            schema=CRON,
            subresources={"status": {}, "scale": SCALE},
            additionalPrinterColumns=COLUMNS,
            selectableFields=[{"jsonPath": ".spec.image"}],
        ),
        kind="CronTab",
    )
    made["spec"]["names"] |= {"shortNames": ["ct" + made["spec"]["group"].partition(".")[0]], "categories": ["all"]}
    return made


@pytest.fixture
def tabs(bare_api: Api, bare_namespace: str) -> Custom:
    return install(bare_api, crontabs(), bare_namespace)


def test_a_definition_and_its_first_object_with_kubectl_alone(kubectl: Kubectl, tmp_path: Path) -> None:
    made = crontabs()
    group = made["spec"]["group"]
    (tmp_path / "crd.yaml").write_text(yaml.safe_dump(made))
    obj = {"apiVersion": f"{group}/v1", "kind": "CronTab", "metadata": {"name": "my"}}
    obj["spec"] = {"cronSpec": "* * * * */5", "replicas": 3}
    (tmp_path / "cr.yaml").write_text(yaml.safe_dump(obj))
    kubectl("apply", "-f", str(tmp_path / "crd.yaml"))
    kubectl("wait", "--for", "condition=established", f"crd/crontabs.{group}")
    kubectl("apply", "-f", str(tmp_path / "cr.yaml"))
    short = made["spec"]["names"]["shortNames"][0]
    assert kubectl("get", short).split()[:4] == ["NAME", "SPEC", "REPLICAS", "SINCE"]
    assert kubectl("get", short, "-o", "wide").split()[:4] == ["NAME", "SPEC", "REPLICAS", "READY"]
    assert f"crontab.{group}/my" in kubectl("get", "all")
    explained = kubectl("explain", f"{short}.spec.cronSpec")
    assert "FIELD: cronSpec <string>" in explained
    assert "when" in explained
    kubectl("scale", f"crontab.{group}/my", "--replicas=5")
    assert kubectl("get", short, "my", "-o", "jsonpath={.spec.replicas} {.spec.image}") == "5 busybox"
    kubectl("delete", "crd", f"crontabs.{group}")
    refused = kubectl.run("get", f"crontabs.{group}")
    assert refused.returncode != 0


def test_unknown_fields_are_pruned_warned_of_or_refused(tabs: Custom) -> None:
    obj = tabs.object("a", spec={"cronSpec": "* * * * *", "foo": 1}, extra=1)
    api, path = tabs.api, tabs.collection()
    refused = api("POST", path, obj, query={"fieldValidation": "Strict"})
    assert refused.status == 400
    assert message(refused) == (
        'CronTab in version "v1" cannot be handled as a CronTab: strict decoding error: unknown field "extra", '
        'unknown field "spec.foo"'
    )
    warned = api("POST", path, obj)
    assert warned.status == 201
    assert "unknown field" in str(warned.headers.get("Warning"))
    assert warned.json["spec"] == {"cronSpec": "* * * * *", "image": "busybox"}
    assert "extra" not in warned.json
    body = json.dumps(tabs.object("b", spec={"cronSpec": "* * * * *"})).replace(
        '"spec": {', '"spec": {"image": "x", "image": "y", '
    )
    twice = api("POST", path, body.encode(), query={"fieldValidation": "Strict"})
    assert 'duplicate field "spec.image"' in message(twice)
    silent = api(
        "POST", path, tabs.object("c", spec={"cronSpec": "* * * * *", "x": 1}), query={"fieldValidation": "Ignore"}
    )
    assert silent.status == 201
    assert silent.headers.get("Warning") is None


def test_values_are_refused_in_upstreams_words(tabs: Custom) -> None:
    refused = tabs.create("bad", spec={"cronSpec": "x", "replicas": "three", "port": [1]})
    assert refused.status == 422
    causes = {cause["field"]: cause["message"] for cause in refused.json["details"]["causes"]}
    assert causes == {
        "spec.cronSpec": 'Invalid value: "x": spec.cronSpec in body should match '
        r"'^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$'",
        "spec.replicas": 'Invalid value: "string": spec.replicas in body must be of type integer: "string"',
        ".spec.replicas": "Invalid value: 0: .spec.replicas accessor error: three is of the type string, expected "
        "int64",
        "spec.port": 'Invalid value: "array": spec.port in body must be of type integer,string: "array"',
    }
    assert "spec.cronSpec: Required value" in message(tabs.create("bad", spec={}))
    assert "spec.replicas in body should be less than or equal to 10" in message(
        tabs.create("bad", spec={"cronSpec": "* * * * *", "replicas": 11})
    )


def test_generation_and_status_subresource(tabs: Custom) -> None:
    made = tabs.create("a", spec={"cronSpec": "* * * * *"}, status={"ready": True}).json
    assert "status" not in made
    assert made["metadata"]["generation"] == 1
    same = tabs.merge("a", {"metadata": {"labels": {"x": "y"}}, "status": {"ready": True}}).json
    assert same["metadata"]["generation"] == 1
    assert "status" not in same
    assert tabs.merge("a", {"spec": {"replicas": 2}}).json["metadata"]["generation"] == 2
    patch = {"spec": {"replicas": 9}, "metadata": {"labels": {"x": "z"}}, "status": {"ready": True, "unknown": 1}}
    status = tabs.merge("a", patch, "status").json
    assert status["status"] == {"ready": True}
    assert (status["spec"]["replicas"], status["metadata"]["labels"]["x"], status["metadata"]["generation"]) == (
        2,
        "y",
        2,
    )
    refused = message(tabs.merge("a", {"status": {"ready": "yes"}}, "status"))
    assert 'status.ready: Invalid value: "string": ready in body must be of type boolean: "string"' in refused


def test_scale(tabs: Custom) -> None:
    tabs.create("a", spec={"cronSpec": "* * * * *"})
    path = tabs.item("a", subresource="scale")
    assert message(tabs.api("GET", path)).endswith('the spec replicas field ".spec.replicas" does not exist')
    tabs.merge("a", {"spec": {"replicas": 3}})
    tabs.merge("a", {"status": {"replicas": 2, "labelSelector": "app=x"}}, "status")
    scale = tabs.api("GET", path).json
    assert (scale["kind"], scale["apiVersion"]) == ("Scale", "autoscaling/v1")
    assert (scale["spec"], scale["status"]) == ({"replicas": 3}, {"replicas": 2, "selector": "app=x"})
    scale["spec"]["replicas"] = 4
    assert tabs.api("PUT", path, scale).json["spec"] == {"replicas": 4}
    assert tabs.get("a").json["spec"]["replicas"] == 4
    assert tabs.merge("a", {"spec": {"replicas": 99}}, "scale").status == 422
    assert message(tabs.merge("a", {"status": {"replicas": -1}}, "status")).endswith("should be a non-negative integer")


def test_field_selectors(tabs: Custom) -> None:
    tabs.create("a", spec={"cronSpec": "* * * * *"})
    tabs.create("b", spec={"cronSpec": "* * * * *", "image": "nginx"})

    def names(selector: str) -> Any:
        answer = tabs.api("GET", tabs.collection(), query={"fieldSelector": selector})
        return [item["metadata"]["name"] for item in answer.json["items"]] if answer.status == 200 else message(answer)

    assert names("spec.image=nginx") == ["b"]
    assert names("spec.image!=nginx,metadata.name=a") == ["a"]
    assert "field label not supported: spec.replicas" in names("spec.replicas=1")


def test_tables(tabs: Custom) -> None:
    tabs.create("a", spec={"cronSpec": "* * * * *", "replicas": 2})
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    table = tabs.api("GET", tabs.collection(), headers=accept).json
    shown = [(c["name"], c["type"], c["priority"]) for c in table["columnDefinitions"]]
    assert shown == [
        ("Name", "string", 0),
        ("Spec", "string", 0),
        ("Replicas", "integer", 0),
        ("Ready", "boolean", 1),
        ("Since", "date", 0),
    ]
    assert table["columnDefinitions"][1]["description"] == (
        "Custom resource definition column (in JSONPath format): .spec.cronSpec"
    )
    name, spec, replicas, ready, since = table["rows"][0]["cells"]
    assert (name, spec, replicas, ready) == ("a", "* * * * *", 2, None)
    assert since.endswith("s")


def test_patch_types_and_updates(tabs: Custom) -> None:
    tabs.create("a", spec={"cronSpec": "* * * * *", "replicas": 2})
    path = tabs.item("a")
    operations = [{"op": "replace", "path": "/spec/replicas", "value": 7}]
    patched = tabs.api("PATCH", path, operations, headers={"Content-Type": "application/json-patch+json"})
    assert patched.json["spec"]["replicas"] == 7
    strategic = tabs.api("PATCH", path, {}, headers={"Content-Type": "application/strategic-merge-patch+json"})
    assert strategic.status == 415
    assert tabs.merge("a", {"spec": {"image": None}}).json["spec"]["image"] == "busybox"
    blind = tabs.object("a", spec={"cronSpec": "1 * * * *"})
    assert "metadata.resourceVersion: Invalid value: 0: must be specified for an update" in message(
        tabs.api("PUT", path, blind)
    )
    current = tabs.get("a").json
    current["spec"]["nope"] = 1
    replaced = tabs.api("PUT", path, current)
    assert (replaced.status, "nope" in replaced.json["spec"]) == (200, False)
    assert replaced.json["metadata"]["resourceVersion"] == current["metadata"]["resourceVersion"]


def test_wrong_metadata_is_refused(tabs: Custom) -> None:
    wrong = tabs.create("a", metadata={"labels": {"x": 1}}, spec={"cronSpec": "* * * * *"})
    assert wrong.status == 400
    assert "json: cannot unmarshal number into Go struct field ObjectMeta.labels of type string" in message(wrong)
    assert "metadata.name: Invalid value" in message(tabs.create("A_b", spec={"cronSpec": "* * * * *"}))


def test_discovery_and_openapi_change_at_once(bare_api: Api) -> None:
    accept = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
    before = bare_api("GET", "/apis", headers=accept)
    made = crontabs()
    group = made["spec"]["group"]
    custom = install(bare_api, made)
    after = bare_api("GET", "/apis", headers={**accept, "If-None-Match": before.headers["Etag"]})
    assert after.status == 200
    found = next(item for item in after.json["items"] if item["metadata"]["name"] == group)
    resource = found["versions"][0]["resources"][0]
    assert (resource["resource"], resource["scope"], resource["singularResource"]) == (
        "crontabs",
        "Namespaced",
        "crontab",
    )
    assert {sub["subresource"]: sub["responseKind"]["kind"] for sub in resource["subresources"]} == {
        "scale": "Scale",
        "status": "CronTab",
    }
    listed = bare_api("GET", f"/apis/{group}/v1").json["resources"]
    assert {entry["name"] for entry in listed} == {"crontabs", "crontabs/status", "crontabs/scale"}
    assert bare_api("GET", f"/apis/{group}").json["preferredVersion"]["version"] == "v1"
    index = bare_api("GET", "/openapi/v3").json["paths"][f"apis/{group}/v1"]["serverRelativeURL"]
    document = bare_api("GET", f"/openapi/v3/apis/{group}/v1").json
    schema = document["components"]["schemas"][f"com.example.{group.partition('.')[0]}.v1.CronTab"]
    assert schema["properties"]["spec"]["properties"]["cronSpec"]["description"] == "when"
    assert schema["properties"]["metadata"]["allOf"][0]["$ref"].endswith("ObjectMeta")
    swagger = bare_api("GET", "/openapi/v2").json["definitions"]
    assert swagger[f"com.example.{group.partition('.')[0]}.v1.CronTab"]["properties"]["spec"]["required"] == [
        "cronSpec"
    ]
    custom.change(versions=[version(schema=object_schema(spec=object_schema(a={"type": "string"})))])
    changed = bare_api("GET", "/openapi/v3").json["paths"][f"apis/{group}/v1"]["serverRelativeURL"]
    assert changed != index
    custom.delete()
    assert group not in [item["metadata"]["name"] for item in bare_api("GET", "/apis", headers=accept).json["items"]]
    assert bare_api("GET", f"/apis/{group}/v1").status == 404


def test_cluster_scope_and_free_content(bare_api: Api) -> None:
    custom = install(bare_api, definition(scope="Cluster"))
    assert custom.create("a", anything={"goes": [1, {"x": None}]}, other=1).status == 201
    got = custom.get("a").json
    assert (got["anything"], got["other"]) == ({"goes": [1, {"x": None}]}, 1)
    assert bare_api("GET", f"/apis/{custom.group}/v1/namespaces/default/widgets").status == 404


def test_server_side_apply_knows_the_schema(bare_api: Api, bare_namespace: str) -> None:
    item = object_schema(name={"type": "string"}, value={"type": "integer"}) | {"required": ["name"]}
    keyed = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    schema = object_schema(spec=object_schema(items={"type": "array", "items": item, **keyed}))
    custom = install(bare_api, definition(version(schema=schema)), bare_namespace)
    headers = {"Content-Type": "application/apply-patch+yaml"}
    for manager in ("one", "two"):
        obj = custom.object("a", spec={"items": [{"name": manager, "value": 1}]})
        answer = bare_api("PATCH", custom.item("a"), obj, query={"fieldManager": manager}, headers=headers)
        assert answer.status in (200, 201), answer.body
    assert [entry["name"] for entry in custom.get("a").json["spec"]["items"]] == ["one", "two"]
    twice = custom.create("b", spec={"items": [{"name": "x"}, {"name": "x"}]})
    assert 'spec.items[1]: Duplicate value: {"name":"x"}' in message(twice)


def test_watch_sees_custom_resources_and_ends_with_their_schema(tabs: Custom) -> None:
    tabs.create("a", spec={"cronSpec": "* * * * *"})
    with tabs.api.watch(tabs.collection()) as events:
        assert next(events)["type"] == "ADDED"
        tabs.merge("a", {"spec": {"replicas": 2}})
        changed = next(events)
        assert (changed["type"], changed["object"]["spec"]["replicas"]) == ("MODIFIED", 2)
        tabs.change(versions=[version(schema=CRON)])
        assert next(events, None) is None


def test_many_definitions_are_listed_by_name(bare_api: Api) -> None:
    custom = install(bare_api, definition())
    wait_for(lambda: custom.condition("NamesAccepted").get("status") == "True", "its names")
    listed = bare_api("GET", DEFINITIONS).json["items"]
    assert custom.name in [item["metadata"]["name"] for item in listed]
    assert custom.read()["status"]["acceptedNames"] == {
        "plural": "widgets",
        "singular": "widget",
        "kind": "Widget",
        "listKind": "WidgetList",
    }


def test_warnings(tabs: Custom) -> None:
    made = tabs.create("a", metadata={"finalizers": ["mine"]}, spec={"cronSpec": "* * * * *"})
    assert "prefer a domain-qualified finalizer name to avoid accidental conflicts" in str(made.headers.get("Warning"))
    assert tabs.merge("a", {"spec": {"replicas": 2}}).headers.get("Warning") is None
    odd = definition(version(schema=object_schema(spec={"type": "string", "format": "color"})))
    assert 'unrecognized format \\"color\\"' in str(tabs.api("POST", DEFINITIONS, odd).headers.get("Warning"))


def test_a_chart_with_its_definition(cluster: Cluster, kubectl37: Kubectl, tmp_path: Path) -> None:
    made = crontabs()
    obj = {"apiVersion": f"{made['spec']['group']}/v1", "kind": "CronTab", "metadata": {"name": "my"}}
    for name, content in {
        "Chart.yaml": {"apiVersion": "v2", "name": "demo", "version": "0.1.0"},
        "crds/crd.yaml": made,
        "templates/cr.yaml": {**obj, "spec": {"cronSpec": "* * * * *", "replicas": 3}},
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(yaml.safe_dump(content))
    environment = {**kubectl37.environment(), "HOME": str(tmp_path)}
    command = [str(helm_binary()), "install", "demo", str(tmp_path), "--namespace", kubectl37.namespace]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    short = made["spec"]["names"]["shortNames"][0]
    assert kubectl37("get", short, "my", "-o", "jsonpath={.spec.replicas}") == "3"
