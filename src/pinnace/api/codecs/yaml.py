"""YAML documents as JSON data: what may be in a body, and what would cost too much to make."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

#: Most nodes that aliases may blow a document up to.
MOST_NODES = 200_000
DEPTH = 100
#: A plain ``=`` is text, as it is to Go: definitions list it among operators.
_YAML_VALUE, _YAML_STRING = "tag:yaml.org,2002:value", "tag:yaml.org,2002:str"


class YamlError(ValueError):
    """``str`` is what upstream says of the document."""


def load(body: bytes) -> tuple[Any, list[tuple[int, str]]]:
    """One YAML document as JSON data, and line and key of what a mapping names twice. Raises YamlError."""
    import yaml

    loader_class: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader = None
    try:
        _check_depth(yaml.parse(body, Loader=loader_class))
        loader = loader_class(body)
        node = loader.get_single_node()
        if node is None:
            return None, []
        _check_size(node, [0], 0)
        twice = list(_named_twice(node))
        data = loader.construct_document(node)
    except _TooComplexError as error:
        raise YamlError(str(error)) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        first = " ".join(str(error).split())
        raise YamlError(f"yaml: {first}") from None
    finally:
        if loader is not None:
            loader.dispose()
    return _json_types(data), twice


def _named_twice(node: Any) -> Iterator[tuple[int, str]]:
    if not isinstance(node.value, list):
        return
    seen: set[str] = set()
    for child in node.value:
        if not isinstance(child, tuple):
            yield from _named_twice(child)
            continue
        key, value = child
        if isinstance(key.value, str) and key.value in seen and key.value != "<<":
            yield key.start_mark.line + 1, key.value
        elif isinstance(key.value, str):
            seen.add(key.value)
        yield from _named_twice(value)


class _TooComplexError(Exception):
    pass


def _check_depth(events: Iterable[Any]) -> None:
    """Before nodes are made of them: the C library does that recursively, and deep nesting would end the process."""
    import yaml

    depth = 0
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEPTH:
                raise _TooComplexError("exceeded max depth")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _check_size(node: Any, count: list[int], depth: int) -> None:
    """Count nodes with every alias followed, so that a small document cannot become a huge object."""
    count[0] += 1
    if count[0] > MOST_NODES:
        raise _TooComplexError("document contains excessive aliasing")
    if depth > DEPTH:
        raise _TooComplexError("exceeded max depth")
    if node.tag == _YAML_VALUE:
        node.tag = _YAML_STRING
    if isinstance(node.value, list):
        for child in node.value:
            if isinstance(child, tuple):
                _check_size(child[0], count, depth + 1)
                _check_size(child[1], count, depth + 1)
            else:
                _check_size(child, count, depth + 1)


def _json_types(value: Any) -> Any:
    """YAML's dates and the like as the strings they were written as; keys as strings."""
    if isinstance(value, dict):
        return {k if isinstance(k, str) else _key(k): _json_types(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_json_types(item) for item in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if hasattr(value, "isoformat"):
        text = str(value.isoformat())
        return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text
    return str(value)


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return "null" if key is None else str(key)
