"""Admission policies and their bindings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pinnace.api import formats as f
from pinnace.api.errors import FieldError, duplicate, forbidden_field, invalid_value, not_supported, required
from pinnace.api.patches.json_patch import equal
from pinnace.api.types import Object
from pinnace.api.validation import webhooks
from pinnace.api.validation.metadata import label_selector, wrong

if TYPE_CHECKING:
    from pinnace.api.cel.types import Type

Errors = list[FieldError]
_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
_ACTIONS = ("Audit", "Deny", "Warn")
MAX_ANNOTATIONS, LONGEST_ANNOTATION = 20, 5 * 1024
_IDENTIFIER = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_RESERVED = frozenset(
    "true false null in as break const continue else for function if import let loop package namespace return var "  # noqa: SIM905
    "void while".split()
)


def match_resources(errors: Errors, at: str, resources: Object) -> None:
    webhooks.choice(errors, f"{at}.matchPolicy", resources.get("matchPolicy"), ("Equivalent", "Exact"))
    for key in ("namespaceSelector", "objectSelector"):
        label_selector(errors, f"{at}.{key}", resources.get(key))
    for key in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(resources.get(key) or ()):
            where = f"{at}.{key}[{index}]"
            names: set[str] = set()
            for position, name in enumerate(rule.get("resourceNames") or ()):
                wrong(errors, f"{where}.resourceNames[{position}]", name, f.path_segment(name))
                if name in names:
                    errors.append(duplicate(f"{where}.resourceNames[{position}]", name))
                names.add(name)
            webhooks.check_rule(errors, where, rule)


def _param_kind(errors: Errors, at: str, kind: Object) -> None:
    api_version, name = kind.get("apiVersion") or "", kind.get("kind") or ""
    group, _, version = api_version.rpartition("/")
    if not api_version:
        errors.append(required(f"{at}.apiVersion"))
    elif api_version.count("/") > 1:
        errors.append(invalid_value(f"{at}.apiVersion", api_version, f"unexpected GroupVersion string: {api_version}"))
    else:
        if group and (problems := f.dns_subdomain(group)):
            errors.append(invalid_value(f"{at}.apiVersion", group, ",".join(problems)))
        if not version:
            errors.append(invalid_value(f"{at}.apiVersion", api_version, "version must be specified"))
        elif problems := f.dns_1035_label(version):
            errors.append(invalid_value(f"{at}.apiVersion", version, ",".join(problems)))
    if not name:
        errors.append(required(f"{at}.kind"))
    elif problems := f.dns_1035_label(name.lower()):
        why = f"may have mixed case, but should otherwise match: {','.join(problems)}"
        errors.append(invalid_value(f"{at}.kind", name, why))


class _Names:
    """What a policy's expressions may use; its variables are added as they are found."""

    def __init__(self, spec: Object) -> None:
        self._params = spec.get("paramKind") is not None
        self._variables: dict[str, Type] = {}

    def add(self, name: str, result: Type) -> None:
        self._variables[name] = result

    def known(self, *, authorizer: bool = True) -> dict[str, Type]:
        from pinnace.api import admission

        return admission.names(params=self._params, authorizer=authorizer, variables=self._variables)


def policy_spec(errors: Errors, spec: Object, old: Object) -> _Names:
    """What both kinds of policies have."""
    if spec.get("failurePolicy") is None:
        errors.append(required("spec.failurePolicy"))
    webhooks.choice(errors, "spec.failurePolicy", spec.get("failurePolicy"), ("Fail", "Ignore"))
    if spec.get("paramKind") is not None:
        _param_kind(errors, "spec.paramKind", spec["paramKind"])
    constraints = spec.get("matchConstraints")
    if constraints is None:
        errors.append(required("spec.matchConstraints"))
    else:
        match_resources(errors, "spec.matchConstraints", constraints)
        if not constraints.get("resourceRules"):
            errors.append(required("spec.matchConstraints.resourceRules"))
    names = _Names(spec)
    found: Errors = []
    for index, variable in enumerate(spec.get("variables") or ()):
        _variable(found, f"spec.variables[{index}]", variable, names)
    unchanged = all(equal(spec.get(key), old.get(key)) for key in ("matchConditions", "paramKind"))
    if spec.get("matchConditions") and not unchanged:
        known = {name: type for name, type in names.known().items() if name != "variables"}
        webhooks.check_conditions(errors, "spec.matchConditions", spec["matchConditions"], known)
    errors += found
    return names


