"""Defaults of the certificates group."""

from __future__ import annotations

from pinnace.api.defaults.base import child, fill
from pinnace.api.types import Object

_DAY_SECONDS = 86_400


def signing_request(obj: Object) -> None:
    child(obj, "status")


def pod_certificate_request(obj: Object) -> None:
    fill(child(obj, "spec"), maxExpirationSeconds=_DAY_SECONDS)


DEFAULTS = {
    ("certificates.k8s.io", "CertificateSigningRequest"): signing_request,
    ("certificates.k8s.io", "PodCertificateRequest"): pod_certificate_request,
}
