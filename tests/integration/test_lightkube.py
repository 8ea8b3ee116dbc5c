"""lightkube, blocking and asynchronous, against the ``pinnace`` fixture: what its own end-to-end tests ask of a
cluster, but for what real containers do, which is in tests/e2e/test_lightkube.py."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from lightkube import ApiError, AsyncClient, Client
from lightkube.generic_resource import (
    create_namespaced_resource,
    get_generic_resource,
    load_in_cluster_generic_resources,
)
from lightkube.models import apiextensions_v1 as definitions
from lightkube.models.apps_v1 import DeploymentSpec
from lightkube.models.core_v1 import Container, PodSpec, PodTemplateSpec, ServicePort, ServiceSpec
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Node, Pod, Service
from lightkube.types import PatchType

from pinnace.testing import Pinnace

_names = itertools.count()


@pytest.fixture
def namespace(pinnace: Pinnace) -> Iterator[str]:
    with pinnace.namespace(f"lightkube-{next(_names)}") as name:
        yield name


@pytest.fixture
def client(namespace: str) -> Iterator[Client]:
    """As its users make it: KUBECONFIG says where."""
    with Client(namespace=namespace, field_manager="tests") as client:
        yield client


def pod(name: str) -> Pod:
    spec = PodSpec(containers=[Container(name="main", image="busybox", args=["sleep", "5"])])
    return Pod(metadata=ObjectMeta(name=name, labels={"app": name}), spec=spec)


def deployment(name: str) -> Deployment:
    labels = {"app": name}
    template = PodTemplateSpec(metadata=ObjectMeta(labels=labels), spec=pod(name).spec)
    spec = DeploymentSpec(replicas=2, selector=LabelSelector(matchLabels=labels), template=template)
    return Deployment(metadata=ObjectMeta(generateName=f"{name}-"), spec=spec)


def definition(group: str) -> CustomResourceDefinition:
    anything = definitions.JSONSchemaProps(type="object", x_kubernetes_preserve_unknown_fields=True)
    schema = definitions.CustomResourceValidation(
        openAPIV3Schema=definitions.JSONSchemaProps(type="object", properties={"spec": anything})
    )
    version = definitions.CustomResourceDefinitionVersion(name="v1", served=True, storage=True, schema=schema)
    names = definitions.CustomResourceDefinitionNames(kind="CronTab", plural="crontabs", singular="crontab")
    spec = definitions.CustomResourceDefinitionSpec(group=group, names=names, scope="Namespaced", versions=[version])
    return CustomResourceDefinition(metadata=ObjectMeta(name=f"crontabs.{group}"), spec=spec)


def test_pods_are_created_watched_and_waited_for(client: Client):
    made = client.create(pod("web"))
    phases = []
    watched = client.watch(Pod, labels={"app": "web"}, resource_version=made.metadata.resourceVersion)
    for _, seen in watched:
        phases.append(seen.status.phase)
        if seen.status.phase == "Running":
            break
    assert phases[-1] == "Running"
    client.wait(Pod, "web", for_conditions=["Ready"])
    assert list(client.log("web")) == ["container main of Pod web is simulated: it writes no log\n"]
    client.delete(Pod, "web", grace_period=0)


def test_errors_are_statuses(client: Client):
    with pytest.raises(ApiError) as missing:
        client.get(Pod, name="none")
    status = missing.value.status
    assert (status.code, status.reason, status.status, status.details.name) == (404, "NotFound", "Failure", "none")
    client.create(pod("twice"))
    with pytest.raises(ApiError) as exists:
        client.create(pod("twice"))
    assert (exists.value.status.code, exists.value.status.reason) == (409, "AlreadyExists")


def test_all_the_ways_to_change_an_object(client: Client):
    ports = [ServicePort(name="a", port=80, targetPort=8080)]
    client.create(Service(metadata=ObjectMeta(name="web"), spec=ServiceSpec(ports=ports, selector={"app": "none"})))

    def listed(service: Service) -> list[tuple[int, int]]:
        return [(port.port, port.targetPort) for port in service.spec.ports]

    second = {"spec": {"ports": [{"name": "b", "port": 81, "targetPort": 8081}]}}
    assert sorted(listed(client.patch(Service, "web", second))) == [(80, 8080), (81, 8081)]
    changed = Service(spec=ServiceSpec(ports=[ServicePort(name="b", port=81, targetPort=8082)]))
    assert sorted(listed(client.patch(Service, "web", changed))) == [(80, 8080), (81, 8082)]
    assert listed(client.patch(Service, "web", second, patch_type=PatchType.MERGE)) == [(81, 8081)]
    added = [{"op": "add", "path": "/spec/ports/-", "value": {"name": "a", "port": 80, "targetPort": 8080}}]
    assert listed(client.patch(Service, "web", added, patch_type=PatchType.JSON)) == [(81, 8081), (80, 8080)]


def test_apply_owns_what_it_says_and_drops_what_it_no_longer_says(client: Client, namespace: str):
    metadata = ObjectMeta(name="settings", namespace=namespace)
    config = ConfigMap(apiVersion="v1", kind="ConfigMap", metadata=metadata, data={"a": "1", "b": "2"})
    assert client.apply(config).data == {"a": "1", "b": "2"}
    config.data = {"b": "3", "c": "4"}
    assert client.apply(config).data == {"b": "3", "c": "4"}
    config.data = {}
    assert not client.apply(config).data
    config.data = {"a": "5"}
    assert client.patch(ConfigMap, "settings", config.to_dict(), patch_type=PatchType.APPLY).data == {"a": "5"}


def test_collections_and_all_namespaces(client: Client, namespace: str, pinnace: Pinnace):
    for name in ("one", "two"):
        client.create(ConfigMap(metadata=ObjectMeta(name=name), data={"name": name}))
    found = [(item.metadata.namespace, item.metadata.name) for item in client.list(ConfigMap, namespace="*")]
    assert {(namespace, "one"), (namespace, "two")} <= set(found)
    client.deletecollection(ConfigMap)
    assert not {"one", "two"} & {item.metadata.name for item in client.list(ConfigMap)}


def test_custom_resources_are_there_at_once(client: Client):
    group = "stable.lightkube.example.com"
    crontabs = create_namespaced_resource(group=group, version="v1", kind="CronTab", plural="crontabs")
    client.create(definition(group))
    client.wait(CustomResourceDefinition, f"crontabs.{group}", for_conditions=["Established"])
    client.create(crontabs(metadata={"name": "mine"}, spec={"cronSpec": "* * * * */5", "image": "awesome"}))
    assert client.get(crontabs, name="mine").spec["cronSpec"] == "* * * * */5"
    client.delete(CustomResourceDefinition, f"crontabs.{group}")


def test_generic_resources_are_found_in_the_cluster(client: Client):
    group = "found.lightkube.example.com"
    client.create(definition(group))
    client.wait(CustomResourceDefinition, f"crontabs.{group}", for_conditions=["Established"])
    assert get_generic_resource(f"{group}/v1", "CronTab") is None
    load_in_cluster_generic_resources(client)
    assert get_generic_resource(f"{group}/v1", "CronTab") is not None
    client.delete(CustomResourceDefinition, f"crontabs.{group}")


async def test_the_asynchronous_client(namespace: str):
    client = AsyncClient(namespace=namespace)
    try:
        async for node in client.list(Node):
            await client.wait(Node, node.metadata.name, for_conditions=["Ready"])
        made = await client.create(deployment("web"))
        assert made.metadata.name.startswith("web-")
        ready = await client.wait(Deployment, made.metadata.name, for_conditions=["Available"])
        assert ready.status.availableReplicas in (1, 2)
        await client.delete(Deployment, made.metadata.name)
    finally:
        await client.close()
