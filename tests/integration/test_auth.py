"""Who may do what, as stock kubectl and raw requests find out."""

from __future__ import annotations

import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.clusters import Api, Cluster, wait_for
from tests.tools import Kubectl


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1, done.stdout
    return done.stderr


def test_who_am_i(kubectl: Kubectl) -> None:
    shown = kubectl("auth", "whoami")
    assert re.search(r"^Username +kubernetes-admin$", shown, re.MULTILINE)
    assert re.search(r"^Groups +\[system:masters system:authenticated\]$", shown, re.MULTILINE)


def test_can_i_and_impersonation(cluster: Cluster, kubectl: Kubectl, namespace: str) -> None:
    assert kubectl("auth", "can-i", "delete", "nodes") == "yes\n"
    kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods")
    kubectl("create", "rolebinding", "ann", "--role=reader", "--user=ann")
    assert kubectl("auth", "can-i", "list", "pods", "--as", "ann") == "yes\n"
    assert kubectl.run("auth", "can-i", "delete", "pods", "--as", "ann").stdout == "no\n"
    assert re.search(
        r"^pods +\[\] +\[\] +\[get list\]$", kubectl("auth", "can-i", "--list", "--as", "ann"), re.MULTILINE
    )
    kubectl("get", "pods", "--as", "ann")
    assert refusal(kubectl.run("get", "secrets", "--as", "ann")) == (
        'Error from server (Forbidden): secrets is forbidden: User "ann" cannot list resource "secrets" in API group '
        f'"" in the namespace "{namespace}"\n'
    )
    kubectl("get", "secrets", "--as", "ann", "--as-group", "system:masters")
    kubectl("create", "rolebinding", "devs", "--clusterrole=view", "--group=devs")
    kubectl("get", "services", "--as", "bob", "--as-group", "devs")
    mine = cluster.api(token=kubectl("create", "token", "default").strip())
    answer = mine("GET", "/api", headers={"Impersonate-User": "ann"})
    assert (answer.status, answer.json["message"]) == (
        403,
        f'users "ann" is forbidden: User "system:serviceaccount:{namespace}:default" cannot impersonate resource '
        '"users" in API group "" at the cluster scope',
    )


def test_nobody_grants_more_than_they_have(kubectl: Kubectl) -> None:
    kubectl("create", "rolebinding", "dave", "--clusterrole=admin", "--user=dave")
    kubectl("create", "role", "mine", "--verb=get", "--resource=pods", "--as", "dave")
    assert "attempting to grant RBAC permissions not currently held" in refusal(
        kubectl.run("create", "role", "more", "--verb=get", "--resource=nodes", "--as", "dave")
    )
    assert "attempting to grant RBAC permissions not currently held" in refusal(
        kubectl.run("create", "rolebinding", "more", "--clusterrole=cluster-admin", "--user=dave", "--as", "dave")
    )


def test_aggregated_roles_take_in_new_ones(cluster: Cluster, kubectl37: Kubectl, namespace: str) -> None:
    role = f"things-{namespace}"
    kubectl37("create", "clusterrole", role, "--verb=get", "--resource=configmaps", "--resource-name=" + role)
    kubectl37("label", "clusterrole", role, "rbac.authorization.k8s.io/aggregate-to-view=true")
    wait_for(lambda: role in kubectl37("get", "clusterrole", "admin", "-o", "yaml"), "the role in admin's rules")
    kubectl37("delete", "clusterrole", role)
    wait_for(lambda: role not in kubectl37("get", "clusterrole", "view", "-o", "yaml"), "the role gone again")


def test_a_service_accounts_token(cluster: Cluster, kubectl: Kubectl, namespace: str) -> None:
    token = kubectl("create", "token", "default").strip()
    mine = cluster.api(token=token)
    refused = mine("GET", f"/api/v1/namespaces/{namespace}/pods")
    assert (refused.status, refused.json["message"]) == (
        403,
        f'pods is forbidden: User "system:serviceaccount:{namespace}:default" cannot list resource "pods" in API group '
        f'"" in the namespace "{namespace}"',
    )
    kubectl("create", "rolebinding", "view", "--clusterrole=view", f"--serviceaccount={namespace}:default")
    assert mine("GET", f"/api/v1/namespaces/{namespace}/pods").status == 200
    kubectl("delete", "serviceaccount", "default")
    assert mine("GET", f"/api/v1/namespaces/{namespace}/pods").status == 401


