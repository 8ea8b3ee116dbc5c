from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinnace.api import selectors
from pinnace.api.selectors import SelectorError


@pytest.mark.parametrize(
    ("text", "canonical", "labels", "matches"),
    [
        ("", "", {}, True),
        ("a=b", "a=b", {"a": "b"}, True),
        ("a==b", "a==b", {"a": "c"}, False),
        ("a!=b", "a!=b", {}, True),
        ("a!=b", "a!=b", {"a": "b"}, False),
        ("z, a = b", "a=b,z", {"a": "b", "z": ""}, True),
        ("e in (g,f)", "e in (f,g)", {"e": "f"}, True),
        ("e notin (f,g)", "e notin (f,g)", {}, True),
        ("e notin (f,g)", "e notin (f,g)", {"e": "g"}, False),
        ("!h", "!h", {"h": ""}, False),
        ("k", "k", {"k": ""}, True),
        ("n>5", "n>5", {"n": "6"}, True),
        ("n<5", "n<5", {"n": "x"}, False),
        ("n gt 5", "", {}, None),
        ("a=", "a=", {"a": ""}, True),
        ("a in (,b)", "a in (,b)", {"a": ""}, True),
        ("in in (in)", "in in (in)", {"in": "in"}, True),
        ("x.io/a-b_c=1.2", "x.io/a-b_c=1.2", {"x.io/a-b_c": "1.2"}, True),
    ],
)
def test_label_selectors(text: str, canonical: str, labels: dict[str, str], matches: bool | None) -> None:
    if matches is None:
        with pytest.raises(SelectorError):
            selectors.parse_label_selector(text)
        return
    selector = selectors.parse_label_selector(text)
    assert str(selector) == canonical
    assert selector.matches(labels) is matches
    assert selectors.parse_label_selector(canonical) == selector


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("=", "found '=', expected: !, identifier, or 'end of string'"),
        ("a=b,", "found '', expected: identifier after ','"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        (
            "a in ()",
            "unable to parse requirement: values: Invalid value: []: for 'in', 'notin' operators, "
            "values set can't be empty",
        ),
        (
            "n>x",
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, "
            "the value must be an integer",
        ),
        (
            "a=b c",
            "found 'c', expected: ',' or 'end of string'",
        ),
        (
            "a=-b",
            'unable to parse requirement: values[0][a]: Invalid value: "-b": a valid label must be an empty string or '
            "consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
            "character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
            "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
        ),
    ],
)
def test_label_selector_errors(text: str, message: str) -> None:
    with pytest.raises(SelectorError) as caught:
        selectors.parse_label_selector(text)
    assert str(caught.value) == message


def test_exact_requirements_can_be_asked_for() -> None:
    selector = selectors.parse_label_selector("a=1,b in (2),c in (3,4),d!=5")
    assert [selector.requires(key) for key in "abcd"] == ["1", "2", None, None]
    assert not selector.empty
    assert selectors.EVERYTHING.empty
    assert not selectors.NOTHING.empty


def test_label_selector_objects() -> None:
    assert selectors.label_selector(None) is selectors.NOTHING
    assert not selectors.label_selector(None).matches({})
    assert selectors.label_selector({}).matches({"a": "b"})
    selector = selectors.label_selector(
        {"matchLabels": {"app": "x"}, "matchExpressions": [{"key": "t", "operator": "NotIn", "values": ["a"]}]}
    )
    assert str(selector) == "app=x,t notin (a)"
    assert selector.matches({"app": "x"})
    with pytest.raises(SelectorError, match='"Near" is not a valid label selector operator'):
        selectors.label_selector({"matchExpressions": [{"key": "t", "operator": "Near"}]})


