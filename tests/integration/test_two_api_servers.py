"""Two API servers on one etcd are one cluster, whichever of them a client asks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from tests.clusters import Api, Cluster, wait_for
from tests.etcd import Etcd

from pinnace.cluster.errors import Exit

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
SERVICES = "/api/v1/namespaces/default/services"
MERGE = {"Content-Type": "application/merge-patch+json"}


@dataclass
class Pair:
    """``first`` has all parts, ``second`` is an API server alone, with a copy of the first one's keys."""

    etcd: Etcd
    first: Cluster
    second: Cluster

    @property
    def apis(self) -> tuple[Api, Api]:
        return self.first.api(), self.second.api()

    def start_second(self) -> None:
        self.second.up("--parts", "apiserver", "--store", self.etcd.url)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    directory = tmp_path_factory.mktemp("pair")
    made = Pair(Etcd(directory / "etcd"), Cluster(directory / "first"), Cluster(directory / "second"))
    made.etcd.start()
    try:
        made.first.up("--store", made.etcd.url)
        shutil.copytree(made.first.data_dir / "pki", made.second.data_dir / "pki")
        made.start_second()
        yield made
    finally:
        made.second.stop_if_running()
        made.first.stop_if_running()
        made.etcd.stop()


def create(api: Api, name: str, **data: str) -> Any:
    answer = api("POST", CONFIGMAPS, {"metadata": {"name": name}, "data": data})
    assert answer.status == 201, answer.body
    return answer.json


def test_each_sees_at_once_what_the_other_has_answered(pair: Pair) -> None:
    first, second = pair.apis
    for number in range(40):
        one, other = (first, second) if number % 2 else (second, first)
        path = f"{CONFIGMAPS}/at-once-{number}"
        made = create(one, f"at-once-{number}", a="1")
        assert other("GET", path).json["metadata"] == made["metadata"]
        patched = other("PATCH", path, {"data": {"a": "2"}}, headers=MERGE)
        assert patched.status == 200
        assert one("PATCH", path, {"data": {"a": "2"}}, headers=MERGE).json == patched.json, (
            "there is nothing to change"
        )
        held = one("PUT", path, {**patched.json, "data": {"a": "3"}})
        assert held.status == 200, held.body
        assert other("PUT", path, {**patched.json, "data": {"a": "4"}}).status == 409
        assert other("DELETE", path).status == 200
        assert one("GET", path).status == 404
        assert create(one, f"at-once-{number}")["metadata"]["uid"] != made["metadata"]["uid"]


def test_watches_on_both_see_the_same_in_the_same_order(pair: Pair) -> None:
    apis = pair.apis
    version = apis[0]("GET", CONFIGMAPS).json["metadata"]["resourceVersion"]

    def write(number: int) -> None:
        create(apis[number % 2], f"seen-{number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(60)))
    seen = []
    for api in apis:
        with api.watch(CONFIGMAPS, resourceVersion=version) as events:
            metadata = [event["object"]["metadata"] for event in islice(events, 60)]
        seen.append([(each["name"], int(each["resourceVersion"])) for each in metadata])
    assert seen[0] == seen[1]
    assert sorted(seen[0], key=lambda each: each[1]) == seen[0]
    assert len({name for name, _ in seen[0]}) == 60


def test_pages_and_revisions_of_one_are_good_at_the_other(pair: Pair) -> None:
    first, second = pair.apis
    for number in range(6):
        create(first, f"page-{number}")
    page = first("GET", CONFIGMAPS, query={"limit": "2"}).json
    newer = create(first, "page-later")["metadata"]["resourceVersion"]
    rest = second("GET", CONFIGMAPS, query={"continue": page["metadata"]["continue"]}).json
    assert rest["metadata"]["resourceVersion"] == page["metadata"]["resourceVersion"]
    names = [item["metadata"]["name"] for item in page["items"] + rest["items"]]
    assert "page-5" in names
    assert "page-later" not in names
    for query in ({"resourceVersion": newer}, {"resourceVersion": newer, "resourceVersionMatch": "Exact"}):
        later = second("GET", CONFIGMAPS, query=query)
        assert "page-later" in [item["metadata"]["name"] for item in later.json["items"]]


def test_no_address_and_no_port_is_given_out_twice(pair: Pair) -> None:
    apis = pair.apis

    def service(number: int) -> Any:
        spec = {"type": "NodePort", "ports": [{"port": 80}]}
        answer = apis[number % 2]("POST", SERVICES, {"metadata": {"name": f"s-{number}"}, "spec": spec})
        assert answer.status == 201, answer.body
        return answer.json["spec"]

    with ThreadPoolExecutor(12) as pool:
        specs = list(pool.map(service, range(60)))
    assert len({spec["clusterIP"] for spec in specs}) == 60
    assert len({spec["ports"][0]["nodePort"] for spec in specs}) == 60

    def named(number: int) -> int:
        spec = {"clusterIP": "10.96.77.77", "ports": [{"port": 80}]}
        return apis[number % 2]("POST", SERVICES, {"metadata": {"name": f"named-{number}"}, "spec": spec}).status

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(named, range(8))) == [201] + [422] * 7


