"""Reading signed statements back: only what a known key has signed is ever looked at."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ml_tasks.errors import ReleaseError
from ml_tasks.release.signing import opened
from ml_tasks.release.statement import (
    IMAGE,
    NAME,
    PAYLOAD_TYPE,
    PREDICATE_TYPE,
    REGISTRY,
    STATEMENT_TYPE,
)

Resource = Mapping[str, Any]


@dataclass(frozen=True)
class SignedStatement:
    """A statement whose signature was good; the lists are read by the names of their entries."""

    file: Path
    key_id: str
    subjects: Mapping[str, Resource]
    materials: Mapping[str, Resource]
    found_out: Mapping[str, Resource]

    @property
    def names(self) -> set[str]:
        """The image's id and its digest in the registry, as far as they are stated."""
        told = [self.subjects[name] for name in (IMAGE, REGISTRY) if name in self.subjects]
        return {f"sha256:{one.get('digest', {}).get('sha256')}" for one in told}

    def digest(self, name: str, where: Mapping[str, Resource]) -> str:
        """The SHA-256 of an entry of one of the lists, with its prefix.

        Raises:
            ReleaseError: the statement holds no such entry.
        """
        return f"sha256:{_told(self.file, where, name, 'digest')['sha256']}"

    def annotations(self, name: str, where: Mapping[str, Resource]) -> Mapping[str, Any]:
        """What an entry of one of the lists says besides its hash.

        Raises:
            ReleaseError: the statement holds no such entry.
        """
        return _told(self.file, where, name, "annotations")


def find_statement(
    record: Path, keys: Mapping[str, Ed25519PublicKey], names: Collection[str]
) -> SignedStatement:
    """The statement in a release's record that a known key signed and that fits an image best.

    `names` are the image's id and its digests in registries; of equal ones the latest is taken. It
    may still be of another image: that is for its reader to find.

    Raises:
        ReleaseError: there is none, or no known key signed one; says of each file why.
    """
    files = sorted(record.glob(f"{NAME}*.json"), key=_number)
    good, bad = [], []
    for file in files:
        try:
            good.append(read_statement(file, keys))
        except ReleaseError as error:
            bad.append(f"{file.name}: {error}")
    if not good:
        raise ReleaseError("; ".join(bad) or f"{record} holds no signed statement ({NAME}.json)")
    return max(reversed(good), key=lambda one: len(one.names & set(names)))


def _number(file: Path) -> int:
    found = re.search(r"-(\d+)\.json$", file.name)
    return int(found[1]) if found else 1


def read_statement(file: Path, keys: Mapping[str, Ed25519PublicKey]) -> SignedStatement:
    """One statement, if a known key signed it.

    Raises:
        ReleaseError: it cannot be read, no known key signed it, or it states something else.
    """
    try:
        envelope = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ReleaseError(f"it cannot be read ({type(error).__name__}: {error})") from error
    signed = opened(envelope, PAYLOAD_TYPE, keys)
    try:
        content = json.loads(signed.payload)
        if (content["_type"], content["predicateType"]) != (STATEMENT_TYPE, PREDICATE_TYPE):
            raise ReleaseError(f"it states {content['predicateType']}, not {PREDICATE_TYPE}")
        predicate = content["predicate"]
        return SignedStatement(
            file=file,
            key_id=signed.key_id,
            subjects=_by_name(content["subject"]),
            materials=_by_name(predicate["buildDefinition"]["resolvedDependencies"]),
            found_out=_by_name(predicate["runDetails"]["byproducts"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ReleaseError(
            f"it is signed, but no statement of a release ({type(error).__name__}: {error})"
        ) from error


def _by_name(resources: list[dict[str, Any]]) -> dict[str, Resource]:
    return {str(one["name"]): one for one in resources}


def _told(file: Path, where: Mapping[str, Resource], name: str, key: str) -> Mapping[str, Any]:
    try:
        told: Mapping[str, Any] = where[name][key]
    except KeyError:
        raise ReleaseError(f"{file.name} says nothing of the {name} ({key})") from None
    return told
