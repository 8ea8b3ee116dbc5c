"""Questions about the cluster's names and their answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from pinnace.api.types import Object
from pinnace.network.dns import wire
from pinnace.network.dns.records import Answer, Zone
from pinnace.network.slices import service_of

Maker = Callable[..., Object]
ZONE = Zone("cluster.local", "10.96.0.10")
NO, YES = wire.NXDOMAIN, wire.NOERROR


class View:
    """What tests put into it."""

    def __init__(self, services: Iterable[Object], slices: Iterable[Object]) -> None:
        self._services = list(services)
        self._slices = list(slices)

    def namespace_exists(self, name: str) -> bool:
        return name in ("shop", "kube-system")

    def service(self, namespace: str, name: str) -> Object | None:
        return next((s for s in self._services if s["metadata"] == {"name": name, "namespace": namespace}), None)

    def slices(self, namespace: str, name: str) -> Iterable[Object]:
        return [s for s in self._slices if service_of(s) == f"{namespace}/{name}"]

    def services_at(self, address: str) -> Iterable[Object]:
        return [s for s in self._services if address in s["spec"].get("clusterIPs", ())]

    def slices_with(self, address: str) -> Iterable[Object]:
        return [s for s in self._slices if any(address in e["addresses"] for e in s["endpoints"])]


@pytest.fixture
def view(service: Maker, slice: Maker) -> View:
    http = [{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]
    services = [
        service("web", "10.96.0.20", ports=http),
        service("db", "None", ports=[{"name": "sql", "port": 5432}]),
        service("bare", "None", ports=[]),
        service("idle", "None"),
        service("out", None, type="ExternalName", externalName="Example.ORG.", ports=[]),
        service("alias", None, type="ExternalName", externalName="web.shop.svc.cluster.local", ports=[]),
        service("loop", None, type="ExternalName", externalName="loop.shop.svc.cluster.local", ports=[]),
        service("number", None, type="ExternalName", externalName="192.0.2.7", ports=[]),
        service("dual", "10.96.0.21", clusterIPs=["10.96.0.21", "fd00::21"]),
    ]
    for made in services:
        made["metadata"] = {"name": made["metadata"]["name"], "namespace": "shop"}
    slices = [
        slice("10.244.0.2", service="web", ports=[{"name": "http", "port": 8080}]),
        slice(
            {"addresses": ["10.244.0.5"], "hostname": "db-0", "conditions": {"ready": True}},
            {"addresses": ["10.244.0.6"], "conditions": {}},
            {"addresses": ["10.244.0.7"], "hostname": "db-2", "conditions": {"ready": False}},
            service="db",
            ports=[{"name": "sql", "port": 5432}],
        ),
        slice("10.244.0.8", service="bare", ports=[]),
        slice(service="idle"),
    ]
    return View(services, slices)


def ask(view: View, name: str, type: int = wire.A) -> Answer:
    answer = ZONE.answer(view, name, type, 7)
    assert answer is not None
    return answer


def data(answer: Answer) -> list[Any]:
    return [record.data for record in answer.answers]


SOA = wire.Record(
    "cluster.local",
    wire.SOA,
    30,
    wire.Soa("ns.dns.cluster.local", "hostmaster.cluster.local", 7, 7200, 1800, 86400, 30),
)


@pytest.mark.parametrize(
    ("name", "addresses"),
    [
        ("web.shop.svc.cluster.local", ["10.96.0.20"]),
        ("_http._tcp.web.shop.svc.cluster.local", ["10.96.0.20"]),
        ("db.shop.svc.cluster.local", ["10.244.0.6", "10.244.0.5"]),
        ("db-0.db.shop.svc.cluster.local", ["10.244.0.5"]),
        ("10-244-0-6.db.shop.svc.cluster.local", ["10.244.0.6"]),
        ("10-244-0-2.web.shop.svc.cluster.local", ["10.244.0.2"]),
        ("bare.shop.svc.cluster.local", ["10.244.0.8"]),
        ("10-1-2-3.shop.pod.cluster.local", ["10.1.2.3"]),
        ("ns.dns.cluster.local", ["10.96.0.10"]),
    ],
)
def test_addresses(view: View, name: str, addresses: list[str]) -> None:
    answer = ask(view, name)
    assert sorted(data(answer)) == sorted(addresses)
    assert {(record.name, record.ttl) for record in answer.answers} == {(name, 30)}


@pytest.mark.parametrize(
    ("name", "type", "rcode"),
    [
        # the name exists, but not with that type
        ("web.shop.svc.cluster.local", wire.AAAA, YES),
        ("web.shop.svc.cluster.local", wire.TXT, YES),
        ("cluster.local", wire.A, YES),
        ("svc.cluster.local", wire.A, YES),
        ("shop.svc.cluster.local", wire.A, YES),
        ("pod.cluster.local", wire.A, YES),
        ("shop.pod.cluster.local", wire.A, YES),
        # there is no such name
        ("nope.shop.svc.cluster.local", wire.A, NO),
        ("nope.shop.svc.cluster.local", wire.AAAA, NO),
        ("web.nowhere.svc.cluster.local", wire.A, NO),
        ("nowhere.svc.cluster.local", wire.A, NO),
        ("example.org.cluster.local", wire.A, NO),
        ("idle.shop.svc.cluster.local", wire.A, NO),
        ("db-2.db.shop.svc.cluster.local", wire.A, NO),
        ("_nope._tcp.web.shop.svc.cluster.local", wire.SRV, NO),
        ("_http._udp.web.shop.svc.cluster.local", wire.SRV, NO),
        ("a.b.c.web.shop.svc.cluster.local", wire.A, NO),
        ("10-1-2-3.nowhere.pod.cluster.local", wire.A, NO),
        ("10-1-2.shop.pod.cluster.local", wire.A, NO),
        ("number.shop.svc.cluster.local", wire.A, NO),
        ("x.out.shop.svc.cluster.local", wire.A, NO),
    ],
)
def test_names_without_an_answer(view: View, name: str, type: int, rcode: int) -> None:
    answer = ask(view, name, type)
    assert (answer.rcode, answer.answers, answer.authority) == (rcode, (), (SOA,))


def test_srv_of_a_cluster_ip_names_the_service(view: View) -> None:
    answer = ask(view, "_http._tcp.web.shop.svc.cluster.local", wire.SRV)
    assert data(answer) == [wire.Srv(0, 100, 80, "web.shop.svc.cluster.local")]
    assert answer.additional == (wire.Record("web.shop.svc.cluster.local", wire.A, 30, "10.96.0.20"),)


def test_srv_without_a_port_names_all(view: View) -> None:
    assert sorted(data(ask(view, "web.shop.svc.cluster.local", wire.SRV))) == [
        wire.Srv(0, 50, 53, "web.shop.svc.cluster.local"),
        wire.Srv(0, 50, 80, "web.shop.svc.cluster.local"),
    ]


def test_srv_of_a_headless_service_names_its_endpoints(view: View) -> None:
    answer = ask(view, "_sql._tcp.db.shop.svc.cluster.local", wire.SRV)
    assert sorted(data(answer)) == [
        wire.Srv(0, 50, 5432, "10-244-0-6.db.shop.svc.cluster.local"),
        wire.Srv(0, 50, 5432, "db-0.db.shop.svc.cluster.local"),
    ]
    assert {record.data for record in answer.additional} == {"10.244.0.5", "10.244.0.6"}


@pytest.mark.parametrize(
    ("address", "names"),
    [
        ("20.0.96.10", ["web.shop.svc.cluster.local"]),
        ("5.0.244.10", ["db-0.db.shop.svc.cluster.local"]),
        ("6.0.244.10", ["10-244-0-6.db.shop.svc.cluster.local"]),
    ],
)
def test_names_of_addresses(view: View, address: str, names: list[str]) -> None:
    assert data(ask(view, f"{address}.in-addr.arpa", wire.PTR)) == names


@pytest.mark.parametrize(
    "name",
    [
        "7.2.0.192.in-addr.arpa",
        "7.0.244.10.in-addr.arpa",
        "0.192.in-addr.arpa",
        "x.in-addr.arpa",
        "1.ip6.arpa",
        "example.org",
        "",
    ],
)
def test_what_is_not_the_clusters_is_asked_elsewhere(view: View, name: str) -> None:
    assert ZONE.answer(view, name, wire.PTR, 7) is None


def test_ipv6_addresses_of_services(view: View) -> None:
    assert data(ask(view, "dual.shop.svc.cluster.local", wire.A)) == ["10.96.0.21"]
    assert data(ask(view, "dual.shop.svc.cluster.local", wire.AAAA)) == ["fd00::21"]
    reverse = ".".join(reversed("fd000000000000000000000000000021"))
    assert data(ask(view, f"{reverse}.ip6.arpa", wire.PTR)) == ["dual.shop.svc.cluster.local"]


def test_an_external_name_leads_outside(view: View) -> None:
    answer = ask(view, "out.shop.svc.cluster.local", wire.A)
    assert data(answer) == ["example.org"]
    assert answer.chase == "example.org"
    only = ask(view, "out.shop.svc.cluster.local", wire.CNAME)
    assert data(only) == ["example.org"] and not only.chase


def test_an_external_name_leads_back_inside(view: View) -> None:
    answer = ask(view, "alias.shop.svc.cluster.local", wire.A)
    assert [(record.type, record.name, record.data) for record in answer.answers] == [
        (wire.CNAME, "alias.shop.svc.cluster.local", "web.shop.svc.cluster.local"),
        (wire.A, "web.shop.svc.cluster.local", "10.96.0.20"),
    ]
    assert not answer.chase


def test_an_external_name_that_leads_to_itself_ends(view: View) -> None:
    assert data(ask(view, "loop.shop.svc.cluster.local", wire.A)) == ["loop.shop.svc.cluster.local"]


def test_the_domain_itself(view: View) -> None:
    assert ask(view, "cluster.local", wire.SOA).answers == (SOA,)
    assert data(ask(view, "cluster.local", wire.NS)) == ["ns.dns.cluster.local"]
    assert data(ask(view, "dns-version.cluster.local", wire.TXT)) == ["1.1.0"]
    assert ask(view, "cluster.local", wire.AXFR).rcode == wire.REFUSED


def test_no_more_endpoints_than_can_be_told(service: Maker, slice: Maker) -> None:
    """Those of slices that the view names first; a single one is found wherever it is."""
    headless = service("many", "None", ports=[])
    headless["metadata"] = {"name": "many", "namespace": "shop"}
    slices = [slice(*(f"10.244.{s}.{n}" for n in range(100)), service="many", ports=[]) for s in range(5)]
    name = "many.shop.svc.cluster.local"
    found = ZONE.answer(View([headless], slices), name, wire.A, 7, 150)
    assert found is not None and len(found.answers) == 200
    assert {str(record.data).split(".")[2] for record in found.answers} == {"0", "1"}
    whole = ZONE.answer(View([headless], slices), name, wire.A, 7)
    assert whole is not None and len(whole.answers) == 500
    one = ZONE.answer(View([headless], slices), f"10-244-4-99.{name}", wire.A, 7, 150)
    assert one is not None and [record.data for record in one.answers] == ["10.244.4.99"]


def test_an_external_name_leads_through_others(service: Maker, slice: Maker) -> None:
    """To a Service, to endpoints of a headless one, and out of the cluster, where somebody else has to be asked."""

    def alias(name: str, to: str) -> Object:
        return service(name, None, type="ExternalName", externalName=to, ports=[])

    inside = "shop.svc.cluster.local"
    services = [
        service("web"),
        service("db", "None", ports=[]),
        *(alias(name, to) for name, to in (("a", f"b.{inside}"), ("b", f"web.{inside}"), ("c", f"db.{inside}"))),
        *(alias(name, to) for name, to in (("d", f"e.{inside}"), ("e", "www.example.org"), ("f", f"gone.{inside}"))),
    ]
    for made in services:
        made["metadata"] = {"name": made["metadata"]["name"], "namespace": "shop"}
    held = View(services, [slice("10.244.0.5", "10.244.0.6", service="db", ports=[])])

    def told(name: str) -> tuple[list[object], str]:
        answer = ZONE.answer(held, f"{name}.{inside}", wire.A, 7)
        assert answer is not None and answer.rcode == YES
        return [record.data for record in answer.answers], answer.chase

    assert told("a") == ([f"b.{inside}", f"web.{inside}", "10.96.0.20"], "")
    assert told("c") == ([f"db.{inside}", "10.244.0.5", "10.244.0.6"], "")
    assert told("d") == ([f"e.{inside}", "www.example.org"], "www.example.org")
    assert told("f") == ([f"gone.{inside}"], "")
