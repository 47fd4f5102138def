"""`python3 -m ml_tasks.release.slim VENV SERVICE ROOT`: what the service needs of this machine.

It comes into ROOT. The service's own code, which is SERVICE/app and will be /app, is compiled where
it is, and tried in the new root.

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


# Loads every module of the service; what was left out and is needed shows here.
_LOAD_ALL = """
import importlib, pkgutil, ml_tasks
for found in pkgutil.walk_packages(ml_tasks.__path__, "ml_tasks."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
"""


def slim(venv: Path, service: Path, root: Path) -> None:
    """Puts the root together.

    Raises:
        ValueError: a library is missing, or a package is no longer built as it was.
        CalledProcessError: a module of the service does not load in the new root.
    """
    packages = next(venv.glob("lib/python3*/site-packages"))
    library = Path(sysconfig.get_path("stdlib"))
    new = SlimRoot(root, packages)
    new.place_tree(library, in_standard_library)
    new.place_tree(packages, in_packages)
    new.check_relieved()
    programs = [Path(found) for name in _PROGRAMS if (found := shutil.which(name))]
    files = [file for pattern in _FILES for file in Path("/").glob(pattern)]
    for file in (*venv.glob("bin/python*"), venv / "pyvenv.cfg", *programs, *files):
        new.place(file)
    debian = sorted({*packages_of(map(PurePosixPath, new.placed)), *_MADE})
    for file in licences_of(debian):
        new.place(file)
    new.write("/var/lib/dpkg/status", status_of(debian))
    _compile(root, new.at(library), new.at(packages))
    _compile(service, service)
    _run("/sbin/ldconfig", "-X", "-r", root)
    shutil.rmtree(new.at("/var/cache"), ignore_errors=True)
    _try(venv, service, root)
    for folder in (root, service):
        _set_times(folder)


def _compile(root: Path, *folders: Path) -> None:
    """Now, since nothing can be written when it runs; by hashes, since copying changes times."""
    command = (sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash")
    _run(*command, "-s", root, "-p", "/", *folders)


def _try(venv: Path, service: Path, root: Path) -> None:
    inside = root / "app"
    shutil.copytree(service / "app", inside)
    settings = ("PYTHONPATH=/app", "PYTHONDONTWRITEBYTECODE=1", "ORT_DISABLE_TELEMETRY=1")
    command = ("/usr/bin/env", *settings, f"{venv}/bin/python", "-c", _LOAD_ALL)
    _run("chroot", "--userspec=10001:10001", root, *command)
    shutil.rmtree(inside)


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True)


def _set_times(root: Path) -> None:
    for folder, folders, files in os.walk(root, topdown=False):
        for name in (*folders, *files, ""):
            os.utime(Path(folder) / name, (_MOMENT, _MOMENT), follow_symlinks=False)


if __name__ == "__main__":
    slim(*(Path(argument) for argument in sys.argv[1:]))
