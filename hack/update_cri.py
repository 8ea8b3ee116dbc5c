"""Make the table of CRI messages that the kubelet speaks from the facts: ``hack/update_cri.py FACTS_DIR``.

The table holds what the used methods reach, without Windows: ``messages`` name -> [[number, name, type, repeated]],
``enums`` name -> {value: number}, ``methods`` name -> [service, request, response, streaming].
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

SCALARS = {"string", "bool", "bytes", "double", "int32", "int64", "uint32", "uint64", "map<string,string>"}
METHODS = {
    *("Version", "Status", "UpdateRuntimeConfig", "GetContainerEvents"),
    *("RunPodSandbox", "StopPodSandbox", "RemovePodSandbox", "PodSandboxStatus", "ListPodSandbox"),
    *("CreateContainer", "StartContainer", "StopContainer", "RemoveContainer", "ListContainers", "ContainerStatus"),
    *("UpdateContainerResources", "ReopenContainerLog", "ContainerStats"),
    *("ExecSync", "Exec", "Attach", "PortForward"),
    *("ListImages", "ImageStatus", "PullImage", "RemoveImage", "ImageFsInfo"),
}
TARGET = Path(__file__).parent.parent / "src/pinnace/kubelet/runtime/cri/cri_v1.json"


def main(facts: Path) -> None:
    data = json.loads((facts / "protobuf-cri-v1.json").read_text())
    methods: dict[str, list[Any]] = {}
    for service, rows in data["services"].items():
        for name, request, _, response, streaming in rows:
            if name in METHODS:
                methods[name] = [service, request, response, streaming]
    messages: dict[str, list[list[Any]]] = {}
    enums: dict[str, dict[str, int]] = {}
    pending = [name for row in methods.values() for name in row[1:3]]
    while pending:
        name = pending.pop()
        if name in messages or name in enums:
            continue
        fields = []
        for number, field, type, label in data["messages"][f"runtime.v1.{name}"]:
            if type.startswith("Windows"):
                continue
            nested = f"runtime.v1.{name}.{type}"
            if nested in data["enums"]:
                enums[f"{name}_{type}"] = data["enums"][nested]
                type = f"{name}_{type}"
            elif f"runtime.v1.{type}" in data["enums"]:
                enums[type] = data["enums"][f"runtime.v1.{type}"]
            elif type not in SCALARS:
                pending.append(type)
            fields.append([number, field, type, int(label == "repeated")])
        messages[name] = fields
    table = {"methods": methods, "enums": enums, "messages": messages}
    TARGET.write_text(json.dumps(table, sort_keys=True, separators=(",", ":")) + "\n")
    print(f"{TARGET}: {len(messages)} messages, {len(enums)} enums, {len(methods)} methods")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(f"usage: {sys.argv[0]} FACTS_DIR")
    main(Path(sys.argv[1]))
