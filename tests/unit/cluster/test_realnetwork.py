"""How a start that the network ended is told."""

from __future__ import annotations

import errno

import pytest

from pinnace.cluster.errors import Exit
from pinnace.cluster.realnetwork import refusal
from pinnace.network.host import HostError, HostTaken
from pinnace.network.proxy.nft import NftError


def caused(error: Exception, by: Exception) -> Exception:
    error.__cause__ = by
    return error


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (caused(HostError("it needs root"), PermissionError(errno.EPERM, "no")), Exit.NOT_PERMITTED, "it needs root"),
        (caused(HostError("no veth"), OSError(errno.EOPNOTSUPP, "no")), Exit.NETWORK_FAILED, "no veth"),
        (HostTaken("another Pinnace"), Exit.NETWORK_FAILED, "another Pinnace"),
        (NftError("no nf_tables"), Exit.NETWORK_FAILED, "no nf_tables"),
        (OSError(errno.EADDRINUSE, "in use"), Exit.NETWORK_FAILED, "cluster DNS cannot listen on "),
    ],
)
def test_each_failure_has_its_exit_code(error: Exception, code: Exit, said: str) -> None:
    told = refusal(error)
    assert told.exit == code
    assert said in str(told)
