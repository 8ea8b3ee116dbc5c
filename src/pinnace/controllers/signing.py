"""Signing certificate requests for the signers that Kubernetes itself knows. Pure, but for the random serial number.

Imported when the first request is to be signed: ``cryptography`` costs start-up time and memory.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
LEGACY = "kubernetes.io/legacy-unknown"
_MINIMUM_SECONDS = 600
_YEAR = 365 * 86400
_BACKDATE = timedelta(minutes=5)
_KEY_USAGES = {
    "digital signature": "digital_signature",
    "signing": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "data encipherment": "data_encipherment",
    "key agreement": "key_agreement",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
}
_EXTENDED: dict[str, ObjectIdentifier] = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
}
_BASE = {"key encipherment", "digital signature"}


class Refused(ValueError):
    """A request that its signer does not sign; the text says why."""


def sign(
    request_pem: bytes,
    signer: str,
    usages: list[str],
    seconds: int | None,
    *,
    authority_pem: bytes,
    key_pem: bytes,
    now: float,
) -> bytes:
    """The certificate (PEM). Raises Refused."""
    try:
        request = x509.load_pem_x509_csr(request_pem)
    except ValueError as error:
        raise Refused(f"unable to parse csr: {error}") from error
    if not request.is_signature_valid:
        raise Refused("unable to verify certificate request signature")
    _check(request, signer, set(usages))
    authority = x509.load_pem_x509_certificate(authority_pem)
    key = serialization.load_pem_private_key(key_pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise Refused("the authority's key is neither RSA nor ECDSA")
    moment = datetime.fromtimestamp(now, UTC)
    lifetime = _YEAR if seconds is None else min(max(seconds, _MINIMUM_SECONDS), _YEAR)
    until = min(moment + timedelta(seconds=lifetime), authority.not_valid_after_utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(authority.subject)
        .public_key(request.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - _BACKDATE)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    if any(usage in _KEY_USAGES for usage in usages):  # one without any bit makes the certificate invalid
        builder = builder.add_extension(_key_usage(usages), critical=True)
    extended = [_EXTENDED[usage] for usage in usages if usage in _EXTENDED]
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    names = _names(request)
    if names is not None:
        builder = builder.add_extension(names, critical=not list(request.subject))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _key_usage(usages: list[str]) -> x509.KeyUsage:
    wanted = {_KEY_USAGES[usage] for usage in usages if usage in _KEY_USAGES}
    fields = {*_KEY_USAGES.values()}
    return x509.KeyUsage(encipher_only=False, decipher_only=False, **{name: name in wanted for name in fields})


def _names(request: x509.CertificateSigningRequest) -> x509.SubjectAlternativeName | None:
    try:
        return request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def _check(request: x509.CertificateSigningRequest, signer: str, usages: set[str]) -> None:
    """The rules of each signer."""
    if signer == CLIENT:
        if "client auth" not in usages or usages - _BASE - {"client auth"}:
            raise Refused("usages did not match the allowed usages of a client certificate")
        return
    if signer == LEGACY:
        return
    organizations = [str(name.value) for name in request.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    common = [str(name.value) for name in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if organizations != ["system:nodes"]:
        raise Refused("subject organization is not system:nodes")
    if len(common) != 1 or not common[0].startswith("system:node:"):
        raise Refused("subject common name does not begin with system:node:")
    names = _names(request)
    if signer == KUBELET_CLIENT:
        if names is not None and len(names):
            raise Refused("DNS and IP subjectAltNames are not allowed")
        if "client auth" not in usages or usages - _BASE - {"client auth"}:
            raise Refused("usages did not match")
        return
    if names is None or not (names.get_values_for_type(x509.DNSName) or names.get_values_for_type(x509.IPAddress)):
        raise Refused("DNS or IP subjectAltName is required")
    if "server auth" not in usages or usages - _BASE - {"server auth"}:
        raise Refused("usages did not match")
