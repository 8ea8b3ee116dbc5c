"""An operator in 60 lines: a Website becomes a ConfigMap and a Deployment, and tells how many of its Pods are ready."""

from __future__ import annotations

from typing import Any

import kopf
import kubernetes


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.persistence.finalizer = "websites.example.com/finalizer"
    settings.execution.default_backoff = 1.0  # seconds until a failed handler is tried again


@kopf.on.create("websites")
@kopf.on.update("websites")
def build(name: str, namespace: str, spec: kopf.Spec, **_: Any) -> dict[str, Any]:
    core, apps = kubernetes.client.CoreV1Api(), kubernetes.client.AppsV1Api()
    page = {"metadata": {"name": name}, "data": {"index.html": spec["page"]}}
    site = deployment(name, spec.get("replicas", 1))
    for child in (page, site):
        kopf.adopt(child)  # so that it goes with the Website
    put(core.create_namespaced_config_map, core.patch_namespaced_config_map, namespace, page)
    put(apps.create_namespaced_deployment, apps.patch_namespaced_deployment, namespace, site)
    return {"replicas": spec.get("replicas", 1)}


def put(create: Any, patch: Any, namespace: str, obj: dict[str, Any]) -> None:
    """Make the object, or bring the one there is in line."""
    try:
        create(namespace, obj)
    except kubernetes.client.ApiException as error:
        if error.status != 409:
            raise kopf.TemporaryError(f"the API server said {error.status} {error.reason}", delay=0.5) from error
        patch(obj["metadata"]["name"], namespace, obj)


def deployment(name: str, replicas: int) -> dict[str, Any]:
    labels = {"website": name}
    volume = {"name": "page", "configMap": {"name": name}}
    mount = {"name": "page", "mountPath": "/usr/share/nginx/html"}
    container = {"name": "nginx", "image": "nginx:1.29", "volumeMounts": [mount]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container], "volumes": [volume]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


@kopf.on.event("deployments", labels={"website": kopf.PRESENT})
def tell(name: str, namespace: str, status: kopf.Status, type: str | None, **_: Any) -> None:
    if type == "DELETED":
        return
    api = kubernetes.client.CustomObjectsApi()
    ready = {"status": {"ready": status.get("readyReplicas", 0)}}
    try:
        api.patch_namespaced_custom_object_status("example.com", "v1", namespace, "websites", name, ready)
    except kubernetes.client.ApiException as error:
        if error.status != 404:
            raise