def test_credentials_of_one_are_good_at_the_other(pair: Pair) -> None:
    first, second = pair.apis
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings"
    role = {"kind": "ClusterRole", "name": "view", "apiGroup": "rbac.authorization.k8s.io"}
    for number in range(10):
        name = f"someone-{number}"
        assert first("POST", accounts, {"metadata": {"name": name}}).status == 201
        token = first("POST", f"{accounts}/{name}/token", {"spec": {}}).json["status"]["token"]
        assert pair.second.api(token=token)("GET", CONFIGMAPS).status == 403
        subject = {"kind": "ServiceAccount", "name": name, "namespace": "default"}
        binding = {"metadata": {"name": name}, "roleRef": role, "subjects": [subject]}
        assert second("POST", bindings, binding).status == 201
        assert pair.first.api(token=token)("GET", CONFIGMAPS).status == 200
        assert pair.first.api(token=token)("POST", CONFIGMAPS, {"metadata": {"name": "no"}}).status == 403


def test_a_custom_resource_defined_at_one_is_served_by_the_other(pair: Pair) -> None:
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    first, second = pair.apis
    for number, (one, other) in enumerate([(first, second), (second, first)] * 5):
        plural = f"things{number}"
        names = {"plural": plural, "singular": f"thing{number}", "kind": f"Thing{number}"}
        spec = {"group": "example.com", "names": names, "scope": "Namespaced", "versions": [version]}
        definition = {"metadata": {"name": f"{plural}.example.com"}, "spec": spec}
        assert one("POST", definitions, definition).status == 201
        path = f"{definitions}/{plural}.example.com"

        def established(path: str = path, one: Api = one) -> bool:
            conditions = (one("GET", path).json.get("status") or {}).get("conditions") or ()
            return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)

        wait_for(established, "the definition to be established")
        found = other("GET", "/apis/example.com/v1").json["resources"]
        assert plural in [each["name"] for each in found]
        thing = {"apiVersion": "example.com/v1", "kind": f"Thing{number}", "metadata": {"name": "a"}}
        answer = other("POST", f"/apis/example.com/v1/namespaces/default/{plural}", thing)
        assert answer.status == 201, answer.body
        assert one("DELETE", path).status == 200


def test_a_policy_made_at_one_is_in_force_at_the_other(pair: Pair) -> None:
    first, second = pair.apis
    group = "/apis/admissionregistration.k8s.io/v1"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    validation = {"expression": "object.metadata.name != 'refused'", "message": "by policy"}
    spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": [validation]}
    made = {
        "validatingadmissionpolicies": {"metadata": {"name": "p"}, "spec": spec},
        "validatingadmissionpolicybindings": {
            "metadata": {"name": "b"},
            "spec": {"policyName": "p", "validationActions": ["Deny"]},
        },
    }
    for plural, body in made.items():
        assert first("POST", f"{group}/{plural}", body).status == 201
    try:
        dry = f"{CONFIGMAPS}?dryRun=All"
        for api in (first, second):
            refused = wait_for(
                lambda api=api: (a := api("POST", dry, {"metadata": {"name": "refused"}})).status == 422 and a  # type: ignore[misc]
            )
            assert refused.json["message"].endswith("denied request: by policy")
            assert api("POST", dry, {"metadata": {"name": "allowed"}}).status == 201
    finally:
        for plural, body in made.items():
            assert second("DELETE", f"{group}/{plural}/{body['metadata']['name']}").status == 200


def test_what_is_created_at_one_is_run_by_the_other(pair: Pair) -> None:
    kubectl = pair.second.kubectl()
    kubectl("create", "deployment", "web", "--image=nginx", "--replicas=3")
    kubectl("rollout", "status", "deployment/web", "--timeout=20s")
    kubectl("delete", "deployment", "web", "--cascade=foreground", "--timeout=20s")


