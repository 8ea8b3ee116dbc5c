"""The API server that a part running as a process of its own is a client of: found by a kubeconfig, waited for.

What can get better by waiting (nobody listens yet, not ready) is waited for and said once; what cannot (a kubeconfig
that is none, an authority that did not sign the server's certificate, an identity that the server refuses) is an error
that says whose.
"""

from __future__ import annotations

import binascii
import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

from pinnace.api.errors import ApiError, is_reason
from pinnace.client.client import Client
from pinnace.client.https import Credentials, Https, from_kubeconfig
from pinnace.cluster.errors import ClusterError, Exit
from pinnace.core.backoff import Backoff, jitter
from pinnace.core.clock import Clock

log = logging.getLogger(__name__)

_REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


class Remote(NamedTuple):
    """An API server that answers ``client``, which it knows as ``user``."""

    client: Client
    https: Https
    credentials: Credentials
    user: str


def load(path: Path) -> Credentials:
    """What a kubeconfig says. Raises ClusterError."""
    try:
        found = from_kubeconfig(path)
        if not found.server:
            raise ValueError("its current context names no server")
    except FileNotFoundError as error:
        raise ClusterError(Exit.USAGE, f"there is no kubeconfig {path}") from error
    except OSError as error:
        raise ClusterError(Exit.NOT_PERMITTED, f"cannot read the kubeconfig {path}: {error.strerror}") from error
    except (ValueError, binascii.Error, KeyError, AttributeError, TypeError) as error:
        raise ClusterError(Exit.USAGE, f"{path} is no kubeconfig that can be used: {error}") from error
    except Exception as error:
        import yaml

        if not isinstance(error, yaml.YAMLError):
            raise
        first = str(error).splitlines()[0]
        raise ClusterError(Exit.USAGE, f"{path} is no kubeconfig that can be used: not YAML: {first}") from error
    return found


async def reach(path: Path, clock: Clock, report: Callable[[str], None], *, user_agent: str) -> Remote:
    """Return once the API server is ready and has said who we are. Raises ClusterError."""
    credentials = load(path)
    try:
        https = Https(credentials, clock, user_agent=user_agent)
    except (ValueError, OSError) as error:  # ssl.SSLError is an OSError
        raise ClusterError(Exit.USAGE, f"the kubeconfig {path} cannot be used: {error}") from error
    client = Client(https)
    try:
        user = await _introduce(client, path, credentials.server, clock, report)
    except BaseException:
        await client.close()
        raise
    return Remote(client, https, credentials, user)


async def _introduce(client: Client, path: Path, server: str, clock: Clock, report: Callable[[str], None]) -> str:
    backoff, random = Backoff(base=0.1, cap=5.0), Random()
    told = ""
    while True:
        try:
            await client.read("/readyz")
            review = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}
            answer = await client.transport.request("POST", _REVIEWS, body=review)
            return str(answer["status"]["userInfo"].get("username") or "")
        except ssl.SSLError as error:
            raise _untrusted(path, server, error) from error
        except ApiError as error:
            if is_reason(error, "Unauthorized"):
                why = f"{server} does not accept the credentials in {path}: expired, or of another cluster"
                raise ClusterError(Exit.NOT_PERMITTED, f"{why} (401 Unauthorized)") from error
            if is_reason(error, "Forbidden"):
                raise ClusterError(Exit.NOT_PERMITTED, f"{server} refuses the user of {path}: {error}") from error
            why = f"not ready ({error.code})"
        except (OSError, TimeoutError) as error:
            why = str(error.strerror or error) if isinstance(error, OSError) else "no answer"
        if why != told:
            report(f"  waiting for the API server at {server}: {why}")
            told = why
        await clock.sleep(jitter(backoff.next(""), 0.5, random))


def _untrusted(path: Path, server: str, error: ssl.SSLError) -> ClusterError:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"the certificate of {server} is not one that {path} trusts: {error.verify_message}"
    else:
        why = f"{server} does not speak TLS with us: {error.reason or error}"
    return ClusterError(Exit.NOT_PERMITTED, why)
