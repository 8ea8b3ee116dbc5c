"""Keys and certificates by ``cryptography``: what ``pki`` imports only when there is something to make or to check.

All keys are ECDSA P-256. Errors are ClusterErrors that name the file.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pinnace.cluster.errors import ClusterError, Exit

Key = ec.EllipticCurvePrivateKey


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def public_pem(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def key_id(key: ec.EllipticCurvePublicKey) -> str:
    """The SHA-256 of the public key, in hexadecimal."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def certificate_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def load_key(path: Path) -> Key:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise _damaged(path, "private key") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ClusterError(Exit.DATA_DAMAGED, f"{path} holds a key of another kind than ECDSA; use an ECDSA P-256 key")
    return key


def load_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as error:
        raise _damaged(path, "certificate") from error


def _damaged(path: Path, what: str) -> ClusterError:
    return ClusterError(
        Exit.DATA_DAMAGED,
        f"{path} is damaged (not a {what} in PEM); restore it, or delete it to have it made again",
    )


def expires(certificate: x509.Certificate) -> float:
    return certificate.not_valid_after_utc.timestamp()


def belongs(certificate: x509.Certificate, key: Key) -> bool:
    return certificate.public_key() == key.public_key()


def is_signed_by(certificate: x509.Certificate, signer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(signer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def matches(
    certificate: x509.Certificate, common_name: str, organizations: Iterable[str], sans: frozenset[str]
) -> bool:
    """Whether the subject and the alternative names are exactly these."""
    if certificate.subject != _subject(common_name, organizations):
        return False
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return not sans
    found = {str(value) for value in names.get_values_for_type(x509.IPAddress)}
    return sans == found | set(names.get_values_for_type(x509.DNSName))


def _subject(common_name: str, organizations: Iterable[str]) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in organizations]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(key: Key, subject: x509.Name, now: float, lifetime: float) -> x509.CertificateBuilder:
    start = datetime.datetime.fromtimestamp(now - 300, datetime.UTC)  # for clients whose clocks are behind
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(seconds=lifetime))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not sign_certificates,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def make_authority(key: Key, common_name: str, now: float, lifetime: float) -> x509.Certificate:
    """A self-signed certificate that signs others."""
    subject = _subject(common_name, ())
    return (
        _builder(key, subject, now, lifetime)
        .issuer_name(subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def make_request(key: Key, common_name: str, organizations: Iterable[str], sans: frozenset[str]) -> bytes:
    """A certificate signing request, PEM."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_subject(common_name, organizations))
    if sans:
        names = x509.SubjectAlternativeName([_general_name(name) for name in sorted(sans)])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def make_leaf(
    key: Key,
    signer: x509.Certificate,
    signer_key: Key,
    *,
    common_name: str,
    organizations: Iterable[str],
    sans: frozenset[str],
    server: bool,
    client: bool,
    now: float,
    lifetime: float,
) -> x509.Certificate:
    """A certificate for ``key`` that ends no later than its signer's."""
    lifetime = min(lifetime, expires(signer) - now)
    uses = [ExtendedKeyUsageOID.SERVER_AUTH] * server + [ExtendedKeyUsageOID.CLIENT_AUTH] * client
    builder = (
        _builder(key, _subject(common_name, organizations), now, lifetime)
        .issuer_name(signer.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer_key.public_key()),
            critical=False,
        )
    )
    if sans:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_general_name(name) for name in sorted(sans)]), critical=False
        )
    return builder.sign(signer_key, hashes.SHA256())


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
