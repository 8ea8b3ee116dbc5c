"""``pods/eviction``: deletion that PodDisruptionBudgets may refuse."""

from __future__ import annotations

from pinnace.api import errors, meta, selectors
from pinnace.api.errors import ApiError, bad_request
from pinnace.api.registry import Resource
from pinnace.api.types import GVK, Object
from pinnace.apiserver.request import Request
from pinnace.apiserver.resources import body, codec, delete, render
from pinnace.apiserver.resources.backend import Backend, dry_run
from pinnace.apiserver.response import Response
from pinnace.core.clock import timestamp
from pinnace.store.protocol import prefix_end

EVICTION = GVK("policy", "v1", "Eviction")
TRIES = 20


async def evict(backend: Backend, request: Request, row: Resource) -> Response:
    info = request.info
    eviction = body.decode(request, row, EVICTION)
    said = eviction["metadata"].get("name") or info.name
    if said != info.name:
        raise bad_request("name in URL does not match name in Eviction object")
    options = eviction.get("deleteOptions") or {}
    dry = dry_run(request, "DeleteOptions", options)
    delete.check_options(options)
    async with backend.admitted(
        request, row, "CREATE", eviction, None, name=info.name, subresource="eviction", dry_run=dry
    ) as admitted:
        await admitted.validated()
        admitted.committed = True
    options = eviction.get("deleteOptions") or {}
    pod = codec.read(backend.get(row, info.namespace, info.name), row)
    phase = (pod.get("status") or {}).get("phase")
    delete.check_preconditions(row, pod, options)
    if phase not in ("Succeeded", "Failed", "Pending") and not pod["metadata"].get("deletionTimestamp"):
        await _take_budget(backend, info.namespace, pod, dry=dry)
    if not dry:
        options = await _say_why(backend, row, info.namespace, info.name, options)
    await delete.delete_object(backend, request, row, info.namespace, info.name, options, dry=dry, admitted=True)
    status: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
    return render.plain(request, 201, status)


async def _say_why(backend: Backend, row: Resource, namespace: str, name: str, options: Object) -> Object:
    """Write into the Pod's status that it is evicted, for Jobs' failure policies; the options for its deletion."""
    for _ in range(TRIES):
        kv = backend.get(row, namespace, name)
        pod = codec.read(kv, row)
        delete.check_preconditions(row, pod, options)
        status = pod.get("status") or {}
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
            "lastTransitionTime": timestamp(backend.clock.now()),
            "observedGeneration": meta.generation(pod),
        }
        others = [one for one in status.get("conditions") or () if one.get("type") != condition["type"]]
        told = {**pod, "status": {**status, "conditions": [*others, condition]}}
        written = await backend.write(row, kv.key, told, kv.mod_revision)
        if written is not None:
            preconditions = options.get("preconditions") or {}
            if preconditions.get("resourceVersion"):
                revision = {"resourceVersion": str(written.mod_revision)}
                options = {**options, "preconditions": {**preconditions, **revision}}
            return options
    raise errors.conflict(row.group, row.plural, name)


async def _take_budget(backend: Backend, namespace: str, pod: Object, *, dry: bool) -> None:
    """Take one disruption from the Pod's budget. Raises ApiError 429 if there is none left."""
    row = backend.registry.get("policy", "v1", "poddisruptionbudgets")
    if row is None:
        return
    start = f"{row.prefix}{namespace}/"
    for _ in range(TRIES):
        found = [
            item
            for item in backend.store.range(start, prefix_end(start)).items
            if selectors.label_selector((codec.read(item, row).get("spec") or {}).get("selector")).matches(
                meta.labels(pod)
            )
        ]
        if not found:
            return
        if len(found) > 1:
            raise ApiError(
                500,
                "InternalError",
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            )
        budget = codec.read(found[0], row)
        taken = with_disruption(budget, meta.name(pod), timestamp(backend.clock.now()), _is_ready(pod))
        if taken is None or dry:
            return
        if await backend.write(row, found[0].key, taken, found[0].mod_revision) is not None:
            return
    raise errors.too_many_requests("couldn't update PodDisruptionBudget, please try again", 10)


def _is_ready(pod: Object) -> bool:
    return meta.has_condition(pod, "Ready")


def with_disruption(budget: Object, pod_name: str, now: str, ready: bool) -> Object | None:
    """``budget`` with one disruption less; None if the Pod does not count. Raises ApiError 429. Pure."""
    status = budget.get("status") or {}
    spec = budget.get("spec") or {}
    healthy, desired = int(status.get("currentHealthy") or 0), int(status.get("desiredHealthy") or 0)
    if not ready and (spec.get("unhealthyPodEvictionPolicy") == "AlwaysAllow" or (desired > 0 and healthy >= desired)):
        return None
    allowed = int(status.get("disruptionsAllowed") or 0)
    if int(status.get("observedGeneration") or 0) < meta.generation(budget):
        raise _refused(f"The disruption budget {meta.name(budget)} is still being processed by the server.", 10)
    if allowed <= 0:
        raise _refused(
            f"The disruption budget {meta.name(budget)} needs {desired} healthy pods and has {healthy} currently", 0
        )
    disrupted = {**(status.get("disruptedPods") or {}), pod_name: now}
    return {**budget, "status": {**status, "disruptionsAllowed": allowed - 1, "disruptedPods": disrupted}}


def _refused(why: str, retry_after: int) -> ApiError:
    details: Object = {"causes": [{"reason": "DisruptionBudget", "message": why}]}
    if retry_after:
        details["retryAfterSeconds"] = retry_after
    return ApiError(
        429,
        "TooManyRequests",
        "Cannot evict pod as it would violate the pod's disruption budget.",
        details=details,
        headers={"Retry-After": str(retry_after)} if retry_after else None,
    )
