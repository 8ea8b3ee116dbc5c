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
#: All simulated nodes of a process of their own: what kubelets do with their Nodes and Pods.
SIMULATED_NODE_HOST = User("system:pinnace:simulated-node-host", groups=AUTHENTICATED)
#: Asks kubelets what their nodes and Pods use.
METRICS = User("system:pinnace:metrics", groups=AUTHENTICATED)
#: Looks whether a node is Ready.
STARTUP = User("system:pinnace:startup", groups=AUTHENTICATED)
_NODE_GROUPS = (node.GROUP, *AUTHENTICATED)


def controller(account: str) -> User:
    """The service account of a controller; "" is the controller manager itself."""
    return tokens.user_of("kube-system", account) if account else CONTROLLER_MANAGER


def kubelet(name: str) -> User:
    """The kubelet of a node."""
    return User(node.USER_PREFIX + name, groups=_NODE_GROUPS)


def user_agent(user: User) -> str:
    """What a part calls itself: the manager of the fields it writes has upstream's component's name."""
    if user == SCHEDULER:
        return "kube-scheduler"
    if user == NETWORK:
        return "kube-proxy"
    if user == SIMULATED_NODES or user.name.startswith(node.USER_PREFIX):
        return "kubelet"
    if user == CONTROLLER_MANAGER or user.name.startswith("system:serviceaccount:kube-system:"):
        return "kube-controller-manager"
    return "pinnace"
