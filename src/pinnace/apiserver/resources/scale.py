"""``scale``: how many replicas a workload or custom resource wants and has, as an autoscaling/v1 Scale."""

from __future__ import annotations

from pinnace.api import errors, meta, schema_table, selectors
from pinnace.api.apply import apply, managers, typed
from pinnace.api.apply import scale as scales
from pinnace.api.apply import update as changes
from pinnace.api.apply.reset import NOTHING
from pinnace.api.apply.typed import Type
from pinnace.api.crd import scale as custom
from pinnace.api.registry import Resource, ScalePaths
from pinnace.api.types import GVK, Object
from pinnace.apiserver.request import Request
from pinnace.apiserver.resources import apply_patch, body, codec, ownership, patch, render, update
from pinnace.apiserver.resources.backend import Backend, dry_run
from pinnace.apiserver.response import Response
from pinnace.core.clock import timestamp
from pinnace.store.protocol import KeyValue

SCALE = GVK("autoscaling", "v1", "Scale")
#: What a patch finds where a custom resource does not say how many replicas it wants.
_UNSET = -(2**31)
#: Resources that have it, by group and plural.
SCALED = (("apps", "deployments"), ("apps", "replicasets"), ("apps", "statefulsets"), ("", "replicationcontrollers"))


def of(obj: Object, row: Resource | None = None) -> Object:
    """The Scale of an object."""
    if row is not None and row.custom is not None:
        return custom.of(obj, _paths(row))[0]
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


def _paths(row: Resource) -> ScalePaths:
    assert row.custom is not None
    assert row.custom.scale is not None
    return row.custom.scale


def _without_replicas(row: Resource, obj: Object) -> str:
    """Where a custom resource would say how many replicas it wants, if it does not."""
    if row.custom is None or custom.of(obj, _paths(row))[1]:
        return ""
    return errors.go_quote("." + ".".join(_paths(row).replicas))


def get(backend: Backend, request: Request, row: Resource) -> Response:
    info = request.info
    obj = codec.read(backend.get(row, info.namespace, info.name), row)
    if where := _without_replicas(row, obj):
        raise errors.internal(f"the spec replicas field {where} does not exist")
    return render.plain(request, 200, of(obj, row))


async def put(backend: Backend, request: Request, row: Resource) -> Response:
    ownership.check_options(request, "UpdateOptions")
    dry = dry_run(request, "UpdateOptions")
    sent = body.decode(request, row, SCALE)
    update.check_name(sent, request.info.name, request.info.namespace)
    return await _change(backend, request, row, lambda _: sent, insisted=bool(meta.resource_version(sent)), dry=dry)


async def patch_scale(backend: Backend, request: Request, row: Resource) -> Response:
    if apply_patch.asked(request):
        return await _apply(backend, request, row)
    ownership.check_options(request, "PatchOptions")
    dry = dry_run(request, "PatchOptions")
    kind, data = patch.parse(request, row)
    insisted = patch.insists(data)
    definition = schema_table.of_kind(SCALE)

    def patched(old: Object) -> Object:
        made = patch.apply(kind, data, old, definition)
        new = patch.decoded(kind, made, lambda: body.checked(request, made, SCALE, definition))
        update.check_name(new, request.info.name, request.info.namespace)
        return new

    return await _change(backend, request, row, patched, insisted=insisted, dry=dry)


async def _apply(backend: Backend, request: Request, row: Resource) -> Response:
    config = apply_patch.parse(request)
    dry = dry_run(request, "PatchOptions")
    who = managers.identity(ownership.manager(request), managers.APPLY, SCALE.api_version, "scale")

    def applied(old: Object) -> Object:
        now = timestamp(backend.clock.now())
        force = apply_patch.forced(request)
        new = apply.apply(ScaleVersions(), SCALE, old, config, who, now, NOTHING, force=force)
        entries = new["metadata"].get("managedFields")
        made = body.checked(request, new, SCALE, schema_table.of_kind(SCALE))
        update.check_name(made, request.info.name, request.info.namespace)
        if entries:
            made["metadata"]["managedFields"] = entries
        return made

    return await _change(backend, request, row, applied, insisted=patch.insists(config), dry=dry, owned=True)


