"""``pinnace status``: is a cluster running on the data directory, is it well, and how is it reached."""

from __future__ import annotations

import http.client
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from pinnace.cli.ask import PATIENCE, Asker
from pinnace.cluster.datadir import DataDir
from pinnace.cluster.errors import Exit


def run(path: Path, output: str) -> int:
    """Exit code 0 if the cluster runs and is ready, NOT_RUNNING if it does not run, ERROR if it is not well."""
    status = collect(path)
    if output == "json":
        json.dump(status, sys.stdout, indent=2)
        print()
    else:
        print(describe(status))
    if not status["running"]:
        return int(Exit.NOT_RUNNING)
    return 0 if status["ready"] else int(Exit.ERROR)


def collect(path: Path) -> dict[str, Any]:
    """What ``-o json`` prints."""
    path = path.absolute()
    facts = DataDir(path).running()
    if facts is None:
        directory = DataDir(path)
        starting = directory.is_held()
        status: dict[str, Any] = {"running": starting, "ready": False, "dataDir": str(path)}
        if not starting:
            from pinnace.cluster import teardown

            status["leftContainers"] = teardown.containers_left(path)
            was_node = "node" in (directory.last_announced() or ()) or (path / "kubelet.conf").exists()
            status["verb"] = "node" if was_node else "up"
        return status
    status = {"running": True, "ready": False, "dataDir": str(path), **facts}
    try:
        status.update(_ask(path, facts))
    except TimeoutError:
        status["error"] = f"the API server does not answer within {PATIENCE} s; see {DataDir(path).log}"
    except (OSError, http.client.HTTPException, ValueError) as error:
        status["error"] = f"the API server does not answer: {error}"
    return status


def _ask(path: Path, facts: dict[str, Any]) -> dict[str, Any]:
    from pinnace.kubelet import oci

    name = str(facts.get("node") or "")
    with Asker(path, facts) as asker:
        code, ready = asker.ask("GET", "/readyz?verbose")
        nodes = [asker.get(f"/api/v1/nodes/{name}")] if name else asker.get("/api/v1/nodes")["items"]
        pods = asker.get("/api/v1/pods" + (f"?fieldSelector=spec.nodeName={name}" if name else ""))["items"]
    made_by = {meta.get("annotations", {}).get(oci.ANNOTATION) for meta in (node["metadata"] for node in nodes)}
    failing = [line for line in ready.decode(errors="replace").splitlines() if line.startswith("[-]")]
    return {
        "ready": code == 200 and (not name or all(map(_is_ready, nodes))),
        "failing": failing,
        "ociRuntimes": sorted(filter(None, made_by)),
        "nodes": {"total": len(nodes), "ready": sum(map(_is_ready, nodes))},
        "pods": dict(Counter(str(pod["status"].get("phase")) for pod in pods)),
    }


def _is_ready(node: dict[str, Any]) -> bool:
    conditions = node["status"].get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def describe(status: dict[str, Any]) -> str:
    """A person's view."""
    if not status["running"]:
        where, verb = f"not running (data directory {status['dataDir']})", status["verb"]
        if left := status["leftContainers"]:
            what = "1 container of it still runs" if left == 1 else f"{left} containers of it still run"
            return f"{where}, but {what}; 'pinnace {verb}' carries on with them, 'pinnace down' ends them"
        return f"{where}; start it: pinnace {verb}"
    if "server" not in status:
        return f"starting (data directory {status['dataDir']})"
    state = "running" if status["ready"] else "running, not ready"
    rows = [
        (
            "node" if "node" in status else "cluster",
            f"{state}, since {_age(status['startedAt'])} (process {status['pid']})",
        ),
        ("server", status["server"]),
        ("version", f"pinnace {status['version']}, Kubernetes {status['kubernetesVersion']}"),
        ("parts", ", ".join(status["parts"])),
        ("runtime", " with ".join(filter(None, (status["runtime"], ", ".join(status.get("ociRuntimes") or ()))))),
        ("data", status["dataDir"]),
        ("kubeconfig", status["kubeconfig"] + (f", context {status['context']}" if status["context"] else "")),
    ]
    if "nodes" in status:
        rows.append(("nodes", f"{status['nodes']['ready']} of {status['nodes']['total']} ready"))
        pods = ", ".join(f"{count} {phase}" for phase, count in sorted(status["pods"].items()))
        rows.append(("pods", pods or "none"))
    rows += [("failing", line) for line in status.get("failing") or ()]
    if "error" in status:
        rows.append(("error", status["error"]))
    return "\n".join(f"{name:<11} {value}" for name, value in rows)


def _age(started: float) -> str:
    seconds = max(int(time.time() - started), 0)
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = seconds // length
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{seconds} seconds"
