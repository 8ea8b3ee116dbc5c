"""Who the parts of a cluster are to its API server: each a user of its own, with the role that upstream or
``apiserver.bootstrap`` has for it and no other rights."""

from __future__ import annotations

from pinnace.apiserver.auth import node, tokens
from pinnace.apiserver.request import User

AUTHENTICATED = ("system:authenticated",)
CONTROLLER_MANAGER = User("system:kube-controller-manager", groups=AUTHENTICATED)
SCHEDULER = User("system:kube-scheduler", groups=AUTHENTICATED)
#: Reads Services and what they lead to; writes what publishes cluster DNS.
NETWORK = User("system:pinnace:network", groups=AUTHENTICATED)
#: What all simulated nodes share: reads Nodes and Pods, writes Events. The rest each does as ``kubelet(name)``.
SIMULATED_NODES = User("system:pinnace:simulated-nodes", groups=AUTHENTICATED)
#: Looks whether a node is Ready.
STARTUP = User("system:pinnace:startup", groups=AUTHENTICATED)
_NODE_GROUPS = (node.GROUP, *AUTHENTICATED)


def controller(account: str) -> User:
    """The service account of a controller; "" is the controller manager itself."""
    return tokens.user_of("kube-system", account) if account else CONTROLLER_MANAGER


def kubelet(name: str) -> User:
    """The kubelet of a node."""
    return User(node.USER_PREFIX + name, groups=_NODE_GROUPS)
