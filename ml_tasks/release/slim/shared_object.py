"""Shared objects (ELF, 64 bits, little-endian): what they need and what they define.

Read inside the build of the serving base, where neither a compiler nor binutils is at hand: the
standard library alone.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_MAGIC = b"\x7fELF\x02\x01"
HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
PROGRAM = struct.Struct("<IIQQQQQQ")
SYMBOL = struct.Struct("<IBBHQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
DYNAMIC = struct.Struct("<qQ")

LOADED = 1  # kind of segment
NEEDED, SYMBOLS = 1, 6  # kinds of dynamic entries
_DYNAMIC_SEGMENT, _LOADER_SEGMENT = 2, 3
_DYNAMIC_SYMBOLS = 11  # kind of section
_END, _STRINGS, _SONAME, _RPATH, _RUNPATH = 0, 5, 14, 15, 29
_UNDEFINED = 0


@dataclass(frozen=True)
class Segment:
    """One line of the program header table."""

    kind: int
    flags: int
    offset: int  # in the file
    address: int
    physical: int
    file_size: int
    memory_size: int
    align: int


@dataclass(frozen=True)
class Symbol:
    """One entry of the table of dynamic symbols."""

    name: str
    number: int
    kind: int
    defined: bool


class SharedObject:
    """The tables of one shared object or program.

    Raises:
        ValueError: the bytes are no such file.
    """

    def __init__(self, data: bytes) -> None:
        if not is_elf(data):
            raise ValueError("no ELF file of 64 bits, little-endian")
        self.data = data
        self.header = HEADER.unpack_from(data)
        table, count = self.header[5], self.header[10]
        self.segments = [
            Segment(*PROGRAM.unpack_from(data, table + number * PROGRAM.size))
            for number in range(count)
        ]
        self.dynamic = list(self._entries())

    @property
    def needed(self) -> list[str]:
        """The libraries that the loader must find for it."""
        return [self.text(value) for tag, value in self.dynamic if tag == NEEDED]

    @property
    def soname(self) -> str:
        """The name by which others need it; empty where there is none."""
        return next((self.text(value) for tag, value in self.dynamic if tag == _SONAME), "")

    @property
    def search_path(self) -> list[str]:
        """The folders in which it looks for its libraries, as written: `$ORIGIN/..`."""
        paths = [self.text(value) for tag, value in self.dynamic if tag in (_RPATH, _RUNPATH)]
        return [folder for path in paths for folder in path.split(":") if folder]

    @property
    def loader(self) -> str:
        """The path of the loader that starts a program; empty for a library."""
        for part in self.segments:
            if part.kind == _LOADER_SEGMENT:
                return self.data[part.offset : part.offset + part.file_size].rstrip(b"\0").decode()
        return ""

    def symbols(self) -> list[Symbol]:
        """All dynamic symbols, those that it defines and those that it looks for.

        Raises:
            ValueError: its section headers were taken off, and with them their number.
        """
        sections, count = self.header[6], self.header[12]
        for number in range(count):
            section = _SECTION.unpack_from(self.data, sections + number * _SECTION.size)
            if section[1] == _DYNAMIC_SYMBOLS:
                return [self._symbol(at) for at in range(section[5] // SYMBOL.size)]
        raise ValueError("no section of dynamic symbols")

    def place(self, address: int) -> int:
        """Where in the file the byte stands that is loaded at an address."""
        for segment in self.segments:
            inside = address - segment.address
            if segment.kind == LOADED and 0 <= inside < segment.file_size:
                return segment.offset + inside
        raise ValueError(f"address {address:#x} is in no loaded segment")

    def value(self, wanted: int) -> int:
        """The value of one dynamic entry.

        Raises:
            ValueError: it has none of that kind.
        """
        for tag, value in self.dynamic:
            if tag == wanted:
                return value
        raise ValueError(f"no dynamic entry {wanted:#x}")

    @property
    def dynamic_at(self) -> int:
        """Where in the file the dynamic entries begin; 0 for a program that needs nothing."""
        return next((part.offset for part in self.segments if part.kind == _DYNAMIC_SEGMENT), 0)

    def _entries(self) -> Iterator[tuple[int, int]]:
        place = self.dynamic_at
        while place:
            tag, value = DYNAMIC.unpack_from(self.data, place)
            if tag == _END:
                return
            yield tag, value
            place += DYNAMIC.size

    def text(self, at: int) -> str:
        """The string at a place of the table of strings."""
        start = self.place(self.value(_STRINGS)) + at
        return self.data[start : self.data.index(b"\0", start)].decode()

    def _symbol(self, number: int) -> Symbol:
        at = self.place(self.value(SYMBOLS)) + number * SYMBOL.size
        name, info, _, section, _, _ = SYMBOL.unpack_from(self.data, at)
        return Symbol(self.text(name), number, info & 15, section != _UNDEFINED)


def is_elf(data: bytes) -> bool:
    """Whether bytes begin like an ELF file of 64 bits, little-endian."""
    return data[:6] == _MAGIC