def test_a_token_ends_with_its_pod(cluster: Cluster, kubectl37: Kubectl, namespace: str) -> None:
    kubectl37("run", "p", "--image=busybox")
    bound = ("--bound-object-kind=Pod", "--bound-object-name=p")
    token = kubectl37("create", "token", "default", *bound, "--duration=10m").strip()
    mine = cluster.api(token=token)
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    who = mine("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review)
    assert who.json["status"]["userInfo"]["extra"]["authentication.kubernetes.io/pod-name"] == ["p"]
    kubectl37("delete", "pod", "p", "--grace-period=0", "--force")
    wait_for(lambda: mine("GET", "/api").status == 401, "the token's end")
    assert "not found" in refusal(kubectl37.run("create", "token", "default", *bound))
    assert "may not specify a duration less than 10 minutes" in refusal(
        kubectl37.run("create", "token", "default", "--duration=5s")
    )


@pytest.mark.parametrize(
    ("path", "status"),
    [("/healthz", 200), ("/livez", 200), ("/readyz", 200), ("/version", 401), ("/api/v1/pods", 401), ("/nowhere", 401)],
)
def test_without_credentials_only_health(cluster: Cluster, path: str, status: int) -> None:
    assert cluster.api(anonymous=True)("GET", path).status == status


def test_wrong_tokens(cluster: Cluster) -> None:
    for token in ("x", "a.b.c", "e30.e30.e30"):
        answer = cluster.api(token=token)("GET", "/api/v1/pods")
        assert (answer.status, answer.json["reason"]) == (401, "Unauthorized")


def test_others_can_verify_tokens(cluster: Cluster, kubectl37: Kubectl) -> None:
    import jwt

    token = kubectl37("create", "token", "default", "--audience=vault").strip()
    mine = cluster.api(token=kubectl37("create", "token", "default").strip())
    configuration = mine("GET", "/.well-known/openid-configuration").json
    assert configuration["jwks_uri"] == "https://kubernetes.default.svc.cluster.local/openid/v1/jwks"
    key = jwt.PyJWK(mine("GET", "/openid/v1/jwks").json["keys"][0])
    assert jwt.decode(token, key, ["ES256"], audience="vault")["iss"] == configuration["issuer"]


def test_bootstrap_objects(api: Api) -> None:
    names = {item["metadata"]["name"] for item in api("GET", "/api/v1/namespaces").json["items"]}
    assert {"default", "kube-system", "kube-public", "kube-node-lease"} <= names
    service = api("GET", "/api/v1/namespaces/default/services/kubernetes").json
    assert service["spec"]["clusterIP"] == "10.96.0.1"
    roles = api("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles").json["items"]
    assert {"cluster-admin", "admin", "edit", "view", "system:node", "system:discovery"} <= {
        item["metadata"]["name"] for item in roles
    }


def test_service_addresses_and_ports_survive_a_crash(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    cluster.up("--parts", "apiserver")
    try:
        services = "/api/v1/namespaces/default/services"

        def make(name: str, **spec: object) -> tuple[int, str]:
            body = {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}
            answer = cluster.api()("POST", services, body)
            return answer.status, answer.json.get("message", "")

        ports = [{"port": 80, "nodePort": 30000}]
        assert make("a", clusterIP="10.96.0.20", type="NodePort", ports=ports) == (201, "")
        cluster.kill()
        cluster.up("--parts", "apiserver")
        assert make("b", clusterIP="10.96.0.20")[1].endswith(
            'Invalid value: []string{"10.96.0.20"}: failed to allocate IP 10.96.0.20: provided IP is already allocated'
        )
        assert make("b", type="NodePort", ports=ports)[1].endswith("provided port is already allocated")
        assert cluster.api()("DELETE", f"{services}/a").status == 200
        assert make("b", clusterIP="10.96.0.20", type="NodePort", ports=ports) == (201, "")
    finally:
        cluster.stop_if_running()


def test_of_many_that_want_the_same_port_one_gets_it(cluster: Cluster, namespace: str) -> None:
    api = cluster.api()

    def make(number: int) -> int:
        spec = {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30007}], "clusterIP": "10.96.0.77"}
        body = {"metadata": {"name": f"s{number}"}, "spec": spec}
        return api("POST", f"/api/v1/namespaces/{namespace}/services", body).status

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(make, range(32)))
    assert sorted(answers) == [201] + [422] * 31

    def make_any(number: int) -> tuple[str, int]:
        body = {"metadata": {"name": f"any{number}"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}
        made = api("POST", f"/api/v1/namespaces/{namespace}/services", body).json["spec"]
        return made["clusterIP"], made["ports"][0]["nodePort"]

    with ThreadPoolExecutor(16) as pool:
        chosen = list(pool.map(make_any, range(64)))
    assert len({address for address, _ in chosen}) == len({port for _, port in chosen}) == 64


def test_a_token_that_has_expired(cluster: Cluster, kubectl: Kubectl) -> None:
    """Signed by the cluster's own key, right in everything but its time, by more than clocks may differ."""
    import jwt

    token = kubectl("create", "token", "default").strip()
    claims = jwt.decode(token, options={"verify_signature": False})
    header, key = jwt.get_unverified_header(token), (cluster.data_dir / "pki" / "sa.key").read_text()

    def told(expires: float) -> str:
        again = {**claims, "exp": int(expires), "iat": int(expires) - 600, "nbf": int(expires) - 600}
        signed = jwt.encode(again, key, "ES256", headers={"kid": header["kid"]})
        shown = (f"--server={cluster.server}", f"--certificate-authority={cluster.data_dir / 'pki' / 'ca.crt'}")
        done = kubectl.run("--kubeconfig=/dev/null", *shown, f"--token={signed}", "auth", "whoami")
        return done.stdout + done.stderr

    now = time.time()
    assert "system:serviceaccount:" in told(now + 300)
    assert told(now - 120).endswith("error: You must be logged in to the server (Unauthorized)\n")
