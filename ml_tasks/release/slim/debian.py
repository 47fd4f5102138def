"""Debian's own files in the slim root: which packages are left of it, and their licences."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

_STATUS = Path("/var/lib/dpkg/status")
_LISTS = Path("/var/lib/dpkg/info")


def packages_of(files: Iterable[PurePosixPath]) -> list[str]:
    """The Debian packages that files (absolute, after links) come from, by dpkg's lists."""
    wanted = {path.as_posix() for path in files}
    return sorted(
        {
            listing.stem.partition(":")[0]
            for listing in _LISTS.glob("*.list")
            if not wanted.isdisjoint(_listed(listing))
        }
    )


def status_of(packages: Iterable[str]) -> str:
    """dpkg's status of these packages alone: what a scanner for known weaknesses reads."""
    wanted = set(packages)
    kept = [
        stanza.strip()
        for stanza in _STATUS.read_text().split("\n\n")
        if (found := re.match(r"Package: (\S+)", stanza)) and found[1] in wanted
    ]
    return "\n\n".join(kept) + "\n"


def licences_of(packages: Iterable[str]) -> list[Path]:
    """The copyright files of packages, and the texts that they refer to.

    Some packages have a link to another one's folder, which is named too.
    """
    folders = [Path("/usr/share/doc") / package for package in packages]
    links = [folder for folder in folders if folder.is_symlink()]
    files = [file for folder in folders if (file := folder / "copyright").is_file()]
    return [*links, *files, *sorted(Path("/usr/share/common-licenses").glob("*"))]


def _listed(listing: Path) -> Iterator[str]:
    # Lists say /lib/..., the files lie in /usr/lib/... since the folders were merged.
    for line in listing.read_text().splitlines():
        yield re.sub(r"^/(bin|sbin|lib|lib64)/", r"/usr/\1/", line)
