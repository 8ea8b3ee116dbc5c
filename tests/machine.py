"""A machine of its own for end-to-end tests: a network namespace with an address, a registry, and a Pinnace with real
containers in it. Everything it makes, it removes, also when a test fails."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tests import sysctls, warden
from tests.clusters import wait_for
from tests.tools import ROOT, Kubectl, kubectl_binary

ADDRESS = "172.31.77.10"
REGISTRY_PORT = 5000
PINNACE = Path(sys.executable).with_name("pinnace")
#: What ``Machine.remove`` does, for when nobody is left to call it: name, directory, pinnace.
_REMOVE = """
nsenter --net="/run/netns/$0" "$2" down --purge --timeout 20s --data-dir "$1/d"
ip netns pids "$0" | xargs -r kill -9
ip netns del "$0"
grep -o " $1/[^ ]*" /proc/self/mountinfo | sort -r | xargs -r -n1 umount -l
rm -rf --one-file-system "$1"
"""
T = TypeVar("T")


def eventually(check: Callable[[], T], *, limit: float = 60.0, what: str = "") -> T:
    """``clusters.wait_for``, with the patience that containers need."""
    return wait_for(check, what, limit)


class Machine:
    """``run`` runs a command on it. ``up`` starts Pinnace there."""

    def __init__(self, *, address: str = ADDRESS, neighbour: Machine | None = None) -> None:
        """With a ``neighbour``, on the same wire as that one."""
        self.address = address
        if os.geteuid() != 0:
            raise RuntimeError("end-to-end tests need root: network namespaces, containers, nftables")
        self.directory = Path(tempfile.mkdtemp(prefix="pn-", dir="/tmp"))  # short: unix sockets live below it
        self.name = f"pinnace-test-{self.directory.name}"
        self.data = self.directory / "d"
        self.kubeconfig = self.directory / "kubeconfig"
        self._registry: subprocess.Popen[str] | None = None
        self._prefix = ["nsenter", f"--net=/run/netns/{self.name}"]
        warden.after_death("sh", "-c", _REMOVE, self.name, self.directory, PINNACE)
        try:
            self._make_network(neighbour)
        except BaseException:
            self.remove()
            raise

    def _make_network(self, neighbour: Machine | None) -> None:
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self._ip("link set lo up")
        self.run("sh", "-ec", sysctls.RESET)
        if neighbour is None:
            self._ip("link add eth0 type veth peer name wire")
            self._ip("link set wire up")
        else:
            neighbour._ip(f"link set wire netns {self.name}")
            self._ip("link set wire name eth0")
        self._ip(f"addr add {self.address}/24 dev eth0")
        self._ip("link set eth0 up")
        self._ip("route add default dev eth0")

    def _ip(self, command: str) -> None:
        subprocess.run(["ip", "-n", self.name, *command.split()], check=True)

    def run(
        self, *command: str | Path, timeout: float = 60.0, check: bool = True, input: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*self._prefix, *map(str, command)],
            capture_output=True,
            text=True,
            timeout=timeout,
            input=input,
            check=False,
            env={"PATH": os.environ["PATH"], "HOME": str(self.directory), "KUBECONFIG": str(self.kubeconfig)},
        )
        if check:
            shown = " ".join(map(str, command))
            assert done.returncode == 0, f"{shown}: exit {done.returncode}\n{done.stdout}{done.stderr}{self.log()}"
        return done

    def log(self) -> str:
        file = self.data / "pinnace.log"
        return "\n--- pinnace.log\n" + file.read_text()[-4000:] if file.exists() else ""

    def serve_images(self, *archives: Path) -> None:
        """Serve the images from a registry that containerd on this machine is told to use for every name."""
        self._registry = subprocess.Popen(
            [*self._prefix, sys.executable, "-m", "tests.registry", str(REGISTRY_PORT), *map(str, archives)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self._registry.stdout is not None
        assert self._registry.stdout.readline() == "ready\n"
        hosts = self.data / "node" / "containerd" / "certs.d" / "_default" / "hosts.toml"
        hosts.parent.mkdir(parents=True, exist_ok=True)
        url = f"http://127.0.0.1:{REGISTRY_PORT}"
        hosts.write_text(f'server = "{url}"\n[host."{url}"]\n  capabilities = ["pull", "resolve"]\n')

    def pinnace(self, *arguments: str | Path, timeout: float = 90.0, check: bool = True) -> str:
        done = self.run(PINNACE, *arguments, "--data-dir", self.data, timeout=timeout, check=check)
        return done.stdout + done.stderr

    def up(self, *arguments: str) -> str:
        return self.pinnace("up", "--detach", "--kubeconfig", self.kubeconfig, *arguments)

    @property
    def prefix(self) -> list[str]:
        """What a command is run on it with."""
        return list(self._prefix)

    def kubectl(self, version: str = "1.37") -> Kubectl:
        kubectl_binary(version)
        return Kubectl(self.kubeconfig, version, prefix=self._prefix, home=self.directory)

    def get(self, url: str) -> str:
        """A web page as seen from this machine."""
        script = "import sys, urllib.request as r; sys.stdout.write(r.urlopen(sys.argv[1], timeout=5).read().decode())"
        return self.run(sys.executable, "-c", script, url).stdout

    def kill(self) -> None:
        """``kill -9`` of Pinnace; returns when it is gone."""
        try:
            pid = json.loads((self.data / "run.json").read_text())["pid"]
            process = os.pidfd_open(pid)
        except (FileNotFoundError, ProcessLookupError):
            return
        try:
            signal.pidfd_send_signal(process, signal.SIGKILL)
            select.select([process], [], [], 10.0)
        finally:
            os.close(process)

    def remove(self) -> None:
        try:
            if (self.data / "lock").exists():
                self.pinnace("down", "--purge", "--timeout", "30s", check=False)
                if self.data.exists():  # it does not listen: killed, it leaves what ``down`` then removes
                    self.kill()
                    self.pinnace("down", "--purge", check=False)
        finally:
            if self._registry is not None:
                self._registry.kill()
                self._registry.wait(10)
                assert self._registry.stdout is not None
                self._registry.stdout.close()
            subprocess.run(["ip", "netns", "del", self.name], capture_output=True, check=False)
            self._unmount()
            shutil.rmtree(self.directory, ignore_errors=True)

    def _unmount(self) -> None:
        """What is still mounted below the directory, innermost first."""
        mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for point in sorted((m for m in mounted if m.startswith(f"{self.directory}/")), reverse=True):
            subprocess.run(["umount", "-l", point], capture_output=True, check=False)
