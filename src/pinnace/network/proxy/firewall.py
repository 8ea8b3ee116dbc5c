"""Firewalls of other tools that would drop Pods' packets: Docker and ufw make iptables' FORWARD and INPUT drop by
default, and what one table drops no other can let through. So where these chains exist, rules of ours stand first in
them, known by their comment."""

from __future__ import annotations

import logging
import re

from pinnace.network.proxy.nft import Nft, NftError
from pinnace.network.proxy.skeleton import Layout

log = logging.getLogger(__name__)

TABLE = "ip filter"
COMMENT = "pinnace"
_OURS = re.compile(rf'comment "{COMMENT}" # handle (\d+)$', re.MULTILINE)


def wanted(layout: Layout) -> dict[str, tuple[str, ...]]:
    """Rules by chain."""
    pods = layout.cluster_cidr
    return {
        "FORWARD": (f"ip saddr {pods} accept", f"ip daddr {pods} accept"),
        "INPUT": (f"ip saddr {pods} ip daddr {layout.host_address} accept",),
    }


def handles(listing: str) -> list[int]:
    """The handles of our rules in a chain as nft lists it."""
    return [int(found) for found in _OURS.findall(listing)]


def let_through(nft: Nft, layout: Layout) -> None:
    """Put our rules where they are missing. Blocks. Raises NftError."""
    for chain, rules in wanted(layout).items():
        listing = _listing(nft, chain)
        if listing is None or len(handles(listing)) == len(rules):
            continue
        remove = _removal(chain, listing)
        nft.run(remove + "".join(f'insert rule {TABLE} {chain} {rule} comment "{COMMENT}"\n' for rule in rules))
        log.info("Pods' packets are let through %s's chain %s", TABLE, chain)


def remove(nft: Nft) -> None:
    """Take our rules away. Blocks. Raises NftError."""
    for chain in ("FORWARD", "INPUT"):
        if commands := _removal(chain, _listing(nft, chain) or ""):
            nft.run(commands)


def forwards_for_others(nft: Nft) -> bool:
    """Whether another tool (Docker, libvirt) has rules for what the host forwards: it relies on forwarding. Blocks."""
    rules = re.findall(r"# handle \d+$", _listing(nft, "FORWARD") or "", re.MULTILINE)
    return len(rules) > 1  # the first is the chain's own


def _listing(nft: Nft, chain: str) -> str | None:
    try:
        return nft.run(f"list chain {TABLE} {chain}")
    except NftError:  # there is no such chain: nothing drops
        return None


def _removal(chain: str, listing: str) -> str:
    return "".join(f"delete rule {TABLE} {chain} handle {handle}\n" for handle in handles(listing))
