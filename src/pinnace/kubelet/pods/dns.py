"""How a Pod resolves names: its resolv.conf and its hosts file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pinnace.api import meta
from pinnace.api.types import Object

HOSTS = """\
# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""

#: What a resolv.conf may have.
MAX_SERVERS, MAX_SEARCHES, MAX_SEARCH_CHARACTERS = 3, 32, 2048
#: Characters of a host name.
MAX_HOST_NAME = 64


@dataclass(frozen=True, slots=True)
class ResolvConf:
    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def parse(text: str) -> ResolvConf:
    """A resolv.conf; the last ``search`` line counts."""
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        if len(words) < 2:
            continue
        if words[0] == "nameserver":
            servers.append(words[1])
        elif words[0] in ("search", "domain"):
            searches = [word.rstrip(".") or "." for word in words[1:]]
        elif words[0] == "options":
            options = words[1:]
    return ResolvConf(tuple(servers), tuple(searches), tuple(options))


def pod_resolv_conf(pod: Object, host: ResolvConf, cluster_dns: Sequence[str], domain: str) -> ResolvConf:
    spec = pod["spec"]
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    cluster = policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not spec.get("hostNetwork"))
    if policy == "None":
        base = ResolvConf()
    elif cluster and cluster_dns:
        own = (f"{meta.namespace(pod)}.svc.{domain}", f"svc.{domain}", domain)
        extra = tuple(search for search in host.searches if search not in own)
        base = ResolvConf(tuple(cluster_dns), own + extra, ("ndots:5",))
    else:
        base = host
    config = spec.get("dnsConfig") or {}
    servers = _unique([*base.servers, *(config.get("nameservers") or ())])
    searches = _unique([*base.searches, *(config.get("searches") or ())])
    options = {option.partition(":")[0]: option for option in base.options}
    for option in config.get("options") or ():
        value = option.get("value")
        options[option["name"]] = f"{option['name']}:{value}" if value else option["name"]
    return ResolvConf(servers, searches, tuple(options.values()))


def limited(conf: ResolvConf) -> tuple[ResolvConf, list[str]]:
    """``conf`` as far as resolvers read it, and what to tell of what was left out."""
    told = []
    servers, searches = conf.servers[:MAX_SERVERS], conf.searches[:MAX_SEARCHES]
    if len(conf.servers) > MAX_SERVERS:
        told.append(
            "Nameserver limits were exceeded, some nameservers have been omitted, "
            f"the applied nameserver line is: {' '.join(servers)}"
        )
    while len(" ".join(searches)) > MAX_SEARCH_CHARACTERS:
        searches = searches[:-1]
    if len(searches) < len(conf.searches):
        told.append(
            "Search Line limits were exceeded, some search paths have been omitted, "
            f"the applied search line is: {' '.join(searches)}"
        )
    return ResolvConf(servers, searches, conf.options), told


def _unique(items: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))


def hostname(pod: Object, domain: str) -> tuple[str, str]:
    """The Pod's host name, and the domain it is in ("" for none)."""
    spec = pod["spec"]
    name = spec.get("hostname") or meta.name(pod)[:63].rstrip("-.")
    if override := spec.get("hostnameOverride"):
        return str(override), ""
    subdomain = spec.get("subdomain")
    full = f"{subdomain}.{meta.namespace(pod)}.svc.{domain}" if subdomain else ""
    if full and spec.get("setHostnameAsFQDN"):
        return f"{name}.{full}", full
    return name, full


def hosts_file(pod: Object, ips: Sequence[str], host_file: str, domain: str) -> str:
    """The Pod's /etc/hosts; on the node's network the node's own with the Pod's aliases."""
    if pod["spec"].get("hostNetwork"):
        text = "# Kubernetes-managed hosts file (host network).\n" + host_file
    else:
        name, full = hostname(pod, domain)
        short = name.partition(".")[0] if full else name
        text = HOSTS
        for ip in ips:
            text += f"{ip}\t{short}.{full}\t{short}\n" if full else f"{ip}\t{name}\n"
    if aliases := pod["spec"].get("hostAliases"):
        text += "\n# Entries added by HostAliases.\n"
        text += "".join(f"{alias['ip']}\t{chr(9).join(alias.get('hostnames') or ())}\n" for alias in aliases)
    return text
