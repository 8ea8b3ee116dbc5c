"""``pinnace up``: run a cluster in the foreground, or leave it in the background once it is ready."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pinnace.cluster import config
from pinnace.cluster.certificates import Certificates
from pinnace.cluster.config import ClusterConfig
from pinnace.cluster.datadir import DataDir
from pinnace.cluster.errors import ClusterError, Exit
from pinnace.core.clock import RealClock

if TYPE_CHECKING:
    from pinnace.cluster.cluster import Cluster

Report = Callable[[str], None]


def run(options: argparse.Namespace) -> int:
    host, port = config.parse_listen(options.listen)
    chosen = ClusterConfig(
        data_dir=options.data_dir.absolute(),
        host=host,
        port=port,
        kubeconfig=(options.kubeconfig or config.default_kubeconfig()).absolute(),
        runtime=options.runtime,
        simulated_nodes=simulated_nodes(options.simulated_nodes),
        store=config.parse_store(options.store),
        etcd=config.parse_etcd(
            options.store, options.etcd_cafile, options.etcd_certfile, options.etcd_keyfile, options.etcd_prefix
        ),
        parts=config.parse_parts(options.parts),
        load_balancer_pool=config.parse_pool(options.load_balancer_pool),
    )
    timeout = config.parse_duration(options.timeout)
    directory = DataDir(chosen.data_dir)
    directory.acquire()
    try:
        if options.detach:
            return _detach(chosen, directory, timeout)
        return _serve(chosen, directory, timeout, say, say)
    finally:
        directory.release()


def simulated_nodes(count: int | None) -> int | None:
    if count is not None and not 0 <= count <= 100_000:
        raise ClusterError(Exit.USAGE, f"--simulated-nodes {count}: expected a number from 0 to 100000")
    return count


def say(line: str) -> None:
    print(line, flush=True)


# -- in the foreground


def _serve(chosen: ClusterConfig, directory: DataDir, timeout: float, report: Report, ready: Report) -> int:
    """Run the cluster until it is told to stop; ``ready`` gets the summary once it is ready."""
    clock = RealClock()
    certificates = Certificates(chosen, clock)
    certificates.begin()

    import uvloop

    from pinnace.cluster.cluster import Cluster

    log_to_stderr()
    cluster = Cluster(chosen, directory, report, clock, certificates)
    return uvloop.run(_serve_async(cluster, timeout, report, ready))


async def _serve_async(cluster: Cluster, timeout: float, report: Report, ready: Report) -> int:
    told_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told_to_stop.set)
    stopping = loop.create_task(told_to_stop.wait())
    starting = loop.create_task(cluster.start(timeout))
    try:
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting
            ready(cluster.summary())
            await stopping
            report("stopping")
    finally:
        stopping.cancel()
        await cluster.stop()
    return 0


def log_to_stderr() -> None:
    """Warnings of the parts go to standard error: the terminal, or a detached cluster's log."""
    import logging

    level = os.environ.get("PINNACE_LOG", "WARNING").upper()
    if level not in logging.getLevelNamesMapping():
        raise ClusterError(Exit.USAGE, f"PINNACE_LOG={level}: expected one of DEBUG, INFO, WARNING, ERROR")
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")


# -- in the background

#: What the background process writes to the one waiting for it: a kind, then the text, then a NUL.
_PROGRESS, _READY, _FAILED = "P", "R", "F"


def _detach(chosen: ClusterConfig, directory: DataDir, timeout: float) -> int:
    """Fork; the child keeps the data directory's lock and becomes a daemon, the parent relays its progress."""
    receiving, sending = os.pipe()
    sys.stdout.flush()
    if child := os.fork():
        os.close(sending)
        return _relay(child, receiving, directory, timeout + 5.0)
    os.close(receiving)
    os.setsid()
    code = _background(chosen, directory, timeout, sending)
    os._exit(code)


def _background(chosen: ClusterConfig, directory: DataDir, timeout: float, sending: int) -> int:
    def send(kind: str, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(sending, f"{kind}{line}\0".encode())

    def ready(line: str) -> None:
        print(line, flush=True)
        send(_READY, line)

    def report(line: str) -> None:
        print(line, flush=True)
        send(_PROGRESS, line)

    try:
        _redirect_to(directory.log)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        return _serve(chosen, directory, timeout, report, ready)
    except ClusterError as error:
        for line in (str(error), *error.lines):
            print(line, file=sys.stderr, flush=True)
        send(_FAILED, f"{int(error.exit)} {error}")
        for line in error.lines:
            send(_FAILED, line)
        return int(error.exit)
    except Exception as error:  # noqa: BLE001 - the parent has to hear of it, and the log holds the traceback
        import traceback

        traceback.print_exc()
        send(_FAILED, f"{int(Exit.ERROR)} {type(error).__name__}: {error}; see {directory.log}")
        return int(Exit.ERROR)


def _redirect_to(log: Path) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    for source in {nothing, output} - {0, 1, 2}:
        os.close(source)


def _relay(child: int, receiving: int, directory: DataDir, timeout: float) -> int:
    """Print what the child says until it is ready (0) or has failed (its exit code)."""
    deadline = time.monotonic() + timeout
    pending = b""
    failure: list[str] = []
    was_ready = False
    while True:
        readable, _, _ = select.select([receiving], [], [], max(deadline - time.monotonic(), 0.0))
        if not readable:
            os.kill(child, signal.SIGTERM)
            raise ClusterError(Exit.TIMED_OUT, f"not ready after {timeout:g} s; see {directory.log}")
        chunk = os.read(receiving, 65536)
        if not chunk:
            break
        *lines, pending = (pending + chunk).split(b"\0")
        for kind, line in ((line[:1].decode(), line[1:].decode()) for line in lines):
            if kind == _FAILED:
                failure.append(line)
            else:
                say(line)
                was_ready = was_ready or kind == _READY
        if was_ready:
            return 0
    if not failure:
        raise ClusterError(Exit.ERROR, f"the background process ended before it was ready; see {directory.log}")
    code, _, message = failure[0].partition(" ")
    raise ClusterError(Exit(int(code)), message, lines=tuple(failure[1:]))
