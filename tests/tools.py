"""The stock clients that tests drive Pinnace with; ``make test`` puts them into ``.cache/clients``."""

from __future__ import annotations

import copy
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CLIENTS = ROOT / ".cache" / "clients"
KUBECTL_VERSIONS = ("1.32", "1.37")


def kubectl_binary(version: str = "1.37") -> Path:
    """Stock kubectl of that version. Fails, saying how to get it, if it is not there."""
    return _client(f"kubectl-{version}")


def helm_binary() -> Path:
    return _client("helm")


def _client(name: str) -> Path:
    binary = CLIENTS / name
    if not binary.exists():
        raise FileNotFoundError(f"{binary} is missing: run hack/fetch-clients (make test does)")
    return binary


class Kubectl:
    """Runs stock kubectl against one cluster, and shows everything it printed when it fails."""

    def __init__(
        self, kubeconfig: Path, version: str = "1.37", *, prefix: Sequence[str] = (), home: Path | None = None
    ):
        self.kubeconfig = kubeconfig
        self.namespace = ""
        self._command = [*prefix, str(kubectl_binary(version))]
        self._home = home or kubeconfig.parent

    def within(self, namespace: str) -> Kubectl:
        """The same kubectl, in that namespace unless told otherwise."""
        other = copy.copy(self)
        other.namespace = namespace
        other._command = [*self._command, f"--namespace={namespace}"]
        return other

    @property
    def command(self) -> list[str]:
        """To run it otherwise than ``run`` does, in ``environment()``."""
        return list(self._command)

    def environment(self) -> Mapping[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self._home), "KUBECONFIG": str(self.kubeconfig)}

    def run(
        self,
        *arguments: str,
        input: str | None = None,
        timeout: float = 60.0,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """The finished process, whatever its exit code."""
        return subprocess.run(
            [*self._command, *arguments],
            input=input,
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**self.environment(), **(env or {})},
            check=False,
        )

    def __call__(self, *arguments: str, input: str | None = None, timeout: float = 60.0) -> str:
        """What kubectl printed; AssertionError if it failed."""
        done = self.run(*arguments, input=input, timeout=timeout)
        shown = " ".join(arguments)
        assert done.returncode == 0, f"kubectl {shown}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout
