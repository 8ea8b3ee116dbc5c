"""See ``certbuilder``."""

from __future__ import annotations

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


def generate_pair(algorithm: str, bit_size: int) -> tuple[rsa.RSAPublicKey, rsa.RSAPrivateKey]:
    assert algorithm == "rsa"
    key = rsa.generate_private_key(public_exponent=65537, key_size=bit_size)
    return key.public_key(), key


def dump_private_key(key: rsa.RSAPrivateKey, password: str | None, target_ms: int = 0) -> bytes:
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        encryption = serialization.BestAvailableEncryption(password.encode())
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
