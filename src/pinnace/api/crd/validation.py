"""What is wrong with a CustomResourceDefinition, in upstream's words (apiextensions' ``validation`` package).

Definitions come in decoded and with defaults. On update upstream does not tighten what was accepted before; here
nothing was ever accepted that is refused now.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from pinnace.api import formats as f
from pinnace.api import meta
from pinnace.api.crd import defaults, schemas, status, structural
from pinnace.api.errors import FieldError, GoText, forbidden_field, invalid_value, not_supported, required
from pinnace.api.types import Object
from pinnace.api.validation import webhooks
from pinnace.api.validation.metadata import immutable

Errors = list[FieldError]
_COLUMN_TYPES = "boolean,date,integer,number,string"
_COLUMN_FORMATS = "byte,date,date-time,double,float,int32,int64,password"
#: Keywords that a schema's root may have where status is a subresource, as Go names them.
_AT_ROOT = (
    "Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern "
    "MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields "
    "XValidations"
)
_AT_ROOT_KEYS = frozenset(
    {name[0].lower() + name[1:] for name in _AT_ROOT.split()}
    | {"x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations", "nullable"}
)
#: What one schema may hold; validating and compiling more would hold up everybody else.
MAX_NODES = 50_000


def custom_resource_definition(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    """Adds what is wrong with ``new``, its metadata apart."""
    accepted = (new.get("status") or {}).get("acceptedNames") or {}
    if subresource == "status":
        _names(errors, accepted, "status.acceptedNames")
        return
    spec = new.get("spec") or {}
    name = meta.name(new)
    if old is None and name != f"{(spec.get('names') or {}).get('plural') or ''}.{spec.get('group') or ''}":
        errors.append(invalid_value("metadata.name", name, 'must be spec.names.plural+"."+spec.group'))
    before = (old or {}).get("spec") or {}
    _spec(errors, spec, before)
    if old is not None:
        was = before.get("names") or {}
        names = spec.get("names") or {}
        if status.established(old):
            immutable(errors, "spec.scope", spec.get("scope") or "", before.get("scope") or "")
            immutable(errors, "spec.names.kind", names.get("kind") or "", was.get("kind") or "")
        immutable(errors, "spec.group", spec.get("group") or "", before.get("group") or "")
        immutable(errors, "spec.names.plural", names.get("plural") or "", was.get("plural") or "")
    _names(errors, accepted, "status.acceptedNames")
    _stored_versions(errors, new, spec)
    _approval(errors, new, old)
    if spec.get("preserveUnknownFields") and not before.get("preserveUnknownFields"):
        why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        errors.append(invalid_value("spec.preserveUnknownFields", True, why))


def _joined(errors: Errors, field: str, value: str, problems: Iterable[str], lead: str = "") -> None:
    said = ",".join(problems)
    if said:
        errors.append(invalid_value(field, value, lead + said))


def _spec(errors: Errors, spec: Object, before: Object) -> None:
    group, versions = spec.get("group") or "", spec.get("versions") or []
    if not group:
        errors.append(required("spec.group"))
    elif problems := f.dns_subdomain(group):
        _joined(errors, "spec.group", group, problems)
    elif "." not in group:
        errors.append(invalid_value("spec.group", group, "should be a domain with at least one dot"))
    scope = spec.get("scope") or ""
    if not scope:
        errors.append(required("spec.scope"))
    elif scope not in ("Cluster", "Namespaced"):
        errors.append(not_supported("spec.scope", scope, ("Cluster", "Namespaced")))
    for index, version in enumerate(versions):
        if (version.get("schema") or {}).get("openAPIV3Schema") is None:
            errors.append(required(f"spec.versions[{index}].schema.openAPIV3Schema"))
    _preserving(errors, spec, versions)
    unchanged = {version.get("name"): version for version in before.get("versions") or ()}
    changed = [version for version in versions if version != unchanged.get(version.get("name"))]
    common = _common(versions)
    for index, version in enumerate(versions):
        name, at = version.get("name") or "", f"spec.versions[{index}]"
        _joined(errors, f"{at}.name", name, f.dns_1035_label(name))
        if version in changed:
            _deprecation(errors, version, at)
            own = {key: value for key, value in version.items() if key not in common}
            _parts(errors, own, at, f"{at}.schema", status=_has_status(version))
    if len({version.get("name") for version in versions}) < len(versions):
        errors.append(
            invalid_value("spec.versions", _go_versions(versions, common), "must contain unique version names")
        )
    if sum(bool(version.get("storage")) for version in versions) != 1:
        why = "must have exactly one version marked as storage version"
        errors.append(invalid_value("spec.versions", _go_versions(versions, common), why))
    if versions:
        _joined(
            errors, "spec.version", (first := versions[0].get("name") or ""), f.dns_1035_label(first) if first else ()
        )
    names = spec.get("names") or {}
    for key in ("plural", "singular", "kind", "listKind"):
        if not names.get(key):
            errors.append(required(f"spec.names.{key}"))
    _names(errors, names, "spec.names")
    if changed:
        status = any(_has_status(version) for version in versions)
        _parts(errors, common, "spec", "spec.validation", status=status)
    _conversion(errors, spec.get("conversion"), "spec.conversion")


def _names(errors: Errors, names: Object, at: str) -> None:
    for key in ("plural", "singular"):
        value = names.get(key) or ""
        if value:
            _joined(errors, f"{at}.{key}", value, f.dns_1035_label(value))
    for key in ("kind", "listKind"):
        value = names.get(key) or ""
        if value:
            lead = "may have mixed case, but should otherwise match: "
            _joined(errors, f"{at}.{key}", value, f.dns_1035_label(value.lower()), lead)
    for index, value in enumerate(names.get("shortNames") or ()):
        _joined(errors, f"{at}.shortNames[{index}]", value, f.dns_1035_label(value))
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        errors.append(invalid_value(f"{at}.listKind", names["listKind"], "kind and listKind may not be the same"))
    for index, value in enumerate(names.get("categories") or ()):
        _joined(errors, f"{at}.categories[{index}]", value, f.dns_1035_label(value))


def _has_status(version: Object) -> bool:
    return (version.get("subresources") or {}).get("status") is not None


def _common(versions: list[Object]) -> Object:
    """What all versions have alike. Upstream takes it for the definition's own, and says so in its errors."""
    found = {}
    for key in ("schema", "subresources", "additionalPrinterColumns", "selectableFields"):
        held = [version.get(key) or None for version in versions]
        if held and held[0] is not None and all(value == held[0] for value in held):
            found[key] = held[0]
    return found