class ScaleVersions:
    """There is one (``api.apply.update.Versions``)."""

    changeable = False

    def type_of(self, api_version: str) -> Type | None:
        return typed.of_definition(schema_table.of_kind(SCALE)) if api_version == SCALE.api_version else None

    def convert(self, obj: Object, api_version: str) -> Object:
        return obj


def _replicas(row: Resource) -> tuple[str, ...]:
    """Where the replicas are, as a path in a set of fields."""
    path = ("spec", "replicas") if row.custom is None else _paths(row).replicas
    return tuple(f"f:{name}" for name in path)


def _with_owners(row: Resource, obj: Object) -> Object:
    """The Scale of ``obj``, with who owns its replicas."""
    made = of(obj, row)
    entries = scales.to_scale(obj["metadata"].get("managedFields") or [], _replicas(row))
    if entries:
        made["metadata"]["managedFields"] = entries
    return made


def _track(request: Request, new: Object, old: Object, now: float) -> None:
    """Set ``managedFields`` of the Scale ``new``, which the request makes of ``old``."""
    held = old["metadata"].get("managedFields")
    new["metadata"].pop("managedFields", None)
    if not held:
        return
    who = managers.identity(ownership.manager(request), managers.UPDATE, SCALE.api_version, "scale")
    bare = {**old, "metadata": {name: value for name, value in old["metadata"].items() if name != "managedFields"}}
    managed = changes.updated(ScaleVersions(), bare, new, managers.read(held), who, timestamp(now), NOTHING)
    new["metadata"]["managedFields"] = managers.write(managed)


async def _change(
    backend: Backend,
    request: Request,
    row: Resource,
    compute: update.Change,
    *,
    insisted: bool,
    dry: bool,
    owned: bool = False,
) -> Response:
    """``compute`` makes the new Scale, with its managed fields if ``owned``, of the old one."""

    def scaled(old: Object) -> Object:
        held = _with_owners(row, old)
        where = _without_replicas(row, old)
        if where:
            held["spec"]["replicas"] = _UNSET
        wanted = compute(held)
        spec = wanted.get("spec") or {}
        replicas = spec.get("replicas", 0)
        if where and replicas == _UNSET:
            raise errors.bad_request(f"the spec replicas field {where} cannot be empty")
        if replicas < 0 and row.custom is None:  # a custom resource's own validation says where it has them
            problem = errors.invalid_value("spec.replicas", replicas, "must be greater than or equal to 0")
            raise errors.invalid("autoscaling", "Scale", request.info.name, [problem])
        if not owned:
            _track(request, wanted, held, backend.clock.now())
        if row.custom is not None:
            new = custom.scaled(old, _paths(row), replicas)
        else:
            new = meta.copy(old)
            new["spec"]["replicas"] = replicas
        before = old["metadata"].get("managedFields") or []
        after = wanted["metadata"].get("managedFields") or []
        entries = scales.to_parent(before, after, row.api_version, _replicas(row))
        new["metadata"].pop("managedFields", None)
        if entries:
            new["metadata"]["managedFields"] = entries
        for field in ("resourceVersion", "uid"):
            if said := wanted["metadata"].get(field):
                new["metadata"][field] = said
        return new

    def take(new: Object, shown: Object) -> None:
        replicas = (shown.get("spec") or {}).get("replicas", 0)
        if row.custom is not None:
            changed = custom.scaled(new, _paths(row), replicas)
            new.clear()
            new.update(changed)
        else:
            new["spec"]["replicas"] = replicas

    def answer(_: KeyValue | None, new: Object) -> Response:
        return render.plain(request, 200, of(new, row))

    return await update.change(
        backend,
        request,
        row,
        scaled,
        insisted=insisted,
        dry=dry,
        subresource="",
        owned=True,
        answer=answer,
        guise=update.Guise("scale", lambda obj: of(obj, row), take),
    )
