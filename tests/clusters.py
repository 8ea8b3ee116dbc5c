"""Clusters for tests: ``pinnace up`` as its own process, driven as a user would, with stock kubectl and raw HTTPS."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

from tests import warden
from tests.tools import Kubectl

PINNACE = Path(sys.executable).with_name("pinnace")
#: How long anything in a test may take before the test fails, in seconds.
PATIENCE = 40.0
T = TypeVar("T")


def pinnace(
    *arguments: str, timeout: float = 60.0, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The finished command, whatever its exit code."""
    return subprocess.run(
        [str(PINNACE), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        check=False,
    )


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Api:
    """Raw HTTPS to an API server. ``token`` replaces the client certificate; neither is shown with
    ``anonymous=True``. A new connection for every request."""

    def __init__(self, data_dir: Path, server: str, *, token: str = "", anonymous: bool = False) -> None:
        self.host, _, port = server.removeprefix("https://").rpartition(":")
        self.port = int(port)
        pki = data_dir / "pki"
        self.tls = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        if not token and not anonymous:
            self.tls.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def connect(self, timeout: float = PATIENCE) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self.host, self.port, context=self.tls, timeout=timeout)

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """``body`` is bytes as they are, or data sent as JSON."""
        connection = self.connect()
        sent = {**self._headers, **(headers or {})}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path + ("?" + urlencode(query) if query else ""), data, sent)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    @contextmanager
    def watch(self, path: str, **query: str) -> Iterator[Iterator[Any]]:
        """The events of a watch, until the server ends it."""
        connection = self.connect()
        try:
            connection.request("GET", f"{path}?{urlencode({'watch': '1', **query})}", headers=self._headers)
            response = connection.getresponse()
            assert response.status == 200, response.read()
            yield (json.loads(line) for line in response)
        finally:
            connection.close()


class Cluster:
    """A cluster on a directory of its own; ``up`` and ``down`` as often as wanted."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data_dir = directory / "data"
        self.kubeconfig = directory / "kubeconfig"
        self._watched = False

    def up(self, *arguments: str, runtime: str = "simulated") -> Cluster:
        done = self.try_up(*arguments, runtime=runtime)
        assert done.returncode == 0, done.stdout + done.stderr + self.log()
        return self

    def try_up(self, *arguments: str, runtime: str = "simulated") -> subprocess.CompletedProcess[str]:
        if not self._watched:
            warden.after_death(PINNACE, "down", "--purge", "--data-dir", self.data_dir)
            self._watched = True
        return pinnace(
            "up",
            *("--data-dir", str(self.data_dir), "--listen", "127.0.0.1:0", "--kubeconfig", str(self.kubeconfig)),
            *("--runtime", runtime, "--detach", *arguments),
        )

    def down(self, *arguments: str) -> None:
        done = pinnace("down", "--data-dir", str(self.data_dir), *arguments)
        assert done.returncode == 0, done.stdout + done.stderr + self.log()

    def kill(self) -> None:
        """As a crash would: SIGKILL, and wait until the process is gone."""
        process = os.pidfd_open(int(self.facts["pid"]))
        try:
            signal.pidfd_send_signal(process, signal.SIGKILL)
            ended, _, _ = select.select([process], [], [], PATIENCE)
            assert ended, "SIGKILL did not end the process"
        finally:
            os.close(process)

    def stop_if_running(self) -> None:
        pinnace("down", "--data-dir", str(self.data_dir))

    @property
    def facts(self) -> dict[str, Any]:
        """What the running cluster announced."""
        found: dict[str, Any] = json.loads((self.data_dir / "run.json").read_text())
        return found

    @property
    def server(self) -> str:
        return str(self.facts["server"])

    def log(self) -> str:
        file = self.data_dir / "pinnace.log"
        return file.read_text() if file.exists() else ""

    def kubectl(self, version: str = "1.37") -> Kubectl:
        return Kubectl(self.kubeconfig, version, home=self.directory)

    def api(self, *, token: str = "", anonymous: bool = False) -> Api:
        return Api(self.data_dir, self.server, token=token, anonymous=anonymous)


class Process:
    """A part of a cluster as a process of its own (``pinnace node ...``), its output in a file."""

    def __init__(self, log: Path, *arguments: str, prefix: Sequence[str] = (), env: Mapping[str, str] | None = None):
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*prefix, str(PINNACE), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
            )

    def log(self) -> str:
        return self._log.read_text()

    def wait_told(self, text: str, times: int = 1, patience: float = PATIENCE) -> Process:
        def has_told() -> bool:
            if self._process.poll() is not None:
                raise RuntimeError(f"it ended with {self._process.returncode}:\n{self.log()}")
            return self.log().count(text) >= times

        wait_for(has_told, f"{text!r} in {self._log}", patience)
        return self

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(PATIENCE)

    def stop(self, timeout: float = PATIENCE) -> int:
        """SIGTERM; its exit code."""
        self._process.terminate()
        return self._process.wait(timeout)

    def wait(self, timeout: float = PATIENCE) -> int:
        """Its exit code when it ends by itself."""
        return self._process.wait(timeout)


def wait_for(condition: Callable[[], T], what: str = "", patience: float = PATIENCE) -> T:
    """The first true answer of ``condition``, asked again and again, also after an AssertionError. Fails after
    ``patience`` seconds, with the last one if there was one."""
    deadline = time.monotonic() + patience
    while True:
        failure: AssertionError | None = None
        found = None
        try:
            found = condition()
        except AssertionError as error:
            failure = error
        if failure is None and found:
            return found
        if time.monotonic() > deadline:
            raise failure or AssertionError(f"waited {patience:g} s for {what or condition}; last: {found!r}")
        time.sleep(0.02)  # between two looks at another process, which tells us of nothing
