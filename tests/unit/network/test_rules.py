"""From Services and slices to elements, and from one state to the next."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from pinnace.api.types import Object
from pinnace.network.conntrack import Gone
from pinnace.network.proxy import hostports, proxy, rules, skeleton
from pinnace.network.proxy.chains import Chains
from pinnace.network.proxy.fronts import Place
from pinnace.network.proxy.pools import Endpoint, PoolKey, Pools
from pinnace.network.proxy.skeleton import Layout
from pinnace.network.proxy.table import Change, Element

Maker = Callable[..., Object]
A, B, C = "10.244.0.2", "10.244.0.3", "10.244.0.4"


def elements(service: Object, slices: Iterable[Object]) -> dict[Element, str]:
    return rules.elements(service, slices, Place("node", "192.0.2.1", "10.97.0.1"))


def endpoints(*slices: Object) -> list[Endpoint]:
    pools = Pools("node")
    pools.change({str(number): slice for number, slice in enumerate(slices)})
    return pools.held(PoolKey("", "TCP"))


def shown(found: dict[Element, str]) -> list[str]:
    return sorted(f"{of} {key}" + (f" : {value}" if value else "") for (of, key), value in found.items())


def conditions(address: str, **states: bool) -> Object:
    return {"addresses": [address], "conditions": states}


def test_a_node_port_service(service: Maker, slice: Maker) -> None:
    found = elements(service(type="NodePort", ports=[{"port": 80, "nodePort": 30080}]), [slice(B, A)])
    assert shown(found) == [
        "cluster_ips 10.96.0.20",
        "endpoints 10.96.0.20 . tcp . 80 . 0 : 10.244.0.2 . 8080",
        "endpoints 10.96.0.20 . tcp . 80 . 1 : 10.244.0.3 . 8080",
        "hairpin 10.244.0.2 . 10.244.0.2",
        "hairpin 10.244.0.3 . 10.244.0.3",
        "nodeport_endpoints tcp . 30080 . 0 : 10.244.0.2 . 8080",
        "nodeport_endpoints tcp . 30080 . 1 : 10.244.0.3 . 8080",
        "nodeports tcp . 30080 : goto port_2",
        "services 10.96.0.20 . tcp . 80 : goto vip_2",
    ]


def test_ports_go_to_the_slices_ports_of_their_name(service: Maker, slice: Maker) -> None:
    ports = [
        {"name": "http", "port": 80, "targetPort": "web"},
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "none", "port": 9},
    ]
    old = slice(A, ports=[{"name": "http", "port": 8080}])
    new = slice(B, ports=[{"name": "http", "port": 9090}, {"name": "dns", "port": 5353, "protocol": "UDP"}])
    found = shown(elements(service(ports=ports), [old, new]))
    assert [line for line in found if line.startswith("endpoints")] == [
        "endpoints 10.96.0.20 . tcp . 80 . 0 : 10.244.0.2 . 8080",
        "endpoints 10.96.0.20 . tcp . 80 . 1 : 10.244.0.3 . 9090",
        "endpoints 10.96.0.20 . udp . 53 . 0 : 10.244.0.3 . 5353",
    ]
    assert not any("tcp . 9 " in line for line in found if line.startswith("services"))


def test_without_endpoints_node_ports_and_outside_addresses_are_refused(service: Maker) -> None:
    wanted = service(type="NodePort", ports=[{"port": 80, "nodePort": 30080}], externalIPs=["198.51.100.7"])
    assert shown(elements(wanted, [])) == [
        "cluster_ips 10.96.0.20",
        "unserved 198.51.100.7 . tcp . 80 : goto refusal",
        "unserved_nodeports tcp . 30080 : goto refusal",
    ]


def test_a_load_balancers_addresses(service: Maker, slice: Maker) -> None:
    balanced = service(type="LoadBalancer")
    balanced["status"] = {
        "loadBalancer": {
            "ingress": [
                {"ip": "198.51.100.8", "ipMode": "VIP"},
                {"ip": "198.51.100.9", "ipMode": "Proxy"},
                {"hostname": "x"},
            ]
        }
    }
    found = shown(elements(balanced, [slice(A)]))
    assert "services 198.51.100.8 . tcp . 80 : goto outside_1" in found
    assert not any("198.51.100.9" in line for line in found)


@pytest.mark.parametrize(
    "spec",
    [
        {"cluster_ip": "None"},
        {"cluster_ip": None, "type": "ExternalName", "externalName": "example.org"},
        {"cluster_ip": None},
        {"cluster_ip": "fd00::1"},
    ],
)
def test_services_without_an_ipv4_address_have_no_rules(service: Maker, slice: Maker, spec: Any) -> None:
    found = elements(service(**spec), [slice(A)])
    assert {element.of for element in found} <= {"hairpin"}


def test_another_proxys_service_is_left_alone(service: Maker, slice: Maker) -> None:
    theirs = service()
    theirs["metadata"]["labels"] = {"service.kubernetes.io/service-proxy-name": "theirs"}
    assert elements(theirs, [slice(A)]) == {}


def test_which_endpoints_get_connections(slice: Maker) -> None:
    def chosen(*entries: Object) -> list[str]:
        return [e.address for e in endpoints(slice(*entries))]

    ready, unknown = conditions(A, ready=True), conditions(A)
    starting = conditions(B, ready=False, serving=False, terminating=False)
    draining = conditions(C, ready=False, serving=True, terminating=True)
    ended = conditions(B, ready=False, serving=False, terminating=True)
    assert chosen(ready, starting, draining) == [A]
    assert chosen(unknown) == [A]
    assert chosen(starting, draining, ended) == [C], "the last ones to serve, if nobody is ready"
    assert chosen(starting, ended) == []


def test_an_endpoint_in_two_slices_counts_once(slice: Maker) -> None:
    assert endpoints(slice(A), slice(A, B)) == [Endpoint(A, 8080), Endpoint(B, 8080)]


def test_slices_of_other_families_do_not_count(slice: Maker) -> None:
    assert endpoints(slice("fd00::5", addressType="IPv6"), slice("x.test", addressType="FQDN")) == []


@pytest.mark.parametrize("address", ["10.0.0.1; flush ruleset", "1.2.3", "010.0.0.1", "::1", "", " 10.0.0.1", 7, None])
def test_only_addresses_get_into_rules(service: Maker, slice: Maker, address: Any) -> None:
    assert endpoints(slice({"addresses": [address]})) == []
    assert elements(service(externalIPs=[address]), [slice(A)]) == elements(service(), [slice(A)])


def test_the_same_input_in_another_order_gives_the_same(service: Maker, slice: Maker) -> None:
    addresses = [f"10.244.0.{n}" for n in range(2, 12)]
    first = elements(service(), [slice(*addresses)])
    random.Random(4).shuffle(addresses)
    assert elements(service(), [slice(*addresses[:5]), slice(*addresses[5:])]) == first


def test_a_change_as_text() -> None:
    change = Change(
        remove={Element("endpoints", "10.96.0.20 . tcp . 80 . 1"): "10.244.0.3 . 8080"},
        add={
            Element("services", "10.96.0.20 . tcp . 80"): "goto vip_1",
            Element("hairpin", "10.244.0.2 . 10.244.0.2"): "",
        },
    )
    assert skeleton.commands(change) == (
        "delete element ip pinnace endpoints { 10.96.0.20 . tcp . 80 . 1 }\n"
        "add element ip pinnace services { 10.96.0.20 . tcp . 80 : goto vip_1 }\n"
        "add element ip pinnace hairpin { 10.244.0.2 . 10.244.0.2 }\n"
    )


def test_the_whole_table_replaces_the_one_before() -> None:
    layout = Layout("10.244.0.0/16", "10.96.0.0/16", "10.97.0.1", closed_interface="eth0")
    text = skeleton.full(layout, {}, Chains())
    assert text.startswith("table ip pinnace\ndelete table ip pinnace\ntable ip pinnace {")
    assert text.count("{") == text.count("}")
    assert "chain vip_64 {" in text and "chain vip_128 {" not in text
    assert 'iifname "eth0" ct state new ct status & dnat == 0 ip daddr != 10.244.0.0/16 drop' in text
    for name in ("", 'x" accept; #'):
        others = Layout("10.244.0.0/16", "10.96.0.0/16", "10.97.0.1", closed_interface=name)
        assert "ip daddr != 10.244.0.0/16 drop" not in skeleton.full(others, {}, Chains())


def test_chains_cover_what_is_asked_of_them() -> None:
    held = Chains()
    assert held.covering(["10.244.0.2 . 80", "", "goto vip_64", "goto refusal"]) == held
    grown = held.covering(["goto vip_128", "goto port_2_60"])
    assert grown == Chains(65536, frozenset({60})), "replaced once, not for every doubling"
    for name in ("vip_1", "vip_65536", "localport_16_60", "localport_65536_60"):
        assert f"chain {name} {{" in grown.text()
    assert grown.covering(["goto vip_1_60", "goto inside_1024"]) == grown


def test_clients_that_stay(service: Maker, slice: Maker) -> None:
    sticky = {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}}
    found = elements(service(**sticky), [slice(A, B)])
    assert shown(found) == [
        "cluster_ips 10.96.0.20",
        "hairpin 10.244.0.2 . 10.244.0.2",
        "hairpin 10.244.0.3 . 10.244.0.3",
        "services 10.96.0.20 . tcp . 80 : goto vip_2_60",
        "slots 10.96.0.20 . tcp . 80 . 0 : 0x93953fed",
        "slots 10.96.0.20 . tcp . 80 . 1 : 0x58c9ec48",
        "sticky 10.96.0.20 . tcp . 80 . 0x58c9ec48 : 10.244.0.3 . 8080",
        "sticky 10.96.0.20 . tcp . 80 . 0x93953fed : 10.244.0.2 . 8080",
    ]
    fewer = elements(service(**sticky), [slice(B)])
    assert {line for line in shown(fewer) if line.startswith("sticky")} < set(shown(found)), "numbers stay"
    by_default = elements(service(sessionAffinity="ClientIP"), [slice(A)])
    assert by_default[Element("services", "10.96.0.20 . tcp . 80")] == "goto vip_1_10800"


def test_traffic_that_stays_on_the_node(service: Maker, slice: Maker) -> None:
    entries = [
        {"addresses": [A], "nodeName": "node", "conditions": {"ready": True}},
        {"addresses": [B], "nodeName": "other", "conditions": {"ready": True}},
    ]
    spec = {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}], "externalIPs": ["198.51.100.7"]}
    outer = shown(elements(service(externalTrafficPolicy="Local", **spec), [slice(*entries)]))
    assert "nodeports tcp . 30080 : goto localport_1" in outer
    assert "nodeport_endpoints tcp . 30080 . 0 : 10.244.0.2 . 8080" in outer
    assert "services 198.51.100.7 . tcp . 80 : goto vip_1" in outer
    assert "services 10.96.0.20 . tcp . 80 : goto vip_2" in outer
    inner = shown(elements(service(internalTrafficPolicy="Local", **spec), [slice(*entries)]))
    assert "services 10.96.0.20 . tcp . 80 : goto vip_1" in inner
    assert "nodeports tcp . 30080 : goto port_2" in inner
    nobody = shown(elements(service(externalTrafficPolicy="Local", **spec), [slice(entries[1])]))
    assert "unserved_nodeports tcp . 30080 : drop" in nobody


def test_the_ways_of_udp_packets() -> None:
    found = {
        Element("endpoints", "10.96.0.10 . udp . 53 . 0"): "10.244.0.2 . 5353",
        Element("endpoints", "10.96.0.10 . tcp . 53 . 0"): "10.244.0.2 . 5353",
        Element("nodeport_endpoints", "udp . 30053 . 1"): "10.244.0.3 . 5353",
        Element("services", "10.96.0.10 . udp . 53"): "goto vip_1",
        Element("sticky", "10.96.0.11 . udp . 54 . 0x00000007"): "10.244.0.4 . 5353",
    }
    assert proxy.ways(found) == {
        Gone("10.96.0.10", 53, "10.244.0.2"),
        Gone("", 30053, "10.244.0.3"),
        Gone("10.96.0.11", 54, "10.244.0.4"),
    }


def test_source_ranges_are_a_load_balancers(service: Maker, slice: Maker) -> None:
    spec = {"type": "LoadBalancer", "externalIPs": ["198.51.100.7"]}
    status = {"loadBalancer": {"ingress": [{"ip": "198.51.100.8"}]}}

    def ranges(*given: str) -> list[str]:
        balanced = {**service(loadBalancerSourceRanges=list(given), **spec), "status": status}
        return [line for line in shown(elements(balanced, [slice(A)])) if line.startswith(("limited", "allowed"))]

    assert ranges() == ranges("0.0.0.0/0") == []
    assert ranges("10.0.0.0/9", " 10.128.0.0/9 ", "fd00::/64") == [
        "allowed 198.51.100.8 . tcp . 80 . 10.0.0.0/8",
        "limited 198.51.100.8 . tcp . 80",
    ]
    assert "allowed 198.51.100.8 . tcp . 80 . 10.97.0.1/32" in ranges("192.0.2.0/24"), "the node's own way to it"
    assert ranges("fd00::/64") == ["limited 198.51.100.8 . tcp . 80"], "nobody of this family"


def test_udp_that_was_there_before_its_endpoints() -> None:
    change = Change(
        remove={Element("nodeports", "udp . 30054"): "goto port_1"},
        add={
            Element("services", "10.96.0.10 . udp . 53"): "goto vip_1",
            Element("services", "10.96.0.10 . tcp . 53"): "goto vip_1",
            Element("nodeports", "udp . 30053"): "goto port_1",
            Element("nodeports", "udp . 30054"): "goto port_2",
        },
    )
    assert proxy.newly_served(change) == {Gone("10.96.0.10", 53, ""), Gone("", 30053, "")}


def test_sctp_ports_have_rules(service: Maker, slice: Maker) -> None:
    found = elements(
        service(ports=[{"port": 80, "protocol": "SCTP"}]), [slice(A, ports=[{"port": 8080, "protocol": "SCTP"}])]
    )
    assert "services 10.96.0.20 . sctp . 80 : goto vip_1" in shown(found)


def pod(*ports: Object, **status: Any) -> Object:
    return {
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"containers": [{"name": "main", "ports": list(ports)}]},
        "status": {"phase": "Running", "podIP": A, **status},
    }


def test_ports_of_the_node_that_lead_to_a_pod() -> None:
    found = hostports.elements(
        pod(
            {"containerPort": 80, "hostPort": 8080},
            {"containerPort": 53, "hostPort": 53, "hostIP": "192.0.2.1", "protocol": "UDP"},
            {"containerPort": 81},
            {"containerPort": 82, "hostPort": 82, "hostIP": "fd00::1"},
        )
    )
    assert shown(found) == [
        "endpoints 192.0.2.1 . udp . 53 . 0 : 10.244.0.2 . 53",
        "hairpin 10.244.0.2 . 10.244.0.2",
        "nodeport_endpoints tcp . 8080 . 0 : 10.244.0.2 . 80",
        "nodeports tcp . 8080 : goto localport_1",
        "services 192.0.2.1 . udp . 53 : goto vip_1",
    ]


def test_no_ports_of_the_node_without_an_address_or_after_the_end() -> None:
    port = {"containerPort": 80, "hostPort": 8080}
    assert hostports.elements(pod(port, podIP=None)) == hostports.elements(pod(port, phase="Succeeded")) == {}
    on_the_host = pod(port)
    on_the_host["spec"]["hostNetwork"] = True
    assert not hostports.wants(on_the_host) and not hostports.wants(pod({"containerPort": 80}))