def _go_versions(versions: list[Object], common: Object) -> GoText | None:
    """Versions as upstream's errors show them: without what is the definition's own."""
    shown = []
    for version in versions:
        own = {key: value for key, value in version.items() if key not in common}
        shown.append(
            {
                "Name": own.get("name") or "",
                "Served": bool(own.get("served")),
                "Storage": bool(own.get("storage")),
                "Deprecated": bool(own.get("deprecated")),
                "DeprecationWarning": own.get("deprecationWarning"),
                "Schema": own.get("schema"),
                "Subresources": own.get("subresources"),
                "AdditionalPrinterColumns": own.get("additionalPrinterColumns"),
                "SelectableFields": own.get("selectableFields"),
            }
        )
    return GoText(orjson.dumps(shown).decode()) if shown else None


def _preserving(errors: Errors, spec: Object, versions: list[Object]) -> None:
    if spec.get("preserveUnknownFields") and any(structural.has(_schema_of(one), "default") for one in versions):
        why = "must be false in order to use defaults in the schema"
        errors.append(invalid_value("spec.preserveUnknownFields", True, why))


def _schema_of(version: Object) -> Any:
    return (version.get("schema") or {}).get("openAPIV3Schema")


def _parts(errors: Errors, part: Object, at: str, schema_at: str, *, status: bool) -> None:
    """A version's schema, subresources, columns and fields, or those that all versions have alike."""
    node = _schema_of(part)
    subresources = part.get("subresources") or {}
    if node is not None:
        _schema(errors, node, f"{schema_at}.openAPIV3Schema", status=status)
    if subresources.get("scale") is not None:
        _scale(errors, subresources["scale"], f"{at}.subresources.scale")
    for index, column in enumerate(part.get("additionalPrinterColumns") or ()):
        _column(errors, column, f"{at}.additionalPrinterColumns[{index}]")
    if part.get("selectableFields"):
        errors += schemas.selectable_errors(part["selectableFields"], node, f"{at}.selectableFields")


