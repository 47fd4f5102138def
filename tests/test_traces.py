"""The search for planted strings finds them wherever they may hide: else it would show nothing."""

from __future__ import annotations

import base64
import gzip
import io
import logging
import os
import sys
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.traces import files_below, looked_into, recorded, traces

NAME = "PLANTED-007"


def zipped(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("member", data)
    return file.getvalue()


def layer(data: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo("member")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return file.getvalue()


def picture(data: bytes) -> bytes:
    file, texts = io.BytesIO(), PngInfo()
    texts.add_text("Comment", data.decode(), zip=True)
    Image.new("L", (64, 64)).save(file, "PNG", pnginfo=texts)
    return file.getvalue()


def arrays(data: bytes) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, names=np.array([data.decode()] * 99))
    return file.getvalue()


def page(data: bytes) -> bytes:
    return b"<img src='data:image/png;base64," + base64.b64encode(picture(data)) + b"'>"


HIDDEN: list[Callable[[bytes], bytes]] = [
    bytes.lower, gzip.compress, zipped, layer, picture, arrays, page,
]  # fmt: skip


@pytest.mark.parametrize("outer", [bytes, gzip.compress, zipped, layer])
@pytest.mark.parametrize("hide", HIDDEN)
def test_a_string_is_found_in_whatever_it_is_packed(
    hide: Callable[[bytes], bytes], outer: Callable[[bytes], bytes]
) -> None:
    (found,) = set(traces([NAME], looked_into("file", outer(hide(NAME.encode())))))
    assert found.startswith(f"{NAME} in file")
    assert traces([NAME], looked_into("file", outer(hide(b"PLANTED-008")))) == []


def test_a_string_is_found_in_the_name_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for folder in (tmp_path, tmp_path / "raw"):
        (folder / f"{NAME}.png").write_bytes(picture(b"of nobody"))
    found = traces([NAME], files_below(tmp_path, apart_from=tmp_path / "raw"))
    assert set(found) == {
        f"{NAME} in {NAME}.png",
        f"{NAME} in {NAME}.png!pixels",
        f"{NAME} in {NAME}.png!texts",
    }


@pytest.mark.parametrize(
    "tell",
    [
        lambda: print(NAME),  # noqa: T201
        lambda: print(NAME, file=sys.stderr),  # noqa: T201
        lambda: os.write(1, NAME.encode()),
        lambda: os.write(2, NAME.encode()),
        lambda: logging.getLogger("some.package").debug("patient %s", NAME),
        lambda: warnings.warn(f"odd value {NAME!r}", stacklevel=1),
    ],
)
def test_whatever_is_said_is_recorded(tell: Callable[[], object], tmp_path: Path) -> None:
    with recorded(tmp_path / "said"):
        tell()
    assert traces([NAME], files_below(tmp_path, apart_from=tmp_path / "raw"))


def test_after_a_recording_everything_goes_where_it_went(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with recorded(tmp_path / "said"):
        pass
    print("to the terminal")  # noqa: T201
    os.write(2, b"to the terminal")
    assert capfd.readouterr() == ("to the terminal\n", "to the terminal")
    assert (tmp_path / "said").read_text() == ""
