"""What a container is given: environment, names, limits, identity."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from pinnace.api.resources import SECRETS
from pinnace.api.types import GVR
from pinnace.kubelet.images import normalize, pull_policy
from pinnace.kubelet.pods import dns, downward, resources, security, service_env
from pinnace.kubelet.pods.env import Surroundings, command_line, environment
from pinnace.kubelet.pods.expansion import expand
from pinnace.kubelet.pods.failure import StartFailure
from pinnace.kubelet.probes.prober import Tally
from pinnace.kubelet.runtime.base import Image


def pod(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "web-0", "namespace": "shop", "uid": "u1", "labels": {"a": "b"}},
        "spec": {"containers": [{"name": "main", "image": "x"}], "nodeName": "n1", **spec},
    }


def service(name: str, namespace: str, address: str, *ports: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIP": address, "ports": list(ports)}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"),
        ("$(A)$(B)", "1$(B)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A ${A} $(A", "$A ${A} $(A"),
        ("", ""),
    ],
)
def test_expansion(text: str, expected: str) -> None:
    assert expand(text, {"A": "1"}) == expected


async def test_environment_in_order() -> None:
    secret = {"metadata": {"name": "s"}, "data": {"KEY": base64.b64encode(b"v").decode()}}

    async def fetch(gvr: GVR, name: str) -> dict[str, Any] | None:
        return secret if (gvr, name) == (SECRETS, "s") else None

    services = [service("kubernetes", "default", "10.96.0.1", {"name": "https", "port": 443})]
    around = Surroundings(services, ["192.0.2.1"], ["10.0.0.2"], {"memory": "1Gi"})
    spec = {
        "name": "main",
        "envFrom": [{"prefix": "P_", "secretRef": {"name": "s"}}, {"configMapRef": {"name": "no", "optional": True}}],
        "env": [
            {"name": "A", "value": "$(P_KEY)-$(KUBERNETES_SERVICE_HOST)"},
            {"name": "B", "value": "$(A)"},
            {"name": "P_KEY", "value": "over"},
            {"name": "M", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
            {"name": "L", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a']"}}},
        ],
    }
    env = await environment(pod(), spec, around, fetch)
    assert env["A"] == env["B"] == "v-10.96.0.1"
    assert env["P_KEY"] == "over"
    assert (env["M"], env["L"]) == ("1024", "b")
    assert env["KUBERNETES_PORT_443_TCP_ADDR"] == "10.96.0.1"
    assert command_line({"command": ["$(A)"], "args": ["$(NO)"]}, env) == (["v-10.96.0.1"], ["$(NO)"])
    missing = {"name": "main", "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "no"}}}]}
    with pytest.raises(StartFailure, match="couldn't find key no in Secret shop/s"):
        await environment(pod(), missing, around, fetch)


def test_services_in_the_environment() -> None:
    ports = ({"name": "web", "port": 80, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"})
    found = service_env.variables(
        [
            service("my-db", "shop", "10.0.0.5", *ports),
            service("other", "else", "10.0.0.6", {"port": 1}),
            service("headless", "shop", "None", {"port": 1}),
        ],
        "shop",
        links=True,
    )
    assert found == {
        "MY_DB_SERVICE_HOST": "10.0.0.5",
        "MY_DB_SERVICE_PORT": "80",
        "MY_DB_SERVICE_PORT_WEB": "80",
        "MY_DB_SERVICE_PORT_DNS": "53",
        "MY_DB_PORT": "tcp://10.0.0.5:80",
        "MY_DB_PORT_80_TCP": "tcp://10.0.0.5:80",
        "MY_DB_PORT_80_TCP_PROTO": "tcp",
        "MY_DB_PORT_80_TCP_PORT": "80",
        "MY_DB_PORT_80_TCP_ADDR": "10.0.0.5",
        "MY_DB_PORT_53_UDP": "udp://10.0.0.5:53",
        "MY_DB_PORT_53_UDP_PROTO": "udp",
        "MY_DB_PORT_53_UDP_PORT": "53",
        "MY_DB_PORT_53_UDP_ADDR": "10.0.0.5",
    }
    assert service_env.variables([service("my-db", "shop", "10.0.0.5", *ports)], "shop", links=False) == {}


def test_the_downward_api() -> None:
    subject = pod()
    assert downward.field(subject, "metadata.labels", [], []) == 'a="b"'
    assert downward.field(subject, "status.podIPs", [], ["10.0.0.2", "fd::2"]) == "10.0.0.2,fd::2"
    with pytest.raises(downward.UnknownField, match=r"unsupported fieldPath: spec\.nothing"):
        downward.field(subject, "spec.nothing", [], [])
    container = {"resources": {"limits": {"cpu": "1500m"}}}
    assert downward.resource(container, "limits.cpu", "1", {}) == "2"
    assert downward.resource(container, "limits.cpu", "1m", {}) == "1500"
    assert downward.resource({}, "requests.memory", "1", {"memory": "1Gi"}) == "0"


class TestNames:
    host = dns.parse("nameserver 192.0.2.53\nsearch corp.example\noptions edns0\n")

    def test_the_cluster_first(self) -> None:
        conf = dns.pod_resolv_conf(pod(), self.host, ["10.96.0.10"], "cluster.local")
        assert conf.servers == ("10.96.0.10",)
        assert conf.searches == ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.example")
        assert conf.options == ("ndots:5",)

    def test_the_node_s_own(self) -> None:
        for spec in ({"dnsPolicy": "Default"}, {"hostNetwork": True}):
            assert dns.pod_resolv_conf(pod(**spec), self.host, ["10.96.0.10"], "cluster.local") == self.host
        both = pod(hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet")
        assert dns.pod_resolv_conf(both, self.host, ["10.96.0.10"], "cluster.local").servers == ("10.96.0.10",)

    def test_own_settings_are_added(self) -> None:
        config = {"nameservers": ["192.0.2.1"], "options": [{"name": "ndots", "value": "1"}, {"name": "debug"}]}
        conf = dns.pod_resolv_conf(pod(dnsConfig=config), self.host, ["10.96.0.10"], "cluster.local")
        assert conf.servers == ("10.96.0.10", "192.0.2.1")
        assert conf.options == ("ndots:1", "debug")

    def test_host_names(self) -> None:
        assert dns.hostname(pod(), "cluster.local") == ("web-0", "")
        full = pod(hostname="me", subdomain="us", setHostnameAsFQDN=True)
        assert dns.hostname(full, "cluster.local")[0] == "me.us.shop.svc.cluster.local"
        assert "10.0.0.2\tme.us.shop.svc.cluster.local\tme\n" in dns.hosts_file(full, ["10.0.0.2"], "", "cluster.local")

    def test_what_resolvers_do_not_read_is_left_out_and_told(self) -> None:
        many = dns.ResolvConf(("1", "2", "3", "4"), tuple(f"s{n}" for n in range(33)), ("ndots:5",))
        conf, told = dns.limited(many)
        assert (conf.servers, len(conf.searches), conf.options) == (("1", "2", "3"), 32, ("ndots:5",))
        assert told[0] == (
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: 1 2 3"
        )
        assert told[1].startswith("Search Line limits were exceeded, some search paths have been omitted, the applied ")
        long = dns.ResolvConf((), ("a" * 1500, "b" * 500, "c" * 100))
        assert dns.limited(long)[0].searches == ("a" * 1500, "b" * 500), "2,048 characters"
        assert dns.limited(self.host) == (self.host, [])


def test_limits_as_the_kernel_takes_them() -> None:
    spec = {"resources": {"requests": {"cpu": "250m"}, "limits": {"cpu": "1500m", "memory": "64Mi"}}}
    found = resources.container_resources(pod(), spec, 1 << 30)
    assert (found["cpu_shares"], found["cpu_quota"], found["memory_limit_in_bytes"]) == (256, 150_000, 64 << 20)
    subject = pod()
    assert resources.cgroup_parent(subject) == "/kubepods/besteffort/podu1"
    assert resources.pod_limits(subject) == (2, None, None)
    subject["spec"]["containers"][0] |= spec
    assert resources.pod_limits(subject) == (256, 150_000, 64 << 20)
    subject["spec"]["overhead"] = {"cpu": "250m", "memory": "1Mi"}
    assert resources.pod_limits(subject) == (512, 175_000, 65 << 20)
    level = pod(resources={"limits": {"memory": "32Mi"}, "requests": {"memory": "32Mi"}})
    assert resources.pod_limits(level) == (2, None, 32 << 20), "the Pod's own limit is enough"


def test_security_contexts() -> None:
    subject = pod(securityContext={"runAsUser": 5, "fsGroup": 7, "supplementalGroups": [8]})
    spec = {"name": "main", "securityContext": {"runAsGroup": 6, "allowPrivilegeEscalation": False}}
    found = security.container_security(subject, spec, Image("i"))
    assert (found["run_as_user"], found["run_as_group"]) == ({"value": 5}, {"value": 6})
    assert found["supplemental_groups"] == [8, 7]
    assert found["no_new_privs"] is True
    privileged = security.container_security(subject, {"name": "p", "securityContext": {"privileged": True}}, Image(""))
    assert privileged["privileged"] and privileged["masked_paths"] == []
    strict = pod(securityContext={"runAsNonRoot": True})
    for image, words in (("", "will run as root"), ("0", "will run as root"), ("app", "non-numeric user")):
        with pytest.raises(StartFailure, match=words):
            security.container_security(strict, {"name": "main"}, Image("i", user=image))
    security.container_security(strict, {"name": "main"}, Image("i", user="1000"))
    local = {"name": "l", "securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": "p/a.json"}}}
    found = security.container_security(subject, local, Image("i"), profiles=Path("/n/seccomp"))
    assert found["seccomp"] == {"profile_type": "Localhost", "localhost_ref": "/n/seccomp/p/a.json"}


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("a/b", "docker.io/a/b:latest"),
        ("docker.io/nginx:v2", "docker.io/library/nginx:v2"),
        ("localhost:5000/x", "localhost:5000/x:latest"),
        ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
        ("nginx@sha256:" + "a" * 64, "docker.io/library/nginx@sha256:" + "a" * 64),
    ],
)
def test_image_names(image: str, full: str) -> None:
    assert normalize(image) == full


def test_bad_image_names_and_policies() -> None:
    for image in ("Nginx", "a//b", "x:", "", "a b"):
        with pytest.raises(ValueError, match="invalid reference format"):
            normalize(image)
    with pytest.raises(
        ValueError, match=r'name "Nginx": invalid reference format: repository name \(library/Nginx\) must be'
    ):
        normalize("Nginx")
    assert pull_policy({"image": "nginx"}) == "Always"
    assert pull_policy({"image": "nginx:1"}) == "IfNotPresent"
    assert pull_policy({"image": "nginx:1", "imagePullPolicy": "Never"}) == "Never"


def test_probe_thresholds() -> None:
    tally = Tally(success_threshold=2, failure_threshold=3)
    changes = [tally.count(outcome) for outcome in (True, False, True, True, False, False, True, False, False, False)]
    assert changes == [False, False, False, True, False, False, False, False, False, True]
    assert tally.result is False
