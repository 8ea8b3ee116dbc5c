"""Admission webhooks, and what they have in common with policies: rules, conditions, expressions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pinnace.api import formats as f
from pinnace.api.errors import (
    FieldError,
    duplicate,
    invalid_value,
    not_supported,
    required,
    too_many,
)
from pinnace.api.patches.json_patch import equal
from pinnace.api.types import Object
from pinnace.api.validation.metadata import label_selector, wrong

if TYPE_CHECKING:
    from pinnace.api.cel.types import Type

Errors = list[FieldError]
_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SCOPES = ("*", "Cluster", "Namespaced")
_REVIEWS = ("v1", "v1beta1")
_EFFECTS = ("None", "NoneOnDryRun")
MAX_CONDITIONS = 64
_FORM = "; desired format: https://host[/path]"


def client_config(errors: Errors, at: str, config: Object) -> None:
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        errors.append(required(at, "exactly one of url or service is required"))
    elif url is not None:
        _url(errors, f"{at}.url", url)
    else:
        target(errors, f"{at}.service", service or {})


def _url(errors: Errors, at: str, url: str) -> None:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        errors.append(required(at, f"url must be a valid URL: {error}{_FORM}"))
        return
    if parts.scheme != "https":
        errors.append(invalid_value(at, parts.scheme, f"'https' is the only allowed URL scheme{_FORM}"))
    if not parts.netloc:
        errors.append(invalid_value(at, parts.netloc, f"host must be specified{_FORM}"))
    if "@" in parts.netloc:
        user = parts.netloc.rpartition("@")[0]
        errors.append(invalid_value(at, user, "user information is not permitted in the URL"))
    if parts.fragment:
        errors.append(invalid_value(at, parts.fragment, "fragments are not permitted in the URL"))
    if parts.query:
        errors.append(invalid_value(at, parts.query, "query parameters are not permitted in the URL"))


def target(errors: Errors, at: str, service: Object) -> None:
    """What is wrong with the Service that a webhook is reached through."""
    for key in ("name", "namespace"):
        if not service.get(key):
            errors.append(required(f"{at}.{key}"))
    port = service.get("port")
    if port is not None and (problems := f.port_number(port)):
        errors.append(invalid_value(f"{at}.port", port, f"port is not valid: {', '.join(problems)}"))
    path = service.get("path") or "/"
    if path == "/":
        return
    if path == "//":
        errors.append(invalid_value(f"{at}.path", path, "segment[0] may not be empty"))
        return
    if not path.startswith("/"):
        errors.append(invalid_value(f"{at}.path", path, "must start with a '/'"))
    for index, step in enumerate(path[1:].removesuffix("/").split("/")):
        if not step:
            errors.append(invalid_value(f"{at}.path", path, f"segment[{index}] may not be empty"))
            continue
        wrong(errors, f"{at}.path", path, [f"segment[{index}]: {why}" for why in f.dns_subdomain(step)])


def _resources(errors: Errors, at: str, resources: list[str]) -> None:
    if not resources:
        errors.append(required(at))
    all_parts, all_resources = set(), set()
    plain = False
    for index, text in enumerate(resources):
        if not text:
            errors.append(required(f"{at}[{index}]"))
            continue
        resource, slash, part = text.partition("/")
        if not slash:
            plain = text != "*"
            continue
        if resource in all_parts:
            why = f"if '{resource}/*' is present, must not specify {text}"
            errors.append(invalid_value(f"{at}[{index}]", text, why))
        if part in all_resources:
            errors.append(invalid_value(f"{at}[{index}]", text, f"if '*/{part}' is present, must not specify {text}"))
        if part == "*":
            all_parts.add(resource)
        if resource == "*":
            all_resources.add(part)
    if len(resources) > 1 and "*/*" in resources:
        errors.append(invalid_value(at, resources, "if '*/*' is present, must not specify other resources"))
    if "*" in resources and plain:
        why = "if '*' is present, must not specify other resources without subresources"
        errors.append(invalid_value(at, resources, why))


def check_rule(errors: Errors, at: str, rule: Object) -> None:
    for key, what in (("operations", "operations"), ("apiGroups", "API groups"), ("apiVersions", "API versions")):
        items = rule.get(key) or []
        if not items:
            errors.append(required(f"{at}.{key}"))
        if len(items) > 1 and "*" in items:
            errors.append(invalid_value(f"{at}.{key}", items, f"if '*' is present, must not specify other {what}"))
        for index, item in enumerate(items):
            if key == "operations" and item not in _OPERATIONS:
                errors.append(not_supported(f"{at}.{key}[{index}]", item, _OPERATIONS))
            if key == "apiVersions" and not item:
                errors.append(required(f"{at}.{key}[{index}]"))
    _resources(errors, f"{at}.resources", rule.get("resources") or [])
    if rule.get("scope") is not None and rule["scope"] not in _SCOPES:
        errors.append(not_supported(f"{at}.scope", rule["scope"], _SCOPES))


def choice(errors: Errors, at: str, value: str | None, allowed: tuple[str, ...]) -> None:
    if value is not None and value not in allowed:
        errors.append(not_supported(at, value, allowed))


def _reviews(errors: Errors, at: str, versions: list[str]) -> None:
    if not versions:
        errors.append(required(at, f"must specify one of {', '.join(_REVIEWS)}"))
        return
    seen: set[str] = set()
    for index, version in enumerate(versions):
        if version in seen:
            errors.append(invalid_value(f"{at}[{index}]", version, "duplicate version"))
            continue
        seen.add(version)
        wrong(errors, f"{at}[{index}]", version, f.dns_1035_label(version))
    if not seen & set(_REVIEWS):
        errors.append(invalid_value(at, versions, f"must include at least one of {', '.join(_REVIEWS)}"))


def _webhook(errors: Errors, at: str, hook: Object, old_conditions: object) -> None:
    name = hook.get("name") or ""
    if not name:
        errors.append(required(f"{at}.name"))
    elif problems := f.dns_subdomain(name):
        errors.append(invalid_value(f"{at}.name", name, ",".join(problems)))
    elif name.count(".") < 2:
        why = "should be a domain with at least three segments separated by dots"
        errors.append(invalid_value(f"{at}.name", name, why))
    for index, rule in enumerate(hook.get("rules") or ()):
        check_rule(errors, f"{at}.rules[{index}]", rule)
    choice(errors, f"{at}.failurePolicy", hook.get("failurePolicy"), ("Fail", "Ignore"))
    choice(errors, f"{at}.matchPolicy", hook.get("matchPolicy"), ("Equivalent", "Exact"))
    if hook.get("sideEffects") is None:
        errors.append(required(f"{at}.sideEffects", f"must specify one of {', '.join(_EFFECTS)}"))
    choice(errors, f"{at}.sideEffects", hook.get("sideEffects"), _EFFECTS)
    timeout = hook.get("timeoutSeconds")
    if timeout is not None and not 1 <= timeout <= 30:
        why = "the timeout value must be between 1 and 30 seconds"
        errors.append(invalid_value(f"{at}.timeoutSeconds", timeout, why))
    for key in ("namespaceSelector", "objectSelector"):
        label_selector(errors, f"{at}.{key}", hook.get(key))
    choice(errors, f"{at}.reinvocationPolicy", hook.get("reinvocationPolicy"), ("IfNeeded", "Never"))
    client_config(errors, f"{at}.clientConfig", hook.get("clientConfig") or {})
    conditions = hook.get("matchConditions")
    if conditions and not equal(conditions, old_conditions):
        from pinnace.api import admission

        known = admission.names(params=False, authorizer=True)
        check_conditions(errors, f"{at}.matchConditions", conditions, known)


def webhook_configuration(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    names: set[str] = set()
    before = (old or {}).get("webhooks") or []
    for index, hook in enumerate(new.get("webhooks") or ()):
        held = before[index].get("matchConditions") if index < len(before) else None
        _webhook(errors, f"webhooks[{index}]", hook, held)
        _reviews(errors, f"webhooks[{index}].admissionReviewVersions", hook.get("admissionReviewVersions") or [])
        name = hook.get("name") or ""
        if name and name in names:
            errors.append(duplicate(f"webhooks[{index}].name", name))
        names.add(name)


def check_conditions(errors: Errors, at: str, conditions: list[Object], known: Mapping[str, Type]) -> None:
    from pinnace.api.cel import BOOL

    names: set[str] = set()
    if len(conditions) > MAX_CONDITIONS:
        errors.append(too_many(at, len(conditions), MAX_CONDITIONS))
    for index, condition in enumerate(conditions):
        where = f"{at}[{index}]"
        text, name = (condition.get("expression") or "").strip(), condition.get("name") or ""
        if not text:
            errors.append(required(f"{where}.expression"))
        else:
            check_expression(errors, f"{where}.expression", text, known, BOOL)
        if not name:
            errors.append(required(f"{where}.name"))
            continue
        wrong(errors, f"{where}.name", name, f.label_key(name))
        if name in names:
            errors.append(duplicate(f"{where}.name", name))
        names.add(name)


def check_expression(errors: Errors, at: str, text: str, known: Mapping[str, Type], *wanted: Type) -> Type | None:
    """The type that it gives; None if it does not compile."""
    from pinnace.api import admission

    try:
        return admission.compiled(text, known, wanted).result
    except admission.ExpressionError as error:
        errors.append(invalid_value(at, text, str(error)))
        return None
