"""Authentication and authorization of one API server, put together."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pinnace.apiserver.auth.aggregation import RoleAggregation
from pinnace.apiserver.auth.authenticate import Authenticators
from pinnace.apiserver.auth.authorize import Authorizers
from pinnace.apiserver.auth.bootstraptokens import BootstrapTokens
from pinnace.apiserver.auth.impersonate import Impersonators
from pinnace.apiserver.auth.jwt import Keys
from pinnace.apiserver.auth.node import NodeAuthorizer
from pinnace.apiserver.auth.objects import store_lookup
from pinnace.apiserver.auth.policy import Policy
from pinnace.apiserver.auth.rbac import RbacAuthorizer
from pinnace.apiserver.auth.reviews import Reviews
from pinnace.apiserver.auth.tokenrequest import TokenRequests
from pinnace.apiserver.auth.tokens import ServiceAccountTokens
from pinnace.core.clock import Clock
from pinnace.store.protocol import Store, Watch


class Auth(NamedTuple):
    """What the pipeline and the handlers ask. ``close`` ends its watches of the store."""

    authenticator: Authenticators
    impersonator: Impersonators
    authorizer: Authorizers
    rbac: RbacAuthorizer
    policy: Policy
    nodes: NodeAuthorizer
    tokens: ServiceAccountTokens
    token_requests: TokenRequests
    reviews: Reviews
    policy_watch: Watch
    aggregation: RoleAggregation

    def close(self) -> None:
        self.policy_watch.cancel()
        self.nodes.close()
        self.aggregation.close()


def open_auth(store: Store, clock: Clock, signing_key: Path) -> Auth:
    """Within the event loop that owns the store. ``signing_key`` is the ``sa.key`` of the cluster's PKI. The policy in
    force is the store's from here on."""
    lookup = store_lookup(store)
    policy, nodes = Policy(), NodeAuthorizer()
    policy_watch = policy.follow(store)
    nodes.follow(store)
    aggregation = RoleAggregation(store, clock)
    aggregation.start()
    rbac = RbacAuthorizer(policy)
    authorizers = Authorizers(nodes, rbac)
    tokens = ServiceAccountTokens(Keys(signing_key), lookup, clock)
    return Auth(
        authenticator=Authenticators(clock, (tokens, BootstrapTokens(lookup, clock))),
        impersonator=Impersonators(authorizers),
        authorizer=authorizers,
        rbac=rbac,
        policy=policy,
        nodes=nodes,
        tokens=tokens,
        token_requests=TokenRequests(tokens, lookup, clock),
        reviews=Reviews(authorizers, rbac, tokens, clock),
        policy_watch=policy_watch,
        aggregation=aggregation,
    )
