"""DELETE: preconditions, grace, finalizers, propagation.

An object with finalizers, or a Pod with a grace period, is only marked (deletionTimestamp); whoever takes away the last
finalizer, or the kubelet with grace period 0, makes it go.
"""

from __future__ import annotations

from pinnace.api import errors, meta, schema
from pinnace.api.crd import status
from pinnace.api.errors import bad_request
from pinnace.api.registry import Resource
from pinnace.api.types import Object
from pinnace.apiserver.request import Request
from pinnace.apiserver.resources import body, codec, render
from pinnace.apiserver.resources.backend import Backend, dry_run
from pinnace.apiserver.response import Response
from pinnace.core.clock import timestamp
from pinnace.store.protocol import KeyValue

TRIES = 100
ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
POLICIES = ("Foreground", "Background", "Orphan")


async def delete(backend: Backend, request: Request, row: Resource) -> Response:
    options = body.options(request, "DeleteOptions")
    dry = dry_run(request, "DeleteOptions", options)
    check_options(options)
    return await delete_object(backend, request, row, request.info.namespace, request.info.name, options, dry=dry)


def check_options(options: Object) -> None:
    """Raises ApiError 422, 400 for options that make no sense."""
    policy = options.get("propagationPolicy")
    found = []
    if policy is not None:
        if options.get("orphanDependents") is not None:
            found.append(
                errors.invalid_value(
                    "propagationPolicy", policy, "orphanDependents and deletionPropagation cannot be both set"
                )
            )
        if policy not in POLICIES:
            found.append(errors.not_supported("propagationPolicy", policy, (*POLICIES, "nil")))
    if found:
        raise errors.invalid("meta.k8s.io", "DeleteOptions", "", found)
    grace = options.get("gracePeriodSeconds")
    if grace is not None and (isinstance(grace, bool) or not isinstance(grace, int)):
        raise bad_request(
            f"json: cannot unmarshal {schema.json_type(grace)} into Go struct field "
            "DeleteOptions.gracePeriodSeconds of type int64"
        )


async def delete_object(
    backend: Backend,
    request: Request,
    row: Resource,
    namespace: str,
    name: str,
    options: Object,
    *,
    dry: bool,
    admitted: bool = False,
) -> Response:
    """Delete one object, or begin to. ``admitted``: by way of a subresource, as what it is there."""
    key = row.key(namespace, name)
    for _ in range(TRIES):
        kv = backend.get(row, namespace, name)
        old = codec.read(kv, row)
        check_preconditions(row, old, options)
        if not admitted:
            async with backend.admitted(
                request, row, "DELETE", None, old, name=name, dry_run=dry, options=options
            ) as admission:
                if (looking := admission.validate()) is not None:
                    await looking
                admission.committed = True
        marked = mark(row, old, options, backend.clock.now())
        if dry:
            return _answer(backend, request, row, old, marked)
        if marked is None:
            revision = await backend.remove(key, kv.mod_revision)
            if not revision:
                continue
            gone = codec.deleted(kv, row, revision)
            return _answer(backend, request, row, gone, None)
        written = await _write_mark(backend, row, key, kv, old, marked)
        if written is None:
            continue
        return render.stored(request, 200, written, row, backend.clock.now())
    raise errors.conflict(row.group, row.plural, name)


async def _write_mark(
    backend: Backend, row: Resource, key: str, kv: KeyValue, old: Object, marked: Object
) -> KeyValue | None:
    if marked == old:
        return kv
    return await backend.write(row, key, marked, kv.mod_revision)


