"""What a test may choose about its cluster."""

import pytest

from pinnace.testing.options import Options


def test_parts_are_names_or_a_text_and_the_api_server_is_always_one():
    assert Options().changed({"parts": "controllers, scheduler"}).parts == ("apiserver", "controllers", "scheduler")
    assert Options().changed({"parts": ["apiserver"]}).parts == ("apiserver",)


def test_equal_choices_are_equal_options():
    assert Options().changed({"parts": ["node", "apiserver"]}) == Options().changed({"parts": "apiserver,node"})
    assert hash(Options().changed({"virtual_time": True})) != hash(Options())


@pytest.mark.parametrize(
    ("choices", "told"),
    [
        ({"virtual_tine": True}, "unknown option virtual_tine; there are parts, simulated_nodes, store, virtual_time"),
        ({"parts": "kubelet"}, "unknown part kubelet; the parts are apiserver"),
        ({"simulated_nodes": -1}, "expected a number of nodes"),
        ({"virtual_time": "soon"}, "write it as 2026-03-01T00:00:00Z"),
    ],
)
def test_a_wrong_choice_is_told(choices, told):
    with pytest.raises(ValueError, match=told):
        Options().changed(choices)
