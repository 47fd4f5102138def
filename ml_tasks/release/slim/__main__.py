"""`python3 -m ml_tasks.release.slim VENV ROOT`: what of this machine the service needs, in ROOT.

Runs in the build of the serving base. Works on Debian's own Python (/usr/bin, /usr/lib/python3.11)
and on that of python:3.11-slim (/usr/local, with a libpython that its program needs): the Python
that runs this is asked where its standard library is, and the links in VENV where its program is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path, PurePosixPath

from ml_tasks.release.slim.debian import licences_of, packages_of, status_of
from ml_tasks.release.slim.left_out import in_packages, in_standard_library
from ml_tasks.release.slim.root import SlimRoot

# For people who look into a running container: `docker exec -it NAME sh`.
_PROGRAMS = ("sh", "cat", "env", "find", "grep", "head", "id", "ls", "sleep", "tail", "touch")
_FILES = (
    *("etc/passwd", "etc/group", "etc/nsswitch.conf", "etc/host.conf", "etc/gai.conf"),
    *("etc/ld.so.conf", "etc/ld.so.conf.d/*", "etc/os-release", "etc/debian_version"),
    *("etc/localtime", "etc/timezone", "usr/share/zoneinfo/UTC", "etc/mime.types"),
    *("etc/ssl/certs/ca-certificates.crt", "etc/ssl/openssl.cnf"),
    *("usr/lib/ssl/certs", "usr/lib/ssl/openssl.cnf"),
)
_MADE = ("ca-certificates",)  # packages whose files above are made at installation: in no list
_MOMENT = 1577836800  # 2020-01-01: the same files give the same layer, whenever they were made


def slim(venv: Path, root: Path) -> None:
    """Puts the root together.

    Raises:
        ValueError: a library is missing, or a package is no longer built as it was.
    """
    packages = next(venv.glob("lib/python3*/site-packages"))
    library = Path(sysconfig.get_path("stdlib"))
    new = SlimRoot(root, packages)
    new.place_tree(library, in_standard_library)
    new.place_tree(packages, in_packages)
    new.check_relieved()
    programs = [Path(path) for name in _PROGRAMS if (path := shutil.which(name))]
    found = [path for pattern in _FILES for path in Path("/").glob(pattern)]
    for path in (*venv.glob("bin/python*"), venv / "pyvenv.cfg", *programs, *found):
        new.place(path)
    debian = sorted({*packages_of(map(PurePosixPath, new.placed)), *_MADE})
    for path in licences_of(debian):
        new.place(path)
    new.write("/var/lib/dpkg/status", status_of(debian))
    # Compiled now, since nothing can be written when it runs; hashes, since copying changes times.
    _run(
        *(sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"),
        *("-s", root, "-p", "/", new.at(library), new.at(packages)),
    )
    _run("/sbin/ldconfig", "-X", "-r", root)
    shutil.rmtree(new.at("/var/cache"), ignore_errors=True)
    _set_times(root)


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True)


def _set_times(root: Path) -> None:
    for folder, _, files in os.walk(root, topdown=False):
        for name in (*files, ""):
            os.utime(Path(folder) / name, (_MOMENT, _MOMENT), follow_symlinks=False)


if __name__ == "__main__":
    slim(Path(sys.argv[1]), Path(sys.argv[2]))
