"""From the command to an API server that is ready, and to a Pod that is; what the cluster then costs at rest."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

from bench.cluster import Running, cluster, wait_ready

POD = {
    "metadata": {"name": "first"},
    "spec": {"containers": [{"name": "main", "image": "busybox", "command": ["sleep", "3600"]}]},
}
RUNS = 5


def to_readyz() -> float:
    """Median seconds to /readyz 200, on an empty directory each time."""
    times: list[float] = []
    for _ in range(RUNS):
        with cluster("--runtime", "simulated", wait=False) as running:
            times.append(wait_ready(running))
    return statistics.median(times)


def to_first_pod(runtime: str, image: str = "busybox", archive: Path | None = None) -> float:
    """Median seconds from the command to a Pod that is Ready, the image being there already."""
    times: list[float] = []
    for _ in range(RUNS):
        with cluster("--runtime", runtime) as running:
            loading = load_image(running, archive) if archive is not None else 0.0
            create_when_accepted(running, image)
            while not is_ready(running):
                time.sleep(0.01)  # each look is a TLS handshake, on the core that is being measured
            times.append(time.perf_counter() - running.started - loading)
    return statistics.median(times)


def load_image(running: Running, archive: Path) -> float:
    """Seconds that the load itself took, which is no part of what is measured."""
    import subprocess

    from bench.cluster import PINNACE

    command = [*PINNACE, "image", "load", str(archive), "--data-dir", str(running.directory / "data")]
    for _ in range(200):  # until containerd answers
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return time.perf_counter() - started
        time.sleep(0.05)
    raise RuntimeError(f"image load: {done.stderr}")


def create_when_accepted(running: Running, image: str) -> None:
    """Create the Pod as soon as its namespace's service account is there."""
    pod = {**POD, "spec": {"containers": [{**POD["spec"]["containers"][0], "image": image}]}}  # type: ignore[index]
    while True:
        try:
            running.request("POST", "/api/v1/namespaces/default/pods", pod)
            return
        except RuntimeError:
            time.sleep(0.01)


def is_ready(running: Running) -> bool:
    pod = running.request("GET", "/api/v1/namespaces/default/pods/first")
    conditions = pod["status"].get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def at_rest(seconds: float = 12.0) -> tuple[float, float]:
    """Resident memory in MB and CPU in percent of one core of an idle cluster with one simulated node."""
    with cluster("--runtime", "simulated") as running:
        time.sleep(5.0)
        before = cpu_seconds(running.process.pid)
        time.sleep(seconds)
        used = cpu_seconds(running.process.pid) - before
        return memory_mb(running.process.pid), 100.0 * used / seconds


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("no Pss in smaps_rollup")