def test_field_selectors() -> None:
    selector = selectors.parse_field_selector("status.phase!=Running,spec.nodeName=n1")
    assert str(selector) == "spec.nodeName=n1,status.phase!=Running"
    assert selector.fields == ("spec.nodeName", "status.phase")
    assert selector.requires("spec.nodeName") == "n1"
    assert selector.matches({"spec.nodeName": "n1"})
    assert not selector.matches({"spec.nodeName": "n1", "status.phase": "Running"})
    assert selectors.parse_field_selector("").empty
    assert selectors.parse_field_selector("a=").matches({})
    escaped = selectors.parse_field_selector(r"a=x\,y\=z\\")
    assert escaped.requires("a") == "x,y=z\\"
    assert str(escaped) == r"a=x\,y\=z\\"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        (r"a=\x", r"invalid field selector: invalid escape sequence: \x"),
    ],
)
def test_field_selector_errors(text: str, message: str) -> None:
    with pytest.raises(SelectorError) as caught:
        selectors.parse_field_selector(text)
    assert str(caught.value) == message


WORD = st.from_regex(r"[a-z0-9]([-a-z0-9_.]{0,8}[a-z0-9])?", fullmatch=True)
LABELS = st.dictionaries(WORD, WORD, max_size=4)


@given(LABELS, LABELS)
def test_a_set_selects_exactly_its_supersets(wanted: dict[str, str], held: dict[str, str]) -> None:
    text = ",".join(f"{k}={v}" for k, v in wanted.items())
    assert selectors.parse_label_selector(text).matches(held) == (wanted.items() <= held.items())
    assert selectors.label_selector({"matchLabels": wanted}).matches({**held, **wanted})


@given(st.text(alphabet="ab=!,() in>x", max_size=12))
def test_any_text_parses_or_is_refused_and_canonical_text_is_stable(text: str) -> None:
    try:
        selector = selectors.parse_label_selector(text)
    except SelectorError:
        return
    assert selectors.parse_label_selector(str(selector)) == selector


@given(st.dictionaries(WORD, st.text(max_size=6), max_size=3))
def test_field_values_of_any_kind_survive_escaping(fields: dict[str, str]) -> None:
    selector = selectors.FieldSelector(selectors.Requirement(k, "=", (v,)) for k, v in fields.items())
    assert selectors.parse_field_selector(str(selector)).matches(fields)


NODE: dict[str, Any] = {"metadata": {"name": "n1", "labels": {"zone": "a", "cpus": "8"}}}


@pytest.mark.parametrize(
    ("terms", "matches"),
    [
        (None, False),
        ([], False),
        ([{}], False),
        ([{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}]}], True),
        ([{"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]}], False),
        ([{"matchExpressions": [{"key": "rack", "operator": "NotIn", "values": ["a"]}]}], True),
        ([{"matchExpressions": [{"key": "rack", "operator": "Exists"}]}], False),
        ([{"matchExpressions": [{"key": "rack", "operator": "DoesNotExist"}]}], True),
        ([{"matchExpressions": [{"key": "cpus", "operator": "Gt", "values": ["7"]}]}], True),
        ([{"matchExpressions": [{"key": "cpus", "operator": "Lt", "values": ["8"]}]}], False),
        ([{"matchExpressions": [{"key": "zone", "operator": "Gt", "values": ["1"]}]}], False),
        ([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}], True),
        ([{"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["n1"]}]}], False),
        ([{}, {"matchExpressions": [{"key": "zone", "operator": "Exists"}]}], True),
    ],
)
def test_node_selector_terms(terms: list[dict[str, Any]] | None, matches: bool) -> None:
    assert selectors.match_node_selector_terms(terms, NODE) is matches


def test_node_selector_and_affinity_must_both_hold() -> None:
    term = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    pod = {"spec": {"nodeSelector": {"cpus": "8"}, "affinity": {"nodeAffinity": required}}}
    assert selectors.match_node_affinity(pod, NODE)
    assert selectors.match_node_affinity({"spec": {}}, NODE)
    assert not selectors.match_node_affinity({"spec": {"nodeSelector": {"cpus": "9"}}}, NODE)
