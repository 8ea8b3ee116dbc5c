"""Renders TypedDicts from the schema table: typing for those who read and build objects."""

from __future__ import annotations

import keyword
from typing import Any

Json = dict[str, Any]

#: The kinds that the parts work with; everything that they refer to is rendered too.
KINDS = (
    "io.k8s.api.core.v1.Pod",
    "io.k8s.api.core.v1.Node",
    "io.k8s.api.core.v1.Namespace",
    "io.k8s.api.core.v1.Service",
    "io.k8s.api.core.v1.Endpoints",
    "io.k8s.api.core.v1.ConfigMap",
    "io.k8s.api.core.v1.Secret",
    "io.k8s.api.core.v1.ServiceAccount",
    "io.k8s.api.core.v1.Event",
    "io.k8s.api.apps.v1.Deployment",
    "io.k8s.api.apps.v1.ReplicaSet",
    "io.k8s.api.apps.v1.StatefulSet",
    "io.k8s.api.apps.v1.DaemonSet",
    "io.k8s.api.batch.v1.Job",
    "io.k8s.api.batch.v1.CronJob",
    "io.k8s.api.coordination.v1.Lease",
    "io.k8s.api.discovery.v1.EndpointSlice",
)
SCALARS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
SPECIAL = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "int | str",
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "str",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "str",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "str",
}


def class_name(definition: str) -> str:
    package, kind = definition.rsplit(".", 2)[0], definition.rsplit(".", 1)[1]
    group = package.rsplit(".", 1)[1]
    return kind if group in ("core", "apps", "batch", "meta", "coordination") else group.capitalize() + kind


def spelled(schema: Json, schemas: dict[str, Json]) -> str:
    reference = schema.get("$ref")
    if reference is not None:
        if reference in SPECIAL:
            return SPECIAL[reference]
        return class_name(reference) if "properties" in schemas[reference] else "dict[str, Any]"
    kind = schema.get("type")
    if kind == "array":
        return f"list[{spelled(schema['items'], schemas)}]"
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"dict[str, {spelled(values, schemas)}]" if values else "dict[str, Any]"
    return SCALARS.get(kind or "", "Any")


def needed(schemas: dict[str, Json]) -> list[str]:
    found: set[str] = set()
    waiting = list(KINDS)
    while waiting:
        name = waiting.pop()
        if name in found or "properties" not in schemas[name] or name in SPECIAL:
            continue
        found.add(name)
        for field in schemas[name]["properties"].values():
            nodes = (field, field.get("items", {}), field.get("additionalProperties", {}))
            waiting.extend(node["$ref"] for node in nodes if "$ref" in node)
    return sorted(found)


def render(schemas: dict[str, Json], rows: list[Json]) -> str:
    lines = ['"""TypedDicts of Kubernetes kinds. Made by hack/update.py; do not edit."""', ""]
    lines += ["from __future__ import annotations", "", "from typing import Any, TypedDict", ""]
    for name in needed(schemas):
        fields = schemas[name]["properties"]
        title = class_name(name)
        if all(field.isidentifier() and not keyword.iskeyword(field) for field in fields):
            lines += ["", f"class {title}(TypedDict, total=False):"]
            lines += [f"    {field}: {spelled(schema, schemas)}" for field, schema in sorted(fields.items())]
            lines.append("")
        else:
            body = ", ".join(f'"{field}": "{spelled(schema, schemas)}"' for field, schema in sorted(fields.items()))
            lines += ["", f'{title} = TypedDict("{title}", {{{body}}}, total=False)', ""]
    return "\n".join(lines).rstrip() + "\n"
