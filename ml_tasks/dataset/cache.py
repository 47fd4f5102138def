"""Examinations kept by the content of file, settings and code: the same work is done once."""

from __future__ import annotations

import hashlib
import hmac
import importlib.metadata
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from uuid import uuid4

from ml_tasks import imaging
from ml_tasks.dataset.examination import Examination, ImageFacts, Pictures
from ml_tasks.imaging.spec import ImageSpec
from ml_tasks.storage import storage_errors

# Another version of one of these may give other pixels.
_LIBRARIES = ("imagecodecs", "numpy", "opencv-python-headless", "pillow", "pydicom", "simplejpeg")
_PARTS = ("finished", "mask", "film", "kept", "fingerprints")


@cache
def code_version() -> str:
    """Hex SHA-256 of all code that makes an examination, and of the libraries' versions."""
    digest = hashlib.sha256()
    rooms = Path(imaging.__file__).parent, Path(__file__).parent
    files = [*sorted(rooms[0].glob("*.py"))]
    files += [rooms[1] / name for name in ("examination.py", "fingerprint.py")]
    for file in files:
        digest.update(file.name.encode() + file.read_bytes())
    for name in _LIBRARIES:
        digest.update(f"{name} {importlib.metadata.version(name)}".encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class ExaminationCache:
    """A folder of examinations; may be deleted at any time, and shared between runs."""

    folder: Path
    context: str  # hash of everything but the file that decides the result

    @classmethod
    def open(cls, folder: Path, spec: ImageSpec, key: bytes | None) -> ExaminationCache:
        """The cache of one spec, this code, and one pseudonym key (which is not kept)."""
        mark = hmac.new(key, b"cache", hashlib.sha256).hexdigest() if key else ""
        context = hashlib.sha256(f"{spec.sha256()} {code_version()} {mark}".encode()).hexdigest()
        return cls(folder, context)

    def place(self, sha256: str) -> Path:
        """Where the examination of a file with this content is kept."""
        name = hashlib.sha256(f"{self.context} {sha256}".encode()).hexdigest()
        return self.folder / name[:2] / name[2:]

    def facts(self, sha256: str) -> ImageFacts | None:
        """The facts of a file by its content, if they are kept."""
        found = self.get(sha256)
        return found.facts if found else None

    def get(self, sha256: str) -> Examination | None:
        """The examination of a file by its content; None if missing or damaged."""
        try:
            content = self.place(sha256).read_bytes()
        except OSError:
            return None
        digest, _, rest = content.partition(b"\n")
        if hashlib.sha256(rest).hexdigest().encode() != digest:
            return None  # cut off by a power failure, or altered: made anew
        head, _, body = rest.partition(b"\n")
        sizes, facts = json.loads(head)
        return Examination(ImageFacts.model_validate(facts), _split(body, sizes))

    def put(self, sha256: str, examination: Examination) -> None:
        """Keeps an examination; another process may do the same at the same time.

        Raises:
            StorageError: no space left.
        """
        parts = [getattr(examination.pictures, part) for part in _PARTS if examination.pictures]
        head = [[len(part) for part in parts], examination.facts.model_dump(mode="json")]
        rest = json.dumps(head).encode() + b"\n" + b"".join(parts)
        place = self.place(sha256)
        # Not flushed to the disk: the hash in front tells a half-written file.
        temporary = place.with_name(f".{place.name}.{uuid4().hex[:8]}.tmp")
        with storage_errors(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                temporary.write_bytes(hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest)
                temporary.replace(place)
            finally:
                temporary.unlink(missing_ok=True)


def _split(body: bytes, sizes: list[int]) -> Pictures | None:
    if not sizes:
        return None
    parts, start = [], 0
    for size in sizes:
        parts.append(body[start : start + size])
        start += size
    return Pictures(*parts)
