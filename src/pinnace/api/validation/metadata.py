"""ObjectMeta of every kind, on create and on update; labels, annotations and label selectors wherever they stand."""

from collections.abc import Callable, Iterable
from typing import Any

from pinnace.api import formats as f
from pinnace.api.errors import (
    FieldError,
    GoText,
    duplicate,
    forbidden_field,
    go_quote,
    invalid_value,
    not_supported,
    required,
    too_long,
)
from pinnace.api.types import Object

Errors = list[FieldError]
NameCheck = Callable[[str, bool], f.Problems]

ANNOTATIONS_LIMIT = 256 * 1024
IMMUTABLE = "field is immutable"
NEGATIVE = "must be greater than or equal to 0"

subdomain_name = f.name_check(f.dns_subdomain)
label_name = f.name_check(f.dns_label)
path_segment_name: NameCheck = lambda name, prefix: f.path_segment(name)  # noqa: E731 - a check like the others


def wrong(errors: Errors, field: str, value: Any, problems: Iterable[str]) -> None:
    """Add one ``Invalid value`` for each problem."""
    for problem in problems:
        errors.append(invalid_value(field, value, problem))


def one_of(errors: Errors, field: str, value: Any, allowed: Iterable[str]) -> None:
    """A required enum."""
    if not value:
        errors.append(required(field))
    elif value not in allowed:
        errors.append(not_supported(field, value, allowed))


def non_negative(errors: Errors, field: str, value: int | None) -> None:
    if value is not None and value < 0:
        errors.append(invalid_value(field, value, NEGATIVE))


def immutable(errors: Errors, field: str, new: Any, old: Any) -> None:
    if new != old and (new or old):
        errors.append(invalid_value(field, new, IMMUTABLE))


def selector_json(selector: Object | None) -> GoText:
    """A label selector as field errors show it: fields in the order in which they are declared."""
    parts = []
    if selector and selector.get("matchLabels"):
        parts.append(f'"matchLabels":{go_quote(selector["matchLabels"])}')
    if selector and selector.get("matchExpressions"):
        shown = []
        for expression in selector["matchExpressions"]:
            pairs = [f'"{key}":{go_quote(expression.get(key) or "")}' for key in ("key", "operator")]
            if expression.get("values"):
                pairs.append(f'"values":{go_quote(expression["values"])}')
            shown.append("{" + ",".join(pairs) + "}")
        parts.append(f'"matchExpressions":[{",".join(shown)}]')
    return GoText("null" if selector is None else "{" + ",".join(parts) + "}")


def labels(errors: Errors, field: str, value: dict[str, str] | None) -> None:
    if not value:
        return
    for key, text in value.items():
        if problems := f.label_key(key):
            wrong(errors, field, key, problems)
        if problems := f.label_value(text or ""):
            wrong(errors, field, text, problems)


def annotations(errors: Errors, field: str, value: dict[str, str] | None) -> None:
    if not value:
        return
    size = 0
    for key, text in value.items():
        if problems := f.label_key(key.lower()):
            wrong(errors, field, key, problems)
        size += len(key) + (0 if not text else len(text) if text.isascii() else len(text.encode()))
    if size > ANNOTATIONS_LIMIT:
        errors.append(too_long(field, ANNOTATIONS_LIMIT))


