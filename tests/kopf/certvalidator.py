"""What kopf asks of the library of this name to recognise a cluster by its certificate; see ``certbuilder``."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

_NAMES = {NameOID.COMMON_NAME: "common_name", NameOID.ORGANIZATION_NAME: "organization_name"}


class ValidationContext:
    def __init__(self, extra_trust_roots: list[bytes]) -> None:
        self.roots = extra_trust_roots


class CertificateValidator:
    """kopf trusts the certificate that it looks at: there is nothing to validate but the name."""

    def __init__(self, certificate: bytes, validation_context: ValidationContext) -> None:
        self._certificate = x509.load_pem_x509_certificate(certificate)

    def validate_tls(self, hostname: str) -> Any:
        certificate = self._certificate
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        known = [str(getattr(name, "value", name)) for name in names]
        assert hostname in known
        first = SimpleNamespace(
            issuer=SimpleNamespace(native=_native(certificate.issuer)),
            subject=SimpleNamespace(native=_native(certificate.subject)),
            subject_alt_name_value=SimpleNamespace(native=known),
        )
        return SimpleNamespace(first=first)


def _native(name: x509.Name) -> dict[str, str]:
    return {_NAMES[part.oid]: str(part.value) for part in name if part.oid in _NAMES}
