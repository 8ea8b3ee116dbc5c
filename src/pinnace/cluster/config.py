"""What a user may choose about a cluster, with its defaults and its checks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from pinnace.cluster.errors import ClusterError, Exit
from pinnace.store.backends.etcd_options import EtcdOptions, etcd_addresses

PARTS = ("apiserver", "controllers", "scheduler", "node", "network")
RUNTIMES = ("auto", "containerd", "simulated")
DEFAULT_PORT = 6443
#: Where nodes get their /24 of Pod addresses from: 256 of them, or, for more simulated nodes than that, 32,768.
POD_CIDR = "10.244.0.0/16"
LARGE_POD_CIDR = "10.128.0.0/9"
SERVICE_CIDR = "10.96.0.0/16"
KUBERNETES_SERVICE_IP = "10.96.0.1"
CLUSTER_DNS = "10.96.0.10"
#: Where Pods reach what runs beside them on a real node (API server, DNS): an address of a dummy interface, so that
#: nothing outside the machine can.
HOST_ADDRESS = "10.97.0.1"
#: Where Services of type LoadBalancer get their addresses from: what this machine and its Pods reach, nobody else.
LOAD_BALANCER_POOL = "10.98.0.0/24"
CONTEXT = "pinnace"
CLUSTER_DOMAIN = "cluster.local"


def default_data_dir() -> Path:
    """``$XDG_STATE_HOME/pinnace``, by default ``~/.local/state/pinnace``."""
    state = os.environ.get("XDG_STATE_HOME")
    return Path(state) / "pinnace" if state else Path.home() / ".local" / "state" / "pinnace"


def default_kubeconfig() -> Path:
    """Where kubectl looks: the first file of ``$KUBECONFIG``, else ``~/.kube/config``."""
    listed = [part for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return Path(listed[0]) if listed else Path.home() / ".kube" / "config"


def parse_listen(text: str) -> tuple[str, int]:
    """``HOST:PORT``, ``[IPV6]:PORT``, ``:PORT`` or ``PORT``. Raises ClusterError (usage)."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    if not port.isdecimal() or int(port) > 65535:
        raise ClusterError(Exit.USAGE, f"--listen {text!r}: expected HOST:PORT with a port from 0 to 65535")
    return host, int(port)


def parse_duration(text: str) -> float:
    """``90``, ``60s``, ``1m30s``, ``2h`` in seconds. Raises ClusterError (usage)."""
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    import re

    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    if not re.fullmatch(r"(\d+(\.\d+)?(ms|s|m|h))+", text):
        raise ClusterError(Exit.USAGE, f"duration {text!r}: expected something like 90s, 1m30s or 2h")
    return sum(float(number) * units[unit] for number, _, unit in re.findall(r"(\d+(\.\d+)?)(ms|s|m|h)", text))


def parse_store(text: str) -> str:
    """A store's URL, or "" for the one in the data directory. Raises ClusterError (usage)."""
    path = text.removeprefix("sqlite://")
    if text in ("", "memory://") or (path != text and path.startswith("/") and not path.endswith("/")):
        return text
    if text.startswith("etcd://") and etcd_addresses(text.removeprefix("etcd://")):
        return text
    raise ClusterError(
        Exit.USAGE,
        f"--store {text!r}: expected sqlite:///PATH (an absolute path of a file), etcd://HOST:PORT[,HOST:PORT...] or "
        "memory://",
    )


def parse_etcd(store: str, ca: Path | None, certificate: Path | None, key: Path | None, prefix: str) -> EtcdOptions:
    """The options that go with ``--store etcd://``. Raises ClusterError (usage)."""
    if not store.startswith("etcd://"):
        if ca or certificate or key or prefix != EtcdOptions().prefix:
            raise ClusterError(Exit.USAGE, "--etcd-cafile and the like go with --store etcd://HOST:PORT")
        return EtcdOptions()
    if (certificate is None) != (key is None):
        raise ClusterError(Exit.USAGE, "--etcd-certfile and --etcd-keyfile go together")
    if not prefix.startswith("/") or prefix.endswith("/"):
        raise ClusterError(Exit.USAGE, f"--etcd-prefix {prefix!r}: expected something like /registry")
    paths = [path.absolute() if path is not None else None for path in (ca, certificate, key)]
    return EtcdOptions(paths[0], paths[1], paths[2], prefix)


def parse_parts(text: str) -> tuple[str, ...]:
    """A comma-separated choice of ``PARTS``, in their order. Raises ClusterError (usage)."""
    chosen = {part.strip() for part in text.split(",") if part.strip()}
    if unknown := chosen - set(PARTS):
        raise ClusterError(
            Exit.USAGE, f"--parts: unknown part {', '.join(sorted(unknown))}; the parts are {', '.join(PARTS)}"
        )
    if "apiserver" not in chosen:
        raise ClusterError(Exit.USAGE, "--parts: apiserver is needed, every other part is its client")
    return tuple(part for part in PARTS if part in chosen)


def parse_pool(text: str) -> str:
    """Ranges of addresses, or "" for ``none``. Raises ClusterError (usage)."""
    if text == "none":
        return ""
    from pinnace.core.ipranges import IPRanges

    try:
        pool = IPRanges(text)
    except ValueError as error:
        raise ClusterError(Exit.USAGE, f"--load-balancer-pool: {error}") from error
    uses = (("Pods", POD_CIDR), ("Services", SERVICE_CIDR), ("the node", f"{HOST_ADDRESS}/32"))
    for whose, network in uses:
        if pool.overlaps(network):
            taken = f"{text} overlaps {network}, where addresses of {whose} come from"
            raise ClusterError(Exit.USAGE, f"--load-balancer-pool: {taken}")
    return text


def parse_port(option: str, text: str) -> int:
    """Raises ClusterError (usage)."""
    if not text.isdecimal() or int(text) > 65535:
        raise ClusterError(Exit.USAGE, f"{option} {text!r}: expected a port from 0 to 65535")
    return int(text)


def parse_cidr(option: str, text: str) -> str:
    """An IPv4 network. Raises ClusterError (usage)."""
    import ipaddress

    try:
        return str(ipaddress.IPv4Network(text))
    except ValueError as error:
        raise ClusterError(Exit.USAGE, f"{option} {text!r}: {error}") from error


class ClusterConfig(NamedTuple):
    """One cluster. ``store`` is "" for SQLite in the data directory. ``simulated_nodes`` is None for: one if there is
    no real node, else none."""

    data_dir: Path
    kubeconfig: Path
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    runtime: str = "auto"
    simulated_nodes: int | None = None
    store: str = ""
    parts: tuple[str, ...] = PARTS
    load_balancer_pool: str = LOAD_BALANCER_POOL
    etcd: EtcdOptions = EtcdOptions()

    @property
    def pod_cidr(self) -> str:
        """The network of all Pods."""
        return POD_CIDR if (self.simulated_nodes or 0) < 256 else LARGE_POD_CIDR

    @property
    def shares_store(self) -> bool:
        """Whether other API servers may use the store."""
        return self.store.startswith("etcd://")

    @property
    def store_url(self) -> str:
        return self.store or f"sqlite://{self.data_dir.absolute() / 'store' / 'cluster.db'}"
