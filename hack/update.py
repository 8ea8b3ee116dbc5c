"""Makes the compact tables of ``src/pinnace/api/generated`` (design D3).

``schemas.txt``           one definition a line: its name, a space, its JSON schema without descriptions
``descriptions.json.gz``  {definition: [its description, {field: description}]}, read only for OpenAPI
``resources.json``        the built-in resources; our own data from the first import on
``kinds.py``              TypedDicts of the kinds that the parts work with
``present.txt``           one definition a line, and those of its fields that Go always encodes

The schemas come from PyPI's kubernetes-validate (a development dependency). ``--facts DIR`` imports ``resources.json``
anew from a directory with a list of resources; without it the checked-in rows are kept and only their definitions are
looked up again. ``--go DIR`` imports ``hack/go_fields.txt`` and ``present.txt`` anew from checkouts of k8s.io's api,
apimachinery, apiextensions-apiserver and kube-aggregator beside each other. ``--verify`` writes nothing and fails if a
table differs from what an update would write.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import go_fields
import kinds_table

TARGET = "v1.37.0-local"
#: Versions that are still served but left the newest schemas: their definitions come from the release before.
PREVIOUS = "v1.36.0-local"
OUT = Path(__file__).resolve().parent.parent / "src" / "pinnace" / "api" / "generated"
GO_FIELDS = Path(__file__).with_name("go_fields.txt")
KEEP = ("format", "required")
CONNECT = {"connect:get": "get", "connect:post": "create", "connect:put": "update"}
CONNECT |= {"connect:delete": "delete", "connect:patch": "patch"}
#: Kinds that every group claims; nobody looks them up by group, version and kind.
SHARED_KINDS = {"DeleteOptions", "WatchEvent"}
#: Alpha kinds that facts do not list are left out; other versions of listed kinds are served as well.
ALPHA_ONLY = {"CompositePodGroup", "Eviction", "EvictionRequest"}

Json = dict[str, Any]
Key = tuple[str, str, str]


def definitions(release: str) -> dict[str, Json]:
    spec = importlib.util.find_spec("kubernetes_validate")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("kubernetes-validate is not installed: run `make dev`")
    root = Path(next(iter(spec.submodule_search_locations)))
    path = root / "kubernetes-json-schema" / release / "_definitions.json"
    if not path.exists():
        sys.exit(f"{path} is missing: kubernetes-validate is of another version; run `make dev`")
    found: dict[str, Json] = json.loads(path.read_text())["$defs"]
    return found


def kinds_of(defs: dict[str, Json]) -> dict[Key, str]:
    """Definition by group, version and kind."""
    return {
        (gvk["group"], gvk["version"], gvk["kind"]): name
        for name, schema in defs.items()
        for gvk in schema.get("x-kubernetes-group-version-kind", ())
        if gvk["kind"] not in SHARED_KINDS
    }


def compact(schema: Json) -> Json:
    """The schema without descriptions, nullability and the enums that only repeat apiVersion and kind."""
    row: Json = {key: schema[key] for key in KEEP if key in schema}
    if "$ref" in schema:
        row["$ref"] = schema["$ref"].removeprefix("#/$defs/")
    kind = schema.get("type")
    if kind is not None:
        row["type"] = kind[0] if isinstance(kind, list) else kind
    if "properties" in schema:
        row["properties"] = {name: compact(field) for name, field in schema["properties"].items()}
    for nested in ("items", "additionalProperties"):
        if isinstance(schema.get(nested), dict):
            row[nested] = compact(schema[nested])
    for key, value in schema.items():
        if key == "x-kubernetes-group-version-kind":
            gvks = [gvk for gvk in value if gvk["kind"] not in SHARED_KINDS]
            if gvks:
                row[key] = gvks
        elif key.startswith("x-kubernetes-"):
            row[key] = value
    return row


def annotated(schemas: dict[str, Json], text: str) -> dict[str, Json]:
    """``schemas`` with ``omitZero``, ``goType`` and ``enum`` on the fields that ``go_fields.txt`` tells of."""
    notes, enums = go_fields.parse(text)
    for name, of_fields in notes.items():
        for field, (omit, go_type) in of_fields.items():
            node = schemas.get(name, {}).get("properties", {}).get(field)
            if node is None:
                continue
            if omit:
                node["omitZero"] = True
            if go_type:
                typed = node.get("items", node)
                typed["goType"] = go_type
                if values := go_fields.values_of(enums, name, go_type):
                    typed["enum"] = values
    return schemas


def references(schema: Any) -> set[str]:
    if isinstance(schema, dict):
        found = {schema["$ref"].removeprefix("#/$defs/")} if isinstance(schema.get("$ref"), str) else set()
        return found.union(*(references(value) for value in schema.values()))
    return set().union(*(references(value) for value in schema)) if isinstance(schema, list) else set()


def merged_definitions(rows: list[Json]) -> dict[str, Json]:
    """The target's definitions, and from the previous release those that a served version still needs."""
    defs = definitions(TARGET)
    known = kinds_of(defs)
    missing = [key for row in rows if (key := (row["group"], row["version"], row["kind"])) not in known]
    if missing:
        previous = definitions(PREVIOUS)
        wanted = [name for key in missing if (name := kinds_of(previous).get(key))]
        while wanted:
            name = wanted.pop()
            if name not in defs:
                defs[name] = previous[name]
                wanted.extend(references(previous[name]))
            listed = f"{name}List"
            if listed in previous and listed not in defs:
                defs[listed] = previous[listed]
    return defs


