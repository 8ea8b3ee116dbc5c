"""Calls to an etcd cluster: one channel for each endpoint, one of them in use, and what a failure means.

A call that failed is one of three things, and which it is decides what may be done next:

- ``UnavailableError``: it was surely not executed. Ask another endpoint.
- ``OutcomeUnknownError``: it may have been executed, or may still be. Reads are asked again; for a write see
  ``etcd_commit``.
- ``RefusedError``: etcd has answered, and the answer is no.

``read`` asks again by itself, for as long as ``patience`` says: some seconds while etcd was well a moment ago (a leader
is elected within that time), one round over the endpoints once it is known to be gone, so that nobody waits for long.
After each failure that the endpoint in use can be blamed for, the next one is used, also by whoever watches
(``on_switch``).
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Sequence
from typing import Any

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what fails is said once, by us
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
import grpc
import grpc.aio

from pinnace.core.clock import Clock
from pinnace.store.backends.etcd_messages import METHODS, RangeRequest
from pinnace.store.backends.etcd_options import EtcdOptions
from pinnace.store.protocol import OutcomeUnknownError, StoreError, UnavailableError

log = logging.getLogger(__name__)

#: Seconds for one attempt, and for all attempts at one thing while etcd is well; fewer if no member so much as tries.
ATTEMPT = 4.0
PATIENCE = 9.0
UNSENT_PATIENCE = 3.0
#: Seconds for one attempt while etcd is known not to answer.
SICK_ATTEMPT = 0.5
#: Seconds between two attempts: the first pause, and the longest.
PAUSE, LONGEST_PAUSE = 0.02, 0.5
#: Has a member that lost its leader refuse instead of letting wait.
REQUIRE_LEADER = grpc.aio.Metadata(("hasleader", "true"))

_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 10_000),  # etcd ends connections that ask more often than every 5 s
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
)
_CODE = grpc.StatusCode
#: What etcd says when it did not even try (before anything is proposed), and what gRPC says when it could not connect.
_NOT_TRIED = (
    "etcdserver: no leader",
    "etcdserver: too many requests",
    "etcdserver: not capable",
    "etcdserver: rpc not supported for learner",
)
_NOT_SENT = (
    "failed to connect",
    "errors resolving",
    "connections to all backends failing",
    "DNS resolution failed",
    "empty address list",
)
#: The part of gRPC's words about a connection that says why there is none.
_LAST = re.compile(r"last error: \w+: (?:ipv[46]:\S+: )?(?:Failed to connect to remote host: )?(.*)")
_ANSWERS = (
    _CODE.INVALID_ARGUMENT,
    _CODE.NOT_FOUND,
    _CODE.OUT_OF_RANGE,
    _CODE.FAILED_PRECONDITION,
    _CODE.RESOURCE_EXHAUSTED,
    _CODE.PERMISSION_DENIED,
    _CODE.UNAUTHENTICATED,
    _CODE.UNIMPLEMENTED,
)


class RefusedError(StoreError):
    """etcd refused: nothing was done."""

    def __init__(self, message: str, code: grpc.StatusCode) -> None:
        super().__init__(message)
        self.code = code


def failure_of(error: grpc.aio.AioRpcError, endpoint: str) -> StoreError:
    """What a failed call means."""
    details, code = error.details() or "", error.code()
    shown = _LAST.search(details)
    message = f"etcd at {endpoint}: {shown[1] if shown else details or code.name}"
    if details.startswith(_NOT_TRIED) or (code is _CODE.UNAVAILABLE and details.startswith(_NOT_SENT)):
        return UnavailableError(message)
    if code in _ANSWERS:
        return RefusedError(message, code)
    if code is _CODE.DEADLINE_EXCEEDED:
        message = f"etcd at {endpoint}: no answer in time"
    return OutcomeUnknownError(message)


class Endpoint:
    """One member of the cluster."""

    def __init__(self, address: str, credentials: grpc.ChannelCredentials | None) -> None:
        self.address = address
        if credentials is None:
            self.channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        else:
            self.channel = grpc.aio.secure_channel(address, credentials, options=_OPTIONS)
        self._calls: dict[str, Any] = {
            name: (self.channel.stream_stream if method.streaming else self.channel.unary_unary)(
                method.path,
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.response.FromString,
            )
            for name, method in METHODS.items()
        }

    async def call(self, method: str, request: Any, limit: float) -> Any:
        """One attempt of at most ``limit`` seconds. Raises as the module's docstring says."""
        try:
            return await self._calls[method](request, timeout=limit, metadata=REQUIRE_LEADER)
        except grpc.aio.AioRpcError as error:
            raise failure_of(error, self.address) from error

    def stream(self, method: str) -> Any:
        return self._calls[method](metadata=REQUIRE_LEADER)


