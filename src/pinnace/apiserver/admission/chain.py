"""The chain of plugins.

In ``admit`` those that change objects come first, then mutating policies and webhooks, then what only refuses or
reserves. Validation by schema comes after, and after that, in ``validate``, validating policies and webhooks. What a
plugin reserved is given back by the caller if one of these refuses.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from pinnace.api.registry import Registry
from pinnace.apiserver.admission.base import Plugin, View
from pinnace.apiserver.admission.certificates import (
    CertificateApproval,
    CertificateRequester,
    CertificateSigning,
    CertificateSubjectRestriction,
)
from pinnace.apiserver.admission.defaultclass import DefaultIngressClass, DefaultStorageClass
from pinnace.apiserver.admission.dynamic.admission import DynamicAdmission
from pinnace.apiserver.admission.escalation import EscalationChecks
from pinnace.apiserver.admission.limitranger import LimitDefaults, LimitRanger
from pinnace.apiserver.admission.namespacelifecycle import NamespaceLifecycle
from pinnace.apiserver.admission.noderestriction import NodeRestriction
from pinnace.apiserver.admission.podsecurity import PodSecurity
from pinnace.apiserver.admission.podtopologylabels import PodTopologyLabels
from pinnace.apiserver.admission.priority import Priority
from pinnace.apiserver.admission.resize import PersistentVolumeClaimResize
from pinnace.apiserver.admission.resourcequota import ResourceQuota
from pinnace.apiserver.admission.runtimeclass import RuntimeClass
from pinnace.apiserver.admission.serviceaccount import ServiceAccount
from pinnace.apiserver.admission.services import ServiceAllocation
from pinnace.apiserver.admission.tolerations import DefaultTolerationSeconds, TaintNodesByCondition
from pinnace.apiserver.allocation.services import ServiceAllocator
from pinnace.apiserver.auth.rbac import RbacAuthorizer
from pinnace.apiserver.request import AdmissionAttributes, Authorizer
from pinnace.core.clock import Clock
from pinnace.store.protocol import Store

_Admits = tuple[Callable[[AdmissionAttributes], Awaitable[None] | None], ...]


class AdmissionChain:
    """An ``Admission`` (see ``request``). ``plugins`` may change objects, and see again what webhooks and policies have
    changed; ``checks`` come after all of these and are run once."""

    def __init__(self, plugins: Sequence[Plugin], checks: Sequence[Plugin], dynamic: DynamicAdmission) -> None:
        self.plugins = tuple(plugins)
        self.checks = tuple(checks)
        self._dynamic = dynamic
        self._chosen: dict[tuple[str, str, str, str], tuple[_Admits, _Admits]] = {}

    async def admit(self, attributes: AdmissionAttributes) -> None:
        plugins, checks = self._of(attributes)
        for admit in plugins:
            waiting = admit(attributes)
            if waiting is not None:
                await waiting
        if self._dynamic.mutates(attributes):
            await self._dynamic.mutate(attributes, self._again)
        for admit in checks:
            waiting = admit(attributes)
            if waiting is not None:
                await waiting

    async def _again(self, attributes: AdmissionAttributes) -> None:
        for admit in self._of(attributes)[0]:
            waiting = admit(attributes)
            if waiting is not None:
                await waiting

    def _of(self, attributes: AdmissionAttributes) -> tuple[_Admits, _Admits]:
        row = attributes.resource
        asked = (row.group, row.plural, attributes.subresource, attributes.operation)
        chosen = self._chosen.get(asked)
        if chosen is None:
            chosen = self._chosen[asked] = (
                tuple(plugin.admit for plugin in self.plugins if plugin.wants(*asked)),
                tuple(plugin.admit for plugin in self.checks if plugin.wants(*asked)),
            )
        return chosen

    def validate(self, attributes: AdmissionAttributes) -> Awaitable[None] | None:
        return self._dynamic.validate(attributes)

    def close(self) -> None:
        self._dynamic.close()


def default_admission(
    store: Store,
    clock: Clock,
    registry: Registry,
    *,
    authorizer: Authorizer,
    rbac: RbacAuthorizer,
    allocator: ServiceAllocator,
    service_accounts: bool = True,
) -> AdmissionChain:
    """The plugins that are on by default, in upstream's order. Has ``allocator`` follow the store. ``service_accounts``
    is False where no controller makes them: then Pods need none, as in envtest."""
    allocator.follow(store)
    view = View(store)
    return AdmissionChain(
        (
            NamespaceLifecycle(view),
            ServiceAccount(view, clock, always=service_accounts),
            TaintNodesByCondition(),
            LimitDefaults(view),
            Priority(view),
            DefaultTolerationSeconds(),
            PodTopologyLabels(view),
            DefaultStorageClass(view),
            DefaultIngressClass(view),
            RuntimeClass(view),
            CertificateRequester(),
        ),
        (
            LimitRanger(view),
            PodSecurity(view),
            NodeRestriction(view),
            PersistentVolumeClaimResize(view),
            CertificateApproval(authorizer),
            CertificateSigning(authorizer),
            CertificateSubjectRestriction(),
            EscalationChecks(view, authorizer, rbac),
            ServiceAllocation(allocator),
            ResourceQuota(view),
        ),
        DynamicAdmission(store, clock, registry, view, authorizer),
    )