def test_both_are_known_and_one_that_stops_leaves(pair: Pair) -> None:
    first, second = pair.apis

    def ports() -> set[int]:
        endpoints = first("GET", "/api/v1/namespaces/default/endpoints/kubernetes").json
        slices = first("GET", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices").json
        said = {port["port"] for subset in endpoints["subsets"] for port in subset["ports"]}
        mine = [one for one in slices["items"] if one["metadata"]["name"].startswith("kubernetes")]
        assert {port["port"] for one in mine for port in one["ports"]} == said
        return said

    assert ports() == {first.port, second.port}
    leases = first("GET", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases").json["items"]
    identities = [lease for lease in leases if lease["metadata"]["name"].startswith("apiserver-")]
    assert len(identities) == 2
    pair.second.down()
    wait_for(lambda: ports() == {first.port}, "the second to be taken out")
    pair.start_second()
    wait_for(lambda: ports() == {first.port, pair.second.api().port}, "the second to be back")


def test_one_killed_and_started_again_knows_what_it_knew(pair: Pair) -> None:
    first, second = pair.apis
    made = create(second, "known")["metadata"]
    create(second, "after-known")
    before = second("GET", CONFIGMAPS, query={"limit": "1"}).json
    pair.second.kill()
    create(first, "meanwhile")
    pair.start_second()
    second = pair.second.api()
    with second.watch(CONFIGMAPS, resourceVersion=made["resourceVersion"]) as events:
        names = [event["object"]["metadata"]["name"] for event in islice(events, 2)]
    assert names == ["after-known", "meanwhile"]
    token, version = before["metadata"]["continue"], before["metadata"]["resourceVersion"]
    rest = second("GET", CONFIGMAPS, query={"continue": token}).json
    assert rest["metadata"]["resourceVersion"] == version
    assert "meanwhile" not in [item["metadata"]["name"] for item in rest["items"]]


def test_without_etcd_nobody_lies_and_with_it_everything_goes_on(pair: Pair) -> None:
    first, second = pair.apis
    made = create(first, "before")
    version = {"resourceVersion": made["metadata"]["resourceVersion"]}
    with first.watch(CONFIGMAPS, **version) as one, second.watch(CONFIGMAPS, **version) as other:
        pair.etcd.members[0].kill()
        wait_for(lambda: first("GET", "/readyz").status == 500, "the loss to be noticed")
        for api in (first, second):
            wait_for(lambda api=api: api("GET", "/readyz").status == 500, "the loss to be noticed")  # type: ignore[misc]
            for answer in (
                api("GET", f"{CONFIGMAPS}/before"),
                api("GET", CONFIGMAPS),
                api("POST", CONFIGMAPS, {"metadata": {"name": "lost"}}),
                api("DELETE", f"{CONFIGMAPS}/before"),
            ):
                assert (answer.status, answer.json["reason"]) == (503, "ServiceUnavailable"), answer.body
                assert answer.headers["Retry-After"] == "1"
                assert "Connection refused" in answer.json["message"]
            cached = api("GET", f"{CONFIGMAPS}/before", query={"resourceVersion": "0"})
            assert cached.json["metadata"]["uid"] == made["metadata"]["uid"]
        pair.etcd.start()
        wait_for(lambda: first("GET", "/readyz").status == 200, "the first to see etcd again")
        create(first, "after")
        assert second("GET", f"{CONFIGMAPS}/after").status == 200
        assert second("GET", f"{CONFIGMAPS}/lost").status == 404
        for events in (one, other):
            assert next(events)["object"]["metadata"]["name"] == "after"
    wait_for(lambda: all(api("GET", "/readyz").status == 200 for api in pair.apis), "both to be ready again")


def test_other_keys_are_refused(pair: Pair, tmp_path: Path) -> None:
    stranger = Cluster(tmp_path)
    done = stranger.try_up("--parts", "apiserver", "--store", pair.etcd.url)
    assert done.returncode == Exit.STORE_FAILED
    assert "copy pki/" in done.stderr
    done = stranger.try_up("--parts", "apiserver", "--store", pair.etcd.url, "--etcd-prefix", "/other")
    assert done.returncode == 0, done.stderr
    try:
        names = stranger.api()("GET", CONFIGMAPS).json["items"]
        assert [item["metadata"]["name"] for item in names] == []
    finally:
        stranger.down("--purge")


@pytest.mark.parametrize(
    ("arguments", "exit", "says"),
    [
        (("--store", "etcd://127.0.0.1:1"), Exit.STORE_FAILED, "cannot use etcd at 127.0.0.1:1: Connection refused"),
        (("--store", "etcd://"), Exit.USAGE, "etcd://HOST:PORT"),
        (("--etcd-cafile", "ca.pem"), Exit.USAGE, "go with --store etcd://"),
        (("--store", "etcd://a:1", "--etcd-certfile", "c.pem"), Exit.USAGE, "--etcd-certfile and --etcd-keyfile"),
        (("--store", "etcd://a:1", "--etcd-prefix", "a/"), Exit.USAGE, "--etcd-prefix 'a/'"),
    ],
)
def test_what_cannot_be_says_so_in_a_line(tmp_path: Path, arguments: tuple[str, ...], exit: Exit, says: str) -> None:
    done = Cluster(tmp_path).try_up("--parts", "apiserver", *arguments)
    assert done.returncode == exit
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
