"""lightkube, blocking and asynchronous, on real containers: what its own end-to-end tests ask of a cluster besides what
tests/integration/test_lightkube.py has."""

from __future__ import annotations

import ctypes
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from lightkube import AsyncClient, Client, KubeConfig
from lightkube.models.apps_v1 import DeploymentSpec
from lightkube.models.core_v1 import Container, EnvVar, PodSpec, PodTemplateSpec
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import Pod
from tests.machine import Machine

_CLONE_NEWNET = 0x40000000
_names = itertools.count()
SAY_WHICH = ["/bin/sh", "-c", 'printf %s "$WHICH"']


@contextmanager
def on(machine: Machine) -> Iterator[None]:
    """This thread, and those that it starts, in the machine's network."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{machine.name}") as there:
        assert libc.setns(there.fileno(), _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        try:
            yield
        finally:
            assert libc.setns(home.fileno(), _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())


@pytest.fixture
def config(machine: Machine) -> Iterator[KubeConfig]:
    with on(machine):
        yield KubeConfig.from_file(machine.kubeconfig)


def pod(*commands: str) -> Pod:
    """With one container for each command, the first one called ``main``."""
    containers = [
        Container(name=name, image="busybox", args=["/bin/sh", "-c", command], env=[EnvVar(name="WHICH", value=name)])
        for name, command in zip(("main", "other"), commands, strict=False)
    ]
    name = f"lightkube-{next(_names)}"
    return Pod(metadata=ObjectMeta(name=name), spec=PodSpec(containers=containers, terminationGracePeriodSeconds=0))


def test_logs_are_followed_and_commands_run(config: KubeConfig):
    with Client(config) as client:
        made = client.create(pod("while true; do echo this is a test; sleep 1; done", "sleep 300"))
        name = made.metadata.name
        client.wait(Pod, name, for_conditions=["Ready"])
        assert next(iter(client.log(name, container="main", follow=True))) == "this is a test\n"
        listed = client.exec(name, container="main", command=["ls", "/"], stdout=True, raise_on_error=True)
        assert {"bin", "etc"} <= set(listed.stdout.split())
        for which in ("main", "other") * 5:  # one after the other at once: each has the connection to itself
            said = client.exec(name, container=which, command=SAY_WHICH, stdout=True, raise_on_error=True)
            assert (said.stdout, said.exit_code) == (which, 0)
        typed = client.exec(name, container="main", command=["cat"], stdin="hello\n", stdout=True, raise_on_error=True)
        assert (typed.stdout, typed.exit_code) == ("hello\n", 0)
        failed = client.exec(name, container="main", command=["sh", "-c", "echo no >&2; exit 3"], stderr=True)
        assert (failed.stderr, failed.exit_code) == ("no\n", 3)
        client.delete(Pod, name)


async def test_the_asynchronous_client(config: KubeConfig):
    client = AsyncClient(config)
    try:
        made = await client.create(pod("sleep 300", "sleep 300"))
        name = made.metadata.name
        await client.wait(Pod, name, for_conditions=["Ready"])
        for which in ("main", "other"):
            said = await client.exec(name, container=which, command=SAY_WHICH, stdout=True, raise_on_error=True)
            assert said.stdout == which
        typed = await client.exec(name, container="main", command=["cat"], stdin="hello\n", stdout=True)
        assert typed.stdout == "hello\n"
        await client.delete(Pod, name)
    finally:
        await client.close()


def test_a_deployment_becomes_available(config: KubeConfig):
    labels = {"app": "lightkube"}
    template = PodTemplateSpec(
        metadata=ObjectMeta(labels=labels), spec=PodSpec(containers=[Container(name="nginx", image="nginx")])
    )
    spec = DeploymentSpec(selector=LabelSelector(matchLabels=labels), template=template)
    with Client(config) as client:
        made = client.create(Deployment(metadata=ObjectMeta(generateName="lightkube-"), spec=spec))
        found = client.wait(Deployment, made.metadata.name, for_conditions=["Available"])
        assert found.status.availableReplicas == 1
        client.delete(Deployment, made.metadata.name)