def check_preconditions(row: Resource, old: Object, options: Object) -> None:
    """Raises ApiError Conflict if the object is not the one that was meant."""
    wanted = options.get("preconditions") or {}
    uid, version = wanted.get("uid"), wanted.get("resourceVersion")
    if uid is not None and uid != meta.uid(old):
        raise errors.conflict(
            row.group,
            row.kind,
            meta.name(old),
            f"the UID in the precondition ({uid}) does not match the UID in record ({meta.uid(old)}). The object might "
            "have been deleted and then recreated",
        )
    if version is not None and version != meta.resource_version(old):
        raise errors.conflict(
            row.group,
            row.kind,
            meta.name(old),
            f"the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record "
            f"({meta.resource_version(old)}). The object might have been modified",
        )


def mark(row: Resource, old: Object, options: Object, now: float) -> Object | None:
    """``old`` as it is while its deletion is held back; None if it can go at once. Pure."""
    grace = grace_period(row, old, options)
    finalizers = wanted_finalizers(row, old, options)
    namespace_content = row.kind == "Namespace" and not row.group and (old.get("spec") or {}).get("finalizers")
    definition = row.kind == "CustomResourceDefinition" and not meta.is_deleting(old)
    if not grace and not finalizers and not namespace_content and not definition:
        return None
    metadata = dict(old["metadata"])
    new = {**old, "metadata": metadata}
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)
    held = metadata.get("deletionGracePeriodSeconds")
    if not metadata.get("deletionTimestamp"):
        metadata["deletionTimestamp"] = timestamp(now + grace)
        metadata["deletionGracePeriodSeconds"] = grace
        if metadata.get("generation"):
            metadata["generation"] = metadata["generation"] + 1
    elif held is not None and grace < held:  # a shorter grace period wins
        metadata["deletionTimestamp"] = timestamp(now + grace)
        metadata["deletionGracePeriodSeconds"] = grace
    if definition:  # the one kind that upstream marks without grace period and generation
        metadata.pop("deletionGracePeriodSeconds", None)
        metadata["generation"] = meta.generation(old)
        status.begin_deletion(new, timestamp(now))
    if namespace_content:
        metadata.pop("deletionGracePeriodSeconds", None)
        new["status"] = {**(old.get("status") or {}), "phase": "Terminating"}
    return new


def grace_period(row: Resource, old: Object, options: Object) -> int:
    """Seconds that the object gets to end: for Pods that run on a node; others go at once."""
    if row.kind != "Pod" or row.group:
        return 0
    asked = options.get("gracePeriodSeconds")
    spec, status = old.get("spec") or {}, old.get("status") or {}
    grace = int(asked) if asked is not None else int(spec.get("terminationGracePeriodSeconds") or 0)
    grace = 1 if grace < 0 else grace
    if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
        return 0
    held = old["metadata"].get("deletionGracePeriodSeconds")
    if old["metadata"].get("deletionTimestamp") and held is not None and asked is None:
        return int(held)
    return grace


def wanted_finalizers(row: Resource, old: Object, options: Object) -> list[str]:
    """The object's finalizers, with those that its dependents' fate asks for."""
    held = meta.finalizers(old)
    policy, orphan = options.get("propagationPolicy"), options.get("orphanDependents")
    if policy is None and orphan is not None:
        policy = "Orphan" if orphan else "Background"
    if policy is None:
        return list(held)
    kept = [finalizer for finalizer in held if finalizer not in (ORPHAN, FOREGROUND)]
    if policy == "Orphan":
        kept.append(ORPHAN)
    elif policy == "Foreground":
        kept.append(FOREGROUND)
    return kept


def _answer(backend: Backend, request: Request, row: Resource, gone: Object, marked: Object | None) -> Response:
    """Pods are answered with their last state, everything else with a Status."""
    if marked is not None:
        return render.one(request, 200, marked, row, backend.wanted(request), backend.clock.now())
    if row.kind == "Pod" and not row.group:
        return render.one(request, 200, gone, row, backend.wanted(request), backend.clock.now())
    details: Object = {"name": meta.name(gone)}
    if row.group:
        details["group"] = row.group
    details["kind"] = row.plural
    details["uid"] = meta.uid(gone)
    answer: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
    return render.plain(request, 200, answer)
