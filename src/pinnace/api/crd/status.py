"""A definition's status: which names it gets, whether it is established, and what else its conditions tell. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from pinnace.api import meta
from pinnace.api.errors import go_quote
from pinnace.api.types import Object

FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
APPROVAL = "api-approved.kubernetes.io"
#: Groups whose definitions need the approval of Kubernetes' API reviewers.
_PROTECTED = ("k8s.io", "kubernetes.io")


def condition(type: str, status: str, reason: str, message: str) -> Object:
    return {"type": type, "status": status, "reason": reason, "message": message}


def set_condition(conditions: list[Object], wanted: Object, now: str) -> None:
    """Put ``wanted`` into ``conditions``, which is the caller's own; the time stays if the status does."""
    for index, held in enumerate(conditions):
        if held.get("type") == wanted["type"]:
            same = held.get("status") == wanted["status"] and held.get("lastTransitionTime")
            conditions[index] = {"lastTransitionTime": held["lastTransitionTime"] if same else now, **wanted}
            return
    conditions.append({"lastTransitionTime": now, **wanted})


def established(definition: Object) -> bool:
    return meta.has_condition(definition, "Established")


def served(definition: Object) -> bool:
    """Whether requests for its objects are answered."""
    return established(definition) or meta.has_condition(definition, "NamesAccepted")


def desired(definition: Object, others: Iterable[Object], now: str, *, check_schema: bool = True) -> Object:
    """The status that ``definition`` should have, beside the ``others`` of its group. ``check_schema``: whether what
    its status says of its schema may be wrong."""
    status: Object = dict(definition.get("status") or {})
    conditions: list[Object] = [dict(held) for held in status.get("conditions") or ()]
    names, naming = accept_names(definition, others)
    status["acceptedNames"] = names
    set_condition(conditions, naming, now)
    if not established(definition):
        if naming["status"] == "True":
            wanted = condition("Established", "True", "InitialNamesAccepted", "the initial names have been accepted")
        else:
            wanted = condition("Established", "False", "NotAccepted", "not all names are accepted")
        set_condition(conditions, wanted, now)
    approval = approval_condition(definition)
    if approval is not None:
        set_condition(conditions, approval, now)
    if check_schema:
        violations = non_structural(definition)
        if violations is not None:
            set_condition(conditions, violations, now)
        else:
            conditions = [held for held in conditions if held.get("type") != "NonStructuralSchema"]
    status["conditions"] = conditions
    return status


def accept_names(definition: Object, others: Iterable[Object]) -> tuple[Object, Object]:
    """The names it gets, and the condition NamesAccepted: each name goes to the definition that had it first."""
    used: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        held = (other.get("status") or {}).get("acceptedNames") or {}
        used.update((held.get("plural") or "", held.get("singular") or "", *(held.get("shortNames") or ())))
        kinds.update((held.get("kind") or "", held.get("listKind") or ""))
    wanted: Object = definition["spec"]["names"]
    held = (definition.get("status") or {}).get("acceptedNames") or {}
    names = dict(held)
    found: list[tuple[str, str]] = []

    def take(field: str, taken: set[str], reason: str) -> None:
        asked = wanted.get(field) or ""
        if asked != (held.get(field) or "") and asked in taken:
            found.append((reason, f"{go_quote(asked)} is already in use"))
        elif asked:
            names[field] = asked

    take("plural", used, "PluralConflict")
    take("singular", used, "SingularConflict")
    _take_short_names(wanted, held, names, used, found)
    take("kind", kinds, "KindConflict")
    take("listKind", kinds, "ListKindConflict")
    if wanted.get("categories"):
        names["categories"] = wanted["categories"]
    else:
        names.pop("categories", None)
    names = {field: names[field] for field in _NAMES if names.get(field)}
    names.setdefault("plural", "")
    names.setdefault("kind", "")
    if found:
        return names, condition("NamesAccepted", "False", *found[-1])
    return names, condition("NamesAccepted", "True", "NoConflicts", "no conflicts found")


_NAMES = ("plural", "singular", "shortNames", "kind", "listKind", "categories")


def _take_short_names(
    wanted: Object, held: Object, names: Object, used: set[str], found: list[tuple[str, str]]
) -> None:
    asked: Sequence[str] = wanted.get("shortNames") or ()
    ours = set(held.get("shortNames") or ())
    taken = [f"{go_quote(name)} is already in use" for name in asked if name not in ours and name in used]
    if taken:
        found.append(("ShortNamesConflict", taken[0] if len(taken) == 1 else f"[{', '.join(taken)}]"))
    elif asked:
        names["shortNames"] = list(asked)
    else:
        names.pop("shortNames", None)


def is_protected(group: str) -> bool:
    return any(group == owned or group.endswith(f".{owned}") for owned in _PROTECTED)


def approval(annotations: dict[str, str]) -> tuple[str, str]:
    """``(Approved | Bypassed | Missing | Invalid, what to say of it)``."""
    said = annotations.get(APPROVAL) or ""
    see = "see https://github.com/kubernetes/enhancements/pull/1111"
    if not said:
        return "Missing", f'protected groups must have approval annotation "{APPROVAL}", {see}'
    if said.startswith("unapproved"):
        return "Bypassed", f"not approved: {go_quote(said)}"
    try:
        url = urlsplit(said)
    except ValueError:
        url = urlsplit("")
    if url.scheme and url.netloc:
        return "Approved", f"approved in {said}"
    return (
        "Invalid",
        f'protected groups must have approval annotation "{APPROVAL}" with either a URL or a reason starting with '
        f'"unapproved", {see}',
    )


_APPROVALS = {
    "Approved": ("True", "ApprovedAnnotation"),
    "Bypassed": ("False", "UnapprovedAnnotation"),
    "Missing": ("False", "MissingAnnotation"),
    "Invalid": ("False", "InvalidAnnotation"),
}


def approval_condition(definition: Object) -> Object | None:
    if not is_protected(definition["spec"]["group"]):
        return None
    state, message = approval(meta.annotations(definition))
    return condition("KubernetesAPIApprovalPolicyConformant", *_APPROVALS[state], message)


def non_structural(definition: Object) -> Object | None:
    """The condition NonStructuralSchema, of definitions stored before their schemas had to be structural."""
    from pinnace.api.crd import schemas

    problems = []
    if definition["spec"].get("preserveUnknownFields"):
        problems.append("spec.preserveUnknownFields: Invalid value: true: must be false")
    for index, version in enumerate(definition["spec"].get("versions") or ()):
        node = (version.get("schema") or {}).get("openAPIV3Schema")
        if node is not None:
            problems += map(str, schemas.structural_errors(node, f"spec.versions[{index}].schema.openAPIV3Schema"))
    if not problems:
        return None
    message = problems[0] if len(problems) == 1 else f"[{', '.join(dict.fromkeys(problems))}]"
    return condition("NonStructuralSchema", "True", "Violations", message)


def begin_deletion(definition: Object, now: str) -> None:
    """What the first request to delete a definition adds to it, in place on its own metadata and status."""
    metadata = definition["metadata"]
    finalizers = list(metadata.get("finalizers") or ())
    if FINALIZER not in finalizers:
        finalizers.append(FINALIZER)
    metadata["finalizers"] = finalizers
    pending = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
    set_terminating(definition, condition("Terminating", "True", "InstanceDeletionPending", pending), now)


def set_terminating(definition: Object, wanted: Object, now: str) -> None:
    status = dict(definition.get("status") or {})
    conditions = [dict(held) for held in status.get("conditions") or ()]
    set_condition(conditions, wanted, now)
    definition["status"] = {**status, "conditions": conditions}