def _deprecation(errors: Errors, version: Object, at: str) -> None:
    said = version.get("deprecationWarning")
    if said is None:
        return
    if not version.get("deprecated"):
        why = ["can only be set for deprecated versions"]
    else:
        why = ["must be <= 256 characters long"] if len(said.encode()) > 256 else []
        if not said:
            why.append("must not be an empty string")
        odd = next((at for at, char in enumerate(said) if not char.isprintable()), None)
        if odd is not None:
            why.append(
                "must only contain printable UTF-8 characters; non-printable character found at index "
                f"{len(said[:odd].encode())}"
            )
    errors += [invalid_value(f"{at}.deprecationWarning", said, problem) for problem in why]


def _schema(errors: Errors, node: Object, at: str, *, status: bool) -> None:
    found: Errors = []
    if status:
        _root_with_status(found, node, at)
    if node.get("nullable"):
        found.append(forbidden_field(f"{at}.nullable", "nullable cannot be true at the root"))
    if sum(1 for _ in schemas.walk(node)) > MAX_NODES:
        errors.append(forbidden_field(at, f"must have at most {MAX_NODES} schemas in it"))
        return
    why = schemas.cannot_be_structural(node)
    structural_errors = [] if why else schemas.structural_errors(node, at)
    found += structural_errors
    compiled = None
    if not why and not structural_errors:
        from pinnace.api.crd import rules

        compiled = structural.Structural(node)
        found += (wrong := defaults.errors(compiled, at, rules.check_default))
        if wrong:
            compiled = None
    keyword_errors = schemas.openapi_errors(node, at)
    found += keyword_errors
    if not why and schemas.has_rules(node):
        from pinnace.api.crd import rules

        whole = compiled if compiled is not None else structural.Structural(node)
        blocked = [error.field for error in keyword_errors]
        found += rules.definition_errors(whole, at, blocked=blocked, compiles=compiled is not None)
    if not found and why:
        found.append(invalid_value(at, "", why))
    errors += found


def _root_with_status(errors: Errors, node: Object, at: str) -> None:
    if node.get("type") != "object":
        if node.get("type"):
            why = 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled'
            errors.append(invalid_value(f"{at}.type", node["type"], why))
    elif any(value not in (None, "", [], {}) and key not in _AT_ROOT_KEYS for key, value in node.items()):
        why = f"only [{_AT_ROOT}] fields are allowed at the root of the schema if the status subresource is enabled"
        errors.append(invalid_value(at, node, why))


def _simple_path(errors: Errors, path: str, at: str) -> bool:
    if not path.startswith("."):
        errors.append(invalid_value(at, path, "must be a simple json path starting with ."))
        return False
    return True


def _scale(errors: Errors, scale: Object, at: str) -> None:
    for key, root in (("specReplicasPath", "spec"), ("statusReplicasPath", "status")):
        path = scale.get(key) or ""
        if not path:
            errors.append(required(f"{at}.{key}"))
        elif _simple_path(errors, path, f"{at}.{key}") and not path.startswith(f".{root}."):
            errors.append(invalid_value(f"{at}.{key}", path, f"should be a json path under .{root}"))
    path = scale.get("labelSelectorPath") or ""
    if path and _simple_path(errors, path, f"{at}.labelSelectorPath"):
        if not path.startswith((".spec.", ".status.")):
            why = "should be a json path under either .spec or .status"
            errors.append(invalid_value(f"{at}.labelSelectorPath", path, why))


