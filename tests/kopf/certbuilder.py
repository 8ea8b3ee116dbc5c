"""What kopf's webhook server asks of the library of this name, made with ``cryptography``: the library's own basis
(oscrypto 1.3.0) does not recognise present versions of OpenSSL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID


class CertificateBuilder:
    ca = False
    self_signed = False
    key_usage: frozenset[str] = frozenset()
    extended_key_usage: frozenset[str] = frozenset()
    subject_alt_ips: list[str] = []  # noqa: RUF012 - set, never changed
    subject_alt_domains: list[str] = []  # noqa: RUF012

    def __init__(self, subject: dict[str, str], public_key: rsa.RSAPublicKey) -> None:
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject["common_name"])])
        self._public_key = public_key

    def build(self, private_key: rsa.RSAPrivateKey) -> x509.Certificate:
        now = datetime.now(UTC)
        names: list[x509.GeneralName] = [x509.DNSName(name) for name in self.subject_alt_domains]
        names += [x509.IPAddress(ip_address(address)) for address in self.subject_alt_ips]
        builder = (
            x509.CertificateBuilder()
            .subject_name(self._subject)
            .issuer_name(self._subject)
            .public_key(self._public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=self.ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
        )
        return builder.sign(private_key, hashes.SHA256())


def pem_armor_certificate(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
