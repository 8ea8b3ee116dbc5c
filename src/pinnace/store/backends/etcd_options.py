"""How to reach etcd: apart from what speaks to it, so that a configuration can be made without loading gRPC."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


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
