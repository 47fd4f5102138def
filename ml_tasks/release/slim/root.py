"""The root of the serving base, put together from a full one: only what the service needs.

Nothing is taken away from a full root: what is not named, or needed by what is named, does not come
along. So apt, dpkg, perl and most of Debian's libraries are absent without being listed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from ml_tasks.release.slim.lean_object import loaded_part
from ml_tasks.release.slim.left_out import UNCALLED
from ml_tasks.release.slim.libraries import (
    libraries_of_the_system,
    needed_libraries,
    without_uncalled,
)
from ml_tasks.release.slim.shared_object import SharedObject, is_elf

_MERGED = ("/bin", "/lib", "/lib64", "/sbin")  # links to /usr/bin and so on
_EMPTY = {"/tmp": 0o1777, "/var/tmp": 0o1777, "/run": 0o755, "/proc": 0o555, "/sys": 0o555}
_EMPTY |= {"/dev": 0o755, "/root": 0o700, "/home": 0o755}


class SlimRoot:
    """A new root directory that files are copied into, each at its own place.

    Objects of the wheels below `packages`, and of a Python in /usr/local, come without what no
    loader reads; Debian's as they are: they hold nothing of the kind, and dpkg's checksums fit.
    """

    def __init__(self, root: Path, packages: Path) -> None:
        self.root, self.packages = root, packages
        self.placed: set[Path] = set()  # where the copies come from
        self._system = libraries_of_the_system()
        self._relieved: set[str] = set()
        for folder, mode in _EMPTY.items():
            self.at(folder).mkdir(parents=True)
            self.at(folder).chmod(mode)
        for name in _MERGED:
            if Path(name).is_symlink():
                self.at(name).symlink_to(Path(name).readlink())

    def at(self, path: str | Path) -> Path:
        """Where a file of the full root lies in the new one."""
        return self.root / Path(path).relative_to("/")

    def place(self, path: Path) -> None:
        """Copies a file, the links on the way to it, and the libraries that it needs.

        Raises:
            ValueError: a library is nowhere to be found.
        """
        real = Path(os.path.realpath(path.parent)) / path.name
        if real in self.placed:
            return
        self.placed.add(real)
        target = self.at(real)
        target.parent.mkdir(parents=True, exist_ok=True)
        if real.is_symlink():
            target.symlink_to(real.readlink())
            if (pointed := real.parent / real.readlink()).is_file():
                self.place(pointed)
            return
        content = self._content(real)
        target.write_bytes(content)
        shutil.copymode(real, target)
        if is_elf(content):
            for library in needed_libraries(real, content, self._system).values():
                self.place(library)
            if loader := SharedObject(content).loader:
                self.place(Path(loader))

    def place_tree(self, folder: Path, left_out: Callable[[PurePosixPath], bool]) -> None:
        """Copies the files below a folder, save those whose path below it is left out."""
        for path in sorted(folder.rglob("*")):
            if not path.is_dir() and not left_out(PurePosixPath(path.relative_to(folder))):
                self.place(path)

    def write(self, path: str, text: str) -> None:
        """A file that the full root does not hold like this."""
        self.at(path).parent.mkdir(parents=True, exist_ok=True)
        self.at(path).write_text(text)

    def check_relieved(self) -> None:
        """Sees that every object of UNCALLED was met: a renamed one would bring all back.

        Raises:
            ValueError: one was not.
        """
        if missed := sorted(set(UNCALLED) - self._relieved):
            raise ValueError(f"no file is {' or '.join(missed)}: see UNCALLED in left_out.py")

    def _content(self, file: Path) -> bytes:
        content = file.read_bytes()
        if not is_elf(content):
            return content
        if file.is_relative_to(self.packages):
            name = file.relative_to(self.packages).as_posix()
            for pattern, libraries in UNCALLED.items():
                if fnmatchcase(name, pattern):
                    self._relieved.add(pattern)
                    content = without_uncalled(file, libraries, self._system)
            return loaded_part(content)
        return loaded_part(content) if file.is_relative_to("/usr/local") else content
