"""A node's certificates, as kubelets get them: asked for with CertificateSigningRequests, renewed in time.

A file holds the certificate and its key, PEM, and appears whole. The key never leaves the machine; every certificate
has a new one. A request that nobody approves is waited for, and said.
"""

from __future__ import annotations

import logging
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from random import Random

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_reason
from pinnace.api.types import GVR, Object
from pinnace.client.client import Client
from pinnace.cluster.errors import ClusterError, Exit
from pinnace.cluster.pki import write_atomic
from pinnace.core.backoff import Backoff, jitter
from pinnace.core.clock import Clock

log = logging.getLogger(__name__)

REQUESTS = GVR("certificates.k8s.io", "v1", "certificatesigningrequests")
CLIENT, SERVING = "kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/kubelet-serving"
#: Part of a certificate's life after which the next one is asked for, and up to how much later.
_RENEW_AT, _SPREAD = 0.7, 0.2
#: Seconds after which somebody is told that approval is awaited.
_PATIENCE = 3.0


class NodeCertificate:
    """The certificate in ``path`` of the node ``name``: to serve as ``names`` or, without any, to be a client."""

    def __init__(self, path: Path, clock: Clock, name: str, names: frozenset[str] = frozenset()) -> None:
        self.path = path
        self._clock = clock
        self._name = name
        self._names = names

    def is_good(self) -> bool:
        """Whether there is one that has not expired and is for these names."""
        return self._due(1.0) > 0

    def _due(self, fraction: float) -> float:
        """Seconds until that part of its life is over; 0 if there is none that can be used."""
        if not self.path.exists():
            return 0.0
        from pinnace.cluster import x509make

        found = x509make.load_certificate(self.path)
        if not x509make.matches(found, f"system:node:{self._name}", ("system:nodes",), self._names):
            return 0.0
        began, ends = found.not_valid_before_utc.timestamp(), x509make.expires(found)
        return began + (ends - began) * fraction - self._clock.now()

    async def obtain(self, client: Client, report: Callable[[str], None] = log.warning) -> None:
        """Ask ``client``'s API server for a new one and put it into the file. Raises ClusterError if that is denied;
        what can get better is tried again."""
        from pinnace.cluster import x509make

        key = x509make.new_key()
        request = x509make.make_request(key, f"system:node:{self._name}", ("system:nodes",), self._names)
        made = await self._create(client, request, report)
        certificate = await self._wait(client, meta.name(made), report)
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomic(self.path, certificate + x509make.key_pem(key), 0o600)

    async def _create(self, client: Client, pem: bytes, report: Callable[[str], None]) -> Object:
        purpose = "server auth" if self._names else "client auth"
        request = {
            "kind": "CertificateSigningRequest",
            "apiVersion": "certificates.k8s.io/v1",
            "metadata": {"generateName": "csr-"},
            "spec": {
                "request": b64encode(pem).decode(),
                "signerName": SERVING if self._names else CLIENT,
                "usages": ["digital signature", purpose],
            },
        }
        backoff = Backoff(base=0.2, cap=10.0)
        while True:
            try:
                return await client.create(REQUESTS, request)
            except (ApiError, OSError, TimeoutError) as error:
                if is_reason(error, "Unauthorized", "Forbidden", "Invalid"):
                    why = f"node {self._name} may not ask for a certificate: {error}"
                    raise ClusterError(Exit.NOT_PERMITTED, why) from error
                report(f"  cannot ask for a certificate yet: {error}")
            await self._clock.sleep(backoff.next(""))

    async def _wait(self, client: Client, name: str, report: Callable[[str], None]) -> bytes:
        backoff, began, told = Backoff(base=0.05, cap=5.0, factor=1.5), self._clock.monotonic(), False
        while True:
            try:
                request = await client.get(REQUESTS, name)
            except (ApiError, OSError, TimeoutError) as error:
                if is_reason(error, "NotFound", "Unauthorized", "Forbidden"):
                    raise ClusterError(Exit.NOT_PERMITTED, f"certificate request {name}: {error}") from error
                log.info("cannot look at certificate request %s: %s", name, error)
            else:
                status = request.get("status") or {}
                if status.get("certificate"):
                    return b64decode(status["certificate"])
                for verdict in ("Denied", "Failed"):
                    if condition := meta.condition(request, verdict):
                        why = f"certificate request {name} of node {self._name} is {verdict.lower()}"
                        raise ClusterError(Exit.NOT_PERMITTED, f"{why}: {condition.get('message') or ''}".rstrip(": "))
            if not told and self._clock.monotonic() - began > _PATIENCE:
                told = True
                report(f"  waiting for certificate request {name}: kubectl certificate approve {name}")
            await self._clock.sleep(backoff.next(""))

    async def keep(self, client: Client, changed: Callable[[], None]) -> None:
        """For ever: have a good one, and call ``changed`` when there is another."""
        random = Random()
        while True:
            due = self._due(jitter(_RENEW_AT, _SPREAD / _RENEW_AT, random))
            if due > 0:
                await self._clock.sleep(min(due, 86400.0))
                continue
            try:
                await self.obtain(client)
            except ClusterError as error:
                log.warning("%s", error)
                await self._clock.sleep(60.0)
            else:
                changed()
