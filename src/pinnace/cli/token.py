"""``pinnace token create``: what another machine joins the cluster with, as a kubeconfig."""

from __future__ import annotations

import http.client
import json
import re
import secrets
import string
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pinnace.cli.ask import Asker
from pinnace.cluster.datadir import DataDir
from pinnace.cluster.errors import ClusterError, Exit

GROUP = "system:bootstrappers:kubeadm:default-node-token"
_ALPHABET = string.ascii_lowercase + string.digits


def create(path: Path, *, ttl: float, token: str) -> int:
    """Make a bootstrap token (or ``token``) and print the kubeconfig that ``pinnace node`` and kubelets join with. A
    ``ttl`` of 0 never ends."""
    if token and not re.fullmatch(r"[a-z0-9]{6}\.[a-z0-9]{16}", token):
        raise ClusterError(Exit.USAGE, f"token {token!r}: expected the form abcdef.0123456789abcdef")
    facts = DataDir(path).running()
    if facts is None or "node" in facts:
        raise ClusterError(Exit.NOT_RUNNING, f"no API server is running on {path}; start it first: pinnace up")
    token = token or f"{_random(6)}.{_random(16)}"
    with Asker(path.absolute(), facts) as asker:
        try:
            status, answer = asker.ask("POST", "/api/v1/namespaces/kube-system/secrets", _secret(token, ttl))
        except (OSError, http.client.HTTPException) as error:
            raise ClusterError(Exit.ERROR, f"the API server does not answer: {error}") from error
    if status != 201:
        raise ClusterError(Exit.ERROR, f"the token was not made: {_message(answer)}")
    sys.stdout.buffer.write(_kubeconfig(path, facts, token))
    return 0


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _secret(token: str, ttl: float) -> dict[str, Any]:
    identity, _, secret = token.partition(".")
    data = {
        "token-id": identity,
        "token-secret": secret,
        "usage-bootstrap-authentication": "true",
        "usage-bootstrap-signing": "true",
        "auth-extra-groups": GROUP,
    }
    if ttl:
        data["expiration"] = datetime.fromtimestamp(time.time() + ttl, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"bootstrap-token-{identity}"},
        "type": "bootstrap.kubernetes.io/token",
        "stringData": data,
    }


def _message(answer: bytes) -> str:
    try:
        return str(json.loads(answer)["message"])
    except (ValueError, KeyError, TypeError):
        return answer.decode(errors="replace").strip()[:200]


def _kubeconfig(path: Path, facts: dict[str, Any], token: str) -> bytes:
    from pinnace.cluster import kubeconfig

    ca = (path / "pki" / "ca.crt").read_bytes()
    return kubeconfig.part_kubeconfig(
        "tls-bootstrap-token-user", server=facts["advertised"], ca=ca, user={"token": token}
    )
