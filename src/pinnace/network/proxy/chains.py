"""The chains that choose an endpoint, as nftables text. Pure.

A chain's name says what it does: ``vip_4`` chooses one of four slots of the address and port that were asked for;
``outside_4`` too, and has the packet leave with the node's address; ``port_4`` and ``localport_4`` are the same two for
node ports, by their number alone; ``inside_4`` and ``insideport_4`` choose for Pods and the node itself where those
from outside get endpoints of this node only. With a second number, ``vip_4_10800``, a client stays with its endpoint
for as many seconds after its last connection (``sessionAffinity: ClientIP``): a dynamic map remembers the endpoint's
number, and an endpoint keeps its number whatever others come and go.

The number of slots is a power of two, and more than half of them are taken, without gaps. So a chain throws its dice
until it hits: ``TRIES`` times among all slots, which gives every endpoint the same chance, and at last among the first
half, which always hits. That favours these by less than one connection in ``2 ** TRIES``.

nft 1.0 cannot add such a chain to a table that is there already (it misreads the type of the map it looks into). So a
table is made with all chains for up to ``slots.FEW`` endpoints, and replaced as a whole, once, by one for up to
``slots.MOST`` when a Service has more; and for a timeout that no Service had before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from pinnace.network.proxy import slots

#: Packets with this mark leave with the node's address; the bit that kube-proxy uses for it.
MASQUERADE = 0x4000
MARK = f"meta mark set meta mark | {MASQUERADE:#x}"


#: Where connections that nobody serves are led.
REFUSAL = "goto refusal"


class _Kind(NamedTuple):
    key: str
    maps: str  # what the maps' names begin with
    mark: bool


_BY_ADDRESS = "ip daddr . ip protocol . th dport"
_BY_PORT = "ip protocol . th dport"
_KINDS = {
    "vip": _Kind(_BY_ADDRESS, "", mark=False),
    "outside": _Kind(_BY_ADDRESS, "", mark=True),
    "port": _Kind(_BY_PORT, "nodeport_", mark=True),
    "localport": _Kind(_BY_PORT, "nodeport_", mark=False),
    "inside": _Kind(_BY_ADDRESS, "inside_", mark=False),
    "insideport": _Kind(_BY_PORT, "inside_nodeport_", mark=False),
}
#: How often all slots are tried.
TRIES = 8
_CLIENT = f"ip saddr . {_BY_ADDRESS}"

#: The maps that chains look into: endpoints by slot; for sticky ones numbers by slot, and endpoints by number.
MAPS = "".join(
    f""" map {maps}endpoints {{ typeof {key} . numgen random mod 65536 : ip daddr . th dport; }}
 map {maps}slots {{ typeof {key} . numgen random mod 65536 : ct mark; }}
 map {maps}sticky {{ typeof {key} . ct mark : ip daddr . th dport; }}
"""
    for maps, key in {kind.maps: kind.key for kind in _KINDS.values()}.items()
)
CLIENTS = f" map clients {{ typeof {_CLIENT} : ct mark; flags dynamic,timeout; size 65536; timeout 3h; }}\n"


def name(kind: str, size: int, timeout: int = 0) -> str:
    """The chain's name; ``timeout`` in seconds, 0 for clients that need not stay."""
    return f"{kind}_{size}_{timeout}" if timeout else f"{kind}_{size}"


@dataclass(frozen=True, slots=True)
class Chains:
    """The chains that a table has: for up to ``capacity`` endpoints, without and with each of the ``timeouts``."""

    capacity: int = slots.FEW
    timeouts: frozenset[int] = frozenset()

    def covering(self, values: Iterable[str]) -> Chains:
        """The least that has every chain these verdicts (``goto vip_4``) lead to."""
        capacity, timeouts = self.capacity, set(self.timeouts)
        for value in values:
            if value.startswith("goto ") and value != REFUSAL:
                _, size, *timeout = value.split("_")
                timeouts.update(map(int, timeout))
                if int(size) > capacity:
                    capacity = slots.MOST
        return Chains(capacity, frozenset(timeouts))

    def text(self) -> str:
        return "".join(
            f" chain {name(kind, size, timeout)} {{\n{_body(_KINDS[kind], size, timeout)} }}\n"
            for timeout in (0, *sorted(self.timeouts))
            for size in slots.sizes(self.capacity)
            for kind in _KINDS
        )


def _body(kind: _Kind, size: int, timeout: int) -> str:
    rules = [MARK] if kind.mark else []
    tries = [size] * (TRIES if size > 2 else 1)
    sure = [size // 2] if size > 2 else []
    if not timeout:  # the first that hits ends it
        rules += [f"dnat ip to {_choice(kind, among)} map @{kind.maps}endpoints" for among in tries + sure]
    else:
        lead = f"dnat ip to {kind.key} . ct mark map @{kind.maps}sticky"
        remember = f"@clients {{ {_CLIENT} timeout {timeout}s : ct mark }}"
        rules += [
            f"ct mark set {_CLIENT} map @clients",
            f"ct mark != 0 update {remember}",
            lead,  # and done, unless the client is new or its endpoint gone
            *(
                f"ct mark set {_choice(kind, among)} map @{kind.maps}slots" for among in sure + tries
            ),  # the last hit counts
            f"delete @clients {{ {_CLIENT} : ct mark }}",
            f"add {remember}",
            lead,
        ]
    return "".join(f"  {rule}\n" for rule in rules)


def _choice(kind: _Kind, among: int) -> str:
    return f"{kind.key} . numgen random mod {among}"
