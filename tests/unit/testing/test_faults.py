"""Which requests a fault hits, and how often."""

import pytest

from pinnace.testing.faults import Fault, Faults, Request


def request(**given: str) -> Request:
    asked = {"verb": "create", "resource": "pods", "namespace": "default", "name": "web", "user": "alice", **given}
    return Request(**{name: asked.get(name, "") for name in Request._fields})


def faults() -> Faults:
    return Faults(lambda fault: None)


@pytest.mark.parametrize(
    "where",
    [
        {},
        {"verb": "create"},
        {"verb": ("create", "patch")},
        {"resource": "pods"},
        {"resource": "po*"},
        {"namespace": "def*", "name": "web"},
        {"user": "ali*"},
        {"user_agent": "kopf/*"},
    ],
)
def test_a_fault_hits_what_it_selects(where):
    chosen = faults()
    fault = chosen.fail(**where)
    asked = request(user_agent="kopf/1.45")
    assert chosen.first(asked) is fault
    assert fault.hits == [asked]


@pytest.mark.parametrize(
    "where",
    [
        {"verb": "get"},
        {"verb": ("get", "list")},
        {"resource": "services"},
        {"resource": "pods.apps"},
        {"resource": "pods/status"},
        {"namespace": "kube-system"},
        {"name": "we"},
        {"user": "bob"},
        {"user_agent": "kubectl*"},
        {"verb": "create", "user": "bob"},
    ],
)
def test_a_fault_leaves_alone_what_it_does_not_select(where):
    chosen = faults()
    fault = chosen.fail(**where)
    assert chosen.first(request()) is None
    assert fault.hits == []


def test_a_subresource_is_selected_only_by_name():
    chosen = faults()
    chosen.fail(resource="pods")
    assert chosen.first(request(subresource="status")) is None
    status = chosen.fail(resource="pods/*")
    assert chosen.first(request(subresource="status")) is status


def test_a_group_may_be_named():
    chosen = faults()
    fault = chosen.fail(resource="deployments.apps")
    assert chosen.first(request(resource="deployments", group="apps")) is fault
    assert chosen.first(request(resource="deployments", group="example.com")) is None


def test_a_fault_hits_as_often_as_it_was_to_and_then_the_next_one_does():
    chosen = faults()
    twice, always = chosen.fail(times=2), chosen.fail()
    assert [chosen.first(request()) for _ in range(4)] == [twice, twice, always, always]


def test_a_rate_is_a_share_and_the_same_for_the_same_seed():
    def hits(seed: int) -> list[bool]:
        chosen = faults()
        chosen.fail(rate=0.3, seed=seed)
        return [chosen.first(request()) is not None for _ in range(1000)]

    assert hits(1) == hits(1) != hits(2)
    assert 250 < sum(hits(1)) < 350


def test_a_fault_ends_with_its_context_and_with_clear():
    chosen = faults()
    with chosen.fail() as fault:
        assert chosen.first(request()) is fault
    assert chosen.first(request()) is None
    chosen.fail()
    chosen.clear()
    assert chosen.first(request()) is None


def test_a_conflict_is_one_of_updates_and_patches_with_upstreams_words():
    chosen = faults()
    fault = chosen.conflict(resource="pods")
    assert chosen.first(request(verb="create")) is None
    assert chosen.first(request(verb="patch")) is fault
    assert fault.error is not None
    error = fault.error(request())
    assert (error.code, error.reason) == (409, "Conflict")
    assert error.message == (
        'Operation cannot be fulfilled on pods "web": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )


def test_an_error_says_that_the_test_wanted_it():
    fault = faults().fail(429, retry_after=3)
    assert fault.error is not None
    error = fault.error(request())
    assert (error.code, error.reason, error.headers) == (429, "TooManyRequests", {"Retry-After": "3"})
    assert "create pods default/web by alice" in error.message


def test_wrong_faults_are_told():
    with pytest.raises(TypeError, match="user, user_agent; not by ns"):
        faults().fail(ns="default")
    with pytest.raises(ValueError, match="400 to 599"):
        faults().fail(200)
    with pytest.raises(ValueError, match="from 0 to 1"):
        faults().drop(rate=5)
    with pytest.raises(ValueError, match="from 1"):
        faults().drop(times=0)


def test_open_watches_are_ended_by_what_they_watch():
    ended: list[Fault] = []
    chosen = Faults(ended.append)
    fault = chosen.drop_watch(resource="pods", expired=True)
    assert ended == [fault]
    assert chosen.first(request(verb="watch")) is None, "only those that were open"
    assert fault.error is not None
    assert fault.error(request(verb="watch")).code == 410
