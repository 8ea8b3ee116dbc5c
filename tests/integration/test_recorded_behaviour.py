"""Answers recorded from a real kube-apiserver 1.20, and ours to the same requests: every difference is accounted for.

A difference that no ``Account`` names fails the test, and so does an account that names none: this table is the whole
list of what Pinnace, or Kubernetes since then, answers otherwise.
"""

from __future__ import annotations

import http.client
import json
import re
from typing import Any, NamedTuple

import pytest
import tests.behaviour as behaviour
from tests.behaviour import ABSENT
from tests.clusters import Api, Cluster

SCENARIOS = dict(behaviour.exchanges())
#: By scenario: where (``scenario number path``), and what.
Found = dict[str, list[tuple[str, behaviour.Difference]]]


class Account(NamedTuple):
    """``why`` answers differ at places that match ``where``: ``scenario number path``, as a regular expression of the
    whole. ``ours`` is what has to be there instead, or a pattern of it if it is text; ANY where that says nothing."""

    where: str
    ours: Any
    why: str

    def covers(self, place: str, ours: Any) -> bool:
        if re.fullmatch(self.where, place) is None:
            return False
        if self.ours is ANY:
            return True
        if isinstance(self.ours, str) and isinstance(ours, str):
            return re.fullmatch(self.ours, ours, re.DOTALL) is not None
        return bool(self.ours == ours)


