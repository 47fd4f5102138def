"""What a running service never reads, of Python's standard library and of the wheels.

Found by what the service imports while it answers every format, and by looking through the rest.
A test answers every format inside the image and compares byte for byte with the full packages.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import PurePosixPath

# For people who build on a package, and for its own tests.
_SUFFIXES = (".a", ".c", ".cpp", ".f", ".f90", ".h", ".hpp", ".lib", ".pxd", ".pxi", ".pyi", ".pyx")
_FOLDERS = ("__pycache__", "test", "tests")

# Names beside the standard library's `os.py`, and of extension modules in `lib-dynload`.
_STANDARD_LIBRARY = (
    # Packages come from the virtual environment alone.
    *("dist-packages", "site-packages", "ensurepip", "venv", "distutils", "sitecustomize.py"),
    # Programs for people at a keyboard, and what they draw with.
    *("idlelib", "lib2to3", "pydoc.py", "pydoc_data", "turtle.py", "turtledemo", "tkinter"),
    *("curses", "doctest.py", "pickletools.py", "unittest"),
    # Protocols that are not spoken, and decimal numbers without the faster module.
    *("dbm", "imaplib.py", "mailbox.py", "nntplib.py", "xmlrpc", "_pydecimal.py"),
    # What embeds Python or links with it.
    "config-3*",
    # Databases, line editing and NIS: each brings libraries of Debian's that nothing else needs.
    *("_sqlite3.*", "sqlite3", "_dbm.*", "_gdbm.*", "_curses*.so", "readline.*", "nis.*"),
    *("_tkinter.*", "ossaudiodev.*", "_test*.so", "_ctypes_test.*", "xxlimited*", "_xx*.so"),
)

# Whole packages, with what tells of them (`*.dist-info`), so that no list of contents names them.
_DISTRIBUTIONS = (
    # What installs packages.
    *("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils"),  # "-precedence.pth"
    # What the package ml_tasks needs outside of the service alone.
    *("pyyaml", "yaml", "_yaml"),
    # Required by ONNX Runtime for its tools, which are left out too.
    *("protobuf", "google", "flatbuffers"),
)

# Below `site-packages`; * also stands for slashes.
UNUSED_PARTS = (
    # NumPy: building on it, compiling Fortran, its tests, and parts that load when first used.
    *("numpy/_core/include/*", "numpy/_core/lib/*", "numpy/distutils/*", "numpy/f2py/*"),
    *("numpy/_pyinstaller/*", "numpy/testing/*", "numpy/conftest.py", "numpy/_core/_simd.*"),
    *("numpy/_core/*_tests.*", "numpy/fft/*", "numpy/polynomial/*", "numpy/random/*"),
    # ONNX Runtime: the library for programs in C (Python's module holds all of it once more), and
    # what makes or changes a model. Without the small bridge to other hardware it would warn.
    *("onnxruntime/capi/libonnxruntime.so*", "onnxruntime/quantization/*"),
    *("onnxruntime/transformers/*", "onnxruntime/tools/*", "onnxruntime/datasets/*"),
    # pydicom: sample files, and codes of structured reports.
    *("pydicom/data/test_files/*", "pydicom/data/palettes/*", "pydicom/sr/*"),
    # pydantic: its first version for programs that never moved on, and a plugin of mypy.
    *("pydantic/v1/*", "pydantic/mypy.py"),
    # Pillow: codecs that are never asked for, fonts, colour profiles, windows.
    *("PIL/_avif.*", "PIL/_imagingcms.*", "PIL/_imagingft.*", "PIL/_imagingtk.*"),
    *("PIL/_webp.*", "PIL/_imagingmath.*", "PIL/_imagingmorph.*"),
)

# The modules of imagecodecs are loaded when one of their functions is first asked for.
_CODECS = (
    *("_deflate", "_dicomrle", "_imcd", "_jpeg8", "_jpegls", "_ljpeg", "_png"),
    *("_shared", "_shared_cython"),
)

# Libraries that only functions need which are never called, by the module that asks for them.
UNCALLED = {
    # Video (FFmpeg with VP9 and an old OpenSSL), and linear algebra (OpenBLAS).
    "cv2/cv2.abi3.so": ("libopenblas*", "libavcodec*", "libavformat*", "libavutil*", "libswscale*"),
    # The coder of AVIF pictures; the library itself stays, as OpenCV starts it to know a picture.
    "opencv_python_headless.libs/libavif*": ("libaom*",),
}


def in_standard_library(name: PurePosixPath) -> bool:
    """Whether a file below the standard library's folder is left out."""
    parts = name.parts[1:] if name.parts[0] == "lib-dynload" else name.parts[:1]
    return _for_builders(name) or any(
        fnmatchcase(part, pattern) for part in parts for pattern in _STANDARD_LIBRARY
    )


def in_packages(name: PurePosixPath) -> bool:
    """Whether a file below `site-packages` is left out; libraries of wheels come when needed."""
    if name.parts[0].endswith(".libs") or _for_builders(name):
        return True
    if name.parts[0].partition("-")[0].lower() in _DISTRIBUTIONS:
        return True
    if name.parts[0] == "imagecodecs" and name.suffix == ".so":
        return name.name.split(".")[0] not in _CODECS
    return any(fnmatchcase(name.as_posix(), pattern) for pattern in UNUSED_PARTS)


def _for_builders(name: PurePosixPath) -> bool:
    return name.suffix in _SUFFIXES or any(part in _FOLDERS for part in name.parts[:-1])
