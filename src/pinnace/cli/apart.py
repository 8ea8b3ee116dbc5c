"""``pinnace controllers``, ``scheduler`` and ``node``: one part of a cluster as a process, in the foreground."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Protocol

from pinnace.cli.up import log_to_stderr, say, simulated_nodes
from pinnace.cluster import config
from pinnace.cluster.datadir import DataDir
from pinnace.core.clock import RealClock

if TYPE_CHECKING:
    from pinnace.cluster.apart import Common


class Process(Protocol):
    """What ``serve`` runs: ``run`` ends with an error or never, ``stop`` after that or its cancellation."""

    async def run(self) -> None: ...

    async def stop(self) -> None: ...


def controllers(options: argparse.Namespace) -> int:
    from pinnace.cluster.apart import ControllersOptions, ControllersProcess

    chosen = ControllersOptions(
        cluster_cidr=config.parse_cidr("--cluster-cidr", options.cluster_cidr),
        cluster_dns=options.cluster_dns,
        node_prefix=options.node_cidr_mask_size,
        load_balancer_pool=config.parse_pool(options.load_balancer_pool),
        root_ca=options.root_ca_file,
        signing_certificate=options.cluster_signing_cert_file,
        signing_key=options.cluster_signing_key_file,
    )
    return serve(ControllersProcess(_common(options), chosen, RealClock(), say))


def scheduler(options: argparse.Namespace) -> int:
    from pinnace.cluster.apart import SchedulerProcess

    return serve(SchedulerProcess(_common(options), RealClock(), say))


def node(options: argparse.Namespace) -> int:
    from pinnace.cluster.apartnode import NodeOptions, NodeProcess
    from pinnace.cluster.realnetwork import Addresses

    addresses = Addresses(
        pods=config.parse_cidr("--cluster-cidr", options.cluster_cidr),
        load_balancers=config.parse_pool(options.load_balancer_pool),
        dns=options.cluster_dns,
        services=config.parse_cidr("--service-cluster-ip-range", options.service_cluster_ip_range),
    )
    chosen = NodeOptions(
        data_dir=options.data_dir.absolute(),
        kubeconfig=options.kubeconfig and options.kubeconfig.absolute(),
        bootstrap_kubeconfig=options.bootstrap_kubeconfig and options.bootstrap_kubeconfig.absolute(),
        node_name=options.node_name,
        node_ip=options.node_ip,
        runtime=options.runtime,
        simulated_nodes=simulated_nodes(options.simulated_nodes),
        addresses=addresses,
    )
    directory = DataDir(chosen.data_dir)
    directory.acquire()
    try:
        return serve(NodeProcess(chosen, directory, RealClock(), say))
    finally:
        directory.release()


def _common(options: argparse.Namespace) -> Common:
    from pinnace.cluster.apart import Common

    return Common(
        kubeconfig=options.kubeconfig.absolute(),
        bind_address=options.bind_address,
        secure_port=config.parse_port("--secure-port", options.secure_port),
        leader_elect=options.leader_elect == "true",
    )


def serve(process: Process) -> int:
    """Run until SIGINT or SIGTERM (0), or until it fails. Raises ClusterError."""
    import uvloop

    log_to_stderr()
    return uvloop.run(_serve(process))


async def _serve(process: Process) -> int:
    told_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told_to_stop.set)
    stopping, running = loop.create_task(told_to_stop.wait()), loop.create_task(process.run())
    try:
        await asyncio.wait([running, stopping], return_when=asyncio.FIRST_COMPLETED)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    finally:
        stopping.cancel()
        await process.stop()
    return 0
