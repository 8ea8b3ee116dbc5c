"""How to reach etcd: apart from what speaks to it, so that a configuration can be made without loading gRPC."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/,\[\]]+):\d{1,5}")


def etcd_addresses(rest: str) -> list[str]:
    """The members that ``etcd://`` + ``rest`` names; empty if it is not understood."""
    addresses = rest.rstrip("/").split(",")
    return addresses if all(_ADDRESS.fullmatch(address) for address in addresses) else []


class EtcdOptions(NamedTuple):
    """How to reach etcd and where in it to keep things. With ``ca`` or ``certificate`` it is TLS. A key that begins
    with ``root`` here begins with ``prefix`` there."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    prefix: str = "/registry"
    root: str = "/registry"

    @property
    def tls(self) -> bool:
        return bool(self.ca or self.certificate)
