"""The chain of built-in plugins.

All run in ``admit``, those that change objects before those that only refuse; what only schema validation can tell
comes after, and what a plugin reserved is given back by the caller if that fails.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from pinnace.apiserver.admission.base import Plugin, View
from pinnace.apiserver.admission.certificates import (
    CertificateApproval,
    CertificateRequester,
    CertificateSigning,
    CertificateSubjectRestriction,
)
from pinnace.apiserver.admission.defaultclass import DefaultIngressClass, DefaultStorageClass
from pinnace.apiserver.admission.escalation import EscalationChecks
from pinnace.apiserver.admission.limitranger import LimitRanger
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

_Admit = Callable[[AdmissionAttributes], Awaitable[None] | None]


class AdmissionChain:
    """An ``Admission`` (see ``request``)."""

    def __init__(self, plugins: Sequence[Plugin]) -> None:
        self.plugins = tuple(plugins)
        self._chosen: dict[tuple[str, str, str, str], tuple[_Admit, ...]] = {}

    async def admit(self, attributes: AdmissionAttributes) -> None:
        row = attributes.resource
        asked = (row.group, row.plural, attributes.subresource, attributes.operation)
        chosen = self._chosen.get(asked)
        if chosen is None:
            chosen = self._chosen[asked] = tuple(plugin.admit for plugin in self.plugins if plugin.wants(*asked))
        for admit in chosen:
            waiting = admit(attributes)
            if waiting is not None:
                await waiting

    async def validate(self, attributes: AdmissionAttributes) -> None:
        """Nothing: every plugin has had its say in ``admit``."""


def default_admission(
    store: Store,
    clock: Clock,
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
            LimitRanger(view),
            PodSecurity(view),
            Priority(view),
            DefaultTolerationSeconds(),
            PodTopologyLabels(view),
            DefaultStorageClass(view),
            DefaultIngressClass(view),
            RuntimeClass(view),
            NodeRestriction(view),
            PersistentVolumeClaimResize(view),
            CertificateRequester(),
            CertificateApproval(authorizer),
            CertificateSigning(authorizer),
            CertificateSubjectRestriction(),
            EscalationChecks(view, authorizer, rbac),
            ServiceAllocation(allocator),
            ResourceQuota(view),
        )
    )
