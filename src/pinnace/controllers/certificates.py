"""CertificateSigningRequests: signs those that are approved, approves kubelets' own, and clears old ones away."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_reason
from pinnace.api.types import GVR, Object
from pinnace.controllers import kit
from pinnace.core.clock import parse_timestamp, timestamp

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


class CertificateController(kit.Controller):
    """``authority`` returns the PEM of the signing certificate and of its key; None: nothing is signed here."""

    name = "certificatesigningrequest-signing-controller"
    account = "certificate-controller"

    def __init__(self, tools: kit.Kit, authority: Callable[[], tuple[bytes, bytes]] | None) -> None:
        super().__init__(tools)
        self._authority = authority
        self._requests = tools.informer(REQUESTS)
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
        if self._authority is None or signer not in _SIGNERS:
            return
        status = request.get("status") or {}
        if status.get("certificate") or meta.has_condition(request, "Failed"):
            return
        if meta.has_condition(request, "Denied"):
            return
        if meta.has_condition(request, "Approved"):
            await self._sign(request, status)
        elif _is_kubelets_own(request):
            await self._approve(request, status)

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

    async def _approve(self, request: Object, status: Object) -> None:
        message = "Auto approving self kubelet client certificate after SubjectAccessReview."
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


def _is_kubelets_own(request: Object) -> bool:
    """A node that asks for a new client certificate with the subject it has already."""
    spec = request["spec"]
    user = str(spec.get("username") or "")
    if spec["signerName"] != "kubernetes.io/kube-apiserver-client-kubelet" or not user.startswith("system:node:"):
        return False
    if "system:nodes" not in (spec.get("groups") or ()):
        return False
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        subject = x509.load_pem_x509_csr(b64decode(spec["request"])).subject
    except ValueError:
        return False
    return [name.value for name in subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == [user]
