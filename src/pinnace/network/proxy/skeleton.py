"""The table's fixed part, and changes to its elements, as nftables text. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pinnace.network.proxy.chains import CLIENTS, MAPS, MARK, MASQUERADE, Chains
from pinnace.network.proxy.table import Change, Element

TABLE = "ip pinnace"
_INTERFACE = re.compile(r"[\w.@:-]+")
#: Elements in one statement.
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Layout:
    """What the fixed part is made of. What comes in by ``closed_interface`` ("": none) is forwarded to Pods only; at
    the addresses of the ``pool`` of load balancers (networks) nothing answers but Services."""

    cluster_cidr: str
    service_cidr: str
    host_address: str
    closed_interface: str = ""
    pool: tuple[str, ...] = ()


_SETS = """
 map services { type ipv4_addr . inet_proto . inet_service : verdict; }
 map nodeports { type inet_proto . inet_service : verdict; }
 set cluster_ips { type ipv4_addr; }
 set hairpin { type ipv4_addr . ipv4_addr; }
 map inside { type ipv4_addr . inet_proto . inet_service : verdict; }
 map inside_nodeports { type inet_proto . inet_service : verdict; }
 map unserved { type ipv4_addr . inet_proto . inet_service : verdict; }
 map unserved_nodeports { type inet_proto . inet_service : verdict; }
 set limited { type ipv4_addr . inet_proto . inet_service; }
 set allowed { type ipv4_addr . inet_proto . inet_service . ipv4_addr; flags interval; }
"""


def full(layout: Layout, elements: Mapping[Element, str], chains: Chains) -> str:
    """One transaction that replaces the table, if there is one, by one with these elements and chains. Connections go
    on."""
    return removal() + _skeleton(layout, chains) + "".join(_statements("add", elements, values=True))


def _skeleton(layout: Layout, chains: Chains) -> str:
    """The table without elements.

    ``dispatch`` sees the first packet of every connection: those from outside a load balancer's source ranges end
    there; Pods and the node are led past ``externalTrafficPolicy: Local``. ``refuse`` is for what it led nowhere.
    ``guard`` keeps 127.0.0.0/8 a matter of this machine while ``route_localnet`` is on (node ports on 127.0.0.1);
    ``input`` keeps the host's address a matter of Pods that come in by their own link.
    """
    pods, services, host = layout.cluster_cidr, layout.service_cidr, layout.host_address
    closed = ""
    if _INTERFACE.fullmatch(layout.closed_interface):
        closed = f'  iifname "{layout.closed_interface}" ct state new ct status & dnat == 0 ip daddr != {pods} drop\n'
    front, port = "ip daddr . ip protocol . th dport", "fib daddr type local ip protocol . th dport"
    pool = f"  ip daddr {{ {', '.join(layout.pool)} }} reject\n" if layout.pool else ""
    return f"""table {TABLE} {{{_SETS}{MAPS}{CLIENTS} chain guard {{
  type filter hook prerouting priority raw; policy accept;
  iifname != "lo" ip daddr 127.0.0.0/8 drop
  iifname != "lo" ip saddr 127.0.0.0/8 drop
 }}
 chain dispatch {{
  {front} @limited {front} . ip saddr != @allowed drop
  ip saddr {pods} jump from_inside
  fib saddr type local jump from_inside
  ip daddr {services} ip saddr != {pods} {MARK}
  {front} vmap @services
  {port} vmap @nodeports
 }}
 chain from_inside {{
  {front} vmap @inside
  {port} vmap @inside_nodeports
 }}
 chain prerouting {{ type nat hook prerouting priority dstnat; policy accept; jump dispatch; }}
 chain output {{ type nat hook output priority -100; policy accept; jump dispatch; }}
 chain postrouting {{
  type nat hook postrouting priority srcnat; policy accept;
  meta mark & {MASQUERADE:#x} == {MASQUERADE:#x} meta mark set meta mark & {0xFFFFFFFF ^ MASQUERADE:#x} \
masquerade fully-random
  ip saddr . ip daddr @hairpin masquerade fully-random
  ip saddr {pods} ip daddr != {pods} masquerade fully-random
  ip saddr {{ 127.0.0.0/8, {host} }} oifname != "lo" masquerade fully-random
 }}
 chain refusal {{ reject; }}
 chain refuse {{
  ct status & dnat != 0 return
  {front} vmap @unserved
  ip daddr @cluster_ips reject
  ip daddr {services} drop
{pool} }}
 chain refuse_local {{
  jump refuse
  ct status & dnat == 0 {port} vmap @unserved_nodeports
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
