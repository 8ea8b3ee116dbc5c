"""Make ``src/pinnace/api/generated/protobuf.txt``: the messages that clients send, as ``api.codecs.protobuf`` reads it.

    hack/update_protobuf.py FACTS

``FACTS/protobuf-kubernetes.json`` has the messages; ``protobuf_go.json`` beside this file what only the Go types tell:
which fields are pointers, which are embedded, and whose JSON name differs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pinnace.api import builtin

HERE = Path(__file__).parent
INTERNAL = "internal.apiserver.k8s.io"
TARGET = HERE.parent / "src" / "pinnace" / "api" / "generated" / "protobuf.txt"
META = "k8s.io.apimachinery.pkg.apis.meta.v1."
DEFINITIONS = "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1."
SCALARS = {"string", "bytes", "bool", "int32", "int64", "uint32", "uint64", "double", "float"}
#: Sent for every kind.
OPTIONS = ("CreateOptions", "DeleteOptions", "GetOptions", "ListOptions", "PatchOptions", "UpdateOptions", "Status")


def roots() -> set[str]:
    """The messages of every built-in kind, of its list, and of what subresources speak."""
    found = {META + name for name in OPTIONS}
    found |= {DEFINITIONS + name for name in ("CustomResourceDefinition", "CustomResourceDefinitionList")}
    for row in builtin.registry():
        for kind in (row.gvk, *(subresource.kind for subresource in row.subresources.values())):
            package = "apiserverinternal" if kind.group == INTERNAL else kind.group.partition(".")[0] or "core"
            name = f"k8s.io.api.{package}.{kind.version}.{kind.kind}"
            if not name.endswith("Options"):  # those of exec and the like come in the query
                found |= {name, name + "List"}
    return found


def full(package: str, type: str) -> str:
    if type in SCALARS:
        return type
    return type[1:] if type.startswith(".") else f"{package}.{type}"


def rows(message: str, fields: list[list[Any]], go: dict[str, Any]) -> list[list[Any]]:
    """``[number, JSON name, type, flags]`` of each field; flags: r repeated, i inline, p pointer."""
    package = message.rpartition(".")[0]
    inline, pointers = go["inline"].get(message, ()), go["pointers"].get(message, ())
    made = []
    for number, name, type, label in fields:
        if type.startswith("map<"):
            value = full(package, type.removeprefix("map<string,").removesuffix(">").strip())
            shown = f"map<string,{value}>"
        else:
            shown = full(package, type)
        json_name = go["names"].get(message, {}).get(name, name)
        flags = "r" if label == "repeated" else ""
        flags += ("i" if name in inline else "") + ("p" if json_name in pointers else "")
        made.append([number, json_name, shown, flags])
    return made


def main(facts: Path) -> None:
    messages = json.loads((facts / "protobuf-kubernetes.json").read_text())["messages"]
    go = json.loads((HERE / "protobuf_go.json").read_text())
    made: dict[str, list[list[Any]]] = {}
    waiting = [name for name in roots() if name in messages]
    while waiting:
        message = waiting.pop()
        if message in made:
            continue
        made[message] = rows(message, messages[message], go)
        for _, _, type, _ in made[message]:
            inner = type.removeprefix("map<string,").removesuffix(">")
            if inner not in SCALARS:
                waiting.append(inner)
    lines = [f"{name} {json.dumps(fields, separators=(',', ':'))}\n" for name, fields in sorted(made.items())]
    TARGET.write_text("".join(lines))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
