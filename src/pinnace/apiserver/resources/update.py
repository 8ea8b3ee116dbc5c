"""PUT an object, and what every change of an existing object has in common.

A change is computed from the newest state, checked, and committed only if that state is still the newest; otherwise it
is computed again, unless the client insisted on a revision.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pinnace.api import errors, meta
from pinnace.api.errors import ApiError, bad_request
from pinnace.api.registry import Resource
from pinnace.api.types import Object
from pinnace.apiserver.request import Request
from pinnace.apiserver.resources import body, codec, create, ownership, render
from pinnace.apiserver.resources.backend import Backend, dry_run, refuse_invalid, system_metadata
from pinnace.apiserver.response import Response
from pinnace.core.cooperate import LARGE, aside
from pinnace.store.protocol import KeyValue

#: Computes the new object (the caller's own) from the old one (read-only).
Change = Callable[[Object], Object]


class Guise(NamedTuple):
    """A subresource that shows an object as one of another kind: admission looks at that."""

    subresource: str
    show: Callable[[Object], Object]
    #: ``(object, shown)``: has the object, in place, be as what was shown now is.
    take: Callable[[Object, Object], None]


#: Times that a change is computed again because another one came first.
TRIES = 100
#: Kinds that PUT may create.
CREATED_ON_UPDATE = {
    ("", "endpoints"),
    ("", "events"),
    ("", "limitranges"),
    ("", "podtemplates"),
    ("", "services"),
    ("certificates.k8s.io", "certificatesigningrequests"),
    ("coordination.k8s.io", "leases"),
    ("events.k8s.io", "events"),
    ("rbac.authorization.k8s.io", "clusterrolebindings"),
    ("rbac.authorization.k8s.io", "clusterroles"),
    ("rbac.authorization.k8s.io", "rolebindings"),
    ("rbac.authorization.k8s.io", "roles"),
}
#: Kinds with defaults only in ``spec`` and ``status``: nothing to do where these are still the old ones.
_BODY_DEFAULTS = frozenset(("Pod", "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job"))
#: Kinds whose PUT must say which revision it replaces; custom resources too.
CONDITIONAL = {
    ("admissionregistration.k8s.io", "mutatingadmissionpolicies"),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings"),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    ("certificates.k8s.io", "clustertrustbundles"),
    ("certificates.k8s.io", "podcertificaterequests"),
    ("coordination.k8s.io", "leasecandidates"),
    ("coordination.k8s.io", "leases"),
    ("internal.apiserver.k8s.io", "storageversions"),
    ("node.k8s.io", "runtimeclasses"),
    ("policy", "poddisruptionbudgets"),
    ("storage.k8s.io", "csidrivers"),
    ("storage.k8s.io", "csinodes"),
    ("storage.k8s.io", "csistoragecapacities"),
    ("storage.k8s.io", "volumeattachments"),
    ("storagemigration.k8s.io", "storageversionmigrations"),
}


async def update(backend: Backend, request: Request, row: Resource) -> Response:
    info = request.info
    ownership.check_options(request, "UpdateOptions")
    dry = dry_run(request, "UpdateOptions")
    sent = await aside(body.decode, request, row) if request.large else body.decode(request, row)
    check_name(sent, info.name, info.namespace if row.namespaced else "")
    create.place(sent, row, info.namespace)
    if backend.store.get(row.key(info.namespace, info.name)) is None:
        if (row.group, row.plural) not in CREATED_ON_UPDATE or info.subresource:
            raise errors.not_found(row.group, row.plural, info.name)
        if sent["metadata"].get("resourceVersion"):
            raise errors.conflict(row.group, row.plural, info.name)
        create.authorize(backend, request)
        return await create.create_object(backend, request, row, sent, dry=dry)
    conditional = row.custom is not None or (row.group, row.plural) in CONDITIONAL
    if not info.subresource and not meta.resource_version(sent) and conditional:
        problem = errors.invalid_value("metadata.resourceVersion", 0, "must be specified for an update")
        raise errors.invalid(row.group, row.plural, info.name, [problem])
    insisted = bool(meta.resource_version(sent))
    return await change(
        backend, request, row, lambda old: meta.copy(sent) if not insisted else sent, insisted=insisted, dry=dry
    )


def check_name(obj: Object, name: str, namespace: str) -> None:
    """Raises ApiError 400 if ``obj`` is not the one that the URL names. Its namespace may be left out."""
    metadata = obj["metadata"]
    said, space = metadata.get("name") or "", metadata.get("namespace") or ""
    if not said:
        raise bad_request(f"the name of the object ({name} based on URL) was undeterminable: name must be provided")
    if said != name:
        raise bad_request(f"the name of the object ({said}) does not match the name on the URL ({name})")
    if namespace and space and space != namespace:
        raise bad_request(
            f"the namespace of the object ({space}) does not match the namespace on the request ({namespace})"
        )


async def change(
    backend: Backend,
    request: Request,
    row: Resource,
    compute: Change,
    *,
    insisted: bool = False,
    dry: bool = False,
    subresource: str | None = None,
    owned: bool = False,
    answer: Callable[[KeyValue | None, Object], Response] | None = None,
    guise: Guise | None = None,
) -> Response:
    """Replace the object named by the request by ``compute(old)``, which has its managed fields if ``owned``; answered
    with the new object, or with ``answer(stored or None, object)``. Admission sees it in its ``guise``, if it has one.

    Raises ApiError Conflict at once if ``insisted`` and the object has moved on."""
    info = request.info
    if subresource is None:
        subresource = info.subresource
    key = row.key(info.namespace, info.name)
    for _ in range(TRIES):
        kv = backend.get(row, info.namespace, info.name)
        old = codec.read(kv, row)
        new = await aside(compute, old) if request.large or len(kv.value) > LARGE else compute(old)
        _check_identity(request, row, key, new, old)
        done = await _replace(
            backend, request, row, key, kv, new, old, subresource, dry=dry, owned=owned, answer=answer, guise=guise
        )
        if done is not None:
            return done
        if insisted:
            raise errors.conflict(row.group, row.plural, info.name)
    raise errors.conflict(row.group, row.plural, info.name)


def _check_identity(request: Request, row: Resource, key: str, new: Object, old: Object) -> None:
    """Whether ``new`` is the object that ``old`` is; a PATCH cannot ask for another, a PUT may be late."""
    name, metadata = request.info.name, new["metadata"]
    uid, version = metadata.get("uid"), metadata.get("resourceVersion")
    if uid and uid != old["metadata"].get("uid"):
        if request.method == "PATCH":
            problem = errors.invalid_value("metadata.uid", uid, "field is immutable")
            raise errors.invalid(row.group, row.kind, name, [problem])
        raise errors.conflict(
            row.group,
            row.plural,
            name,
            f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition "
            f"failed: UID in precondition: {uid}, UID in object meta: {old['metadata'].get('uid')}",
        )
    if version and version != old["metadata"]["resourceVersion"]:
        if not isinstance(version, str) or not version.isdigit():
            raise ApiError(500, "", f"strconv.ParseUint: parsing {errors.go_quote(version)}: invalid syntax")
        raise errors.conflict(row.group, row.plural, name)


async def _replace(
    backend: Backend,
    request: Request,
    row: Resource,
    key: str,
    kv: KeyValue,
    new: Object,
    old: Object,
    subresource: str,
    *,
    dry: bool,
    owned: bool,
    answer: Callable[[KeyValue | None, Object], Response] | None,
    guise: Guise | None,
) -> Response | None:
    """None if another change came first."""
    name = request.info.name
    now = backend.clock.now
    large = request.large or len(kv.value) > LARGE

    def complete() -> None:
        system_metadata(new, old)
        unchanged = new.get("spec") is old.get("spec") and new.get("status") is old.get("status")
        if not unchanged or row.custom is not None or new["kind"] not in _BODY_DEFAULTS:
            for field, value in new.items():
                if value is old.get(field) and isinstance(value, dict | list):
                    new[field] = meta.copy(value)  # what is shared with the stored object is not changed in place
            row.default(new)
        row.prepare_update(new, old, subresource)  # plugins see what the change may be
        if not owned:
            ownership.track_update(backend.registry, request, row, new, old, subresource, now())

    await aside(complete) if large else complete()
    shown = (new, old) if guise is None else (guise.show(new), guise.show(old))
    asked = subresource if guise is None else guise.subresource
    async with backend.admitted(request, row, "UPDATE", *shown, name=name, subresource=asked, dry_run=dry) as admitted:
        if guise is not None:
            guise.take(new, shown[0])
        row.prepare_update(new, old, subresource)  # and what they have changed counts as part of it
        new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]  # an unconditional update has none
        ownership.keep_times(new, old)
        slow = large or (row.custom is not None and row.custom.rules())
        found = await aside(row.validate, new, old, subresource) if slow else row.validate(new, old, subresource)
        refuse_invalid(row, name, found)
        if row.warn is not None and not subresource:
            request.warnings += [said for said in row.warn(new, old) if said not in request.warnings]
        if (looking := admitted.validate()) is not None:
            await looking
        if new == old and codec.up_to_date(kv, row):  # nothing to write: no new revision, as upstream
            admitted.committed = True
            return answer(kv, new) if answer else render.stored(request, 200, kv, row, now())
        if dry:
            admitted.charges()
            return answer(None, new) if answer else render.one(request, 200, new, row, backend.wanted(request), now())
        if _ends_deletion(new):
            revision = await backend.remove(key, kv.mod_revision)
            if not revision:
                return None
            admitted.committed = True
            new["metadata"]["resourceVersion"] = str(revision)
            return answer(None, new) if answer else render.one(request, 200, new, row, backend.wanted(request), now())
        written = await backend.write(row, key, new, kv.mod_revision, admitted)
        if written is None:
            return None
        admitted.committed = True
    return answer(written, new) if answer else render.stored(request, 200, written, row, now())


def _ends_deletion(new: Object) -> bool:
    """Whether this change takes away the last thing that held back a deletion under way."""
    metadata = new["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    if metadata.get("deletionGracePeriodSeconds"):
        return False
    return not (new.get("kind") == "Namespace" and (new.get("spec") or {}).get("finalizers"))
