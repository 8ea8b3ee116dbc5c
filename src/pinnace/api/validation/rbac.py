"""Roles and their bindings."""

from __future__ import annotations

from pinnace.api import formats as f
from pinnace.api.errors import FieldError, GoText, go_quote, invalid_value, not_supported, required
from pinnace.api.types import Object
from pinnace.api.validation.metadata import IMMUTABLE, label_selector, wrong

Errors = list[FieldError]

GROUP = "rbac.authorization.k8s.io"


def _rules(errors: Errors, rules: list[Object], *, namespaced: bool) -> None:
    for index, rule in enumerate(rules):
        at, urls = f"rules[{index}]", rule.get("nonResourceURLs")
        if not rule.get("verbs"):
            errors.append(required(f"{at}.verbs", "verbs must contain at least one value"))
        if urls:
            if namespaced:
                why = "namespaced rules cannot apply to non-resource URLs"
                errors.append(invalid_value(f"{at}.nonResourceURLs", urls, why))
            if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
                why = "rules cannot apply to both regular resources and non-resource URLs"
                errors.append(invalid_value(f"{at}.nonResourceURLs", urls, why))
            continue
        if not rule.get("apiGroups"):
            errors.append(required(f"{at}.apiGroups", "resource rules must supply at least one api group"))
        if not rule.get("resources"):
            errors.append(required(f"{at}.resources", "resource rules must supply at least one resource"))


def role(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    _rules(errors, new.get("rules") or [], namespaced=True)


def cluster_role(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    _rules(errors, new.get("rules") or [], namespaced=False)
    aggregation = new.get("aggregationRule")
    if aggregation is None:
        return
    at, selectors = "aggregationRule.clusterRoleSelectors", aggregation.get("clusterRoleSelectors") or []
    if not selectors:
        why = "at least one clusterRoleSelector required if aggregationRule is non-nil"
        errors.append(required(at, why))
    for index, selector in enumerate(selectors):
        label_selector(errors, f"{at}[{index}]", selector)


def _subject(errors: Errors, field: str, subject: Object, *, namespaced: bool) -> None:
    name, group = subject.get("name") or "", subject.get("apiGroup") or ""
    kind = subject.get("kind") or ""
    if not name:
        errors.append(required(f"{field}.name"))
    if kind == "ServiceAccount":
        if name:
            wrong(errors, f"{field}.name", name, f.dns_subdomain(name))
        if group:
            errors.append(not_supported(f"{field}.apiGroup", group, ("",)))
        if not namespaced and not subject.get("namespace"):
            errors.append(required(f"{field}.namespace"))
    elif kind in ("User", "Group"):
        if group != GROUP:
            errors.append(not_supported(f"{field}.apiGroup", group, (GROUP,)))
    else:
        errors.append(not_supported(f"{field}.kind", kind, ("ServiceAccount", "User", "Group")))


def _binding(errors: Errors, new: Object, old: Object | None, kinds: tuple[str, ...], *, namespaced: bool) -> None:
    ref = new.get("roleRef") or {}
    if (ref.get("apiGroup") or "") != GROUP:
        errors.append(not_supported("roleRef.apiGroup", ref.get("apiGroup") or "", (GROUP,)))
    if ref.get("kind") not in kinds:
        errors.append(not_supported("roleRef.kind", ref.get("kind") or "", kinds))
    name = ref.get("name") or ""
    if not name:
        errors.append(required("roleRef.name"))
    else:
        wrong(errors, "roleRef.name", name, f.path_segment(name))
    for index, subject in enumerate(new.get("subjects") or ()):
        _subject(errors, f"subjects[{index}]", subject, namespaced=namespaced)
    if old is not None and ref != (old.get("roleRef") or {}):
        names = (("APIGroup", "apiGroup"), ("Kind", "kind"), ("Name", "name"))
        shown = ",".join(f'"{go}":{go_quote(ref.get(key) or "")}' for go, key in names)
        errors.append(invalid_value("roleRef", GoText("{" + shown + "}"), IMMUTABLE))


def role_binding(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    _binding(errors, new, old, ("Role", "ClusterRole"), namespaced=True)


def cluster_role_binding(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    _binding(errors, new, old, ("ClusterRole",), namespaced=False)