def label_selector(errors: Errors, field: str, selector: Object | None) -> None:
    if not selector:
        return
    labels(errors, f"{field}.matchLabels", selector.get("matchLabels"))
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        at = f"{field}.matchExpressions[{index}]"
        values, operator = expression.get("values") or [], expression.get("operator") or ""
        if operator in ("In", "NotIn"):
            if not values:
                errors.append(required(f"{at}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                errors.append(forbidden_field(f"{at}.values", why))
        else:
            errors.append(invalid_value(f"{at}.operator", operator, "not a valid selector operator"))
        wrong(errors, f"{at}.key", expression.get("key") or "", f.label_key(expression.get("key") or ""))
        for position, value in enumerate(values):
            wrong(errors, f"{at}.values[{position}]", value, f.label_value(value))


def _owner_references(errors: Errors, references: list[Object] | None) -> None:
    if not references:
        return
    controller = ""
    for index, reference in enumerate(references):
        at = f"metadata.ownerReferences[{index}]"
        api_version = reference.get("apiVersion") or ""
        if not api_version:
            errors.append(required(f"{at}.apiVersion", "must not be empty"))
        elif api_version.count("/") > 1 or api_version.endswith("/"):
            errors.append(invalid_value(f"{at}.apiVersion", api_version, "must be <group>/<version> or <version>"))
        for key in ("kind", "name", "uid"):
            if not reference.get(key):
                errors.append(required(f"{at}.{key}", "must not be empty"))
        if api_version == "v1" and reference.get("kind") == "Event":
            errors.append(invalid_value(at, reference, "/v1, Kind=Event is disallowed from being an owner"))
        if reference.get("controller"):
            this = f"{reference.get('kind')}/{reference.get('name')}"
            if controller:
                why = (
                    'Only one reference can have Controller set to true. Found "true" in references for '
                    f"{controller} and {this}"
                )
                errors.append(invalid_value("metadata.ownerReferences", references, why))
            else:
                controller = this


def _finalizers(errors: Errors, finalizers: list[str] | None) -> None:
    if not finalizers:
        return
    for finalizer in finalizers:
        wrong(errors, "metadata.finalizers", finalizer, f.label_key(finalizer))
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        why = "finalizer orphan and foregroundDeletion cannot be both set"
        errors.append(invalid_value("metadata.finalizers", finalizers, why))


def _managed_fields(errors: Errors, entries: list[Object] | None) -> None:
    for index, entry in enumerate(entries or ()):
        at = f"metadata.managedFields[{index}]"
        operation = entry.get("operation")
        if not operation:
            errors.append(required(f"{at}.operation", "must not be empty"))
        elif operation not in ("Apply", "Update"):
            errors.append(not_supported(f"{at}.operation", operation, ("Apply", "Update")))
        if entry.get("fieldsType") and entry["fieldsType"] != "FieldsV1":
            errors.append(invalid_value(f"{at}.fieldsType", entry["fieldsType"], "must be `FieldsV1`"))
        if len(entry.get("manager") or "") > 128:
            errors.append(too_long(f"{at}.manager", 128))
        if len(entry.get("subresource") or "") > 256:
            errors.append(too_long(f"{at}.subresource", 256))


def create(errors: Errors, metadata: Object, namespaced: bool, name_check: NameCheck) -> None:
    """The metadata of a new object, its name generated already."""
    name, prefix, namespace = metadata.get("name"), metadata.get("generateName"), metadata.get("namespace")
    if prefix:
        wrong(errors, "metadata.generateName", prefix, name_check(prefix, True))
    if not name:
        errors.append(required("metadata.name", "name or generateName is required"))
    else:
        wrong(errors, "metadata.name", name, name_check(name, False))
    if namespaced:
        if not namespace:
            errors.append(required("metadata.namespace"))
        else:
            wrong(errors, "metadata.namespace", namespace, f.dns_label(namespace))
    elif namespace:
        errors.append(forbidden_field("metadata.namespace", "not allowed on this type"))
    non_negative(errors, "metadata.generation", metadata.get("generation"))
    labels(errors, "metadata.labels", metadata.get("labels"))
    annotations(errors, "metadata.annotations", metadata.get("annotations"))
    _owner_references(errors, metadata.get("ownerReferences"))
    _finalizers(errors, metadata.get("finalizers"))
    _managed_fields(errors, metadata.get("managedFields"))


def update(errors: Errors, new: Object, old: Object) -> None:
    """What an update may not change in the metadata, and the new metadata's form."""
    if old.get("deletionTimestamp"):
        extra = sorted(set(new.get("finalizers") or ()) - set(old.get("finalizers") or ()))
        if extra:
            shown = "[]string{" + ", ".join(map(go_quote, extra)) + "}"
            why = f"no new finalizers can be added if the object is being deleted, found new finalizers {shown}"
            errors.append(forbidden_field("metadata.finalizers", why))
    if not new.get("resourceVersion"):
        errors.append(invalid_value("metadata.resourceVersion", "", "must be specified for an update"))
    generation = new.get("generation") or 0
    non_negative(errors, "metadata.generation", generation)
    if generation < (old.get("generation") or 0):
        errors.append(invalid_value("metadata.generation", generation, "must not be decremented"))
    for key in ("name", "namespace", "uid"):
        immutable(errors, f"metadata.{key}", new.get(key) or "", old.get(key) or "")
    for key in ("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if new.get(key) != old.get(key):
            errors.append(invalid_value(f"metadata.{key}", new.get(key), IMMUTABLE))
    labels(errors, "metadata.labels", new.get("labels"))
    annotations(errors, "metadata.annotations", new.get("annotations"))
    _owner_references(errors, new.get("ownerReferences"))
    _managed_fields(errors, new.get("managedFields"))


def template(errors: Errors, field: str, metadata: Object) -> None:
    """The metadata of a template, of which only labels and annotations count."""
    labels(errors, f"{field}.labels", metadata.get("labels"))
    annotations(errors, f"{field}.annotations", metadata.get("annotations"))


def conditions(errors: Errors, field: str, items: list[Object] | None) -> None:
    """A list of metav1.Condition."""
    seen: set[str] = set()
    for index, condition in enumerate(items or ()):
        at, type = f"{field}[{index}]", condition.get("type") or ""
        if type in seen:
            errors.append(duplicate(at, type))
        seen.add(type)
        if not type:
            errors.append(required(f"{at}.type", "is required"))
        else:
            wrong(errors, f"{at}.type", type, f.label_key(type))
        one_of(errors, f"{at}.status", condition.get("status"), ("False", "True", "Unknown"))
        if not condition.get("lastTransitionTime"):
            errors.append(required(f"{at}.lastTransitionTime"))
        if not condition.get("reason"):
            errors.append(required(f"{at}.reason"))