ANY = object()
ACCOUNTS = (
    # -- Kubernetes 1.37 answers otherwise, on purpose
    Account(r"(pod-defaults|table|bind-evict|job) \d .*metadata\.generation", ANY, "Pods and Jobs have one: KEP-5067"),
    Account(
        r"\S+ \d answer\.spec\.template\.metadata\.creationTimestamp", ABSENT, "zero times are left out since 1.34"
    ),
    Account(r"rbac [789] answer\.metadata\.creationTimestamp", ABSENT, "zero times are left out since 1.34"),
    Account(
        r"namespace [123] answer\.metadata\.labels",
        {"kubernetes.io/metadata.name": "o25-x"},
        "every namespace is labelled with its name since 1.21",
    ),
    Account(r"job [15] answer\..*\.batch\.kubernetes\.io/job-name", "j", "prefixed labels since 1.27"),
    Account(r"job [15] answer\..*\.batch\.kubernetes\.io/controller-uid", "<uid 1>", "prefixed labels since 1.27"),
    Account(r"job [15] answer\.spec\.selector\.matchLabels\.controller-uid", ABSENT, "prefixed labels since 1.27"),
    Account(r"job [15] answer\.spec\.completionMode", "NonIndexed", "a field since 1.21"),
    Account(r"job [15] answer\.spec\.suspend", False, "a field since 1.21"),
    Account(r"job [15] answer\.spec\.manualSelector", False, "has a default since 1.33"),
    Account(r"job [15] answer\.spec\.podReplacementPolicy", "TerminatingOrFailed", "a field since 1.28"),
    Account(
        r"merge-patch 4 (status|answer\..*)",
        ANY,
        "a patch that is no object is a bad request since patches are decoded strictly (1.25)",
    ),
    Account(
        r"(deployment-defaults [2346]|net 3|rbac 10) answer\.(message|details\.causes\[\d\]\.message)",
        r'.*Invalid value: (0|null|\{".*\}): .*',
        "values in messages are JSON, not Go syntax, since 1.32; roleRef is an immutable field as any other",
    ),
    Account(r"net [235] answer\.details\.group", r"networking\.k8s\.io", "group extensions ended with 1.22"),
    Account(r"net [25] answer\.message", r'(Ingress|NetworkPolicy)\.networking\.k8s\.io "\w" is .*', "see above"),
    Account(
        r"net 5 answer\.details\.causes\[0\]\.message",
        r'Invalid value: "bad": must be a valid CIDR value, \(e\.g\. .*\)',
        "one message for all addresses since 1.32",
    ),
    Account(
        r"bind-evict [57] answer\.(message|details\.causes\[0\]\.message)",
        r".*Forbidden: pod updates may not change fields other than .*@@ .*\n- .*\n\+ .*",
        "the list of mutable fields has grown and the difference is a unified diff of JSON since 1.34",
    ),
    Account(
        r"table [23] answer\.columnDefinitions\.Restarts\.type", "string", "with the time of the last one since 1.22"
    ),
    Account(r"table [23] answer\.columnDefinitions\.Restarts\.description", r".* and when the last .*", "see above"),
    Account(r"table [23] answer\.rows\[0\]\.cells\[3\]", "0", "see above"),
    Account(r"table [23] answer\.columnDefinitions\.(Name|IP|Node|Readiness Gates)\.description", ANY, "new words"),
    Account(r"rbac 8 answer\.status\.resourceRules\[1\]\..*", ANY, "selfsubjectreviews came in between (1.28)"),
    Account(
        r"rbac 8 answer\.status\.resourceRules\[2\]",
        {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]},
        "see above: the one that was second",
    ),
    Account(r"rbac 8 answer\.status\.nonResourceRules\[[01]\]\..*", ANY, "the order of bindings says nothing"),
    Account(
        r"table 6 answer", r"apiVersion: v1\nkind: Pod\nmetadata:\n  creationTimestamp: '<time>'\n  .*", "YAML's quotes"
    ),
    # -- managed fields: what 1.22 and later do otherwise
    Account(
        r"namespace [123] answer\.metadata\.managedFields\[0\]\.fieldsV1\.f:metadata",
        {"f:labels": {".": {}, "f:kubernetes.io/metadata.name": {}}},
        "the label above",
    ),
    Account(
        r"(namespace|status-subresource) [123] answer\.metadata\.managedFields\[0\]\.fieldsV1\.f:status",
        ABSENT,
        "what only the status subresource writes is owned through it alone",
    ),
    Account(r"status-subresource 4 answer\.metadata\.managedFields\[0\]\.fieldsV1\.f:status", ABSENT, "see above"),
    Account(r"bind-evict 8 answer\.metadata\.managedFields\[0\]\.fieldsV1\.f:status", ABSENT, "see above"),
    Account(
        r"(status-subresource [234]|bind-evict 8|scale 5) answer\.metadata\.managedFields\[1\]",
        ANY,
        "an entry of its own for each subresource",
    ),
    Account(r"scale 5 answer\.metadata\.managedFields\[0\]\.(time|fieldsV1\..*)", ABSENT, "see above"),
    Account(
        r"job [15] answer\.metadata\.managedFields\[0\]\.fieldsV1\.f:spec\.f:\w+", {}, "the new fields of Jobs above"
    ),
    Account(r"rbac 2 answer\..*\.f:roleRef\.f:\w+", ABSENT, "roleRef is owned as a whole"),
    Account(
        r"apply 7 answer\.message",
        r"failed to create typed patch object \(/s; apps/v1, Kind=Deployment\): \.spec\.nope: field not declared .*",
        "says of which object since 1.22",
    ),
    # -- discovery: other versions of Kubernetes
    Account(r"discovery 2 answer\.groups\.[a-z0-9.]+\.versions\[\d\](\..*)?", ANY, "versions came and went"),
    Account(r"discovery 2 answer\.groups\.[a-z0-9.]+\.preferredVersion\..*", ANY, "versions came and went"),
    Account(r"discovery 2 answer\.groups\.(extensions|o23\.example\.com)", ABSENT, "gone; a CRD of the recording"),
    Account(r"discovery 2 answer\.groups\.(internal\.apiserver|resource|storagemigration)\.k8s\.io", ANY, "new"),
    Account(r"discovery [345] answer\.resources\.[a-z]+\.singularName", r"[a-z]+", "given since 1.28"),
    Account(r"discovery 3 answer\.resources\.pods/eviction\.version", "v1", "policy/v1beta1 ended with 1.25"),
    Account(
        r"discovery 3 answer\.resources\.services\.verbs\[\d\]", ANY, "services can be deleted together since 1.21"
    ),
    Account(r"discovery 3 answer\.resources\.pods/(ephemeralcontainers|resize)", ANY, "new"),
    Account(r"discovery 5 answer\.resources\.cronjobs(/status)?", ANY, "batch/v1 since 1.21"),
    Account(r"discovery 6 answer\.minor", "37", "another version"),
    Account(r"discovery 6 answer\.gitVersion", r"v1\.37\.\d+\+pinnace\..*", "another version"),
    Account(
        r"dry-run 3 answer\..*message",
        r'.*Unsupported value: \["Some"\]: supported values: "All"',
        "lists are shown as JSON since 1.33",
    ),
    # -- Pinnace answers otherwise, on purpose
    Account(r"discovery 6 answer\.(gitCommit|goVersion)", "", "not built from Git, nor in Go"),
    Account(r"discovery 6 answer\.compiler", "cpython", "Python it is"),
    Account(r"discovery 1 answer\.serverAddressByClientCIDRs\[0\]\.serverAddress", ANY, "its own address"),
    Account(r"discovery 8 answer", r"(\[\+\]\S+ ok\n)+.*", "checks of its own parts"),
    Account(
        r"watch 5 (status|answer\[0\]\.code)",
        400,
        "a resourceVersion that is no number is the client's mistake: upstream answers 500, its open issue 139485",
    ),
    Account(r"watch 5 answer\[0\]\.reason", "BadRequest", "see above"),
)


