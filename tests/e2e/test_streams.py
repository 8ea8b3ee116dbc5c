"""exec, attach, cp and port-forward as stock kubectl does them: over WebSockets, and over SPDY as older ones did."""

from __future__ import annotations

import fcntl
import hashlib
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.machine import Machine, eventually
from tests.tools import KUBECTL_VERSIONS, Kubectl

SPDY = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"}
WEBSOCKETS = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "true", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "true"}
MEGABYTES = 32


@pytest.fixture(scope="module")
def box(machine: Machine) -> Iterator[str]:
    """A Pod with a web server and a shell."""
    kubectl = machine.kubectl()
    script = "mkdir /www; echo page >/www/index.html; httpd -p 8080 -h /www; exec sleep 10000"
    kubectl("run", "box", "--image=busybox", "--restart=Never", "--command", "--", "sh", "-c", script)
    kubectl("wait", "--for=condition=Ready", "pod/box", "--timeout=30s")
    yield "box"
    kubectl("delete", "pod", "box", "--now")


@pytest.fixture(params=[(version, way) for version in KUBECTL_VERSIONS for way in ("WebSocket", "SPDY")], ids=str)
def way(request: pytest.FixtureRequest, machine: Machine, box: str) -> tuple[Kubectl, dict[str, str]]:
    """Each kubectl, each way it knows."""
    version, kind = request.param
    return machine.kubectl(version), WEBSOCKETS if kind == "WebSocket" else SPDY


def test_exec(way: tuple[Kubectl, dict[str, str]]) -> None:
    kubectl, env = way
    done = kubectl.run("exec", "box", "--", "sh", "-c", "echo out; echo err >&2; exit 7", env=env)
    assert (done.returncode, done.stdout) == (7, "out\n")
    assert done.stderr == "err\ncommand terminated with exit code 7\n"
    missing = kubectl.run("exec", "box", "--", "no-such-program", env=env)
    assert missing.returncode != 0 and "no-such-program" in missing.stderr


def test_a_command_sees_the_end_of_its_input(way: tuple[Kubectl, dict[str, str]]) -> None:
    kubectl, env = way
    done = kubectl.run("exec", "-i", "box", "--", "sh", "-c", "cat; echo end", input="hi\n", env=env, timeout=20)
    assert (done.returncode, done.stdout) == (0, "hi\nend\n")
    assert kubectl.run("exec", "-i", "box", "--", "true", input="not read", env=env, timeout=20).returncode == 0


def test_much_passes_both_ways_at_once(way: tuple[Kubectl, dict[str, str]]) -> None:
    kubectl, env = way
    data = os.urandom(1 << 20) * MEGABYTES
    done = subprocess.run(
        [*kubectl.command, "exec", "-i", "box", "--", "cat"],
        input=data, capture_output=True, env={**kubectl.environment(), **env}, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()


def test_files_are_copied_both_ways(machine: Machine, box: str, tmp_path: Path) -> None:
    kubectl = machine.kubectl()
    (tmp_path / "file").write_bytes(os.urandom(10 << 20))
    kubectl("cp", str(tmp_path / "file"), "box:/tmp/file")
    kubectl("cp", "box:/tmp/file", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == (tmp_path / "file").read_bytes()


def test_kubectl_need_not_fall_back(machine: Machine, box: str) -> None:
    """The newest kubectl gets what it asks for first."""
    kubectl = machine.kubectl("1.37")
    told = kubectl.run("exec", "-v=8", "box", "--", "true").stderr
    assert '"Subprotocol negotiated" protocol="v5.channel.k8s.io"' in told
    assert "SPDY" not in told and "fallback" not in told


def test_a_terminal_follows_its_window(machine: Machine, box: str) -> None:
    command = [*machine.kubectl().command, "exec", "-it", "box", "--", "sh"]
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe(command[0], command, dict(machine.kubectl().environment()))
    try:
        shown = b""

        def show(wanted: bytes) -> bool:
            nonlocal shown
            while wanted not in shown and select.select([terminal], [], [], 0.2)[0]:
                shown += os.read(terminal, 4096)
            return wanted in shown

        eventually(lambda: show(b"# "), what="a prompt")
        for rows, columns in ((40, 100), (50, 111)):
            fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

            def follows(size: bytes = b"%d %d" % (rows, columns)) -> bool:
                os.write(terminal, b"stty size\n")
                return show(size)

            eventually(follows, what="the window's size")
        os.write(terminal, b"exit 5\n")
        eventually(lambda: show(b"exit code 5"), what="the end")
        _, status = os.waitpid(child, 0)
        child = 0
        assert os.waitstatus_to_exitcode(status) == 5
    finally:
        os.close(terminal)
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


@pytest.mark.parametrize("env", [WEBSOCKETS, SPDY], ids=["WebSocket", "SPDY"])
def test_ports_are_forwarded(machine: Machine, box: str, env: dict[str, str]) -> None:
    kubectl = machine.kubectl()
    process = subprocess.Popen(
        [*kubectl.command, "port-forward", "-v=8", "pod/box", ":8080"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**kubectl.environment(), **env},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        port = process.stdout.readline().split()[2].rpartition(":")[2]
        for _ in range(3):
            assert machine.get(f"http://127.0.0.1:{port}/index.html") == "page\n"
    finally:
        process.terminate()
        _, told = process.communicate(timeout=20)
    assert ("SPDY/3.1+portforward.k8s.io" in told) == (env is WEBSOCKETS)
    assert "fallback" not in told


def connections(machine: Machine) -> int:
    """The API server's, that of the question included."""
    told = machine.kubectl()("get", "--raw", "/metrics")
    (line,) = (line for line in told.splitlines() if line.startswith("pinnace_connections "))
    return int(float(line.split()[1]))


@pytest.mark.parametrize("env", [WEBSOCKETS, SPDY], ids=["WebSocket", "SPDY"])
def test_who_breaks_off_leaves_nothing_open(machine: Machine, box: str, env: dict[str, str]) -> None:
    kubectl = machine.kubectl()
    log = machine.data / "pinnace.log"
    before = log.read_text()
    open_before = connections(machine)
    process = subprocess.Popen(
        [*kubectl.command, "exec", "-i", "box", "--", "sh", "-c", "echo $$; exec yes"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**kubectl.environment(), **env},
    )  # fmt: skip
    assert process.stdout is not None and process.stdin is not None
    number = process.stdout.readline().decode().strip()
    assert process.stdout.read(4 << 20).startswith(b"y\ny\n")
    process.kill()
    process.wait()
    process.stdout.close()
    process.stdin.close()
    assert kubectl("exec", "box", "--", "echo", "on").startswith("on")
    eventually(lambda: connections(machine) <= open_before, what="the connections to end")
    assert log.read_text().removeprefix(before) == ""
    kubectl.run("exec", "box", "--", "kill", "-9", number)


def test_the_kubelets_port_tells_of_broken_tls(machine: Machine) -> None:
    script = (
        "import socket, sys; s = socket.create_connection(('127.0.0.1', 10250), 5);"
        "s.sendall(b'GET /pods HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'); sys.stdout.write(s.makefile().read())"
    )
    told = machine.run(sys.executable, "-c", script).stdout
    assert told == "HTTP/1.0 400 Bad Request\n\nClient sent an HTTP request to an HTTPS server.\n"
