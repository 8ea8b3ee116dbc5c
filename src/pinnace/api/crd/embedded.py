"""Whole objects inside custom resources (``x-kubernetes-embedded-resource``): their metadata has the form of every
object's metadata, and they say their apiVersion and kind."""

from __future__ import annotations

from typing import Any

from pinnace.api import formats, schema_walk
from pinnace.api.crd.structural import Structural
from pinnace.api.errors import FieldError, go_quote, invalid_value, required
from pinnace.api.schema_walk import DecodeError
from pinnace.api.validation import metadata as object_meta

OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def decode_metadata(metadata: Any, path: str, unknown: list[str] | None) -> Any:
    """``metadata`` as ObjectMeta has it. Raises DecodeError in upstream's words."""
    problems: list[str] | None = None if unknown is None else []
    try:
        made = schema_walk.walker(OBJECT_META)(metadata, (None, path, ""), problems)
    except DecodeError as error:
        raise DecodeError(f"{path}: Invalid value: {go_quote(metadata)}: {error}") from None
    except RecursionError:
        raise DecodeError("exceeded max depth") from None
    if unknown is not None and problems:
        unknown += [problem.removeprefix('unknown field "').removesuffix('"') for problem in problems]
    return made


def coerce(value: Any, schema: Structural | None, unknown: list[str] | None, path: str = "") -> None:
    """Give the metadata of embedded objects its form, in place. Raises DecodeError."""
    if schema is None:
        return
    if isinstance(value, dict):
        if schema.embedded:
            for key in ("apiVersion", "kind"):
                if key in value and not isinstance(value[key], str):
                    where = f"{path}.{key}" if path else key
                    raise DecodeError(f"{where}: Invalid value: {go_quote(value[key])}: must be a string")
            if "metadata" in value:
                where = f"{path}.metadata" if path else "metadata"
                value["metadata"] = decode_metadata(value["metadata"], where, unknown)
        for key, member in value.items():
            if isinstance(member, dict | list):
                known = schema.properties.get(key)
                if known is not None:
                    coerce(member, known, unknown, f"{path}.{key}" if path else key)
                elif schema.additional is not None:
                    coerce(member, schema.additional, unknown, f"{path}[{key}]")
    elif isinstance(value, list) and schema.items is not None:
        for index, element in enumerate(value):
            coerce(element, schema.items, unknown, f"{path}[{index}]")


def validate(errors: list[FieldError], value: Any, schema: Structural | None, path: str = "") -> None:
    if schema is None:
        return
    if isinstance(value, dict):
        if schema.embedded:
            _validate_object(errors, value, path)
        for key, member in value.items():
            if isinstance(member, dict | list):
                known = schema.properties.get(key)
                if known is not None:
                    validate(errors, member, known, f"{path}.{key}" if path else key)
                elif schema.additional is not None:
                    validate(errors, member, schema.additional, f"{path}[{key}]")
    elif isinstance(value, list):
        for index, element in enumerate(value):
            validate(errors, element, schema.items, f"{path}[{index}]")


def _validate_object(errors: list[FieldError], value: dict[str, Any], path: str) -> None:
    prefix = f"{path}." if path else ""
    for key in ("apiVersion", "kind"):
        held = value.get(key)
        if key not in value:
            errors.append(required(f"{prefix}{key}"))
        elif not isinstance(held, str):
            errors.append(invalid_value(f"{prefix}{key}", held, "must be a string"))
        elif not held:
            errors.append(invalid_value(f"{prefix}{key}", held, "must not be empty"))
        elif key == "apiVersion" and held.count("/") > 1:
            errors.append(invalid_value(f"{prefix}{key}", held, f"unexpected GroupVersion string: {held}"))
        elif key == "kind" and (problems := formats.dns_1035_label(held.lower())):
            why = "may have mixed case, but should otherwise match: " + ",".join(problems)
            errors.append(invalid_value(f"{prefix}{key}", held, why))
    metadata = value.get("metadata")
    if isinstance(metadata, dict):
        checked = {**metadata, "name": metadata.get("name") or "fakename"}
        found: list[FieldError] = []
        object_meta.create(found, checked, bool(metadata.get("namespace")), object_meta.path_segment_name)
        errors += [error._replace(field=prefix + error.field) for error in found]
