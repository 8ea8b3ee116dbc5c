"""ResourceQuotas: what a namespace may use in all, enforced as the objects are written."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.clusters import Api, wait_for
from tests.tools import Kubectl


def pod(name: str, **resources: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "busybox", "resources": resources}
    return {"metadata": {"name": name}, "spec": {"containers": [container]}}


def used(api: Api, namespace: str) -> dict[str, str]:
    found = api("GET", f"/api/v1/namespaces/{namespace}/resourcequotas/q").json
    return dict((found.get("status") or {}).get("used") or {})


def make(api: Api, namespace: str, **hard: str) -> None:
    named = {name.replace("_", "."): limit for name, limit in hard.items()}
    quota = {"metadata": {"name": "q"}, "spec": {"hard": named}}
    assert api("POST", f"/api/v1/namespaces/{namespace}/resourcequotas", quota).status == 201
    wait_for(lambda: used(api, namespace).keys() == named.keys(), "the quota's first count")


def test_what_would_exceed_a_quota_is_refused(kubectl37: Kubectl, api: Api, namespace: str) -> None:
    kubectl37("create", "quota", "q", "--hard=pods=2,requests.cpu=1,services.nodeports=1,count/configmaps=2")
    wait_for(lambda: used(api, namespace).get("count/configmaps") == "1", "the first count, of the root certificate")
    pods = f"/api/v1/namespaces/{namespace}/pods"
    assert api("POST", pods, pod("a", requests={"cpu": "600m"})).status == 201
    refused = api("POST", pods, pod("b", requests={"cpu": "500m"}))
    assert (refused.status, refused.json["reason"]) == (403, "Forbidden")
    assert refused.json["message"] == (
        'pods "b" is forbidden: exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=600m, '
        "limited: requests.cpu=1"
    )
    silent = api("POST", pods, pod("b"))
    assert silent.json["message"] == 'pods "b" is forbidden: failed quota: q: must specify requests.cpu for: c'
    dry = api("POST", pods, pod("b", requests={"cpu": "500m"}), query={"dryRun": "All"})
    assert dry.status == 403
    assert api("POST", pods, pod("b", requests={"cpu": "400m"})).status == 201
    assert (
        "exceeded quota: q, requested: pods=1,requests.cpu=1m"
        in api("POST", pods, pod("c", requests={"cpu": "1m"})).json["message"]
    )
    assert used(api, namespace)["requests.cpu"] == "1"

    kubectl37("create", "configmap", "one")
    full = kubectl37.run("create", "configmap", "two")
    assert "exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=2, limited: count/" in full.stderr

    kubectl37("delete", "pod", "a", "--now")
    wait_for(lambda: used(api, namespace)["pods"] == "1", "the count without the Pod that is gone")
    assert api("POST", pods, pod("c", requests={"cpu": "600m"})).status == 201


def test_an_update_may_not_use_more_than_is_left(kubectl37: Kubectl, api: Api, namespace: str) -> None:
    make(api, namespace, services_nodeports="1")
    kubectl37("create", "service", "nodeport", "one", "--tcp=80")
    kubectl37("create", "service", "clusterip", "two", "--tcp=80")
    refused = kubectl37.run("patch", "service", "two", "-p", '{"spec":{"type":"NodePort"}}')
    assert "exceeded quota: q, requested: services.nodeports=1, used: services.nodeports=1" in refused.stderr
    kubectl37("patch", "service", "one", "-p", '{"metadata":{"labels":{"a":"b"}}}')


def test_writes_side_by_side_do_not_exceed_a_quota(api: Api, namespace: str) -> None:
    make(api, namespace, secrets="5")
    path = f"/api/v1/namespaces/{namespace}/secrets"
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: api("POST", path, {"metadata": {"name": f"s{n}"}}).status, range(16)))
    assert sorted(answers) == [201] * 5 + [403] * 11
    assert used(api, namespace)["secrets"] == "5"
    assert api("POST", path, {"metadata": {"name": "s0"}}).status in (403, 409)


def test_a_write_that_fails_is_not_charged(api: Api, namespace: str) -> None:
    make(api, namespace, secrets="2")
    path = f"/api/v1/namespaces/{namespace}/secrets"
    assert api("POST", path, {"metadata": {"name": "s"}}).status == 201
    assert api("POST", path, {"metadata": {"name": "s"}}).status == 409
    assert api("POST", path, {"metadata": {"name": "No"}}).status == 422
    assert used(api, namespace)["secrets"] == "1"
