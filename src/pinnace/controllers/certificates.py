"""CertificateSigningRequests: signs those that are approved, approves those of nodes, and clears old ones away."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_reason
from pinnace.api.resources import NODES
from pinnace.api.types import GVR, Object
from pinnace.controllers import kit
from pinnace.core.clock import parse_timestamp, timestamp

REVIEWS = GVR("authorization.k8s.io", "v1", "subjectaccessreviews")
REQUESTS = GVR("certificates.k8s.io", "v1", "certificatesigningrequests")
_SIGNERS = frozenset(
    f"kubernetes.io/{name}"
    for name in ("kube-apiserver-client", "kube-apiserver-client-kubelet", "kubelet-serving", "legacy-unknown")
)
#: Seconds after which a request goes: approved, denied or failed, and one that nobody looked at.
_DECIDED_LIFE, _PENDING_LIFE = 3600.0, 86400.0


def expires_in(request: Object, now: float) -> float:
    """Seconds until a request may be cleared away. Pure."""
    decided = [
        condition.get("lastUpdateTime") or condition.get("lastTransitionTime")
        for condition in (request.get("status") or {}).get("conditions") or ()
        if condition["type"] in ("Approved", "Denied", "Failed")
    ]
    if decided and decided[0]:
        return parse_timestamp(decided[0]) + _DECIDED_LIFE - now
    return parse_timestamp(request["metadata"]["creationTimestamp"]) + _PENDING_LIFE - now


class NotApprovedError(PermissionError):
    """A request of a node that nobody may make; it is looked at again later, for rights may still come."""


class CertificateController(kit.Controller):
    """``authority`` returns the PEM of the signing certificate and of its key; None: nothing is signed here."""

    name = "certificatesigningrequest-signing-controller"
    account = "certificate-controller"

    def __init__(self, tools: kit.Kit, authority: Callable[[], tuple[bytes, bytes]] | None) -> None:
        super().__init__(tools)
        self._authority = authority
        self._requests = tools.informer(REQUESTS)
        self._nodes = tools.informer(NODES)
        self.watch(self._requests)

    async def sync(self, key: str) -> None:
        request = self._requests.by_key(key)
        if request is None:
            return
        left = expires_in(request, self.clock.now())
        if left <= 0:
            await self._delete(request)
            return
        self.queue.add_after(key, left + 1)
        signer = request["spec"].get("signerName")
        if signer not in _SIGNERS:
            return
        status = request.get("status") or {}
        if status.get("certificate") or meta.has_condition(request, "Failed"):
            return
        if meta.has_condition(request, "Denied"):
            return
        if not meta.has_condition(request, "Approved"):
            if message := await self._reason_to_approve(request):
                await self._approve(request, status, message)
        elif self._authority is not None:
            await self._sign(request, status)

    async def _sign(self, request: Object, status: Object) -> None:
        from pinnace.controllers import signing

        assert self._authority is not None
        authority, key = self._authority()
        spec = request["spec"]
        try:
            certificate = signing.sign(
                b64decode(spec["request"]),
                spec["signerName"],
                list(spec.get("usages") or ()),
                spec.get("expirationSeconds"),
                authority_pem=authority,
                key_pem=key,
                now=self.clock.outside.now(),
            )
        except signing.Refused as error:
            failed = self._condition("Failed", "SignerValidationFailure", str(error))
            status = {**status, "conditions": [*(status.get("conditions") or ()), failed]}
        else:
            status = {**status, "certificate": b64encode(certificate).decode()}
        await self.client.update(REQUESTS, {**request, "status": status}, subresource="status")

    async def _reason_to_approve(self, request: Object) -> str:
        """In the words of the approval; "" leaves the request to others."""
        from pinnace.controllers import approval

        kinds = approval.client_kinds(request)
        for subresource, message in kinds:
            if await self._may_create(request, subresource):
                return message
        if kinds:
            tried = ", ".join(kind for kind, _ in kinds)
            name = meta.name(request)
            raise NotApprovedError(f'recognized csr "{name}" as [{tried}] but subject access review was not approved')
        if node_name := approval.serving_node(request):
            node = self._nodes.get(node_name)
            if node is None or not approval.serves_as(request, node):
                raise NotApprovedError(f"node {node_name} asks to serve as others than its Node object says it is")
            return "Auto approving kubelet serving certificate for the node's own names."
        return ""

    async def _may_create(self, request: Object, subresource: str) -> bool:
        spec = request["spec"]
        asked: Object = {
            "group": REQUESTS.group,
            "version": "*",
            "resource": REQUESTS.resource,
            "subresource": subresource,
            "verb": "create",
        }
        subject = {"user": spec.get("username"), **{f: spec[f] for f in ("uid", "groups", "extra") if spec.get(f)}}
        kind = {"kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1"}
        answer = await self.client.create(REVIEWS, {**kind, "spec": {**subject, "resourceAttributes": asked}})
        return bool(answer["status"].get("allowed"))

    async def _approve(self, request: Object, status: Object, message: str) -> None:
        approved = self._condition("Approved", "AutoApproved", message)
        status = {**status, "conditions": [*(status.get("conditions") or ()), approved]}
        await self.client.update(REQUESTS, {**request, "status": status}, subresource="approval")

    def _condition(self, type: str, reason: str, message: str) -> Object:
        stamp = timestamp(self.clock.now())
        return {
            "type": type,
            "status": "True",
            "reason": reason,
            "message": message,
            "lastUpdateTime": stamp,
            "lastTransitionTime": stamp,
        }

    async def _delete(self, request: Object) -> None:
        try:
            await self.client.delete(REQUESTS, meta.name(request), uid=meta.uid(request))
        except ApiError as error:
            if not is_reason(error, "NotFound", "Conflict"):
                raise
