"""Defaults of Pods and of every Pod template."""

from __future__ import annotations

import re

import orjson

from pinnace.api import pods, quantity
from pinnace.api.defaults.base import child, fill, fill_empty, given, items, resource_lists
from pinnace.api.defaults.volumes import field_reference, volume
from pinnace.api.types import Object
from pinnace.core.memo import Remembered, written

_CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")
_REFERENCE = re.compile(
    r"(?:[A-Za-z0-9][-A-Za-z0-9.]*(?::[0-9]+)?/|\[[0-9a-fA-F:]+\](?::[0-9]+)?/)?"
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
    r"(?::(?P<tag>[\w][\w.-]{0,127}))?(?P<digest>@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?",
    re.ASCII,
)


def pull_policy(image: object) -> str:
    """``Always`` for the tag ``latest``, said or implied; ``IfNotPresent`` for the rest, malformed names included."""
    parts = _REFERENCE.fullmatch(image) if isinstance(image, str) else None
    if parts is None or (parts["tag"] is None and parts["digest"]):
        return "IfNotPresent"
    return "Always" if parts["tag"] in (None, "latest") else "IfNotPresent"


def _http_get(holder: Object) -> None:
    action = given(holder, "httpGet")
    if action is not None:
        fill_empty(action, path="/", scheme="HTTP")


def _probe(probe: Object) -> None:
    fill_empty(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
    _http_get(probe)
    grpc = given(probe, "grpc")
    if grpc is not None:
        fill(grpc, service="")


def container(spec: Object) -> None:
    """One container of any of the three lists."""
    fill_empty(
        spec,
        imagePullPolicy=pull_policy(spec.get("image")),
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
    )
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = given(spec, name)
        if probe is not None:
            _probe(probe)
    lifecycle = given(spec, "lifecycle")
    if lifecycle is not None:
        for name in ("postStart", "preStop"):
            hook = given(lifecycle, name)
            if hook is not None:
                _http_get(hook)
    for port in items(spec, "ports"):
        fill_empty(port, protocol="TCP")
    for variable in items(spec, "env"):
        if "valueFrom" in variable and (source := given(variable, "valueFrom")) is not None:
            field_reference(source)
            file_key = given(source, "fileKeyRef")
            if file_key is not None:
                fill(file_key, optional=False)
    resource_lists(child(spec, "resources"), "limits", "requests")


def pod_spec(spec: Object) -> None:
    """What Pods and templates share."""
    fill_empty(spec, restartPolicy="Always", dnsPolicy="ClusterFirst", schedulerName="default-scheduler")
    fill(spec, terminationGracePeriodSeconds=30, securityContext={})
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for name in _CONTAINER_LISTS:
        for one in items(spec, name):
            container(one)
    for one in items(spec, "volumes"):
        volume(one)
    resource_lists(spec, "overhead")
    level = given(spec, "resources")
    if level is not None:
        resource_lists(level, "limits", "requests")


def pod_template(holder: Object) -> None:
    """``template`` of a workload; its metadata is always there, as upstream encodes it."""
    template = child(holder, "template")
    child(template, "metadata")
    pod_spec(child(template, "spec"))


#: Specs as they became, in JSON.
_filled: Remembered[bytes] = Remembered(512)


def pod(obj: Object) -> None:
    """The spec's defaults follow from the spec alone: Pods of one template share the work."""
    spec = child(obj, "spec")
    came = written(spec)
    known = _filled.get(came)
    if known:
        spec.clear()
        spec.update(orjson.loads(known))
    else:
        _spec(obj, spec)
        _filled.keep(came, written(spec))
    status = given(obj, "status")
    if status is not None:
        _status(status)


def _spec(obj: Object, spec: Object) -> None:
    pod_spec(spec)
    for name in ("containers", "initContainers"):
        for one in items(spec, name):
            _requests_from_limits(one)
            if spec.get("hostNetwork"):
                for port in items(one, "ports"):
                    if not port.get("hostPort") and port.get("containerPort"):
                        port["hostPort"] = port["containerPort"]
    if given(spec, "resources") is not None:
        try:
            _pod_level(obj, spec)
        except quantity.QuantityError:
            return  # validation reports it
    fill(spec, enableServiceLinks=True)


def _status(status: Object) -> None:
    """What upstream's conversions and encoding add: ``podIPs`` follows ``podIP``, conditions have their times."""
    address = status.get("podIP")
    first = next((one.get("ip") for one in items(status, "podIPs")), None)
    if address and address != first:
        status["podIPs"] = [{"ip": address}]
    elif first and not address:
        status["podIP"] = first
    for condition in items(status, "conditions"):
        condition.setdefault("lastProbeTime", None)
        condition.setdefault("lastTransitionTime", None)
    for name in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for one in items(status, name):
            resource_lists(one, "allocatedResources")
            held = given(one, "resources")
            if held is not None:
                resource_lists(held, "limits", "requests")


def _requests_from_limits(one: Object) -> None:
    resources = given(one, "resources")
    limits = given(resources, "limits") if resources is not None else None
    if resources is None or not limits:
        return
    requests = child(resources, "requests")
    for name, value in limits.items():
        requests.setdefault(name, value)


def _pod_level(obj: Object, spec: Object) -> None:
    """Pod-level resources that are given in part (KEP-2837)."""
    level = spec["resources"]
    requests, limits = dict(level.get("requests") or {}), dict(level.get("limits") or {})
    if not requests and not limits:
        return
    container_limits = pods.texts(pods.container_totals(obj, "limits"))
    container_requests = pods.texts(pods.container_totals(obj, "requests"))
    huge = pods.HUGE_PAGES_PREFIX
    for name, value in container_limits.items():
        if name.startswith(huge) and name not in requests:
            limits.setdefault(name, value)
    if limits:
        for name, value in container_requests.items():
            if pods.is_pod_level(name) and not name.startswith(huge):
                requests.setdefault(name, value)
        for name, value in limits.items():
            if pods.is_pod_level(name):
                requests.setdefault(name, value)
    elif any(map(pods.is_pod_level, requests)):
        every = [*items(spec, "containers"), *items(spec, "initContainers")]
        for name, value in container_limits.items():
            bounded = all(name in ((one.get("resources") or {}).get("limits") or {}) for one in every)
            if name in (pods.CPU, pods.MEMORY) and bounded:
                limits[name] = value
    if requests:
        level["requests"] = requests
    if limits:
        level["limits"] = limits


def _template_object(obj: Object) -> None:
    pod_template(obj)


DEFAULTS = {("", "Pod"): pod, ("", "PodTemplate"): _template_object}
