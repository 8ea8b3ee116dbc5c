"""``scale``: how many replicas a workload wants and has, as an autoscaling/v1 Scale."""

from __future__ import annotations

from pinnace.api import errors, meta, schema_table, selectors
from pinnace.api.registry import Resource
from pinnace.api.types import GVK, Object
from pinnace.apiserver.request import Request
from pinnace.apiserver.resources import body, codec, patch, render, update
from pinnace.apiserver.resources.backend import Backend, dry_run
from pinnace.apiserver.response import Response
from pinnace.store.protocol import KeyValue

SCALE = GVK("autoscaling", "v1", "Scale")
#: Resources that have it, by group and plural.
SCALED = (("apps", "deployments"), ("apps", "replicasets"), ("apps", "statefulsets"), ("", "replicationcontrollers"))


def of(obj: Object) -> Object:
    """The Scale of a workload."""
    spec, status, metadata = obj.get("spec") or {}, obj.get("status") or {}, obj["metadata"]
    shown = {k: metadata[k] for k in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")}
    made: Object = {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": shown,
        "spec": {},
        "status": {"replicas": int(status.get("replicas") or 0)},
    }
    wanted = int(spec.get("replicas", 1) or 0)
    if wanted:
        made["spec"]["replicas"] = wanted
    selector = spec.get("selector")
    if obj["kind"] == "ReplicationController":
        text = str(selectors.label_set(selector)) if selector else ""
    else:
        text = str(selectors.label_selector(selector))
    if text:
        made["status"]["selector"] = text
    return made


def get(backend: Backend, request: Request, row: Resource) -> Response:
    info = request.info
    return render.plain(request, 200, of(codec.read(backend.get(row, info.namespace, info.name), row)))


async def put(backend: Backend, request: Request, row: Resource) -> Response:
    dry = dry_run(request, "UpdateOptions")
    sent = body.decode(request, row, SCALE)
    update.check_name(sent, request.info.name, request.info.namespace)
    return await _change(backend, request, row, lambda _: sent, insisted=bool(meta.resource_version(sent)), dry=dry)


async def patch_scale(backend: Backend, request: Request, row: Resource) -> Response:
    dry = dry_run(request, "PatchOptions")
    kind, data = patch.parse(request, row)
    insisted = patch.insists(data)
    definition = schema_table.of_kind(SCALE)

    def patched(old: Object) -> Object:
        new = body.checked(request, patch.apply(kind, data, of(old), definition), SCALE, definition)
        update.check_name(new, request.info.name, request.info.namespace)
        return new

    return await _change(backend, request, row, patched, insisted=insisted, dry=dry)


async def _change(
    backend: Backend, request: Request, row: Resource, compute: update.Change, *, insisted: bool, dry: bool
) -> Response:
    def scaled(old: Object) -> Object:
        scale = compute(old)
        replicas = (scale.get("spec") or {}).get("replicas", 0)
        if replicas < 0:
            problem = errors.invalid_value("spec.replicas", replicas, "must be greater than or equal to 0")
            raise errors.invalid("autoscaling", "Scale", request.info.name, [problem])
        new = meta.copy(old)
        new["spec"]["replicas"] = replicas
        for field in ("resourceVersion", "uid"):
            if said := scale["metadata"].get(field):
                new["metadata"][field] = said
        return new  # type: ignore[no-any-return]

    def answer(_: KeyValue | None, new: Object) -> Response:
        return render.plain(request, 200, of(new))

    return await update.change(backend, request, row, scaled, insisted=insisted, dry=dry, subresource="", answer=answer)
