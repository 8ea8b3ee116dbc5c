"""What a Pod asks of nodes and other Pods: affinity, tolerations, topology spread; and nodes' taints."""

from __future__ import annotations

from collections.abc import Iterable

from pinnace.api import formats as f
from pinnace.api.errors import FieldError, duplicate, forbidden_field, invalid_value, not_supported, required
from pinnace.api.types import Object
from pinnace.api.validation.common import positive
from pinnace.api.validation.metadata import label_selector, wrong

Errors = list[FieldError]

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_NOT_OPERATOR = "not a valid selector operator"


def _key(errors: Errors, field: str, key: str) -> None:
    if problems := f.label_key(key):
        wrong(errors, field, key, problems)


def _node_requirement(errors: Errors, field: str, item: Object, *, check_values: bool) -> None:
    operator, values = item.get("operator") or "", item.get("values") or []
    if operator in ("In", "NotIn"):
        if not values:
            errors.append(required(f"{field}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errors.append(forbidden_field(f"{field}.values", why))
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            why = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            errors.append(required(f"{field}.values", why))
    else:
        errors.append(invalid_value(f"{field}.operator", operator, _NOT_OPERATOR))
    _key(errors, f"{field}.key", item.get("key") or "")
    if check_values:
        for index, value in enumerate(values):
            wrong(errors, f"{field}.values[{index}]", value, f.label_value(value))


def _node_field(errors: Errors, field: str, item: Object) -> None:
    operator, key, values = item.get("operator") or "", item.get("key") or "", item.get("values") or []
    if operator in ("In", "NotIn"):
        if len(values) != 1:
            why = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            errors.append(required(f"{field}.values", why))
    else:
        errors.append(invalid_value(f"{field}.operator", operator, _NOT_OPERATOR))
    if key != "metadata.name":
        errors.append(invalid_value(f"{field}.key", key, "not a valid field selector key"))
    else:
        for index, value in enumerate(values):
            wrong(errors, f"{field}.values[{index}]", value, f.dns_subdomain(value))


def _node_term(errors: Errors, field: str, term: Object, *, check_values: bool) -> None:
    for index, item in enumerate(term.get("matchExpressions") or ()):
        _node_requirement(errors, f"{field}.matchExpressions[{index}]", item, check_values=check_values)
    for index, item in enumerate(term.get("matchFields") or ()):
        _node_field(errors, f"{field}.matchFields[{index}]", item)


def node_selector(errors: Errors, field: str, selector: Object) -> None:
    """A v1.NodeSelector."""
    terms = selector.get("nodeSelectorTerms") or []
    if not terms:
        errors.append(required(f"{field}.nodeSelectorTerms", "must have at least one node selector term"))
    for index, term in enumerate(terms):
        _node_term(errors, f"{field}.nodeSelectorTerms[{index}]", term, check_values=True)


def _weight(errors: Errors, field: str, weight: int | None) -> None:
    if not 0 < (weight or 0) <= 100:
        errors.append(invalid_value(f"{field}.weight", weight or 0, "must be in the range 1-100"))


def _label_keys(errors: Errors, field: str, keys: list[str], selector: Object | None) -> None:
    if not keys:
        return
    if selector is None:
        errors.append(forbidden_field(field, "must not be specified when labelSelector is not set"))
        return
    for index, key in enumerate(keys):
        _key(errors, f"{field}[{index}]", key)


def _match_keys(errors: Errors, field: str, term: Object) -> None:
    selector, keys = term.get("labelSelector"), term.get("matchLabelKeys") or []
    mismatched = term.get("mismatchLabelKeys") or []
    _label_keys(errors, f"{field}.matchLabelKeys", keys, selector)
    _label_keys(errors, f"{field}.mismatchLabelKeys", mismatched, selector)
    if selector is not None and keys:
        seen = set(selector.get("matchLabels") or ())
        for expression in selector.get("matchExpressions") or ():
            key = expression.get("key")
            if key in keys and key in seen:
                why = "exists in both matchLabelKeys and labelSelector"
                errors.append(invalid_value(f"{field}[{keys.index(key)}]", key, why))
            seen.add(key)
    for index, key in enumerate(keys):
        if key in mismatched:
            why = "exists in both matchLabelKeys and mismatchLabelKeys"
            errors.append(invalid_value(f"{field}.matchLabelKeys[{index}]", key, why))


def _pod_term(errors: Errors, field: str, term: Object) -> None:
    label_selector(errors, f"{field}.labelSelector", term.get("labelSelector"))
    label_selector(errors, f"{field}.namespaceSelector", term.get("namespaceSelector"))
    for name in term.get("namespaces") or ():
        wrong(errors, f"{field}.namespace", name, f.dns_label(name))
    _match_keys(errors, field, term)
    key = term.get("topologyKey") or ""
    if not key:
        errors.append(required(f"{field}.topologyKey", "can not be empty"))
    _key(errors, f"{field}.topologyKey", key)


def affinity(errors: Errors, field: str, value: Object) -> None:
    node = value.get("nodeAffinity")
    if node is not None:
        if node.get(_REQUIRED) is not None:
            node_selector(errors, f"{field}.nodeAffinity.{_REQUIRED}", node[_REQUIRED])
        for index, term in enumerate(node.get(_PREFERRED) or ()):
            at = f"{field}.nodeAffinity.{_PREFERRED}[{index}]"
            _weight(errors, at, term.get("weight"))
            _node_term(errors, f"{at}.preference", term.get("preference") or {}, check_values=False)
    for kind in ("podAffinity", "podAntiAffinity"):
        pods = value.get(kind)
        if pods is None:
            continue
        for index, term in enumerate(pods.get(_REQUIRED) or ()):
            _pod_term(errors, f"{field}.{kind}.{_REQUIRED}[{index}]", term)
        for index, term in enumerate(pods.get(_PREFERRED) or ()):
            at = f"{field}.{kind}.{_PREFERRED}[{index}]"
            _weight(errors, at, term.get("weight"))
            _pod_term(errors, f"{at}.podAffinityTerm", term.get("podAffinityTerm") or {})


def effect(errors: Errors, field: str, value: str) -> None:
    if value not in EFFECTS:
        errors.append(not_supported(field, value, EFFECTS))


def tolerations(errors: Errors, field: str, items: Iterable[Object]) -> None:
    for index, item in enumerate(items):
        at, key, operator = f"{field}[{index}]", item.get("key") or "", item.get("operator") or ""
        value, tainted = item.get("value") or "", item.get("effect") or ""
        if key:
            _key(errors, f"{at}.key", key)
        elif operator != "Exists":
            why = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            errors.append(invalid_value(f"{at}.operator", operator, why))
        if item.get("tolerationSeconds") is not None and tainted != "NoExecute":
            why = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            errors.append(invalid_value(f"{at}.effect", tainted, why))
        if operator in ("", "Equal"):
            if problems := f.label_value(value):
                errors.append(invalid_value(f"{at}.operator", value, ";".join(problems)))
        elif operator == "Exists":
            if value:
                why = "value must be empty when `operator` is 'Exists'"
                errors.append(invalid_value(f"{at}.operator", value, why))
        elif operator in ("Lt", "Gt"):
            errors.append(not_supported(f"{at}.operator", operator, ("Equal", "Exists", "Lt", "Gt")))
        else:
            errors.append(not_supported(f"{at}.operator", operator, ("Equal", "Exists")))
        if tainted:
            effect(errors, f"{at}.effect", tainted)


def taints(errors: Errors, field: str, items: Iterable[Object]) -> None:
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(items):
        at, key, value = f"{field}[{index}]", taint.get("key") or "", taint.get("value") or ""
        _key(errors, f"{at}.key", key)
        if problems := f.label_value(value):
            errors.append(invalid_value(f"{at}.value", value, ";".join(problems)))
        if not taint.get("effect"):
            errors.append(required(f"{at}.effect"))
        else:
            effect(errors, f"{at}.effect", taint["effect"])
        pair = (taint.get("effect") or "", key)
        if pair in seen:
            error = duplicate(at, taint)
            why = f"{error.message}: taints must be unique by key and effect pair"
            errors.append(FieldError(error.type, at, why))
        seen.add(pair)


_ACTIONS = ("DoNotSchedule", "ScheduleAnyway")


def topology_spread(errors: Errors, field: str, items: list[Object]) -> None:
    for index, item in enumerate(items):
        at, key, action = f"{field}[{index}]", item.get("topologyKey") or "", item.get("whenUnsatisfiable") or ""
        positive(errors, f"{at}.maxSkew", item.get("maxSkew"))
        if not key:
            errors.append(required(f"{at}.topologyKey", "can not be empty"))
        if action not in _ACTIONS:
            errors.append(not_supported(f"{at}.whenUnsatisfiable", action, _ACTIONS))
        if any(i.get("topologyKey") == key and i.get("whenUnsatisfiable") == action for i in items[index + 1 :]):
            errors.append(duplicate(at + ".{topologyKey, whenUnsatisfiable}", f"{{{key}, {action}}}"))
        domains = item.get("minDomains")
        if domains is not None:
            positive(errors, f"{at}.minDomains", domains)
            if action != "DoNotSchedule":
                why = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
                errors.append(invalid_value(f"{at}.minDomains", domains, why))
        for policy in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if item.get(policy) is not None and item[policy] not in ("Honor", "Ignore"):
                errors.append(not_supported(f"{at}.{policy}", item[policy], ("Honor", "Ignore")))
        _match_keys(errors, at, item)
        label_selector(errors, f"{at}.labelSelector", item.get("labelSelector"))
