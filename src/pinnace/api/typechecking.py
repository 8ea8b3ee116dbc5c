"""Type checking of a ValidatingAdmissionPolicy against the kinds that it is for: what its status warns of.

Expressions compile without types, so that a field's name that is misspelt is only noticed when it fails. Here they are
checked against the schemas of the built-in kinds that the policy's rules name; custom resources are not checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from pinnace.api import admission, schema_table
from pinnace.api.cel.types import BOOL, BYTES, DOUBLE, DYN, INT, STRING, TIMESTAMP, Type, list_of, map_of, object_of
from pinnace.api.registry import Registry
from pinnace.api.types import GVK, Object, split_api_version

#: Kinds looked at for each rule.
MOST_KINDS = 10
_SCALARS = {"string": STRING, "integer": INT, "number": DOUBLE, "boolean": BOOL}
_FORMATS = {"date-time": TIMESTAMP, "byte": BYTES, "int-or-string": DYN}
_REFS = {
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": TIMESTAMP,
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": TIMESTAMP,
}


class _Fields(Mapping[str, Type]):
    """The fields of a definition, which may be its own parts."""

    def __init__(self, properties: Mapping[str, Any]) -> None:
        self._properties = properties

    def __getitem__(self, name: str) -> Type:
        return _of_node(self._properties[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._properties)

    def __len__(self) -> int:
        return len(self._properties)


def _of_node(node: Mapping[str, Any]) -> Type:
    ref = str(node.get("$ref", "")).rpartition("/")[2]
    if ref:
        return _REFS[ref] if ref in _REFS else of_definition(ref)
    kind = node.get("type")
    if kind == "array":
        return list_of(_of_node(node["items"]))
    if kind == "object":
        values = node.get("additionalProperties")
        return map_of(STRING, _of_node(values)) if isinstance(values, dict) else DYN
    return _FORMATS.get(str(node.get("format")), _SCALARS.get(str(kind), DYN))


@cache
def of_definition(definition: str) -> Type:
    """The type of a built-in kind or a part of one; dyn for what has no fields."""
    properties = schema_table.schema(definition).get("properties") if schema_table.known(definition) else None
    return object_of(definition, _Fields(properties)) if properties else DYN


def kinds_of(policy: Object, registry: Registry) -> list[GVK]:
    """The kinds that its rules name, without wildcards, in order."""
    found: set[GVK] = set()
    for rule in (policy["spec"].get("matchConstraints") or {}).get("resourceRules") or ():
        count = 0
        groups, versions = rule.get("apiGroups") or [], rule.get("apiVersions") or []
        if any("*" in text for text in (*groups, *versions)):
            continue
        for group in sorted(groups):
            for version in sorted(versions):
                for resource in sorted(rule.get("resources") or ()):
                    row = registry.get(group, version, resource)
                    if row is not None and row.definition and count < MOST_KINDS:
                        found.add(row.gvk)
                        count += 1
    return sorted(found)


def warnings(policy: Object, registry: Registry) -> list[Object]:
    """The ``expressionWarnings`` of its status."""
    kinds = kinds_of(policy, registry)
    found = []
    for index, validation in enumerate(policy["spec"].get("validations") or ()):
        for field in ("expression", "messageExpression"):
            text = validation.get(field)
            issues = [_issue(policy, text, gvk) for gvk in kinds] if text else []
            told = "\n".join(issue for issue in issues if issue)
            if told:
                found.append({"fieldRef": f"spec.validations[{index}].{field}", "warning": told})
    return found


def _issue(policy: Object, text: str, gvk: GVK) -> str:
    """What is wrong with an expression over objects of that kind, "" for nothing."""
    spec = policy["spec"]
    known = admission.names(params=spec.get("paramKind") is not None, authorizer=True)
    known["object"] = known["oldObject"] = of_definition(schema_table.of_kind(gvk))
    if kind := spec.get("paramKind"):
        params = schema_table.of_kind(GVK(*split_api_version(kind["apiVersion"]), kind["kind"]))
        known["params"] = of_definition(params) if params else DYN
    variables: dict[str, Type] = {}
    for variable in spec.get("variables") or ():
        names = admission.with_variables(known, variables)
        variables[variable["name"]] = admission.tried(variable["expression"], names).result
    try:
        admission.compiled(text, admission.with_variables(known, variables))
    except admission.ExpressionError as error:
        return f"{gvk.group}/{gvk.version}, Kind={gvk.kind}: {error}\n"
    return ""
