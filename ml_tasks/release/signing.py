"""The key that signs releases (Ed25519), and signatures in DSSE envelopes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from ml_tasks.config import Config
from ml_tasks.errors import ReleaseError
from ml_tasks.storage import locked, storage_errors, write_bytes

log = logging.getLogger(__name__)

_KEY = "signing_key.pem"  # below paths.releases, where the configuration names none
_PUBLIC = ".pub"
_PEM = re.compile(rb"-----BEGIN [A-Z ]+-----.+?-----END [A-Z ]+-----", re.DOTALL)
_MAKE_ONE = "make one with `openssl genpkey -algorithm ed25519 -out FILE` and `chmod 600 FILE`"


@dataclass(frozen=True)
class Signed:
    """What an envelope holds, and the id of the known key that signed it."""

    payload: bytes
    key_id: str


def key_file(config: Config) -> Path:
    """Where the private key lies; its public key is beside it, with the ending .pub."""
    return config.release.signing_key or config.paths.releases / _KEY


def signing_key(config: Config) -> Ed25519PrivateKey:
    """The key that releases are signed with; made once, where the configuration names none.

    Its public key is written beside it where that is missing or holds other keys only.

    Raises:
        ReleaseError: the file is missing, readable by others, encrypted, or no Ed25519 key.
        StorageError: the key cannot be written.
    """
    path = key_file(config)
    if config.release.signing_key is None:
        with locked(path):  # two first releases at the same time make one key
            if not path.exists():
                _make(path)
    key = _private(path)
    _publish(key.public_key(), path.with_suffix(_PUBLIC))
    return key


def public_keys(path: Path) -> dict[str, Ed25519PublicKey]:
    """Every public key in a PEM file, by its id; after a change of keys there are several.

    Raises:
        ReleaseError: the file cannot be read, or holds something else than Ed25519 public keys.
    """
    try:
        blocks = _PEM.findall(path.read_bytes())
    except OSError as error:
        raise ReleaseError(
            f"the public key {path} cannot be read ({error.strerror}); name its file with --key"
        ) from error
    keys = []
    for block in blocks:
        try:
            key = load_pem_public_key(block)
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise ReleaseError(
                f"{path} holds something else than public Ed25519 keys; name the file with the "
                "ending .pub that lies beside the signing key"
            )
        keys.append(key)
    if not keys:
        raise ReleaseError(f"{path} holds no public key in PEM format; name another file")
    return {key_id(key): key for key in keys}


def key_id(key: Ed25519PublicKey) -> str:
    """Hex SHA-256 of a public key, by which people and envelopes name it."""
    encoded = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(encoded).hexdigest()


def sign(key: Ed25519PrivateKey, payload_type: str, payload: bytes) -> dict[str, Any]:
    """A DSSE envelope of the payload; the same key and payload give the same envelope."""
    signature = key.sign(_encoded(payload_type, payload))
    return {
        "payloadType": payload_type,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [
            {"keyid": key_id(key.public_key()), "sig": base64.b64encode(signature).decode()}
        ],
    }


def opened(
    envelope: Mapping[str, Any], payload_type: str, keys: Mapping[str, Ed25519PublicKey]
) -> Signed:
    """What is in an envelope, if one of these keys signed it.

    The key id in an envelope is a hint that anyone can write: each known key is tried.

    Raises:
        ReleaseError: it is no such envelope, or none of the keys signed it.
    """
    try:
        found = str(envelope["payloadType"])
        payload = base64.b64decode(envelope["payload"], validate=True)
        told = [str(one.get("keyid", "")) for one in envelope["signatures"]]
        signatures = [base64.b64decode(one["sig"], validate=True) for one in envelope["signatures"]]
    except (KeyError, TypeError, AttributeError, ValueError, binascii.Error) as error:
        raise ReleaseError(f"it is no DSSE envelope ({type(error).__name__}: {error})") from error
    if found != payload_type:
        raise ReleaseError(f"it holds {found}, not {payload_type}")
    for known, key in keys.items():
        if any(_signed(key, signature, _encoded(found, payload)) for signature in signatures):
            return Signed(payload, known)
    if set(told) & set(keys):
        raise ReleaseError("the signature does not fit: the statement was altered after signing")
    raise ReleaseError(
        f"it was signed by {_short(told) or 'nobody'}, and the known keys are {_short(list(keys))}"
    )


def _make(path: Path) -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    work = path.with_name(f".{path.name}.new")
    with storage_errors(path):
        work.unlink(missing_ok=True)  # of a killed attempt: the lock is ours
        # Never, not for a moment, is it readable by others.
        handle = os.open(work, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(pem)
            stream.flush()
            os.fsync(stream.fileno())
        work.rename(path)
    log.warning(
        "made the signing key %s; keep a copy of it in a safe place, and of its public key where "
        "releases are checked (docs/release.md)",
        path,
    )


def _private(path: Path) -> Ed25519PrivateKey:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        data = path.read_bytes()
    except OSError as error:
        raise ReleaseError(
            f"the signing key {path} cannot be read ({error.strerror}); set release.signing_key to "
            f"the file of an Ed25519 key, or {_MAKE_ONE}"
        ) from error
    if mode & 0o077:
        raise ReleaseError(
            f"the signing key {path} can be used by other users (mode {mode:04o}); if anyone else "
            f"may have read it, take a new one, else `chmod 600 {path}`"
        )
    try:
        key = load_pem_private_key(data, password=None)
    except TypeError as error:  # what the library raises where a password is wanted
        raise ReleaseError(
            f"the signing key {path} is encrypted, and no stage can ask for its password; name one "
            "without, in a file that only this user can read"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ReleaseError(
            f"{path} holds no private key in PEM format (PKCS 8); {_MAKE_ONE}"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        kind = type(key).__name__.removesuffix("PrivateKey").lstrip("_")
        raise ReleaseError(f"{path} holds a key of type {kind}, not Ed25519; {_MAKE_ONE}")
    return key


def _publish(key: Ed25519PublicKey, path: Path) -> None:
    """Adds the public key to those that stand there: older releases stay checkable."""
    if path.exists() and key_id(key) in public_keys(path):
        return
    before = path.read_bytes() if path.exists() else b""
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    write_bytes(path, pem + before)
    log.info("added the public key %s to %s", key_id(key)[:16], path)


def _signed(key: Ed25519PublicKey, signature: bytes, data: bytes) -> bool:
    try:
        key.verify(signature, data)
    except InvalidSignature:
        return False
    return True


def _encoded(payload_type: str, payload: bytes) -> bytes:
    """What DSSE signs: type and payload with their lengths, so that neither passes as the other."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _short(ids: Sequence[str]) -> str:
    return ", ".join(one[:16] for one in ids if one)
