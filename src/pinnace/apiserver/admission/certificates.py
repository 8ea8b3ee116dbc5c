"""Certificate signing requests: who asks, and who may approve and sign for which signer."""

from __future__ import annotations

import base64
import binascii

from pinnace.api import meta
from pinnace.api.errors import go_quote
from pinnace.api.types import Object
from pinnace.apiserver.admission.base import CREATE, UPDATE, refuse
from pinnace.apiserver.auth.reviews import user_info
from pinnace.apiserver.request import AdmissionAttributes, Attributes, Authorizer, User

GROUP, PLURAL = "certificates.k8s.io", "certificatesigningrequests"
CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"


def may(authorizer: Authorizer, user: User, verb: str, signer: str) -> bool:
    """Whether ``user`` has ``verb`` for the signer, or for all of its domain."""
    domain = signer.partition("/")[0]
    return any(
        authorizer.authorize(Attributes(user, verb, "", GROUP, "*", "signers", "", "", name))[0]
        for name in (signer, f"{domain}/*")
    )


def _signer(request: Object | None) -> str:
    return str(((request or {}).get("spec") or {}).get("signerName") or "")


class CertificateApproval:
    name = "CertificateApproval"

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def wants(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        return (group, plural, subresource, operation) == (GROUP, PLURAL, "approval", UPDATE)

    def admit(self, attributes: AdmissionAttributes) -> None:
        signer = _signer(attributes.old_object)
        if not may(self._authorizer, attributes.user, "approve", signer):
            raise refuse(attributes, f"user not permitted to approve requests with signerName {go_quote(signer)}")


class CertificateSigning:
    name = "CertificateSigning"

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def wants(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        return (group, plural, subresource, operation) == (GROUP, PLURAL, "status", UPDATE)

    def admit(self, attributes: AdmissionAttributes) -> None:
        new, old = attributes.object or {}, attributes.old_object or {}
        if _certificate(new) == _certificate(old) and meta.has_condition(new, "Failed") == meta.has_condition(
            old, "Failed"
        ):
            return
        signer = _signer(old)
        if not may(self._authorizer, attributes.user, "sign", signer):
            raise refuse(attributes, f"user not permitted to sign requests with signerName {go_quote(signer)}")


def _certificate(request: Object) -> object:
    return (request.get("status") or {}).get("certificate") or ""


class CertificateRequester:
    """Writes into a new request who asks: clients cannot choose that."""

    name = "CertificateRequester"

    def wants(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        return (group, plural, subresource, operation) == (GROUP, PLURAL, "", CREATE)

    def admit(self, attributes: AdmissionAttributes) -> None:
        assert attributes.object is not None
        spec = attributes.object.setdefault("spec", {})
        for field in ("username", "uid", "groups", "extra"):
            spec.pop(field, None)
        spec.update(user_info(attributes.user))


class CertificateSubjectRestriction:
    name = "CertificateSubjectRestriction"

    def wants(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        return (group, plural, subresource, operation) == (GROUP, PLURAL, "", CREATE)

    def admit(self, attributes: AdmissionAttributes) -> None:
        if _signer(attributes.object) != CLIENT_SIGNER:
            return
        encoded = str(((attributes.object or {}).get("spec") or {}).get("request") or "")
        from cryptography import x509
        from cryptography.x509.oid import NameOID

        try:
            request = x509.load_pem_x509_csr(base64.b64decode(encoded, validate=True))
        except (ValueError, binascii.Error) as error:
            why = "unable to parse csr: PEM block type must be CERTIFICATE REQUEST"
            raise refuse(attributes, why) from error
        organizations = request.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        if any(organization.value == "system:masters" for organization in organizations):
            raise refuse(attributes, f"use of {CLIENT_SIGNER} signer with system:masters group is not allowed")
