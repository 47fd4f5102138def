"""What goes into the serving base, and copies of shared objects that need less."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

import pytest

from ml_tasks.release.serving_base import serving_sources
from ml_tasks.release.slim.lean_object import loaded_part, without_libraries
from ml_tasks.release.slim.left_out import (
    UNCALLED,
    UNUSED_PARTS,
    in_packages,
    in_standard_library,
)
from ml_tasks.release.slim.libraries import (
    libraries_of_the_system,
    needed_libraries,
    without_uncalled,
)
from ml_tasks.release.slim.shared_object import SharedObject

OPENCV = "cv2/cv2.abi3.so"
TRIAL = """
import sys
sys.path.insert(0, sys.argv[1])
import cv2, numpy
film = numpy.arange(250_000, dtype=numpy.float32).reshape(500, 500) % 251
print(cv2.__file__, cv2.GaussianBlur(film, (5, 5), 0).sum(), flush=True)
if sys.argv[2] == "blas":
    cv2.gemm(film, film, 1, None, 0)
    print("answered", flush=True)
"""


def packages() -> Path:
    """The folder of the installed packages."""
    found = find_spec("cv2")
    assert found and found.origin
    return Path(found.origin).parents[1]


def library(pattern: str) -> Path:
    (found,) = packages().glob(pattern)
    return found


@pytest.fixture(scope="module")
def lean_opencv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """OpenCV as in the serving base, with nothing of FFmpeg, OpenBLAS or libaom beside it."""
    folder, system = tmp_path_factory.mktemp("lean"), libraries_of_the_system()
    shutil.copytree(packages() / "cv2", folder / "cv2", ignore=shutil.ignore_patterns("*.so"))
    for pattern, dropped in UNCALLED.items():
        file = library(pattern)
        target = folder / file.relative_to(packages())
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(loaded_part(without_uncalled(file, dropped, system)))
    shutil.copy(library("opencv*.libs/libpng*"), folder / "opencv_python_headless.libs")
    return folder


def tried(folder: Path, what: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-X", "faulthandler", "-c", TRIAL, str(folder), what]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_opencv_loads_without_what_is_never_called_and_answers_the_same(lean_opencv: Path) -> None:
    lean, whole = tried(lean_opencv, "blur"), tried(packages(), "blur")
    assert lean.returncode == 0, lean.stderr
    assert lean.stdout.startswith(str(lean_opencv))
    assert lean.stdout.split()[1:] == whole.stdout.split()[1:]


def test_a_call_of_what_was_dropped_ends_the_process_and_says_where(lean_opencv: Path) -> None:
    """A wrong answer would be worse than none."""
    done = tried(lean_opencv, "blas")
    assert done.returncode < 0 and "answered" not in done.stdout
    assert "Segmentation fault" in done.stderr and 'File "<string>", line 8' in done.stderr


def test_the_service_asks_opencv_for_nothing_that_was_dropped() -> None:
    """Matrices and videos; nor does OpenCV read others' pictures, which could be AVIF."""
    for name, path in serving_sources().items():
        if name.endswith(".py"):
            named = set(re.findall(r"\bcv2\.(\w+)", path.read_text()))
            dropped = (
                "solve|gemm|mulTransposed|invert|eigen|PCA|SVD|LDA|Video|imread|kmeans|fit|dft"
            )
            assert not [found for found in named if re.match(dropped, found)], name
            assert "imdecode" not in named or name == "ml_tasks/imaging/encode.py"


