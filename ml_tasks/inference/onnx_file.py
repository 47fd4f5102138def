"""An ONNX file looked through before it is loaded: it may point to no other file.

A tensor may be kept outside the model, in a file that it names; a runtime would read whatever the
name leads to, and no hash of the release covers it. The file is walked as protocol buffers, of
which only the few fields on the way to tensors are known here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ml_tasks.errors import ReleaseError

# onnx.proto: for each message, the fields that lead on to a message with tensors in it.
_INSIDE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "sparse": {1: "tensor", 2: "tensor"},
    "training": {1: "graph", 2: "graph"},
}
_NAME, _EXTERNAL_DATA, _DATA_LOCATION, _EXTERNAL = 8, 13, 14, 1  # of a tensor
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_DEEPEST = 32  # messages within each other


def refuse_external_data(data: bytes, path: Path) -> None:
    """Returns if every tensor of an ONNX file is inside it.

    Raises:
        ReleaseError: a tensor is kept in another file, or this is no ONNX file.
    """
    try:
        outside = next(_outside(memoryview(data), "model", 0), None)
    except (IndexError, ValueError, UnicodeDecodeError):
        raise ReleaseError(
            f"{path} cannot be loaded as an ONNX model: it is no protocol buffer or cut off; "
            "run evaluate again"
        ) from None
    if outside is not None:
        raise ReleaseError(
            f"{path} keeps the tensor {outside!r} as external data in another file, which no hash "
            "of the release covers; export the model as one file"
        )


def _outside(data: memoryview, kind: str, depth: int) -> Iterator[str]:
    """The names of the tensors in a message that are kept elsewhere."""
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    if kind == "tensor":
        if _is_outside(data):
            yield _tensor_name(data)
        return
    for number, value in _fields(data):
        if number in _INSIDE[kind] and isinstance(value, memoryview):
            yield from _outside(value, _INSIDE[kind][number], depth + 1)


def _is_outside(tensor: memoryview) -> bool:
    return any(
        number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value == _EXTERNAL)
        for number, value in _fields(tensor)
    )


def _tensor_name(tensor: memoryview) -> str:
    names = [bytes(value) for number, value in _fields(tensor) if number == _NAME and value]
    return names[0].decode() if names else ""


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Each field of a message: its number, and its bytes or its whole number."""
    place, end = 0, len(data)
    while place < end:
        key, place = _varint(data, place)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, place = _varint(data, place)
            yield number, value
        elif wire == _BYTES:
            length, place = _varint(data, place)
            if place + length > end:
                raise ValueError("cut off")
            yield number, data[place : place + length]
            place += length
        elif wire in (_FIXED64, _FIXED32):
            place += 8 if wire == _FIXED64 else 4
        else:
            raise ValueError("no protocol buffer")


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place += 1
        if byte < 0x80:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("no protocol buffer")