def imported_rows(facts: list[Json]) -> list[Json]:
    """Rows from the facts: one per resource, its subresources inside it."""
    rows: dict[tuple[str, str, str], Json] = {}
    for fact in facts:
        if "/" in fact["resource"]:
            continue
        verbs = set(fact["verbs"])
        if "list" in verbs and fact["resource"] != "componentstatuses":
            verbs.add("watch")
        row: Json = {"group": fact["group"], "version": fact["version"], "plural": fact["resource"]}
        row |= {"kind": fact["kind"]["kind"], "namespaced": fact["namespaced"], "verbs": sorted(verbs)}
        row |= {key: fact[key] for key in ("shortNames", "categories") if fact.get(key)}
        rows[fact["group"], fact["version"], fact["resource"]] = row
    for fact in facts:
        plural, _, name = fact["resource"].partition("/")
        if not name or "{" in name:
            continue
        kind = fact["kind"]
        verbs = {CONNECT.get(verb, verb) for verb in fact["verbs"]}
        subresource = {
            "kind": [kind["group"], kind["version"], kind["kind"]],
            "verbs": sorted(verb for verb in verbs if not verb.startswith("connect:")),
        }
        rows[fact["group"], fact["version"], plural].setdefault("subresources", {})[name] = subresource
    return list(rows.values())


def further_versions(rows: list[Json]) -> list[Json]:
    """Versions of a listed resource that the target has schemas of and the facts do not list."""
    have = {(row["group"], row["version"], row["kind"]) for row in rows}
    by_kind = {(row["group"], row["kind"]): row for row in rows}
    added = []
    for group, version, kind in sorted(kinds_of(definitions(TARGET))):
        base = by_kind.get((group, kind))
        if base is None or (group, version, kind) in have or kind in ALPHA_ONLY:
            continue
        row = json.loads(json.dumps(base)) | {"version": version}
        for subresource in row.get("subresources", {}).values():
            if subresource["kind"] == [group, base["version"], kind]:
                subresource["kind"] = [group, version, kind]
        added.append(row)
    return added


def describe(defs: dict[str, Json]) -> dict[str, list[Any]]:
    return {
        name: [
            schema.get("description", ""),
            {
                field: detail["description"]
                for field, detail in schema.get("properties", {}).items()
                if "description" in detail
            },
        ]
        for name, schema in sorted(defs.items())
    }


def dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def tables(facts: Path | None) -> dict[str, bytes]:
    """File name to content of every generated table; gzip files are given uncompressed."""
    if facts is not None:
        rows = imported_rows(json.loads((facts / "resources.json").read_text()))
        rows += further_versions(rows)
    else:
        rows = json.loads((OUT / "resources.json").read_text())
    defs = merged_definitions(rows)
    known = kinds_of(defs)
    for row in rows:
        row["definition"] = known.get((row["group"], row["version"], row["kind"]), "")
    rows.sort(key=lambda row: (row["group"], row["version"], row["plural"]))
    schemas = {name: compact(schema) for name, schema in sorted(defs.items())}
    annotated(schemas, GO_FIELDS.read_text())
    return {
        "resources.json": ("[\n" + ",\n".join(map(dumps, rows)) + "\n]\n").encode(),
        "schemas.txt": "".join(f"{name} {dumps(schema)}\n" for name, schema in schemas.items()).encode(),
        "descriptions.json.gz": dumps(describe(defs)).encode(),
        "kinds.py": kinds_table.render(schemas, rows).encode(),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--facts", type=Path, help="directory with resources.json: import the resources anew")
    parser.add_argument("--verify", action="store_true", help="only compare; exit 1 if a table is out of date")
    parser.add_argument("--go", type=Path, help="directory with Go sources: import go_fields.txt anew")
    arguments = parser.parse_args()
    if arguments.go is not None:
        known = definitions(TARGET) | definitions(PREVIOUS)
        GO_FIELDS.write_text(go_fields.render(arguments.go, known))
        (OUT / "present.txt").write_text(go_fields.render_present(arguments.go, known))
    stale = []
    for name, content in tables(arguments.facts).items():
        path = OUT / name
        current = path.read_bytes() if path.exists() else None
        if current is not None and name.endswith(".gz"):
            current = gzip.decompress(current)
        if current == content:
            continue
        stale.append(name)
        if not arguments.verify:
            path.write_bytes(gzip.compress(content, mtime=0) if name.endswith(".gz") else content)
    if arguments.verify and stale:
        print(f"out of date: {', '.join(stale)}; run `make update` and commit the result", file=sys.stderr)
        return 1
    print(f"{'checked' if arguments.verify else 'wrote'}: {', '.join(stale) or 'everything is up to date'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
