"""The command line: what is there to say, and who does it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pinnace.cluster import config
from pinnace.cluster.errors import ClusterError, Exit


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pinnace", description="Kubernetes, whole, in Python.")
    verbs = parser.add_subparsers(dest="verb", metavar="COMMAND", required=True)

    up = verbs.add_parser("up", help="start a cluster", description="Start a cluster and keep it running.")
    _data_dir(up)
    add = up.add_argument
    listen = f"127.0.0.1:{config.DEFAULT_PORT}"
    add("--listen", metavar="HOST:PORT", default=listen, help="default: %(default)s; port 0 picks a free one")
    add("--kubeconfig", metavar="FILE", type=Path, help="gets the context 'pinnace'; default: where kubectl looks")
    add("--runtime", choices=config.RUNTIMES, default="auto", help="auto: real containers if the machine can")
    add("--simulated-nodes", metavar="N", type=int, help="default: 1 if there is no real node, else none")
    store = "sqlite:///PATH, etcd://HOST:PORT[,HOST:PORT...] or memory://; default: in the data directory"
    add("--store", metavar="URL", default="", help=store)
    add("--etcd-cafile", metavar="FILE", type=Path, help="whose certificates etcd's members show; makes it TLS")
    add("--etcd-certfile", metavar="FILE", type=Path, help="client certificate for etcd")
    add("--etcd-keyfile", metavar="FILE", type=Path, help="its key")
    add("--etcd-prefix", metavar="PATH", default="/registry", help="of all keys in etcd; default: %(default)s")
    add("--parts", default=",".join(config.PARTS), help="which parts to run; default: %(default)s")
    add("--detach", action="store_true", help="return when the cluster is ready; it goes on in the background")
    _load_balancer_pool(up)
    add("--timeout", default="60s", help="how long to wait for it to get ready; default: %(default)s")

    status = verbs.add_parser("status", help="say how the cluster is")
    _data_dir(status)
    status.add_argument("-o", "--output", choices=("text", "json"), default="text")

    down = verbs.add_parser("down", help="stop the cluster, and its containers")
    _data_dir(down)
    down.add_argument("--purge", action="store_true", help="also delete its data directory and its kubectl context")
    down.add_argument("--timeout", default="60s", help="how long to wait for it to end; default: %(default)s")

    image = verbs.add_parser("image", help="bring container images in")
    load = image.add_subparsers(dest="action", metavar="ACTION", required=True).add_parser(
        "load", help="load image archives (docker-archive or OCI layout tarballs)"
    )
    load.add_argument("files", nargs="+", metavar="FILE", type=Path)
    _data_dir(load)

    token = verbs.add_parser("token", help="let other machines join as nodes")
    create = token.add_subparsers(dest="action", metavar="ACTION", required=True).add_parser(
        "create", help="make a bootstrap token; prints the kubeconfig that 'pinnace node' joins with"
    )
    _data_dir(create)
    create.add_argument("token", nargs="?", default="", metavar="TOKEN", help="default: a random one")
    create.add_argument("--ttl", default="24h", help="how long it lives, 0 for ever; default: %(default)s")

    verbs.add_parser("version", help="print the versions")
    _parts(verbs)
    return parser


def _parts(verbs: Any) -> None:
    """The parts that also run as processes of their own, with the options that they have upstream."""
    controllers = verbs.add_parser("controllers", help="run the controllers alone, as a client of an API server")
    _apart(controllers, 10257)
    add = controllers.add_argument
    add("--cluster-cidr", metavar="CIDR", default=config.POD_CIDR, help="addresses of all Pods; default: %(default)s")
    add("--node-cidr-mask-size", metavar="BITS", type=int, default=24, help="a node's part of it; default: %(default)s")
    add("--root-ca-file", metavar="FILE", type=Path, help="what Pods verify the API server with; default: as we do")
    add("--cluster-signing-cert-file", metavar="FILE", type=Path, help="signs certificate requests; default: none are")
    add("--cluster-signing-key-file", metavar="FILE", type=Path, help="its key")
    _load_balancer_pool(controllers)
    _cluster_dns(controllers)
    _apart(verbs.add_parser("scheduler", help="run the scheduler alone, as a client of an API server"), 10259)
    node = verbs.add_parser("node", help="run a node alone, as a client of an API server")
    default = config.default_data_dir().with_name("pinnace-node")
    add = node.add_argument
    add("--data-dir", metavar="DIR", type=Path, default=default, help="default: %(default)s")
    add("--kubeconfig", metavar="FILE", type=Path, help="who the node is; default: kubelet.conf in the data directory")
    add("--bootstrap-kubeconfig", metavar="FILE", type=Path, help="to join with, if there is no --kubeconfig yet")
    add("--node-name", metavar="NAME", default="", help="default: the host's")
    add("--node-ip", metavar="ADDRESS", default="", help="default: the one it has towards the API server")
    add("--runtime", choices=config.RUNTIMES, default="auto", help="auto: real containers if the machine can")
    add("--simulated-nodes", metavar="N", type=int, help="N simulated nodes instead of one node")
    add("--cluster-cidr", metavar="CIDR", default=config.POD_CIDR, help="addresses of all Pods; default: %(default)s")
    add("--service-cluster-ip-range", metavar="CIDR", default=config.SERVICE_CIDR, help="default: %(default)s")
    _cluster_dns(node)
    _load_balancer_pool(node)


def _cluster_dns(parser: argparse.ArgumentParser) -> None:
    default = config.CLUSTER_DNS
    parser.add_argument(
        "--cluster-dns", metavar="ADDRESS", default=default, help="where Pods ask; default: %(default)s"
    )


def _apart(parser: argparse.ArgumentParser, port: int) -> None:
    add = parser.add_argument
    add("--kubeconfig", metavar="FILE", type=Path, required=True, help="how to reach the API server, and as whom")
    add(
        "--leader-elect", choices=("true", "false"), default="true", help="work only while no other does; default: true"
    )
    add("--bind-address", metavar="ADDRESS", default="127.0.0.1", help="where /healthz is; default: %(default)s")
    add("--secure-port", metavar="PORT", default=str(port), help="its port, 0 for none; default: %(default)s")


def _load_balancer_pool(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--load-balancer-pool",
        default=config.LOAD_BALANCER_POOL,
        metavar="CIDR|FIRST-LAST|none",
        help="addresses for Services of type LoadBalancer; default: %(default)s",
    )


def _data_dir(parser: argparse.ArgumentParser) -> None:
    default = config.default_data_dir()
    parser.add_argument("--data-dir", metavar="DIR", type=Path, default=default, help="default: %(default)s")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code (``pinnace.cluster.errors.Exit``)."""
    _open_standard_streams()
    options = build_parser().parse_args(arguments)
    try:
        return _run(options)
    except ClusterError as error:
        print(f"pinnace: {error}", file=sys.stderr)
        for line in error.lines:
            print(f"  {line}", file=sys.stderr)
        return int(error.exit)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output went away (| head)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # so that nothing fails again at exit
        return int(Exit.ERROR)


def _open_standard_streams() -> None:
    """What a caller closed (``<&-``) leads nowhere: else a file of ours, a lock even, gets its number and is written
    to, or closed, as if it were that stream."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number: this one
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def _run(options: argparse.Namespace) -> int:
    match options.verb:
        case "up":
            from pinnace.cli import up

            return up.run(options)
        case "status":
            from pinnace.cli import status

            return status.run(options.data_dir, options.output)
        case "down":
            from pinnace.cli import down

            return down.run(options.data_dir, purge=options.purge, timeout=config.parse_duration(options.timeout))
        case "controllers" | "scheduler" | "node":
            from pinnace.cli import apart

            runs = {"controllers": apart.controllers, "scheduler": apart.scheduler, "node": apart.node}
            return runs[options.verb](options)
        case "token":
            from pinnace.cli import token

            return token.create(options.data_dir, ttl=config.parse_duration(options.ttl), token=options.token)
        case "image":
            from pinnace.cli import image

            return image.load(options.files, options.data_dir)
        case _:
            from pinnace.cli import version

            return version.run()


if __name__ == "__main__":
    sys.exit(main())