def _variable(errors: Errors, at: str, variable: Object, names: _Names) -> None:
    name, text = variable.get("name") or "", variable.get("expression") or ""
    if not name.strip():
        errors.append(required(f"{at}.name", "name is not specified"))
    elif not _IDENTIFIER.fullmatch(name) or name in _RESERVED:
        errors.append(invalid_value(f"{at}.name", name, "name is not a valid CEL identifier"))
    if not text.strip():
        errors.append(required(f"{at}.expression", "expression is not specified"))
        return
    result = webhooks.check_expression(errors, f"{at}.expression", text, names.known())
    if result is not None:
        names.add(name, result)


def validating_policy(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    if subresource == "status":
        return
    spec = new.get("spec") or {}
    names = policy_spec(errors, spec, (old or {}).get("spec") or {})
    validations, annotations = spec.get("validations") or [], spec.get("auditAnnotations") or []
    if not validations and not annotations:
        why = "validations or auditAnnotations must contain at least one item"
        errors += [required("spec.validations", why), required("spec.auditAnnotations", why)]
    for index, validation in enumerate(validations):
        _validation(errors, f"spec.validations[{index}]", validation, names)
    keys: set[str] = set()
    if len(annotations) > MAX_ANNOTATIONS:
        why = f"must not have more than {MAX_ANNOTATIONS} auditAnnotations"
        errors.append(invalid_value("spec.auditAnnotations", annotations, why))
    for index, annotation in enumerate(annotations):
        at = f"spec.auditAnnotations[{index}]"
        _annotation(errors, at, new, annotation, names)
        if annotation.get("key") in keys:
            errors.append(duplicate(f"{at}.key", annotation["key"]))
        keys.add(annotation.get("key") or "")


def _validation(errors: Errors, at: str, validation: Object, names: _Names) -> None:
    from pinnace.api.cel import BOOL, STRING

    text, said = validation.get("expression") or "", validation.get("messageExpression") or ""
    message = validation.get("message") or ""
    if not text.strip():
        errors.append(required(f"{at}.expression", "expression is not specified"))
    else:
        webhooks.check_expression(errors, f"{at}.expression", text, names.known(), BOOL)
    if said and not said.strip():
        errors.append(invalid_value(f"{at}.messageExpression", said, "must be non-empty if specified"))
    elif said:
        webhooks.check_expression(errors, f"{at}.messageExpression", said, names.known(authorizer=False), STRING)
    if message and not message.strip():
        errors.append(invalid_value(f"{at}.message", message, "message must be non-empty if specified"))
    elif "\n" in message.strip() or "\r" in message.strip():
        errors.append(invalid_value(f"{at}.message", message, "message must not contain line breaks"))
    webhooks.choice(errors, f"{at}.reason", validation.get("reason"), _REASONS)


def _annotation(errors: Errors, at: str, policy: Object, annotation: Object, names: _Names) -> None:
    from pinnace.api.cel import STRING
    from pinnace.api.cel.types import NULL

    name, key = (policy.get("metadata") or {}).get("name") or "", annotation.get("key") or ""
    if name:
        wrong(errors, f"{at}.key", f"{name}/{key}", f.label_key(f"{name}/{key}"))
    else:
        errors.append(invalid_value(f"{at}.key", key, "requires metadata.name be non-empty"))
    text = (annotation.get("valueExpression") or "").strip()
    if not text:
        errors.append(required(f"{at}.valueExpression", "valueExpression is not specified"))
    elif len(text.encode()) > LONGEST_ANNOTATION:
        errors.append(required(f"{at}.valueExpression", f"must not exceed {LONGEST_ANNOTATION} bytes in length"))
    else:
        webhooks.check_expression(errors, f"{at}.valueExpression", text, names.known(), STRING, NULL)


def binding(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    """Of a MutatingAdmissionPolicy."""
    spec = new.get("spec") or {}
    name = spec.get("policyName") or ""
    if not name:
        errors.append(required("spec.policyName"))
    else:
        wrong(errors, "spec.policyName", name, f.dns_subdomain(name))
    if spec.get("paramRef") is not None:
        _param_ref(errors, "spec.paramRef", spec["paramRef"])
    if spec.get("matchResources") is not None:
        match_resources(errors, "spec.matchResouces", spec["matchResources"])  # as upstream spells it


def validating_binding(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    binding(errors, new, old, subresource)
    actions = (new.get("spec") or {}).get("validationActions") or []
    at = "spec.validationActions"
    for index, action in enumerate(actions):
        webhooks.choice(errors, f"{at}[{index}]", action, _ACTIONS)
        if action in actions[:index]:
            errors.append(duplicate(f"{at}[{index}]", action))
    if "Deny" in actions and "Warn" in actions:
        why = (
            "must not contain both Deny and Warn (repeating the same validation failure information in the API "
            "response and headers serves no purpose)"
        )
        errors.append(invalid_value(at, actions, why))
    if not actions:
        errors.append(required(at, "at least one validation action is required"))


def _param_ref(errors: Errors, at: str, reference: Object) -> None:
    name, selector = reference.get("name") or "", reference.get("selector")
    exclusive = "name and selector are mutually exclusive"
    if name:
        wrong(errors, f"{at}.name", name, f.path_segment(name))
        if selector is not None:
            errors.append(forbidden_field(f"{at}.name", exclusive))
    if selector is not None:
        label_selector(errors, f"{at}.selector", selector)
        if name:
            errors.append(forbidden_field(f"{at}.selector", exclusive))
    if not name and selector is None:
        errors.append(required(at, "one of name or selector must be specified"))
    action = reference.get("parameterNotFoundAction")
    if not action:
        errors.append(required(f"{at}.parameterNotFoundAction"))
    else:
        webhooks.choice(errors, f"{at}.parameterNotFoundAction", action, ("Deny", "Allow"))


def mutating_policy(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    from pinnace.api import mutations

    spec = new.get("spec") or {}
    names = policy_spec(errors, spec, (old or {}).get("spec") or {})
    found = spec.get("mutations") or []
    if not found:
        errors.append(required("spec.mutations", "mutations must contain at least one item"))
    for index, mutation in enumerate(found):
        at = f"spec.mutations[{index}]"
        kind = mutation.get("patchType") or ""
        field = mutations.FIELDS.get(kind)
        if not kind:
            errors.append(required(f"{at}.patchType"))
        elif field is None:
            errors.append(not_supported(f"{at}.patchType", kind, tuple(mutations.FIELDS)))
        else:
            _mutation(errors, at, mutation, kind, field, names)
    policy = spec.get("reinvocationPolicy")
    if not policy:
        errors.append(required("spec.reinvocationPolicy"))
    else:
        webhooks.choice(errors, "spec.reinvocationPolicy", policy, ("IfNeeded", "Never"))


def _mutation(errors: Errors, at: str, mutation: Object, kind: str, field: str, names: _Names) -> None:
    from pinnace.api import mutations

    for other in mutations.FIELDS.values():
        if other != field and mutation.get(other) is not None:
            errors.append(forbidden_field(f"{at}.{other}", f"may not be specified when patchType is {kind}"))
    if mutation.get(field) is None:
        errors.append(required(f"{at}.{field}", f"must be specified when patchType is {kind}"))
        return
    text = mutation[field].get("expression") or ""
    if not text.strip():
        errors.append(required(f"{at}.{field}.expression", "expression is not specified"))
    else:
        try:
            mutations.compiled(kind, text, names.known())
        except mutations.ExpressionError as error:
            errors.append(invalid_value(f"{at}.{field}.expression", text, str(error)))
