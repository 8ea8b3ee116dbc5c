"""What a web server in C makes of the same answer on the same machine: the bound that TLS, the kernel and wrk set."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from bench.cluster import Running

CONFIGURATION = """
{user}
worker_processes 1;
daemon off;
pid {folder}/pid;
error_log {folder}/errors;
events {{}}
http {{
  access_log off;
  keepalive_requests 1000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  output_buffers 2 256k;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_protocols TLSv1.3;
    ssl_certificate {pki}/apiserver.crt;
    ssl_certificate_key {pki}/apiserver.key;
    root {folder}/served;
    types {{}}
    default_type application/json;
  }}
}}
"""


def installed() -> bool:
    return shutil.which("nginx") is not None


@contextmanager
def serving(running: Running, body: bytes) -> Iterator[Running]:
    """One nginx process that answers ``/body`` with ``body``, under the certificate of ``running``."""
    folder = running.directory / "nginx"
    (folder / "served").mkdir(parents=True)
    (folder / "served" / "body").write_bytes(body)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    file = folder / "nginx.conf"
    user = "" if os.geteuid() else "user root;"  # who else could not read the folder
    file.write_text(CONFIGURATION.format(user=user, folder=folder, port=port, pki=running.directory / "data" / "pki"))
    process = subprocess.Popen(["nginx", "-p", str(folder), "-c", str(file), "-e", str(folder / "errors")])
    try:
        _wait(port)
        yield replace(running, process=process, host="127.0.0.1", port=port)
    finally:
        process.terminate()
        process.wait(10)


def _wait(port: int) -> None:
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.01)
        else:
            return
    raise RuntimeError("nginx does not listen")
