"""Which requests a webhook, a policy or a binding is for: rules, and selectors of namespaces and objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pinnace.api import meta, selectors
from pinnace.api.errors import ApiError, not_found
from pinnace.api.registry import Registry, Resource
from pinnace.api.selectors import Selector
from pinnace.api.types import GVK, GVR, Object
from pinnace.apiserver.admission.base import CREATE, UPDATE, View
from pinnace.apiserver.request import AdmissionAttributes

GROUP = "admissionregistration.k8s.io"
#: Never looked at, so that nobody can lock themselves out.
EXEMPT_KINDS = frozenset(
    f"{how}{what}"
    for how in ("Mutating", "Validating")
    for what in ("WebhookConfiguration", "AdmissionPolicy", "AdmissionPolicyBinding")
)


class Asked(NamedTuple):
    """What is asked, as far as rules look at it: all requests with the same are for the same webhooks and policies."""

    row: Resource
    subresource: str
    operation: str

    @property
    def gvr(self) -> GVR:
        return self.row.gvr

    @property
    def exempt(self) -> bool:
        return self.row.group == GROUP and self.row.kind in EXEMPT_KINDS


class Matched(NamedTuple):
    """As what a request is seen by who matched it: the resource itself, or an equivalent one."""

    row: Resource
    #: Only objects of these names, if any are given.
    names: tuple[str, ...] = ()


def kind_of(row: Resource, subresource: str) -> GVK:
    """The kind that is sent to a resource or one of its subresources."""
    own = row.subresources.get(subresource)
    return own.kind if own is not None else row.gvk


def _has(items: Sequence[str] | None, wanted: str) -> bool:
    return "*" in (items or ()) or wanted in (items or ())


def rule_matches(rule: Object, asked: Asked, row: Resource) -> bool:
    """Whether a RuleWithOperations is for what is ``asked``, seen as one of ``row``."""
    scope = rule.get("scope") or "*"
    if scope != "*" and (scope == "Namespaced") is not asked.row.namespaced:
        return False
    return (
        _has(rule.get("operations"), asked.operation)
        and _has(rule.get("apiGroups"), row.group)
        and _has(rule.get("apiVersions"), row.version)
        and any(_resource_matches(text, row.plural, asked.subresource) for text in rule.get("resources") or ())
    )


def _resource_matches(text: str, plural: str, subresource: str) -> bool:
    resource, _, part = text.partition("/")
    return resource in ("*", plural) and part in ("*", subresource)


def equivalents(registry: Registry, asked: Asked) -> list[Resource]:
    """Other resources under which the same objects are served."""
    row = asked.row
    return [
        other
        for other in registry
        if other.prefix == row.prefix
        and other.gvr != row.gvr
        and (not asked.subresource or asked.subresource in other.subresources)
    ]


def match_rules(
    rules: Sequence[Object] | None, policy: str | None, asked: Asked, others: Sequence[Resource]
) -> list[Matched]:
    """As what the rules match; by the first only whatever name the object has."""
    rows = [[asked.row], others] if policy == "Equivalent" else [[asked.row]]
    return [
        Matched(row, tuple(rule.get("resourceNames") or ()))
        for alike in rows
        for rule in rules or ()
        for row in alike
        if rule_matches(rule, asked, row)
    ]


class Candidates(NamedTuple):
    """As what a kind of request is matched, and left out."""

    found: list[Matched]
    excluded: list[Matched] = []  # noqa: RUF012 - never changed

    def of(self, name: str) -> Matched | None:
        """As what a request about an object of that name is matched; None if it is not."""
        if any(not matched.names or name in matched.names for matched in self.excluded):
            return None
        return next((matched for matched in self.found if not matched.names or name in matched.names), None)


def match_resources(constraints: Object, asked: Asked, others: Sequence[Resource]) -> Candidates:
    """What a policy's or binding's MatchResources say of resources."""
    policy = constraints.get("matchPolicy")
    rules = constraints.get("resourceRules")
    return Candidates(
        match_rules(rules, policy, asked, others) if rules else [Matched(asked.row)],
        match_rules(constraints.get("excludeResourceRules"), policy, asked, others),
    )


class Selectors:
    """A namespaceSelector and an objectSelector."""

    __slots__ = ("_namespaces", "_objects", "everything")

    def __init__(self, holder: Object) -> None:
        self._namespaces: Selector = selectors.label_selector(holder.get("namespaceSelector") or {})
        self._objects: Selector = selectors.label_selector(holder.get("objectSelector") or {})
        self.everything = self._namespaces.empty and self._objects.empty

    def match(self, attributes: AdmissionAttributes, view: View) -> bool:
        """Raises ApiError 404 if the namespace is needed and there is none."""
        if self.everything:
            return True
        return self._match_object(attributes) and self._match_namespace(attributes, view)

    def _match_object(self, attributes: AdmissionAttributes) -> bool:
        if self._objects.empty:
            return True
        held = (attributes.object, attributes.old_object)
        return any(obj is not None and self._objects.matches(meta.labels(obj)) for obj in held)

    def _match_namespace(self, attributes: AdmissionAttributes, view: View) -> bool:
        if self._namespaces.empty:
            return True
        is_namespace = attributes.resource.plural == "namespaces"
        if not attributes.namespace and not is_namespace:
            return True  # what has no namespace is never left out
        return self._namespaces.matches(namespace_labels(attributes, view))


def namespace_labels(attributes: AdmissionAttributes, view: View) -> Mapping[str, str]:
    """Of the namespace that a request is about. Raises ApiError 404."""
    row = attributes.resource
    new = attributes.object
    if (
        row.plural == "namespaces"
        and not attributes.subresource
        and attributes.operation in (CREATE, UPDATE)
        and new is not None
    ):
        return meta.labels(new)
    return meta.labels(namespace_of(attributes.namespace, view))


def namespace_of(name: str, view: View) -> Object:
    """Raises ApiError 404."""
    found = view.get("", "namespaces", "", name)
    if found is None:
        raise _no_namespace(name)
    return found


def _no_namespace(name: str) -> ApiError:
    return not_found("", "namespaces", name)
