"""Copies of shared objects that need fewer libraries, or hold only what is loaded.

Code and data stay as they are, byte for byte: only the tables that the loader reads change.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Mapping

from ml_tasks.release.slim.shared_object import (
    DYNAMIC,
    HEADER,
    LOADED,
    NEEDED,
    PROGRAM,
    SYMBOL,
    SYMBOLS,
    Segment,
    SharedObject,
    Symbol,
)

_VERSION = struct.Struct("<HHIII")  # of one library: version, count, name, first, step to the next
_VERSIONS, _LIBRARIES, _LIBRARIES_COUNT = 0x6FFFFFF0, 0x6FFFFFFE, 0x6FFFFFFF
_WEAK, _UNVERSIONED = 2, 1
_CODE = (2, 10)  # kinds of symbols: functions, and functions chosen at load time


def without_libraries(data: bytes, dropped: Mapping[str, bytes], kept: Collection[bytes]) -> bytes:
    """A shared object that loads without some of its libraries (name -> bytes).

    What it takes from them becomes a weak symbol, which the loader leaves empty: a call of it ends
    the process at once, as a jump to address 0. Only functions can be missed like that; a variable
    would be read as garbage. What one of the `kept` libraries defines too is found there.

    Raises:
        ValueError: it does not need one of the libraries, or takes a variable from it.
    """
    file = SharedObject(data)
    if absent := sorted(set(dropped) - set(file.needed)):
        raise ValueError(f"it does not need {', '.join(absent)}")
    there = _defined(kept)
    missing = {name: kind for name, kind in _defined(dropped.values()).items() if name not in there}
    orphans = [entry for entry in file.symbols() if not entry.defined and entry.name in missing]
    if variables := sorted(entry.name for entry in orphans if missing[entry.name] not in _CODE):
        raise ValueError(f"it takes variables from what is dropped: {', '.join(variables)}")
    changed = bytearray(data)
    _weaken(file, changed, orphans)
    _drop_versions(file, changed, dropped)
    _drop_needs(file, changed, dropped)
    return bytes(changed)


def loaded_part(data: bytes) -> bytes:
    """The same object without what no loader reads: symbols for debuggers, section headers.

    The segments move together in the file; their addresses stay. Comes back as it is where nothing
    can be saved, or where a table stands outside of what is loaded.
    """
    file = SharedObject(data)
    moved: dict[Segment, int] = {}
    end = 0
    for segment in sorted(_loads(file), key=lambda part: part.offset):
        # The loader wants offset and address to agree in the bits below the alignment.
        moved[segment] = end + (segment.offset - end) % max(1, segment.align)
        end = moved[segment] + segment.file_size
    try:
        table = _moved(file.header[5], moved)
        places = [_moved(part.offset, moved) if part.file_size else 0 for part in file.segments]
    except ValueError:
        return data
    if end >= len(data) or _moved(0, moved):
        return data
    lean = bytearray(end)
    for segment, place in moved.items():
        content = data[segment.offset : segment.offset + segment.file_size]
        lean[place : place + len(content)] = content
    head = list(file.header)
    head[5], head[6], head[11:14] = table, 0, [0, 0, 0]  # no section headers
    HEADER.pack_into(lean, 0, *head)
    for number, place in enumerate(places):
        struct.pack_into("<Q", lean, table + number * PROGRAM.size + 8, place)
    return bytes(lean)


def _loads(file: SharedObject) -> list[Segment]:
    return [part for part in file.segments if part.kind == LOADED and part.file_size]


def _moved(offset: int, moved: Mapping[Segment, int]) -> int:
    for segment, place in moved.items():
        if segment.offset <= offset < segment.offset + segment.file_size:
            return place + offset - segment.offset
    raise ValueError(f"offset {offset:#x} is in no loaded segment")


def _defined(libraries: Iterable[bytes]) -> dict[str, int]:
    """Name and kind of every symbol that libraries define."""
    return {
        entry.name: entry.kind
        for library in libraries
        for entry in SharedObject(library).symbols()
        if entry.defined
    }


def _weaken(file: SharedObject, changed: bytearray, orphans: Iterable[Symbol]) -> None:
    table = file.place(file.value(SYMBOLS))
    versions = file.place(file.value(_VERSIONS))
    for entry in orphans:
        changed[table + entry.number * SYMBOL.size + 4] = _WEAK << 4 | entry.kind
        struct.pack_into("<H", changed, versions + 2 * entry.number, _UNVERSIONED)


def _drop_versions(file: SharedObject, changed: bytearray, dropped: Collection[str]) -> None:
    """Takes the libraries out of the chain that says which versions of which the loader checks."""
    place, before, kept = file.place(file.value(_LIBRARIES)), None, 0
    for _ in range(file.value(_LIBRARIES_COUNT)):
        *_, name, _, step = _VERSION.unpack_from(file.data, place)
        if file.text(name) not in dropped:
            if before is not None:
                struct.pack_into("<I", changed, before + 12, place - before)
            elif kept == 0:
                first = place
            before, kept = place, kept + 1
        place += step
    if before is None:
        raise ValueError("no library with versions would be left: the C library has some")
    struct.pack_into("<I", changed, before + 12, 0)
    shift = first - file.place(file.value(_LIBRARIES))
    entries = [
        (tag, value + shift if tag == _LIBRARIES else kept if tag == _LIBRARIES_COUNT else value)
        for tag, value in file.dynamic
    ]
    for number, entry in enumerate(entries):
        DYNAMIC.pack_into(changed, file.dynamic_at + number * DYNAMIC.size, *entry)


def _drop_needs(file: SharedObject, changed: bytearray, dropped: Collection[str]) -> None:
    """Takes the libraries out of the dynamic entries; the others move up."""
    size = DYNAMIC.size
    entries = [
        bytes(changed[file.dynamic_at + number * size : file.dynamic_at + (number + 1) * size])
        for number, (tag, value) in enumerate(file.dynamic)
        if tag != NEEDED or file.text(value) not in dropped
    ]
    table = b"".join(entries).ljust(len(file.dynamic) * size, b"\0")
    changed[file.dynamic_at : file.dynamic_at + len(table)] = table
