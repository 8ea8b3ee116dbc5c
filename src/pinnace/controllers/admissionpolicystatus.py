"""Status of ValidatingAdmissionPolicies: what type checking warns of."""

from __future__ import annotations

from pinnace.api import meta
from pinnace.api.types import GVR
from pinnace.controllers import kit

POLICIES = GVR("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies")


class AdmissionPolicyStatusController(kit.Controller):
    """Looks at each generation of a policy once."""

    name = "validatingadmissionpolicy-status"
    account = "validatingadmissionpolicy-status-controller"

    def __init__(self, tools: kit.Kit) -> None:
        super().__init__(tools)
        self._policies = tools.informer(POLICIES)
        self.watch(self._policies)

    async def sync(self, key: str) -> None:
        policy = self._policies.by_key(key)
        if policy is None or (policy.get("status") or {}).get("observedGeneration", 0) >= meta.generation(policy):
            return
        from pinnace.api import builtin, typechecking  # neither is loaded before there are policies

        found = typechecking.warnings(policy, builtin.registry()) or None
        status = {"observedGeneration": meta.generation(policy), "typeChecking": {"expressionWarnings": found}}
        await self.client.patch(POLICIES, meta.name(policy), {"status": status}, subresource="status")
