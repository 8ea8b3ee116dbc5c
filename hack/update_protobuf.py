"""Make ``src/pinnace/api/generated/protobuf.json`` from ``FACTS/protobuf-kubernetes.json``.

    hack/update_protobuf.py FACTS

The result maps each message to its fields, ``[number, name, type]``; a type is a scalar, a full message name, either of
them after ``[]`` for repeated, or ``map:`` and the type of its values (keys are strings).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

SCALARS = {"string", "bytes", "bool", "int32", "int64", "uint32", "uint64", "double", "float"}
TARGET = Path(__file__).parent.parent / "src" / "pinnace" / "api" / "generated" / "protobuf.json"


def full(package: str, name: str, messages: dict[str, object]) -> str:
    if name in SCALARS:
        return name
    if name.startswith("."):
        return name[1:]
    if f"{package}.{name}" not in messages:
        raise SystemExit(f"{package}: unknown message {name}")
    return f"{package}.{name}"


def main(facts: Path) -> None:
    messages = json.loads((facts / "protobuf-kubernetes.json").read_text())["messages"]
    made = {}
    for message, fields in sorted(messages.items()):
        package = message.rpartition(".")[0]
        rows = []
        for number, name, type, label in fields:
            if type.startswith("map<"):
                value = type.removeprefix("map<string,").removesuffix(">").strip()
                shown = "map:" + full(package, value, messages)
            else:
                shown = ("[]" if label == "repeated" else "") + full(package, type, messages)
            rows.append([number, name, shown])
        made[message] = rows
    lines = [f"{json.dumps(name)}:{json.dumps(rows, separators=(',', ':'))}" for name, rows in made.items()]
    TARGET.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
