"""One machine with real containers for all end-to-end tests of a session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import images
from tests.machine import Machine
from tests.tools import Kubectl

from pinnace.controllers import volumerecycler

MANIFESTS = Path(__file__).parent / "manifests"
SEEDS = MANIFESTS / "seeds"


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The images that the seeds' manifests name, built from Debian's binaries."""
    directory = tmp_path_factory.mktemp("images")
    return [
        images.busybox(directory, ["docker.io/library/busybox:latest", volumerecycler.IMAGE]),
        images.nginx(directory),
        images.nginx(directory, "v2", "nginx v2"),
        images.perl(directory),
        images.busybox(tmp_path_factory.mktemp("private"), ["docker.io/private/tool:v1"]),
        *images.seeds(directory),
    ]


@pytest.fixture(scope="session")
def machine(archives: list[Path]) -> Iterator[Machine]:
    """Pinnace with a real node, a registry with the images, and what takes over a minute already on its way."""
    there = Machine()
    try:
        there.serve_images(*archives)
        there.up()
        slow = (MANIFESTS / "liveness.yml", SEEDS / "cronjob-hello.yml")
        there.kubectl()("apply", *(f"--filename={manifest}" for manifest in slow))
        yield there
        told = (there.data / "pinnace.log").read_text().splitlines()
        refused = [line for line in told if " is forbidden: User " in line]
        assert not refused, "a part of the cluster lacks a right:\n" + "\n".join(refused)
    finally:
        there.remove()


@pytest.fixture(scope="session")
def kubectl(machine: Machine) -> Kubectl:
    return machine.kubectl()
