"""The RBAC authorizer: the policy's rules against a request, and which rules a user has."""

from __future__ import annotations

from pinnace.api.errors import go_quote
from pinnace.apiserver.auth.policy import GROUP, SERVICE_ACCOUNT_USER, Binding, Policy
from pinnace.apiserver.auth.rules import Rule
from pinnace.apiserver.request import Attributes, User


class RbacAuthorizer:
    """Part of ``authorize.Authorizers``; alone it does not know ``system:masters``."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    @property
    def generation(self) -> int:
        return self._policy.generation

    def authorize(self, attributes: Attributes) -> tuple[bool, str]:
        missing: dict[str, None] = {}
        for grant in self._policy.grants(attributes.user, attributes.namespace):
            if grant.rules is None:
                missing[_not_found(grant.binding.role)] = None
            elif any(rule.allows(attributes) for rule in grant.rules):
                return True, _reason(grant.binding, attributes.user)
        if not missing:
            return False, ""
        shown = ", ".join(missing)
        return False, f"RBAC: [{shown}]" if len(missing) > 1 else f"RBAC: {shown}"

    def rules(self, user: User, namespace: str) -> tuple[list[Rule], str]:
        """All rules ``user`` has in ``namespace``, and what could not be evaluated ("" if nothing)."""
        found: list[Rule] = []
        missing: dict[str, None] = {}
        for grant in self._policy.grants(user, namespace):
            if grant.rules is None:
                missing[_not_found(grant.binding.role)] = None
            else:
                found += grant.rules
        return found, ", ".join(missing)


def _not_found(role: tuple[str, str]) -> str:
    kind = "role" if role[0] else "clusterrole"
    return f"{kind}.{GROUP} {go_quote(role[1])} not found"


def _reason(binding: Binding, user: User) -> str:
    kind = "RoleBinding" if binding.namespace else "ClusterRoleBinding"
    where = f"{binding.name}/{binding.namespace}" if binding.namespace else binding.name
    role = f"{'Role' if binding.role[0] else 'ClusterRole'} {go_quote(binding.role[1])}"
    if f"u:{user.name}" in binding.subjects:
        service_account = user.name.removeprefix(SERVICE_ACCOUNT_USER)
        if service_account != user.name:
            space, _, name = service_account.partition(":")
            subject = f"ServiceAccount {go_quote(f'{name}/{space}')}"
        else:
            subject = f"User {go_quote(user.name)}"
    else:
        subject = "Group " + go_quote(next(g for g in user.groups if f"g:{g}" in binding.subjects))
    return f"RBAC: allowed by {kind} {go_quote(where)} of {role} to {subject}"