class EtcdClient:
    """See the module's docstring."""

    def __init__(self, addresses: Sequence[str], options: EtcdOptions, clock: Clock, probe: bytes) -> None:
        """``probe`` is a key that may be read, to see what revision etcd is at. Raises StoreError for files that cannot
        be used."""
        credentials = _credentials(options) if options.tls else None
        self.clock = clock
        self._probe = RangeRequest(key=probe, count_only=True)
        self.endpoints = [Endpoint(address, credentials) for address in addresses]
        self._at = 0
        #: Why etcd does not answer at the moment; None while it does.
        self.sick: str | None = None
        #: Called when another endpoint is to be used.
        self.on_switch: Callable[[], None] = lambda: None

    @property
    def endpoint(self) -> Endpoint:
        """The one in use."""
        return self.endpoints[self._at]

    def blame(self, endpoint: Endpoint) -> None:
        """``endpoint`` has failed: use another one, if there is one."""
        if endpoint is self.endpoint and len(self.endpoints) > 1:
            self._at = (self._at + 1) % len(self.endpoints)
            self.on_switch()

    def note(self, error: StoreError | None) -> None:
        """How the last thing that was asked for ended, after all attempts."""
        if error is None:
            if self.sick is not None:
                log.warning("etcd answers again")
                self.sick = None
        elif self.sick is None:
            self.sick = str(error)
            log.warning("etcd does not answer: %s", error)

    async def attempt(self, method: str, request: Any, limit: float) -> Any:
        """One call to the endpoint in use. Raises as the module's docstring says."""
        endpoint = self.endpoint
        try:
            answer = await endpoint.call(method, request, limit)
        except RefusedError:
            self.note(None)
            raise
        except StoreError:
            self.blame(endpoint)
            raise
        if self.sick is not None:
            self.note(None)
        return answer

    async def read(self, method: str, request: Any) -> Any:
        """The answer to something that may be asked twice. Raises UnavailableError or RefusedError."""
        attempts = Attempts(self)
        while True:
            try:
                return await self.attempt(method, request, attempts.limit)
            except RefusedError:
                raise
            except StoreError as error:
                if not await attempts.again(error):
                    raise UnavailableError(str(error)) from error

    async def revision(self) -> Any:
        """The header of a linearizable read: the cluster and its revision. Raises as ``read``."""
        return (await self.read("Range", self._probe)).header

    async def close(self) -> None:
        for endpoint in self.endpoints:
            await endpoint.channel.close(None)


class Attempts:
    """How often one thing is tried, and how long each try may take."""

    def __init__(self, client: EtcdClient) -> None:
        self._client = client
        self._sick = client.sick is not None
        self._began = client.clock.monotonic()
        self._ends = self._began + (SICK_ATTEMPT if self._sick else PATIENCE)
        self._failed = self._unsent = 0
        self._pause = PAUSE
        self.limit = SICK_ATTEMPT if self._sick else ATTEMPT

    async def again(self, error: StoreError) -> bool:
        """After a pause, whether to try once more; if not, ``error`` is what came of it all."""
        clock, client = self._client.clock, self._client
        left = self._ends - clock.monotonic()
        self._failed += 1
        self._unsent += isinstance(error, UnavailableError)
        if self._unsent == self._failed and clock.monotonic() - self._began > UNSENT_PATIENCE:
            left = 0.0
        if left <= self._pause or (self._sick and self._unsent >= len(client.endpoints)):
            client.note(error)
            return False
        await clock.sleep(self._pause)
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        self.limit = min(self.limit, max(left - self._pause, SICK_ATTEMPT))
        return True


def _credentials(options: EtcdOptions) -> grpc.ChannelCredentials:
    files: dict[str, bytes | None] = {}
    for name, path in (("ca", options.ca), ("certificate", options.certificate), ("key", options.key)):
        try:
            files[name] = path.read_bytes() if path is not None else None
        except OSError as error:
            raise StoreError(f"cannot read {path} for etcd: {error.strerror}") from error
        if files[name] is not None and b"-----BEGIN " not in (files[name] or b""):
            raise StoreError(f"{path} for etcd holds no PEM certificate or key")
    return grpc.ssl_channel_credentials(files["ca"], files["key"], files["certificate"])