def _column(errors: Errors, column: Object, at: str) -> None:
    kind, form, path = column.get("type") or "", column.get("format") or "", column.get("jsonPath") or ""
    if not column.get("name"):
        errors.append(required(f"{at}.name"))
    if not kind:
        errors.append(required(f"{at}.type", f"must be one of {_COLUMN_TYPES}"))
    elif kind not in _COLUMN_TYPES.split(","):
        errors.append(invalid_value(f"{at}.type", kind, f"must be one of {_COLUMN_TYPES}"))
    if form and form not in _COLUMN_FORMATS.split(","):
        errors.append(invalid_value(f"{at}.format", form, f"must be one of {_COLUMN_FORMATS}"))
    if not path:
        errors.append(required(f"{at}.JSONPath"))
    else:
        _simple_path(errors, path, f"{at}.JSONPath")


def _stored_versions(errors: Errors, new: Object, spec: Object) -> None:
    stored = (new.get("status") or {}).get("storedVersions") or []
    at = "status.storedVersions"
    if not stored:
        errors.append(invalid_value(at, stored or None, "must have at least one stored version"))
        return
    names = set()
    for version in spec.get("versions") or ():
        names.add(version.get("name"))
        if version.get("storage") and version.get("name") not in stored:
            errors.append(invalid_value(at, stored, f"must have the storage version {version.get('name')}"))
    for index, name in enumerate(stored):
        if name not in names:
            why = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in "
                f"spec.versions until a storage migration ensures no data remains persisted in {name} and removes "
                f"{name} from status.storedVersions"
            )
            errors.append(invalid_value(f"{at}[{index}]", name, why))


def _approval(errors: Errors, new: Object, old: Object | None) -> None:
    if not status.is_protected((new.get("spec") or {}).get("group") or ""):
        return
    state, why = status.approval(meta.annotations(new))
    if old is not None and status.approval(meta.annotations(old))[0] == state:
        return
    at = f"metadata.annotations[{status.APPROVAL}]"
    if state == "Missing":
        errors.append(required(at, why))
    elif state == "Invalid":
        errors.append(invalid_value(at, meta.annotations(new)[status.APPROVAL], why))


def _conversion(errors: Errors, conversion: Object | None, at: str) -> None:
    if conversion is None:
        return
    strategy, webhook = conversion.get("strategy") or "", conversion.get("webhook")
    client = (webhook or {}).get("clientConfig")
    versions = (webhook or {}).get("conversionReviewVersions") or []
    if not strategy:
        errors.append(required(f"{at}.strategy"))
    elif strategy not in ("None", "Webhook"):
        errors.append(not_supported(f"{at}.strategy", strategy, ("None", "Webhook")))
    if strategy != "Webhook":
        why = "should not be set when strategy is not set to Webhook"
        if client is not None:
            errors.append(forbidden_field(f"{at}.webhookClientConfig", why))
        if versions:
            errors.append(forbidden_field(f"{at}.conversionReviewVersions", why))
        return
    where = f"{at}.webhookClientConfig"
    if client is None:
        errors.append(required(where, "required when strategy is set to Webhook"))
    else:
        webhooks.client_config(errors, where, client)
    _review_versions(errors, versions, f"{at}.conversionReviewVersions")


def _review_versions(errors: Errors, versions: list[str], at: str) -> None:
    if not versions:
        errors.append(required(at))
        return
    seen: set[str] = set()
    for index, version in enumerate(versions):
        if version in seen:
            errors.append(invalid_value(f"{at}[{index}]", version, "duplicate version"))
            continue
        seen.add(version)
        errors += [invalid_value(f"{at}[{index}]", version, problem) for problem in f.dns_1035_label(version)]
    if not seen & {"v1", "v1beta1"}:
        errors.append(invalid_value(at, versions, "must include at least one of v1, v1beta1"))
