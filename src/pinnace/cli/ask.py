"""Questions that commands have for the API server of a running cluster, as its administrator or as a node."""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path
from typing import Any

from pinnace.cluster.errors import ClusterError, Exit

#: Seconds to wait for an answer.
PATIENCE = 5


class Asker:
    """One connection, closed at the end of a ``with``."""

    def __init__(self, data_dir: Path, facts: dict[str, Any]) -> None:
        """``facts``: run.json. Raises ClusterError."""
        pki = data_dir / "pki"
        if "node" in facts:
            from pinnace.client.https import tls_context
            from pinnace.cluster import remote

            context = tls_context(remote.load(Path(facts["kubeconfig"])))
        else:
            try:
                context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
                context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
            except (PermissionError, FileNotFoundError) as error:
                raise ClusterError(
                    Exit.NOT_PERMITTED, f"cannot read the cluster's credentials in {pki}: {error.strerror}"
                ) from error
        host, _, port = str(facts["server"]).removeprefix("https://").rpartition(":")
        self._connection = http.client.HTTPSConnection(host.strip("[]"), int(port), context=context, timeout=PATIENCE)

    def __enter__(self) -> Asker:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, method: str, target: str, body: Any = None) -> tuple[int, bytes]:
        """Status and answer. Raises OSError, http.client.HTTPException."""
        data = None if body is None else json.dumps(body).encode()
        self._connection.request(method, target, data, {"Content-Type": "application/json"} if data else {})
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def get(self, target: str) -> Any:
        """What is there, decoded. Raises as ``ask``, ValueError for anything but 200 and JSON."""
        status, answer = self.ask("GET", target)
        if status != 200:
            raise ValueError(f"GET {target}: {status} {answer.decode(errors='replace').strip()[:200]}")
        return json.loads(answer)
