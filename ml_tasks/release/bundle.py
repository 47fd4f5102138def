"""The bundle of a release: the files that ship, their hashes, and the version made of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from ml_tasks.errors import ReleaseError
from ml_tasks.storage import (
    fsync_tree,
    remove_leftovers,
    sha256_file,
    storage_errors,
    write_bytes,
    write_json,
)

SUMS = "SHA256SUMS"
FILES = (
    "classes.json",
    "decision.json",
    "image_spec.json",
    "lineage.json",
    "metrics.json",
    "model.h5",
    "model.onnx",
    "model_card.md",
)
_ABANDONED_SECONDS = 3600  # sealing takes seconds: an older work folder is of a killed process


def seal(releases: Path, parts: Mapping[str, Path | bytes]) -> Path:
    """Makes `releases/<version>/bundle` of exactly the files in FILES and gives that directory.

    A part is a file to copy or the bytes themselves. The same parts give the same version again;
    a bundle that already stands there is verified and left as it is.

    Raises:
        ReleaseError: a part is missing or unknown, or the bundle that stands there was altered.
        StorageError: no space left; nothing is left behind.
    """
    if set(parts) != set(FILES):
        odd = sorted(set(parts) ^ set(FILES))
        raise ReleaseError(f"a bundle holds exactly {', '.join(FILES)}; check {', '.join(odd)}")
    remove_leftovers(releases / "sealing", _ABANDONED_SECONDS)
    work = releases / f".sealing.{uuid4().hex[:8]}.tmp"
    with storage_errors(releases):
        try:
            _write_parts(work / "bundle", parts)
            return _put_in_place(work, releases)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def bundle_of(releases: Path, version: str) -> Path:
    """Where the bundle of a version lies."""
    return releases / version / "bundle"


def verify(bundle: Path) -> None:
    """Checks every file of a bundle against its SHA256SUMS.

    Raises:
        ReleaseError: SHA256SUMS is missing, a file is missing, altered, or not listed.
    """
    sums = _read_sums(bundle)
    found = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    unlisted = sorted(found - {SUMS} - set(sums))
    missing = sorted((set(sums) | set(FILES)) - found)
    altered = sorted(name for name in found & set(sums) if sha256_file(bundle / name) != sums[name])
    complaints = [
        f"{what}: {', '.join(names)}"
        for what, names in (
            ("missing", missing),
            ("not listed in SHA256SUMS", unlisted),
            ("altered since it was sealed", altered),
        )
        if names
    ]
    if complaints:
        raise ReleaseError(
            f"the release in {bundle} is not as it was sealed ({'; '.join(complaints)}); "
            "do not use it: remove it and run build_image again"
        )


def version_of(bundle: Path) -> str:
    """The version, `<run's UTC time>-<first 12 hex of the hash of SHA256SUMS>`, e.g. as image tag.

    The bundle cannot hold the hash of its own hash list, so the version is always derived.

    Raises:
        ReleaseError: SHA256SUMS or lineage.json is missing or unreadable.
    """
    return f"{run_started(bundle):%Y%m%dT%H%M%SZ}-{sums_sha256(bundle)[:12]}"


def run_started(bundle: Path) -> datetime:
    """When the run began that made this bundle, in UTC.

    Raises:
        ReleaseError: lineage.json is missing or names no such time.
    """
    started = str(read_json(bundle, "lineage.json").get("run_started_at", ""))
    try:
        moment = datetime.fromisoformat(started)
    except ValueError:
        raise ReleaseError(
            f"{bundle}/lineage.json: run_started_at is {started!r}, not an ISO time; "
            "build the release again"
        ) from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def sums_sha256(bundle: Path) -> str:
    """Hex SHA-256 of the bundle's SHA256SUMS: the one hash that stands for its whole content."""
    _read_sums(bundle)
    return sha256_file(bundle / SUMS)


def read_json(bundle: Path, name: str) -> dict[str, Any]:
    """One of the bundle's JSON files, which must hold an object.

    Raises:
        ReleaseError: missing, or no JSON object.
    """
    try:
        content = json.loads((bundle / name).read_bytes())
    except OSError as error:
        raise ReleaseError(
            f"the release in {bundle} has no readable {name} ({error.strerror}); "
            "is it the folder of a bundle?"
        ) from error
    except ValueError as error:
        raise ReleaseError(f"{bundle / name} is no valid JSON ({error})") from error
    if not isinstance(content, dict):
        raise ReleaseError(f"{bundle / name} must hold a JSON object, not {type(content).__name__}")
    return content


def add_record(bundle: Path, name: str, content: Mapping[str, Any]) -> Path:
    """Adds `<name>.json` to the release's record folder, which only grows.

    The same content is not written twice; other content gets the next free number.
    """
    folder = bundle.parent / "record"
    data = json.dumps(dict(content), sort_keys=True)
    number = 1
    while True:
        path = folder / (f"{name}.json" if number == 1 else f"{name}-{number}.json")
        if not path.exists():
            write_json(path, dict(content))
            return path
        if json.dumps(json.loads(path.read_bytes()), sort_keys=True) == data:
            return path
        number += 1


def _write_parts(folder: Path, parts: Mapping[str, Path | bytes]) -> None:
    folder.mkdir(parents=True)
    for name, part in parts.items():
        if isinstance(part, bytes):
            write_bytes(folder / name, part)
        elif part.is_file():
            shutil.copyfile(part, folder / name)
        else:
            raise ReleaseError(f"{part} is missing, so {name} cannot be sealed into the release")
    lines = [f"{sha256_file(folder / name)}  {name}\n" for name in sorted(parts)]
    write_bytes(folder / SUMS, "".join(lines).encode())
    for path in folder.iterdir():
        path.chmod(0o444)  # a hint to people; what counts is `verify`


def _put_in_place(work: Path, releases: Path) -> Path:
    bundle = bundle_of(releases, version_of(work / "bundle"))
    if bundle.exists():
        verify(bundle)
        return bundle
    fsync_tree(work)
    bundle.parent.mkdir(parents=True, exist_ok=True)
    (work / "bundle").rename(bundle)
    return bundle


def _read_sums(bundle: Path) -> dict[str, str]:
    try:
        lines = (bundle / SUMS).read_text().splitlines()
    except OSError as error:
        raise ReleaseError(
            f"{bundle} has no readable {SUMS} ({error.strerror}); is it the folder of a bundle?"
        ) from error
    sums = {}
    for line in lines:
        digest, separator, name = line.partition("  ")
        if not separator or len(digest) != 64 or "/" in name:
            raise ReleaseError(f"{bundle / SUMS} holds a line that is no hash and name: {line!r}")
        sums[name] = digest
    return sums
