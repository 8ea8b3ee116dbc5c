"""Make the table of etcd messages that the store speaks from the facts: ``hack/update_etcd.py FACTS_DIR``.

The table is in the form of ``core.protomessages`` and holds what the used methods reach. The packages etcdserverpb and
mvccpb become one: only services are named on the wire.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

SCALARS = {"string", "bool", "bytes", "int32", "int64", "uint32", "uint64"}
METHODS = {
    "etcdserverpb.KV": ("Range", "Txn", "Compact"),
    "etcdserverpb.Watch": ("Watch",),
    "etcdserverpb.Maintenance": ("Status",),
}
#: Fields that only versions after 3.4 have.
LEFT_OUT = {"DowngradeInfo"}
TARGET = Path(__file__).parent.parent / "src/pinnace/store/backends/etcd_v3.json"


def main(facts: Path) -> None:
    data = json.loads((facts / "protobuf-etcd-v3.json").read_text())
    methods: dict[str, list[Any]] = {}
    for service, wanted in METHODS.items():
        for name, request, _, response, streaming in data["services"][service]:
            if name in wanted:
                methods[name] = [service, request, response, streaming]
    messages: dict[str, list[list[Any]]] = {}
    enums: dict[str, dict[str, int]] = {}
    pending = [("etcdserverpb", name) for row in methods.values() for name in row[1:3]]
    while pending:
        package, name = pending.pop()
        if name in messages:
            continue
        fields = []
        for number, field, type, label in data["messages"][f"{package}.{name}"]:
            if type in LEFT_OUT:
                continue
            inner_package, _, inner = type.rpartition(".")
            nested = f"{package}.{name}.{type}"
            if nested in data["enums"]:
                enums[type] = data["enums"][nested]
            elif type not in SCALARS:
                pending.append((inner_package or package, inner))
            fields.append([number, field, inner, int(label == "repeated")])
        messages[name] = fields
    table = {"methods": methods, "enums": enums, "messages": messages}
    TARGET.write_text(json.dumps(table, sort_keys=True, separators=(",", ":")) + "\n")
    print(f"{TARGET}: {len(messages)} messages, {len(enums)} enums, {len(methods)} methods")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(f"usage: {sys.argv[0]} FACTS_DIR")
    main(Path(sys.argv[1]))
