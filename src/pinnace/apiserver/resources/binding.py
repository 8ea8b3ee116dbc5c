"""``pods/binding`` and the older ``bindings``: the scheduler's decision."""

from __future__ import annotations

from pinnace.api import errors, meta
from pinnace.api.errors import bad_request
from pinnace.api.registry import Resource
from pinnace.api.types import GVK, Object
from pinnace.apiserver.request import Request
from pinnace.apiserver.resources import body, codec, render
from pinnace.apiserver.resources.backend import Backend, dry_run
from pinnace.apiserver.response import Response
from pinnace.core.clock import timestamp

BINDING = GVK("", "v1", "Binding")
TRIES = 100


async def bind(backend: Backend, request: Request, row: Resource) -> Response:
    """POST pods/NAME/binding."""
    return await _bind(backend, request, row, request.info.name)


async def bind_by_body(backend: Backend, request: Request, row: Resource) -> Response:
    """POST bindings."""
    pods = backend.registry.get("", "v1", "pods")
    if pods is None:
        raise errors.path_not_found()
    return await _bind(backend, request, pods, "")


async def _bind(backend: Backend, request: Request, row: Resource, name: str) -> Response:
    info = request.info
    dry = dry_run(request, "CreateOptions")
    binding = body.decode(request, row, BINDING)
    said = binding["metadata"].get("name") or ""
    if name and said and said != name:
        raise bad_request(f"the name of the object ({said}) does not match the name on the URL ({name})")
    name = name or said
    target = binding.get("target") or {}
    _check_target(name, target)
    key = row.key(info.namespace, name)
    for _ in range(TRIES):
        kv = backend.get(row, info.namespace, name)
        old = codec.read(kv, row)
        async with backend.admitted(
            request, row, "CREATE", binding, old, name=name, subresource="binding", dry_run=dry
        ) as admitted:
            await admitted.validated()
            new = bound(old, binding, backend.clock.now())
            if dry or await backend.write(row, key, new, kv.mod_revision) is not None:
                admitted.committed = True
                status: Object = {
                    "kind": "Status",
                    "apiVersion": "v1",
                    "metadata": {},
                    "status": "Success",
                    "code": 201,
                }
                return render.plain(request, 201, status)
    raise errors.conflict("", "pods/binding", name)


def _check_target(name: str, target: Object) -> None:
    found = []
    if target.get("kind") not in (None, "", "Node"):
        found.append(errors.not_supported("target.kind", target["kind"], ("Node", "<empty>")))
    if not target.get("name"):
        found.append(errors.required("target.name"))
    if found:
        raise errors.invalid("", "Binding", name, found)


def bound(old: Object, binding: Object, now: float) -> Object:
    """The Pod ``old`` on the node that ``binding`` names. Pure. Raises ApiError Conflict."""
    name = meta.name(old)
    metadata, wanted = old["metadata"], binding["metadata"]
    for field in ("uid", "resourceVersion"):
        if wanted.get(field) and wanted[field] != metadata.get(field):
            what = "UID" if field == "uid" else "ResourceVersion"
            raise errors.conflict(
                "",
                "pods/binding",
                name,
                f"Precondition failed: {what} in precondition: {wanted[field]}, {what} in object meta: "
                f"{metadata.get(field)}",
            )
    if metadata.get("deletionTimestamp"):
        raise errors.conflict("", "pods/binding", name, f"pod {name} is being deleted, cannot be assigned to a host")
    held = old["spec"].get("nodeName")
    if held:
        raise errors.conflict("", "pods/binding", name, f'pod {name} is already assigned to node "{held}"')
    if gates := old["spec"].get("schedulingGates"):
        listed = " ".join(str(gate.get("name")) for gate in gates)
        raise errors.conflict("", "pods/binding", name, f"pod {name} has non-empty .spec.schedulingGates: [{listed}]")
    metadata = dict(metadata)
    for field in ("annotations", "labels"):
        if wanted.get(field):
            metadata[field] = {**(metadata.get(field) or {}), **wanted[field]}
    status = dict(old.get("status") or {})
    others = [c for c in status.get("conditions") or () if c.get("type") != "PodScheduled"]
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": timestamp(now)}
    status["conditions"] = [*others, scheduled]
    return {
        **old,
        "metadata": metadata,
        "spec": {**old["spec"], "nodeName": binding["target"]["name"]},
        "status": status,
    }
