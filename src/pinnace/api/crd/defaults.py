"""Defaults in a schema: each must be what the schema itself would keep and accept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pinnace.api import meta
from pinnace.api.crd import embedded, pruning
from pinnace.api.crd.structural import Structural
from pinnace.api.crd.values import Validator
from pinnace.api.errors import FieldError, invalid_value
from pinnace.api.schema_walk import DecodeError

#: ``(schema, default, where)``: what the validation rules say of it.
RuleCheck = Callable[[Structural, Any, str], list[FieldError]]


def errors(schema: Structural, at: str, check_rules: RuleCheck | None = None) -> list[FieldError]:
    """What is wrong with the defaults in ``schema``, whose place in the definition is ``at``."""
    found: list[FieldError] = []
    if schema.has_defaults:
        _walk(found, schema, at, check_rules)
    return found


def _walk(found: list[FieldError], schema: Structural, at: str, check_rules: RuleCheck | None) -> None:
    if schema.default is not None:
        found += _default(schema, f"{at}.default", check_rules)
    if schema.items is not None:
        _walk(found, schema.items, f"{at}.items", check_rules)
    for name, child in schema.properties.items():
        if child.has_defaults:
            _walk(found, child, f"{at}.properties[{name}]", check_rules)


def _default(schema: Structural, at: str, check_rules: RuleCheck | None) -> list[FieldError]:
    value = meta.copy(schema.default)
    found = []
    pruning.prune_value(value, schema)
    if value != schema.default:
        found.append(invalid_value(at, schema.default, "must not have unknown fields"))
    try:
        embedded.coerce(meta.copy(schema.default), schema, None)
    except DecodeError as error:
        return [*found, invalid_value(at, schema.default, str(error))]
    wrong: list[FieldError] = []
    embedded.validate(wrong, schema.default, schema, at)
    wrong = wrong or Validator(schema.node).validate(schema.default, at)
    if not wrong and check_rules is not None:
        wrong = check_rules(schema, schema.default, at)
    return found + wrong
