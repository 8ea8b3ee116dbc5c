"""Watch fan-out: how many events per second reach all watchers together, each over its own TLS connection.

wrk holds the watches (requests whose answers do not end) and counts bytes; another patches Pods. Bytes become events
by the size of one frame.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

from bench.cluster import Running, cluster
from bench.requests import API_SERVER_ONLY, PATCH, prepare

SECONDS = 5
WATCHED = "/api/v1/namespaces/default/pods?watch=true&allowWatchBookmarks=false"
UNITS = {"B": 1.0, "KB": 1024.0, "MB": 1024.0**2, "GB": 1024.0**3}


def fan_out(watchers: int) -> float:
    with cluster(*API_SERVER_ONLY) as running:
        prepare(running, 32)
        return measure(running, watchers)


def measure(running: Running, watchers: int) -> float:
    address = f"https://{running.host}:{running.port}"
    command = ["wrk", "-t1", "-H", f"Authorization: Bearer {running.token}", "--timeout", "60s"]
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "patch.lua"
        script.write_text(PATCH)
        writer = [*command, "-c4", f"-d{SECONDS + 4}s", "-s", str(script), f"{address}/"]
        with subprocess.Popen(writer, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as writing:
            watching = subprocess.run(
                [*command, f"-c{watchers}", f"-d{SECONDS}s", address + WATCHED],
                capture_output=True,
                text=True,
                check=True,
            )
            writing.communicate()
    found = re.search(r"Transfer/sec:\s+([\d.]+)([KMG]?B)", watching.stdout)
    assert found, watching.stdout
    return float(found[1]) * UNITS[found[2]] / frame_size(running)


def frame_size(running: Running) -> int:
    """Bytes of one event as it is sent, chunk framing included."""
    connection = running.connect()
    connection.request("GET", "/api/v1/namespaces/default/pods/p1")
    size = len(connection.getresponse().read())
    connection.close()
    return size + len('{"type":"MODIFIED","object":}\n') + len("1000\r\n\r\n")
