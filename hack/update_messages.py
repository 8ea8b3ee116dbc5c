"""Make the tables of protobuf messages that Pinnace speaks as a client: ``hack/update_messages.py FACTS_DIR``.

A table (``core.protomessages``) holds what the used methods reach: ``messages`` name -> [[number, name, type,
repeated]], ``enums`` name -> {value: number}, ``methods`` name -> [service, request, response, streaming]. The packages
of one interface become one: only services are named on the wire.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

SCALARS = {"string", "bool", "bytes", "double", "int32", "int64", "uint32", "uint64", "map<string,string>"}
SOURCES = Path(__file__).parent.parent / "src/pinnace"


class Interface(NamedTuple):
    """``left_out`` are beginnings of types whose fields are not used; ``enum`` names one by its message and its own
    name there."""

    facts: str
    table: str
    package: str
    methods: frozenset[str]
    left_out: tuple[str, ...]
    enum: str


INTERFACES = (
    Interface(
        "protobuf-cri-v1.json",
        "kubelet/runtime/cri/cri_v1.json",
        "runtime.v1",
        frozenset(
            (
                *("Version", "Status", "UpdateRuntimeConfig", "GetContainerEvents"),
                *("RunPodSandbox", "StopPodSandbox", "RemovePodSandbox", "PodSandboxStatus", "ListPodSandbox"),
                *("CreateContainer", "StartContainer", "StopContainer", "RemoveContainer", "ListContainers"),
                *("ContainerStatus", "UpdateContainerResources", "ReopenContainerLog", "ContainerStats"),
                *("ExecSync", "Exec", "Attach", "PortForward"),
                *("ListImages", "ImageStatus", "PullImage", "RemoveImage", "ImageFsInfo"),
            )
        ),
        ("Windows",),
        "{message}_{name}",
    ),
    Interface(
        "protobuf-etcd-v3.json",
        "store/backends/etcd_v3.json",
        "etcdserverpb",
        frozenset(("Range", "Txn", "Compact", "Watch", "Status")),
        ("DowngradeInfo",),  # later than 3.4
        "{name}",
    ),
)


def table(data: dict[str, Any], interface: Interface) -> dict[str, Any]:
    methods: dict[str, list[Any]] = {}
    for service, rows in data["services"].items():
        for name, request, _, response, streaming in rows:
            if name in interface.methods:
                methods[name] = [service, request, response, streaming]
    messages: dict[str, list[list[Any]]] = {}
    enums: dict[str, dict[str, int]] = {}
    pending = [(interface.package, name) for row in methods.values() for name in row[1:3]]
    while pending:
        package, name = pending.pop()
        if name in messages:
            continue
        fields = []
        for number, field, type, label in data["messages"][f"{package}.{name}"]:
            if type.startswith(interface.left_out):
                continue
            if type not in SCALARS:
                inner_package, _, inner = type.rpartition(".")
                inner_package = inner_package or package
                if f"{package}.{name}.{type}" in data["enums"]:
                    own = f"{package}.{name}.{type}"
                    type = interface.enum.format(message=name, name=type)
                    enums[type] = data["enums"][own]
                elif f"{inner_package}.{inner}" in data["enums"]:
                    type = inner
                    enums[type] = data["enums"][f"{inner_package}.{inner}"]
                else:
                    type = inner
                    pending.append((inner_package, inner))
            fields.append([number, field, type, int(label == "repeated")])
        messages[name] = fields
    return {"methods": methods, "enums": enums, "messages": messages}


def main(facts: Path) -> None:
    for interface in INTERFACES:
        made = table(json.loads((facts / interface.facts).read_text()), interface)
        target = SOURCES / interface.table
        target.write_text(json.dumps(made, sort_keys=True, separators=(",", ":")) + "\n")
        print(f"{target.name}: {', '.join(f'{len(made[what])} {what}' for what in ('messages', 'enums', 'methods'))}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(f"usage: {sys.argv[0]} FACTS_DIR")
    main(Path(sys.argv[1]))
