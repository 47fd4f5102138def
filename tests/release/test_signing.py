"""The signing key and DSSE envelopes: what is refused, and that nothing altered passes."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from ml_tasks.config import Config, PathsConfig
from ml_tasks.config_release import ReleaseConfig
from ml_tasks.errors import ReleaseError
from ml_tasks.release.signing import key_file, key_id, opened, public_keys, sign, signing_key

KIND = "application/vnd.in-toto+json"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KNOWN: dict[str, Ed25519PublicKey] = {key_id(KEY.public_key()): KEY.public_key()}


def config(root: Path, key: Path | None = None) -> Config:
    return Config(
        paths=PathsConfig(releases=root / "releases"), release=ReleaseConfig(signing_key=key)
    )


def written(path: Path, key: Any, mode: int = 0o600, password: bytes | None = None) -> Path:
    locked = BestAvailableEncryption(password) if password else NoEncryption()
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
    path.chmod(mode)
    return path


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    settings = config(tmp_path)
    old = os.umask(0)
    try:
        first = signing_key(settings)
    finally:
        os.umask(old)
    assert key_file(settings).stat().st_mode & 0o777 == 0o600
    again = signing_key(settings)
    assert key_id(again.public_key()) == key_id(first.public_key())
    published = public_keys(settings.paths.releases / "signing_key.pub")
    assert list(published) == [key_id(first.public_key())]
    leftovers = {path.name for path in settings.paths.releases.iterdir()}
    assert leftovers == {"signing_key.pem", "signing_key.pub", ".signing_key.pem.lock"}


def test_after_a_change_of_keys_both_public_keys_are_known(tmp_path: Path) -> None:
    settings = config(tmp_path)
    first = key_id(signing_key(settings).public_key())
    key_file(settings).unlink()
    second = key_id(signing_key(settings).public_key())
    assert list(public_keys(settings.paths.releases / "signing_key.pub")) == [second, first]


def test_a_key_made_by_openssl_is_taken(tmp_path: Path) -> None:
    key = tmp_path / "unit.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(key)], check=True)
    key.chmod(0o600)
    found = key_id(signing_key(config(tmp_path, key)).public_key())
    assert list(public_keys(tmp_path / "unit.pub")) == [found]


def test_a_key_that_is_named_but_missing_is_never_made(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"gone\.pem cannot be read .*openssl genpkey"):
        signing_key(config(tmp_path, tmp_path / "gone.pem"))
    assert not (tmp_path / "gone.pem").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_key_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    key = written(tmp_path / "key.pem", KEY, mode)
    with pytest.raises(ReleaseError, match=rf"other users \(mode 0{mode:o}\).*chmod 600"):
        signing_key(config(tmp_path, key))


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    key = written(tmp_path / "key.pem", rsa.generate_private_key(65537, 2048))
    with pytest.raises(ReleaseError, match="a key of type RSA, not Ed25519"):
        signing_key(config(tmp_path, key))


def test_an_encrypted_key_is_refused(tmp_path: Path) -> None:
    key = written(tmp_path / "key.pem", KEY, password=b"secret")
    with pytest.raises(ReleaseError, match="is encrypted"):
        signing_key(config(tmp_path, key))


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_a_file_that_holds_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key.pem").write_bytes(content)
    (tmp_path / "key.pem").chmod(0o600)
    with pytest.raises(ReleaseError, match="holds no private key"):
        signing_key(config(tmp_path, tmp_path / "key.pem"))


def test_a_private_key_is_not_taken_for_public_ones(tmp_path: Path) -> None:
    key = written(tmp_path / "key.pem", KEY)
    with pytest.raises(ReleaseError, match="something else than public Ed25519 keys"):
        public_keys(key)
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(ReleaseError, match="holds no public key"):
        public_keys(tmp_path / "empty")
    with pytest.raises(ReleaseError, match="cannot be read"):
        public_keys(tmp_path / "gone")


def test_an_envelope_is_signed_as_dsse_says() -> None:
    """The bytes under the signature stand in its specification; checked without our own code."""
    envelope = sign(KEY, "http://example.com/HelloWorld", b"hello world")
    signed = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    KEY.public_key().verify(base64.b64decode(envelope["signatures"][0]["sig"]), signed)
    assert base64.b64decode(envelope["payload"]) == b"hello world"
    assert sign(KEY, "http://example.com/HelloWorld", b"hello world") == envelope


def test_what_was_signed_is_given_back() -> None:
    signed = opened(sign(KEY, KIND, b"{}"), KIND, KNOWN)
    assert signed.payload == b"{}" and signed.key_id in KNOWN


def test_the_key_id_in_an_envelope_is_not_believed() -> None:
    envelope = sign(KEY, KIND, b"{}")
    envelope["signatures"][0]["keyid"] = "another"
    assert opened(envelope, KIND, KNOWN).key_id in KNOWN
    forged = sign(Ed25519PrivateKey.generate(), KIND, b"{}")
    forged["signatures"][0]["keyid"] = next(iter(KNOWN))
    with pytest.raises(ReleaseError, match="does not fit"):
        opened(forged, KIND, KNOWN)


def test_an_unknown_key_and_another_type_are_refused() -> None:
    with pytest.raises(ReleaseError, match="was signed by .*, and the known keys are"):
        opened(sign(Ed25519PrivateKey.generate(), KIND, b"{}"), KIND, KNOWN)
    with pytest.raises(ReleaseError, match="it holds text/plain, not"):
        opened(sign(KEY, "text/plain", b"{}"), KIND, KNOWN)


@given(at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_any_bit_that_changed_is_noticed(at: int, bit: int) -> None:
    envelope = sign(KEY, KIND, b'{"a": 1, "b": "two"}')
    payload = bytearray(base64.b64decode(envelope["payload"]))
    payload[at % len(payload)] ^= 1 << bit
    envelope["payload"] = base64.b64encode(payload).decode()
    with pytest.raises(ReleaseError, match="altered after signing"):
        opened(envelope, KIND, KNOWN)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["payload", "payloadType", "signatures", "sig", "keyid"]), inner
            )
        ),
    )
)
def test_any_other_json_is_no_envelope(content: Any) -> None:
    with pytest.raises(ReleaseError):
        opened(json.loads(json.dumps(content)), KIND, KNOWN)
