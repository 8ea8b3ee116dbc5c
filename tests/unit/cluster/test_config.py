"""Bad choices on the command line are refused in words."""

import pytest

from pinnace.cluster import config
from pinnace.cluster.errors import ClusterError, Exit


@pytest.mark.parametrize(
    ("text", "expected"),
    [("127.0.0.1:6443", ("127.0.0.1", 6443)), ("[::1]:0", ("::1", 0)), (":80", ("127.0.0.1", 80))],
)
def test_listen(text: str, expected: tuple[str, int]):
    assert config.parse_listen(text) == expected


@pytest.mark.parametrize("text", ["localhost", "h:99999", "h:-1", "h:http", ""])
def test_bad_listen(text: str):
    with pytest.raises(ClusterError, match="--listen") as caught:
        config.parse_listen(text)
    assert caught.value.exit is Exit.USAGE


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("60s", 60), ("1m30s", 90), ("2h", 7200), ("1.5s", 1.5)])
def test_duration(text: str, seconds: float):
    assert config.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "5x", "-3s", "s"])
def test_bad_duration(text: str):
    with pytest.raises(ClusterError, match="duration"):
        config.parse_duration(text)


def test_parts_come_in_their_order_and_need_the_api_server():
    assert config.parse_parts("scheduler, apiserver") == ("apiserver", "scheduler")
    with pytest.raises(ClusterError, match="kubeproxy"):
        config.parse_parts("apiserver,kubeproxy")
    with pytest.raises(ClusterError, match="apiserver is needed"):
        config.parse_parts("scheduler")


def test_the_pool_of_load_balancers():
    assert config.parse_pool("192.168.1.240-192.168.1.250") == "192.168.1.240-192.168.1.250"
    assert config.parse_pool("none") == ""
    with pytest.raises(ClusterError, match=r"10\.96\.3\.0/24 overlaps 10\.96\.0\.0/16, where addresses of Services"):
        config.parse_pool("10.96.3.0/24")
    with pytest.raises(ClusterError, match=r"--load-balancer-pool: .192\.168\.1\.0/33. is neither CIDR nor FIRST-LAST"):
        config.parse_pool("192.168.1.0/33")
