"""What a failed call to etcd means, and where its keys are."""

from __future__ import annotations

import pytest
from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata

from pinnace.store.backends.etcd_client import RefusedError, failure_of
from pinnace.store.backends.etcd_keys import Keys
from pinnace.store.backends.etcd_options import etcd_addresses
from pinnace.store.protocol import OutcomeUnknownError, StoreError, UnavailableError


@pytest.mark.parametrize(
    ("code", "details", "meaning"),
    [
        (StatusCode.UNAVAILABLE, "etcdserver: no leader", UnavailableError),
        (StatusCode.RESOURCE_EXHAUSTED, "etcdserver: too many requests", UnavailableError),
        (StatusCode.FAILED_PRECONDITION, "etcdserver: rpc not supported for learner", UnavailableError),
        (StatusCode.UNAVAILABLE, "failed to connect to all addresses; last error: ...", UnavailableError),
        (StatusCode.UNAVAILABLE, "errors resolving a:1: [...]", UnavailableError),
        (StatusCode.UNAVAILABLE, "etcdserver: request timed out", OutcomeUnknownError),
        (
            StatusCode.UNAVAILABLE,
            "etcdserver: request timed out, possibly due to previous leader failure",
            OutcomeUnknownError,
        ),
        (StatusCode.UNAVAILABLE, "etcdserver: leader changed", OutcomeUnknownError),
        (StatusCode.UNAVAILABLE, "Socket closed", OutcomeUnknownError),
        (StatusCode.UNAVAILABLE, "GOAWAY received", OutcomeUnknownError),
        (StatusCode.UNKNOWN, "Stream removed", OutcomeUnknownError),
        (StatusCode.CANCELLED, "", OutcomeUnknownError),
        (StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", OutcomeUnknownError),
        (StatusCode.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded", RefusedError),
        (StatusCode.INVALID_ARGUMENT, "etcdserver: request is too large", RefusedError),
        (StatusCode.OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted", RefusedError),
        (StatusCode.PERMISSION_DENIED, "etcdserver: permission denied", RefusedError),
    ],
)
def test_what_a_failure_means(code: StatusCode, details: str, meaning: type[StoreError]) -> None:
    found = failure_of(AioRpcError(code, Metadata(), Metadata(), details), "a:2379")
    assert type(found) is meaning
    assert str(found).startswith("etcd at a:2379: ")


def test_why_there_is_no_connection_is_said_in_short() -> None:
    details = (
        "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:2379: "
        "Failed to connect to remote host: Connection refused"
    )
    found = failure_of(AioRpcError(StatusCode.UNAVAILABLE, Metadata(), Metadata(), details), "localhost:2379")
    assert str(found) == "etcd at localhost:2379: Connection refused"


def test_keys_here_and_there() -> None:
    keys = Keys("/blue", "/registry")
    assert keys.there("/registry/pods/default/a") == b"/blue/pods/default/a"
    assert keys.here(b"/blue/pods/default/a") == "/registry/pods/default/a"
    assert (keys.start, keys.end) == (b"/blue/", b"/blue0")
    assert keys.here(keys.internal("progress")) is None
    assert keys.here(b"/blue/\xff") is None
    for wrong in ("/registry", "/other/a", "registry/a", "/registry/pinnace.internal/x", "/registryx/a"):
        with pytest.raises(ValueError, match="none for an object"):
            keys.there(wrong)


@pytest.mark.parametrize(
    ("rest", "addresses"),
    [
        ("a:1", ["a:1"]),
        ("10.0.0.1:2379,etcd-2.example.com:2379/", ["10.0.0.1:2379", "etcd-2.example.com:2379"]),
        ("[::1]:2379", ["[::1]:2379"]),
        ("", []),
        ("a", []),
        ("a:1,", []),
        ("a:1/x", []),
        ("user@a:", []),
        ("::1:2379", []),
    ],
)
def test_addresses(rest: str, addresses: list[str]) -> None:
    assert etcd_addresses(rest) == addresses
