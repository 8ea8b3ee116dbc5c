"""The table's fixed part, and changes to its elements, as nftables text. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pinnace.network.proxy.chains import CLIENTS, MAPS, MARK, MASQUERADE, Chains
from pinnace.network.proxy.rules import Element
from pinnace.network.proxy.table import Change

TABLE = "ip pinnace"
_INTERFACE = re.compile(r"[\w.@:-]+")
#: Elements in one statement.
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Layout:
    """What the fixed part is made of. What comes in by ``closed_interface`` ("": none) is forwarded to Pods only."""

    cluster_cidr: str
    service_cidr: str
    host_address: str
    closed_interface: str = ""


_SETS = """
 map services { type ipv4_addr . inet_proto . inet_service : verdict; }
 map nodeports { type inet_proto . inet_service : verdict; }
 set cluster_ips { type ipv4_addr; }
 set hairpin { type ipv4_addr . ipv4_addr; }
 set refused { type ipv4_addr . inet_proto . inet_service; }
 set refused_nodeports { type inet_proto . inet_service; }
"""


def full(layout: Layout, elements: Mapping[Element, str], chains: Chains) -> str:
    """One transaction that replaces the table, if there is one, by one with these elements and chains. Connections go
    on."""
    return removal() + _skeleton(layout, chains) + "".join(_statements("add", elements, values=True))


def _skeleton(layout: Layout, chains: Chains) -> str:
    """The table without elements.

    ``guard`` keeps 127.0.0.0/8 a matter of this machine while ``route_localnet`` is on (node ports on 127.0.0.1);
    ``input`` keeps the host's address a matter of Pods that come in by their own link.
    """
    pods, services, host = layout.cluster_cidr, layout.service_cidr, layout.host_address
    closed = ""
    if _INTERFACE.fullmatch(layout.closed_interface):
        closed = f'  iifname "{layout.closed_interface}" ct state new ct status & dnat == 0 ip daddr != {pods} drop\n'
    return f"""table {TABLE} {{{_SETS}{MAPS}{CLIENTS} chain guard {{
  type filter hook prerouting priority raw; policy accept;
  iifname != "lo" ip daddr 127.0.0.0/8 drop
  iifname != "lo" ip saddr 127.0.0.0/8 drop
 }}
 chain dispatch {{
  ip daddr {services} ip saddr != {pods} {MARK}
  ip daddr . ip protocol . th dport vmap @services
  fib daddr type local ip protocol . th dport vmap @nodeports
 }}
 chain prerouting {{ type nat hook prerouting priority dstnat; policy accept; jump dispatch; }}
 chain output {{ type nat hook output priority -100; policy accept; jump dispatch; }}
 chain postrouting {{
  type nat hook postrouting priority srcnat; policy accept;
  meta mark & {MASQUERADE:#x} == {MASQUERADE:#x} meta mark set meta mark & {0xFFFFFFFF ^ MASQUERADE:#x} \
masquerade fully-random
  ip saddr . ip daddr @hairpin masquerade fully-random
  ip saddr {pods} ip daddr != {pods} masquerade fully-random
  ip saddr 127.0.0.0/8 oifname != "lo" masquerade fully-random
 }}
 chain refuse {{
  ip daddr @cluster_ips reject
  ip daddr {services} drop
  ct status & dnat == 0 ip daddr . ip protocol . th dport @refused reject
 }}
 chain refuse_local {{
  jump refuse
  ct status & dnat == 0 fib daddr type local ip protocol . th dport @refused_nodeports reject
 }}
 chain input {{
  type filter hook input priority filter; policy accept;
  iifname != "lo" ip daddr {host} ip saddr != {pods} drop
  iifname != "lo" ip daddr {host} fib saddr . iif oif missing drop
  ct state new jump refuse_local
 }}
 chain forward {{
  type filter hook forward priority filter; policy accept;
  ct state new jump refuse
{closed} }}
 chain filter_output {{ type filter hook output priority filter; policy accept; ct state new jump refuse_local; }}
{chains.text()}}}
"""


def removal() -> str:
    """Remove the table whether or not there is one."""
    return f"table {TABLE}\ndelete table {TABLE}\n"


def commands(change: Change) -> str:
    """One transaction that makes the change."""
    return "".join([*_statements("delete", change.remove, values=False), *_statements("add", change.add, values=True)])


def _statements(verb: str, elements: Mapping[Element, str], *, values: bool) -> Iterable[str]:
    by_container: dict[str, list[str]] = {}
    for (of, key), value in elements.items():
        by_container.setdefault(of, []).append(f"{key} : {value}" if values and value else key)
    for of, texts in by_container.items():
        for start in range(0, len(texts), _BATCH):
            yield f"{verb} element {TABLE} {of} {{ {', '.join(texts[start : start + _BATCH])} }}\n"
