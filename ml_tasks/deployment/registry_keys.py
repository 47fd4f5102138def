"""The registry's certificate, by an authority of its own, and its file of passwords.

Runs in the image mammography-airflow, as the service registry-keys of docker-compose.yaml.
"""

from __future__ import annotations

import os
import sys
import warnings
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

USER = "mammo"
NAMES = ("registry", "localhost")
_DAYS = 3650
_RENEW_DAYS = 365


def make_keys(folder: Path, password: str) -> None:
    """Writes ca.crt, bundle.crt, registry.crt, registry.key and htpasswd into `folder`.

    A certificate that still holds for a year stays; the passwords are written each time.

    Raises:
        OSError: the folder cannot be written.
    """
    if not _holds(folder / "registry.crt"):
        _certify(folder)
    line = f"{USER}:{_bcrypt(password)}\n"
    _write(folder / "htpasswd", line.encode(), 0o600)


def _certify(folder: Path) -> None:
    authority_key, key = (
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP256R1()),
    )
    issuer = _name("mammography registry authority")
    authority = (
        _builder(issuer, issuer, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in NAMES]
    names.append(x509.IPAddress(ip_address("127.0.0.1")))
    certificate = (
        _builder(_name("registry"), issuer, key.public_key())
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    authority_pem = authority.public_bytes(Encoding.PEM)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write(folder / "registry.key", private, 0o600)
    _write(folder / "ca.crt", authority_pem, 0o644)
    _write(folder / "bundle.crt", Path(certifi.where()).read_bytes() + authority_pem, 0o644)
    # Last: it is by this file that a complete set is told.
    _write(folder / "registry.crt", certificate.public_bytes(Encoding.PEM), 0o644)


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=_DAYS))
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])


def _holds(path: Path) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return False
    return certificate.not_valid_after_utc > datetime.now(UTC) + timedelta(days=_RENEW_DAYS)


def _bcrypt(password: str) -> str:
    """The only form of a password that the registry takes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import crypt  # of the image's Python 3.11; later ones lack it

    return crypt.crypt(password, crypt.mksalt(crypt.METHOD_BLOWFISH))


def _write(path: Path, content: bytes, mode: int) -> None:
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(path)


if __name__ == "__main__":
    make_keys(Path(sys.argv[1]), os.environ["REGISTRY_PASSWORD"])