def send(cluster: Cluster, exchange: dict[str, Any]) -> tuple[int, str, Any]:
    """Our status, content type and answer to a recorded request."""
    headers = dict(exchange.get("headers", {}))
    authorization = headers.pop("Authorization", None)
    if authorization is None:
        api = cluster.api()
    else:
        api = cluster.api(token=authorization.removeprefix("Bearer "), anonymous=not authorization)
    if exchange["method"] == "WATCH":
        return watch(api, exchange["path"])
    body = None
    if "type" in exchange:
        headers["Content-Type"] = exchange["type"]
        body = json.dumps(exchange.get("body", {})).encode()
    answer = api(exchange["method"], exchange["path"], body, headers=headers)
    kind = answer.headers.get("Content-Type", "")
    return answer.status, kind, answer.json if kind == "application/json" else answer.body.decode()


def watch(api: Api, path: str) -> tuple[int, str, Any]:
    """As the recording has it: the events until the server ends the watch, or the Status it refuses with."""
    connection = api.connect()
    try:
        connection.request("GET", path)
        answer: http.client.HTTPResponse = connection.getresponse()
        kind = answer.headers.get("Content-Type", "")
        lines = [json.loads(line) for line in answer]
        return answer.status, kind, lines
    finally:
        connection.close()


def differences(cluster: Cluster, scenario: str) -> list[tuple[str, behaviour.Difference]]:
    api = cluster.api()
    normalise = behaviour.Normaliser()
    found = []
    for number, exchange in enumerate(SCENARIOS[scenario], 1):
        _, _, namespace = exchange["path"].partition("/namespaces/")
        if number == 1 and namespace:
            api("POST", "/api/v1/namespaces", {"metadata": {"name": namespace.split("/")[0]}})
        status, kind, answer = send(cluster, exchange)
        recorded = exchange.get("answer")
        answer = normalise(answer)
        if isinstance(recorded, dict) and "raw" in recorded:  # a text, of which the start was recorded
            recorded = recorded["raw"]
            answer = answer[: len(recorded)]
        there = {"status": exchange["status"], "type": exchange["answerType"], "answer": recorded}
        ours = {"status": status, "type": kind, "answer": answer}
        found += [(f"{scenario} {number} {item.path}", item) for item in behaviour.differences(there, ours)]
    return found


@pytest.fixture(scope="module")
def found(bare: Cluster) -> Found:
    """Every difference, by scenario."""
    return {scenario: differences(bare, scenario) for scenario in SCENARIOS}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_difference_is_accounted_for(found: Found, scenario: str) -> None:
    unaccounted = [
        f"{place}: recorded {difference.recorded!r}, ours {difference.ours!r}"
        for place, difference in found[scenario]
        if not any(account.covers(place, difference.ours) for account in ACCOUNTS)
    ]
    assert not unaccounted, "\n".join(unaccounted)


@pytest.mark.parametrize("account", ACCOUNTS, ids=lambda account: account.where)
def test_every_account_is_needed(found: Found, account: Account) -> None:
    assert any(account.covers(place, item.ours) for differences in found.values() for place, item in differences)