def test_what_no_loader_reads_is_taken_off_and_the_module_still_loads(tmp_path: Path) -> None:
    file = library("uvloop/loop.*.so")
    lean = loaded_part(file.read_bytes())
    assert len(lean) < file.stat().st_size / 2
    assert loaded_part(lean) == lean
    shutil.copytree(file.parent, tmp_path / "uvloop", ignore=shutil.ignore_patterns("*.so"))
    (tmp_path / "uvloop" / file.name).write_bytes(lean)
    code = f"""
import sys; sys.path.insert(0, {str(tmp_path)!r})
import asyncio, uvloop
print(uvloop.__file__, uvloop.run(asyncio.sleep(0, "slept")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(tmp_path / "uvloop" / "__init__.py"), "slept"]


def test_a_library_that_gives_variables_cannot_be_dropped() -> None:
    """They would be read from address 0, or worse, be garbage."""
    file, system = library(OPENCV), libraries_of_the_system()
    name = "libstdc++.so.6"
    with pytest.raises(ValueError, match="takes variables from what is dropped: .*_ZTI"):
        without_libraries(file.read_bytes(), {name: system[name].read_bytes()}, [])


def test_a_package_that_is_built_otherwise_stops_the_build() -> None:
    """Else an update would bring everything back, or leave out what is called by then."""
    file, system = library(OPENCV), libraries_of_the_system()
    with pytest.raises(ValueError, match=r"no longer needs libtheora\* but .*see UNCALLED"):
        without_uncalled(file, ("libtheora*",), system)
    with pytest.raises(ValueError, match="does not need libnone"):
        without_libraries(file.read_bytes(), {"libnone.so": file.read_bytes()}, [])


def test_a_library_that_is_nowhere_stops_the_build(lean_opencv: Path, tmp_path: Path) -> None:
    content = (lean_opencv / OPENCV).read_bytes()
    with pytest.raises(ValueError, match=r"needs libavif.* nowhere to be found"):
        needed_libraries(tmp_path / "cv2.abi3.so", content, {})


def test_what_is_no_shared_object_is_refused() -> None:
    for data in (b"", b"#!/bin/sh\n", b"\x7fELF\x01\x01" + bytes(100)):
        with pytest.raises(ValueError, match="no ELF file"):
            SharedObject(data)


def test_a_program_names_its_loader_and_a_library_itself() -> None:
    program = SharedObject(Path(sys.executable).resolve().read_bytes())
    assert Path(program.loader).is_file()
    found = SharedObject(libraries_of_the_system()["libc.so.6"].read_bytes())
    assert found.soname == "libc.so.6"
    assert {entry.name for entry in found.symbols() if entry.defined} >= {"malloc", "printf"}


@pytest.mark.parametrize(
    "name",
    [
        "pip/__init__.py",
        "setuptools-66.1.1.dist-info/METADATA",
        "PyYAML-6.0.3.dist-info/METADATA",
        "google/protobuf/message.py",
        "numpy/random/_generator.cpython-311-x86_64-linux-gnu.so",
        "numpy/_core/tests/test_umath.py",
        "numpy/__init__.pyi",
        "imagecodecs/_jpegxl.abi3.so",
        "numpy.libs/libscipy_openblas64_-32a4b2a6.so",
        "onnxruntime/capi/libonnxruntime.so.1.32.0",
    ],
)
def test_what_the_service_never_loads_is_left_out(name: str) -> None:
    assert in_packages(PurePosixPath(name))


@pytest.mark.parametrize(
    "name",
    [
        "numpy/linalg/__init__.py",
        "numpy-2.4.6.dist-info/licenses/LICENSE.txt",
        "cv2/LICENSE-3RD-PARTY.txt",
        "imagecodecs/_jpegls.abi3.so",
        "onnxruntime/capi/onnxruntime_pybind11_state.cpython-311-x86_64-linux-gnu.so",
        "pydicom/_dicom_dict.py",
    ],
)
def test_what_it_loads_and_every_licence_stays(name: str) -> None:
    assert not in_packages(PurePosixPath(name))


def test_of_the_standard_library_what_brings_libraries_along_is_left_out() -> None:
    for name in ("lib-dynload/_sqlite3.so", "idlelib/run.py", "site-packages/pip/__init__.py"):
        assert in_standard_library(PurePosixPath(name))
    for name in ("lib-dynload/_ssl.so", "os.py", "asyncio/events.py", "wsgiref/headers.py"):
        assert not in_standard_library(PurePosixPath(name))


def test_no_rule_for_the_packages_is_stale() -> None:
    """A rule that fits nothing any more hides that what it left out has another name."""
    for pattern in UNUSED_PARTS:
        assert next(packages().glob(pattern), None), pattern
