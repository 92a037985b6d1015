"""The certificate and private key that a host signs pictures with, read from their files at the start."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from bot.errors import OperatorError

CERTIFICATE, PRIVATE_KEY = "TRINART_C2PA_CERTIFICATE", "TRINART_C2PA_PRIVATE_KEY"

CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
"""C2PA's name for a signature by a key on each curve that it knows."""

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True, kw_only=True)
class SigningKey:
    """A chain of certificates, the key's own first, and the key of that one; both PEM."""

    certificates: bytes
    private_key: bytes = field(repr=False)
    algorithm: str
    subject: str
    valid_until: datetime

    @classmethod
    def read(cls, certificate_file: Path, key_file: Path) -> SigningKey:
        """Read both files.

        Raises:
            OperatorError: one cannot be read or used, or they do not belong together.
        """
        chain = _certificates(_content(CERTIFICATE, certificate_file))
        key = _private_key(_content(PRIVATE_KEY, key_file))
        if chain[0].public_key() != key.public_key():
            raise OperatorError(
                f"{CERTIFICATE} and {PRIVATE_KEY} do not belong together: the first certificate in the file "
                "has to be the one of this key."
            )
        return cls(
            certificates=b"".join(each.public_bytes(serialization.Encoding.PEM) for each in chain),
            # In the one form that c2pa reads, whichever the file has.
            private_key=key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
            algorithm=_algorithm(key),
            subject=chain[0].subject.rfc4514_string(),
            valid_until=chain[0].not_valid_after_utc,
        )


def _content(variable: str, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise OperatorError(f"{variable}: {file} cannot be read: {error.strerror}.") from error


def _certificates(pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise OperatorError(f"{CERTIFICATE} has to name a file of PEM certificates.") from error


def _private_key(pem: bytes) -> Key:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise OperatorError(
            f"The key in {PRIVATE_KEY} is encrypted, and nobody is there to type its password: "
            "give one that is not, in a file that only the bot's user can read."
        ) from error
    # The library's own message can quote the file.
    except ValueError:
        raise OperatorError(f"{PRIVATE_KEY} has to name a file of one PEM private key.") from None
    if not isinstance(key, Key) or not _algorithm(key):
        raise OperatorError(
            f"{PRIVATE_KEY} has a key of a kind that C2PA does not know: take one on the curve P-256, P-384 "
            "or P-521, Ed25519 or RSA."
        )
    return key


def _algorithm(key: Key) -> str:
    match key:
        case ec.EllipticCurvePrivateKey():
            return CURVES.get(key.curve.name, "")
        case rsa.RSAPrivateKey():
            return "ps256"
        case ed25519.Ed25519PrivateKey():
            return "ed25519"
