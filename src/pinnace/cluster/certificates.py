"""Which certificates a cluster needs, and having them made beside the start-up.

Making them is a quarter of a first start (an import and half a dozen keys), so a child process does it on another core
while this one imports the rest. Whatever goes wrong in the child goes wrong again here, with its error: ``ensure`` runs
once more and finds the files whole or makes them.
"""

from __future__ import annotations

import os
import signal

from pinnace.cluster import config, machine, pki
from pinnace.cluster.config import ClusterConfig
from pinnace.core.clock import Clock


class Certificates:
    """The files under ``pki/`` of one cluster."""

    def __init__(self, chosen: ClusterConfig, clock: Clock) -> None:
        self._config = chosen
        self._child = 0
        self.pki = pki.Pki(chosen.data_dir / "pki", now=clock.now())

    def begin(self) -> None:
        """Start making them in the background if there are none yet. Only before the process has other threads."""
        if self.pki.certificate("admin").exists():
            return
        parent = os.getpid()
        self._child = os.fork()
        if self._child == 0:
            code = 1
            try:
                _die_with(parent)
                self._ensure()
                code = 0
            finally:
                os._exit(code)

    def finish(self) -> pki.Pki:
        """Return when all files are there and fresh. Raises ClusterError."""
        if self._child:
            os.waitpid(self._child, 0)
            self._child = 0
        self._ensure()
        return self.pki

    def _ensure(self) -> None:
        names = pki.api_server_names(self._config.host, (config.HOST_ADDRESS,))
        nodes: tuple[pki.Leaf, ...] = ()
        if "node" in self._config.parts:
            nodes = pki.node_leaves(machine.node_name(), ("127.0.0.1",))
        self.pki.ensure(names, nodes)


def _die_with(parent: int) -> None:
    """End this process when its parent is gone: it holds the data directory's lock too."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)
