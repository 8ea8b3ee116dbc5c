"""Makes ``pinnace/apiserver/bootstrap/policy.json`` from recorded facts and what later Kubernetes versions added.

The facts are the bootstrap RBAC objects and flow-control objects of Kubernetes 1.20 (``bootstrap-rbac.json`` and
``bootstrap-flowcontrol.json`` in ``--facts``). A rule is one line, ``verbs | groups | resources | names``, or
``verbs | paths``; the core group is an empty entry.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parent.parent / "src" / "pinnace" / "apiserver" / "bootstrap" / "policy.json"
BOOTSTRAP_LABEL = "kubernetes.io/bootstrapping"
READ = "get,list,watch"
WRITE = "create,delete,deletecollection,patch,update"
EVENTS = "create,patch,update | ,events.k8s.io | events"
CONTROLLER = "system:controller:"
BOOTSTRAPPERS = "system:bootstrappers:kubeadm:default-node-token"
REQUESTS = "system:certificates.k8s.io:certificatesigningrequests"

#: Rules that later versions dropped, by role.
DROPPED: dict[str, tuple[str, ...]] = {
    "system:kube-scheduler": ("create |  | endpoints", "get,update |  | endpoints | kube-scheduler"),
    "system:kube-controller-manager": (
        "create |  | endpoints",
        "get,update |  | endpoints | kube-controller-manager",
    ),
    "system:aggregate-to-edit": (
        f"{WRITE} |  | configmaps,endpoints,persistentvolumeclaims,replicationcontrollers,"
        "replicationcontrollers/scale,secrets,serviceaccounts,services,services/proxy",
        f"{WRITE} |  | pods,pods/attach,pods/exec,pods/portforward,pods/proxy",
    ),
}

#: Rules that later versions added, by role; a role that 1.20 did not have is made.
ADDED: dict[str, tuple[str, ...]] = {
    "system:aggregate-to-edit": (
        f"{WRITE} |  | configmaps,persistentvolumeclaims,replicationcontrollers,replicationcontrollers/scale,"
        "secrets,serviceaccounts,services,services/proxy",
        f"{WRITE} |  | pods,pods/attach,pods/exec,pods/portforward,pods/proxy",
        "create |  | pods/eviction",
        "create |  | serviceaccounts/token",
        f"{WRITE} | coordination.k8s.io | leases",
        f"{WRITE} | resource.k8s.io | resourceclaims,resourceclaimtemplates",
    ),
    "system:aggregate-to-view": (
        f"{READ} | discovery.k8s.io | endpointslices",
        f"{READ} | coordination.k8s.io | leases",
        f"{READ} | resource.k8s.io | resourceclaims,resourceclaims/status,resourceclaimtemplates",
    ),
    "system:basic-user": ("create | authentication.k8s.io | selfsubjectreviews",),
    "system:monitoring": ("get | /metrics/slis,/statusz,/flagz",),
    "system:kube-dns": ("list,watch | discovery.k8s.io | endpointslices",),
    "system:node-proxier": ("list,watch | networking.k8s.io | servicecidrs",),
    "system:kube-aggregator": (f"{READ} | discovery.k8s.io | endpointslices",),
    "system:kubelet-api-admin": ("* |  | nodes/checkpoint,nodes/configz,nodes/healthz,nodes/pods",),
    "system:kube-controller-manager": (
        "create,get,list,update,delete,patch,watch | coordination.k8s.io | leasecandidates",
    ),
    "system:kube-scheduler": (
        f"{READ} |  | namespaces",
        f"{READ} | storage.k8s.io | csidrivers,csistoragecapacities,volumeattachments",
        f"{READ} | resource.k8s.io | deviceclasses,resourceslices,devicetaintrules",
        "get,list,patch,update,watch | resource.k8s.io | resourceclaims",
        "patch,update | resource.k8s.io | resourceclaims/binding,resourceclaims/status",
        "patch,update |  | pods/finalizers",
        "create,get,list,update,delete,patch,watch | coordination.k8s.io | leasecandidates",
        f"{READ} | scheduling.k8s.io | podgroups,workloads",
        "patch,update | scheduling.k8s.io | podgroups/status",
    ),
    "system:node": (
        "create,patch,update | events.k8s.io | events",
        "patch,update |  | pods/resize",
        "get | resource.k8s.io | resourceclaims",
        "create,delete,deletecollection,get,list,patch,update,watch | resource.k8s.io | resourceslices",
        f"{READ} | certificates.k8s.io | clustertrustbundles",
        "create,get,list,watch | certificates.k8s.io | podcertificaterequests",
    ),
    CONTROLLER + "ephemeral-volume-controller": (
        f"{READ} |  | pods",
        "update |  | pods/finalizers",
        "create,get,list,watch |  | persistentvolumeclaims",
        EVENTS,
    ),
    CONTROLLER + "ttl-after-finished-controller": ("get,list,watch,delete | batch | jobs", EVENTS),
    CONTROLLER + "legacy-service-account-token-cleaner": (
        "get |  | configmaps | kube-apiserver-legacy-service-account-token-tracking",
        "delete,patch |  | secrets",
    ),
    CONTROLLER + "validatingadmissionpolicy-status-controller": (
        f"{READ} | admissionregistration.k8s.io | validatingadmissionpolicies",
        "get,patch,update | admissionregistration.k8s.io | validatingadmissionpolicies/status",
        EVENTS,
    ),
    CONTROLLER + "resource-claim-controller": (
        f"{READ} |  | pods",
        "update |  | pods/finalizers",
        "create,delete,get,list,watch | resource.k8s.io | resourceclaims",
        "patch,update | resource.k8s.io | resourceclaims,resourceclaims/binding,resourceclaims/status",
        "patch,update |  | pods/status",
        EVENTS,
    ),
    CONTROLLER + "device-taint-eviction-controller": (
        "delete,get,list,watch |  | pods",
        f"{READ} | resource.k8s.io | devicetaintrules,resourceclaims,resourceslices",
        "patch,update |  | pods/status",
        "patch,update | resource.k8s.io | devicetaintrules/status",
        EVENTS,
    ),
    CONTROLLER + "service-cidrs-controller": (
        "get,list,patch,update,watch | networking.k8s.io | servicecidrs",
        "patch,update | networking.k8s.io | servicecidrs/finalizers,servicecidrs/status",
        f"{READ} | networking.k8s.io | ipaddresses",
        EVENTS,
    ),
    CONTROLLER + "selinux-warning-controller": (
        f"{READ} |  | persistentvolumeclaims,persistentvolumes,pods",
        f"{READ} | storage.k8s.io | csidrivers",
        EVENTS,
    ),
    CONTROLLER + "kube-apiserver-serving-clustertrustbundle-publisher": (
        "attest | certificates.k8s.io | signers | kubernetes.io/kube-apiserver-serving",
        "create,delete,list,update,watch | certificates.k8s.io | clustertrustbundles",
        EVENTS,
    ),
    CONTROLLER + "podcertificaterequestcleaner-controller": (
        "delete,get,list,watch | certificates.k8s.io | podcertificaterequests",
    ),
    CONTROLLER + "node-controller": (
        "get |  | pods",
        f"{READ} | coordination.k8s.io | leases",
        "patch,update |  | pods/status",
        f"{READ} | apps | daemonsets",
    ),
    CONTROLLER + "job-controller": ("patch,update |  | pods/finalizers", "patch |  | pods"),
    CONTROLLER + "disruption-controller": ("patch,update |  | pods/status", f"{READ} |  | pods"),
    CONTROLLER + "pod-garbage-collector": ("patch |  | pods/status", "get |  | nodes"),
    CONTROLLER + "endpointslicemirroring-controller": ("update |  | endpoints/finalizers",),
    CONTROLLER + "daemon-set-controller": ("patch,update |  | pods/status",),
    CONTROLLER + "statefulset-controller": ("delete,update |  | persistentvolumeclaims",),
    # As kubeadm gives them.
    "system:coredns": (
        "list,watch |  | endpoints,namespaces,pods,services",
        "get |  | nodes",
        "list,watch | discovery.k8s.io | endpointslices",
    ),
    "kubeadm:get-nodes": ("get |  | nodes",),
    # The certificates that nodes serve with, if their names are the node's own.
    CONTROLLER + "certificate-controller": ("approve | certificates.k8s.io | signers | kubernetes.io/kubelet-serving",),
    # Parts of Pinnace that upstream has no counterpart of.
    "system:pinnace:network": (
        f"{READ} |  | namespaces,nodes,pods,services",
        f"{READ} | discovery.k8s.io | endpointslices",
    ),
    "system:pinnace:simulated-nodes": (
        "list,watch |  | nodes,pods",
        "create | authorization.k8s.io | subjectaccessreviews",
        EVENTS,
    ),
    "system:pinnace:startup": ("list,watch |  | nodes",),
    "system:pinnace:metrics": ("get,list |  | nodes,pods", "get |  | nodes/proxy"),
    # As metrics-server's manifests have it.
    "system:aggregated-metrics-reader": (f"{READ} | metrics.k8s.io | nodes,pods",),
    # The proxy and the DNS server of a node that runs as a process of its own, which does this as its kubelet.
    "system:pinnace:node-network": (
        "list,watch |  | namespaces,nodes,services",
        "list,watch | discovery.k8s.io | endpointslices",
    ),
    # Many simulated nodes as one process with one identity.
    "system:pinnace:simulated-node-host": (
        "create,get,list,patch,watch |  | nodes",
        "patch |  | nodes/status",
        f"{READ},delete |  | pods",
        "patch |  | pods/status",
        "create,get,patch | coordination.k8s.io | leases",
        "create,get | certificates.k8s.io | certificatesigningrequests",
        "create | authorization.k8s.io | subjectaccessreviews",
        EVENTS,
    ),
    # Makes Pods find the DNS servers of such nodes.
    CONTROLLER + "cluster-dns": (
        "create,get |  | services",
        "create,get,update | discovery.k8s.io | endpointslices",
    ),
}

#: Labels of roles that 1.20 did not have.
ADDED_LABELS = {
    "system:aggregated-metrics-reader": {
        f"rbac.authorization.k8s.io/aggregate-to-{role}": "true" for role in ("admin", "edit", "view")
    },
}

#: Roles of namespaces, and bindings to them, that upstream does not have.
ADDED_ROLES: dict[str, tuple[str, ...]] = {
    "kube-system/system:pinnace:network": (
        "create |  | services",
        "create | discovery.k8s.io | endpointslices",
        "update | discovery.k8s.io | endpointslices | kube-dns",
    ),
}

#: Bindings of later versions and of kubeadm: name -> (role, subjects).
ADDED_BINDINGS: dict[str, tuple[str, tuple[str, ...]]] = {
    "kubeadm:cluster-admins": ("cluster-admin", ("Group:kubeadm:cluster-admins",)),
    "kubeadm:kubelet-bootstrap": ("system:node-bootstrapper", (f"Group:{BOOTSTRAPPERS}",)),
    "kubeadm:node-autoapprove-bootstrap": (f"{REQUESTS}:nodeclient", (f"Group:{BOOTSTRAPPERS}",)),
    "kubeadm:node-autoapprove-certificate-rotation": (f"{REQUESTS}:selfnodeclient", ("Group:system:nodes",)),
    "system:coredns": ("system:coredns", ("ServiceAccount:kube-system/coredns",)),
    "system:pinnace:node-network": ("system:pinnace:node-network", ("Group:system:nodes",)),
    **{
        f"system:pinnace:{name}": (f"system:pinnace:{name}", (f"User:system:pinnace:{name}",))
        for name in ("network", "simulated-nodes", "simulated-node-host", "startup", "metrics")
    },
}
WITHOUT_BOOTSTRAP_LABEL = {
    "kubeadm:cluster-admins",
    "kubeadm:get-nodes",
    "kubeadm:kubelet-bootstrap",
    "kubeadm:node-autoapprove-bootstrap",
    "kubeadm:node-autoapprove-certificate-rotation",
}
SHARES_LENT = {"system": 33, "workload-high": 50, "workload-low": 90, "global-default": 50}


def line(rule: dict[str, Any]) -> str:
    """A PolicyRule in one line."""
    verbs = ",".join(sorted(rule["verbs"]))
    if "nonResourceURLs" in rule:
        return f"{verbs} | {','.join(rule['nonResourceURLs'])}"
    parts = [verbs, ",".join(rule["apiGroups"]), ",".join(rule["resources"])]
    if rule.get("resourceNames"):
        parts.append(",".join(rule["resourceNames"]))
    return " | ".join(parts)


def normal(text: str) -> str:
    """One spelling for every rule, so that the same rules are the same text."""
    parts = [",".join(sorted(item.strip() for item in part.split(","))) for part in text.split("|")]
    return " | ".join(parts)


def subject(item: dict[str, Any]) -> str:
    if item["kind"] == "ServiceAccount":
        return f"ServiceAccount:{item['namespace']}/{item['name']}"
    return f"{item['kind']}:{item['name']}"


def cluster_roles(facts: dict[str, Any]) -> dict[str, Any]:
    roles: dict[str, Any] = {}
    for role in facts["clusterroles"]:
        entry: dict[str, Any] = {}
        labels = {key: value for key, value in role["labels"].items() if key != BOOTSTRAP_LABEL}
        if labels:
            entry["labels"] = labels
        if "aggregationRule" in role:
            entry["aggregate"] = [s["matchLabels"] for s in role["aggregationRule"]["clusterRoleSelectors"]]
        elif role.get("rules"):
            entry["rules"] = [normal(line(rule)) for rule in role["rules"]]
        roles[role["name"]] = entry
    for name, dropped in DROPPED.items():
        for rule in map(normal, dropped):
            roles[name]["rules"].remove(rule)
    for name, added in ADDED.items():
        rules = roles.setdefault(name, {}).setdefault("rules", [])
        rules += [rule for rule in map(normal, added) if rule not in rules]
    for name, labels in ADDED_LABELS.items():
        roles[name]["labels"] = labels
    both_events = normal(EVENTS)
    for role in roles.values():
        if "rules" in role:
            role["rules"] = list(
                dict.fromkeys(both_events if r == "create,patch,update |  | events" else r for r in role["rules"])
            )
    return dict(sorted(roles.items()))


def bindings(facts: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        f"{b['namespace']}/{b['name']}" if "namespace" in b else b["name"]: {
            "role": b["roleRef"]["name"],
            "subjects": [subject(s) for s in b.get("subjects", ())],
        }
        for b in facts
    }


def cluster_role_bindings(facts: dict[str, Any], roles: dict[str, Any]) -> dict[str, Any]:
    made = bindings(facts["clusterrolebindings"])
    for name in roles:
        if name.startswith(CONTROLLER) and name not in made:
            account = f"ServiceAccount:kube-system/{name.removeprefix(CONTROLLER)}"
            made[name] = {"role": name, "subjects": [account]}
    for name, (role, subjects) in ADDED_BINDINGS.items():
        made[name] = {"role": role, "subjects": list(subjects)}
    return dict(sorted(made.items()))


def flow_schemas(facts: dict[str, Any]) -> dict[str, Any]:
    schemas = {schema["name"]: schema["spec"] for schema in facts["flowschemas"]}
    everyone = [
        {"kind": "Group", "group": {"name": "system:unauthenticated"}},
        {"kind": "Group", "group": {"name": "system:authenticated"}},
    ]
    schemas["probes"] = {
        "priorityLevelConfiguration": {"name": "exempt"},
        "matchingPrecedence": 2,
        "rules": [
            {
                "subjects": everyone,
                "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}],
            }
        ],
    }
    schemas["system-node-high"] = {
        "priorityLevelConfiguration": {"name": "node-high"},
        "matchingPrecedence": 400,
        "distinguisherMethod": {"type": "ByUser"},
        "rules": [
            {
                "subjects": [{"kind": "Group", "group": {"name": "system:nodes"}}],
                "resourceRules": [
                    {
                        "verbs": ["*"],
                        "apiGroups": [""],
                        "resources": ["nodes", "nodes/status"],
                        "clusterScope": True,
                        "namespaces": ["*"],
                    },
                    {
                        "verbs": ["*"],
                        "apiGroups": ["coordination.k8s.io"],
                        "resources": ["leases"],
                        "namespaces": ["*"],
                    },
                ],
            }
        ],
    }
    accounts = ("endpoint-controller", "endpointslice-controller", "endpointslicemirroring-controller")
    schemas["endpoint-controller"] = {
        "priorityLevelConfiguration": {"name": "workload-high"},
        "matchingPrecedence": 150,
        "distinguisherMethod": {"type": "ByUser"},
        "rules": [
            {
                "subjects": [
                    {"kind": "User", "user": {"name": "system:kube-controller-manager"}},
                    *(
                        {"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube-system", "name": name}}
                        for name in accounts
                    ),
                ],
                "resourceRules": [
                    {
                        "verbs": ["get", "create", "update"],
                        "apiGroups": [""],
                        "resources": ["endpoints"],
                        "namespaces": ["*"],
                    },
                    {
                        "verbs": ["get", "create", "update"],
                        "apiGroups": ["discovery.k8s.io"],
                        "resources": ["endpointslices"],
                        "namespaces": ["*"],
                    },
                ],
            }
        ],
    }
    for name in ("system-leader-election", "workload-leader-election"):
        rules = schemas[name]["rules"][0]
        rules["resourceRules"] = [r for r in rules["resourceRules"] if r["apiGroups"] == ["coordination.k8s.io"]]
    return dict(sorted(schemas.items()))


def priority_levels(facts: dict[str, Any]) -> dict[str, Any]:
    levels = {level["name"]: level["spec"] for level in facts["prioritylevelconfigurations"]}
    queuing = {"queues": 64, "handSize": 6, "queueLengthLimit": 50}
    for name, spec in levels.items():
        if "limited" in spec:
            limited = spec["limited"]
            spec["limited"] = {
                "nominalConcurrencyShares": limited["assuredConcurrencyShares"],
                "limitResponse": limited["limitResponse"],
                "lendablePercent": SHARES_LENT.get(name, 0),
            }
        else:
            spec["exempt"] = {"nominalConcurrencyShares": 0, "lendablePercent": 0}
    levels["node-high"] = {
        "type": "Limited",
        "limited": {
            "nominalConcurrencyShares": 40,
            "limitResponse": {"type": "Queue", "queuing": queuing},
            "lendablePercent": 25,
        },
    }
    return dict(sorted(levels.items()))


def build(facts: Path) -> str:
    """The file's text."""
    rbac = json.loads((facts / "bootstrap-rbac.json").read_text())
    flow = json.loads((facts / "bootstrap-flowcontrol.json").read_text())
    roles = cluster_roles(rbac)
    policy = {
        "clusterRoles": roles,
        "clusterRoleBindings": cluster_role_bindings(rbac, roles),
        "roles": {
            **{f"{r['namespace']}/{r['name']}": [normal(line(rule)) for rule in r["rules"]] for r in rbac["roles"]},
            **{name: [normal(rule) for rule in added] for name, added in ADDED_ROLES.items()},
        },
        "roleBindings": {
            **bindings(rbac["rolebindings"]),
            **{
                name: {"role": role, "subjects": [f"User:{role}"]}
                for name in ADDED_ROLES
                for role in [name.partition("/")[2]]
            },
        },
        "flowSchemas": flow_schemas(flow),
        "priorityLevels": priority_levels(flow),
        "unlabelled": sorted(WITHOUT_BOOTSTRAP_LABEL),
    }
    return json.dumps(policy, indent=1) + "\n"


def update(facts: Path) -> None:
    TARGET.write_text(build(facts))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=Path, required=True, help="the directory of the recorded facts")
    update(parser.parse_args().facts)
