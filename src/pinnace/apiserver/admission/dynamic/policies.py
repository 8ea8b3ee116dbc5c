"""What policies of both kinds have in common: which bindings are for a request, with which parameters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from pinnace.api import admission, meta, selectors
from pinnace.api.admission import Expression
from pinnace.api.cel import BOOL
from pinnace.api.cel.types import Type
from pinnace.api.registry import Registry, Resource
from pinnace.api.types import GVK, Object, split_api_version
from pinnace.apiserver.admission.base import View
from pinnace.apiserver.admission.dynamic.conditions import Conditions
from pinnace.apiserver.admission.dynamic.matching import (
    GROUP,
    Asked,
    Candidates,
    Matched,
    Selectors,
    equivalents,
    match_resources,
    namespace_of,
)
from pinnace.apiserver.admission.dynamic.seen import Seen
from pinnace.apiserver.crd.conversion import WebhookConverter
from pinnace.apiserver.request import AdmissionAttributes
from pinnace.apiserver.resources import codec
from pinnace.store.protocol import KeyValue, Store, prefix_end

_NAMESPACE_METADATA = (
    "name",
    "generateName",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "finalizers",
)


class ConfigurationError(Exception):
    """A policy or binding that cannot be applied as it is configured."""


class Constraints:
    """MatchResources."""

    __slots__ = ("_resources", "_selectors", "anything")

    def __init__(self, resources: Object) -> None:
        self._resources = resources
        self._selectors = Selectors(resources)
        #: Whether all resources match.
        self.anything = not resources.get("resourceRules") and not resources.get("excludeResourceRules")

    def candidates(self, asked: Asked, others: Sequence[Resource]) -> Candidates:
        return match_resources(self._resources, asked, others)

    def selects(self, attributes: AdmissionAttributes, view: View) -> bool:
        """Raises ApiError 404."""
        return self._selectors.match(attributes, view)


class Binding:
    __slots__ = ("constraints", "name", "spec")

    def __init__(self, data: Object) -> None:
        self.name = meta.name(data)
        self.spec: Object = data["spec"]
        self.constraints = Constraints(self.spec.get("matchResources") or {})


class Policy:
    """A policy with its bindings; expressions are compiled when they are first needed."""

    def __init__(self, data: Object, bindings: list[Binding]) -> None:
        self.name = meta.name(data)
        self.spec: Object = data["spec"]
        self.bindings = bindings
        self.ignores_failures = self.spec.get("failurePolicy") == "Ignore"
        self.constraints = Constraints(self.spec.get("matchConstraints") or {})
        self.has_params = self.spec.get("paramKind") is not None
        self._compiled: dict[str, Expression] = {}

    def match(self, asked: Asked, others: Sequence[Resource]) -> Candidates:
        return self.constraints.candidates(asked, others)

    @cached_property
    def variables(self) -> Mapping[str, Expression]:
        for variable in self.spec.get("variables") or ():
            self._compiled[variable["name"]] = admission.tried(variable["expression"], self.names())
        return self._compiled

    def names(self, *, authorizer: bool = True) -> dict[str, Type]:
        """What its expressions may use."""
        known = {name: expression.result for name, expression in self._compiled.items()}
        return admission.names(params=self.has_params, authorizer=authorizer, variables=known)

    def compile(self, text: str, *wanted: Type, authorizer: bool = True) -> Expression:
        assert self.variables is self._compiled
        return admission.tried(text, self.names(authorizer=authorizer), wanted)

    @cached_property
    def conditions(self) -> list[Expression]:
        return [self.compile(condition["expression"], BOOL) for condition in self.spec.get("matchConditions") or ()]

    @cached_property
    def asks(self) -> bool:
        """Whether any of its expressions asks authorization."""
        return "authorizer" in str(self.spec)


class Invocation(NamedTuple):
    """A binding that is for a request, or why it cannot be applied."""

    policy: Policy
    binding: Binding | None
    matched: Matched
    params: Object | None = None
    failure: str = ""


class Invocations:
    """Finds them, for one API server."""

    def __init__(
        self, store: Store, registry: Registry, view: View, conditions: Conditions, converter: WebhookConverter
    ) -> None:
        self._store = store
        self._registry = registry
        self._view = view
        self._conditions = conditions
        self._converter = converter

    async def of(
        self, chosen: Sequence[tuple[Policy, Candidates]], attributes: AdmissionAttributes
    ) -> AsyncIterator[Invocation]:
        for policy, candidates in chosen:
            if not policy.constraints.selects(attributes, self._view):
                continue
            matched = candidates.of(attributes.name)
            if matched is None:
                continue
            try:
                param_row = self._param_row(policy)
            except ConfigurationError as error:
                yield Invocation(policy, None, matched, failure=f"failed to configure policy: {error}")
                continue
            for binding in policy.bindings:
                if not self._is_for(binding, attributes):
                    continue
                try:
                    for params in await self._params(param_row, binding, attributes.namespace):
                        yield Invocation(policy, binding, matched, params)
                except ConfigurationError as error:
                    yield Invocation(policy, binding, matched, failure=f"failed to configure binding: {error}")

    def _is_for(self, binding: Binding, attributes: AdmissionAttributes) -> bool:
        if not binding.constraints.selects(attributes, self._view):
            return False
        if binding.constraints.anything:
            return True
        asked = Asked(attributes.resource, attributes.subresource, attributes.operation)
        others = equivalents(self._registry, asked)
        return binding.constraints.candidates(asked, others).of(attributes.name) is not None

    def _param_row(self, policy: Policy) -> Resource | None:
        kind = policy.spec.get("paramKind")
        if kind is None:
            return None
        gvk = GVK(*split_api_version(kind["apiVersion"]), kind["kind"])
        row = self._registry.of_kind(gvk)
        if row is None:
            shown = f"{gvk.group}/{gvk.version}, Kind={gvk.kind}"
            raise ConfigurationError(f"failed to find resource referenced by paramKind: '{shown}'")
        return row

    async def _params(self, row: Resource | None, binding: Binding, namespace: str) -> Sequence[Object | None]:
        """Raises ConfigurationError."""
        reference = binding.spec.get("paramRef")
        if row is None or reference is None:
            return [None]
        where = reference.get("namespace") or ""
        if row.namespaced:
            where = where or namespace
            if not where:
                why = "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
                raise ConfigurationError(why)
        elif where:
            raise ConfigurationError("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
        found: list[Object | None] = []
        if reference.get("name"):
            held = self._store.get(row.key(where, reference["name"]))
            found = [await self._read(held, row)] if held is not None else []
        else:
            wanted = selectors.label_selector(reference.get("selector"))
            prefix = f"{row.prefix}{where}/" if row.namespaced else row.prefix
            for kv in self._store.range(prefix, prefix_end(prefix)).items:
                if wanted.matches(meta.labels(codec.decoded(kv))):
                    found.append(await self._read(kv, row))
        if not found and reference.get("parameterNotFoundAction") == "Deny":
            raise ConfigurationError("no params found for policy binding with `Deny` parameterNotFoundAction")
        return found

    async def _read(self, kv: KeyValue, row: Resource) -> Object:
        try:
            return codec.read(kv, row)
        except codec.NotConvertedError:
            await self._converter.ensure(row, [kv])
            return codec.read(kv, row)

    async def values(self, invocation: Invocation, attributes: AdmissionAttributes, seen: Seen) -> Object:
        """What the policy's expressions may look at."""
        values = await self._conditions.values(invocation.matched.row, attributes, seen)
        return {
            **values,
            "params": invocation.params,
            "namespaceObject": self._namespace(attributes),
            "authorizer": self._conditions.asking(attributes),
        }

    def _namespace(self, attributes: AdmissionAttributes) -> Object | None:
        row = attributes.resource
        if not attributes.namespace or (row.group, row.plural) == ("", "namespaces"):
            return None
        found = namespace_of(attributes.namespace, self._view)
        metadata = {name: found["metadata"][name] for name in _NAMESPACE_METADATA if name in found["metadata"]}
        return {"metadata": metadata, "spec": found.get("spec") or {}, "status": found.get("status") or {}}


def policies(view: View, plural: str) -> list[Policy]:
    """All that are bound, with their bindings, in order of their names."""
    bindings: dict[str, list[Binding]] = {}
    for data in view.items(GROUP, f"{plural.removesuffix('ies')}ybindings"):
        bindings.setdefault(data["spec"]["policyName"], []).append(Binding(data))
    return [Policy(data, bindings[name]) for data in view.items(GROUP, plural) if (name := meta.name(data)) in bindings]
