"""What a file's header may tell: an allow-list; nothing else of a header is ever kept."""

from __future__ import annotations

from ml_tasks.records import Record


class ImageHeader(Record):
    """Facts of a DICOM header that describe the picture, never the person; empty where unknown."""

    view: str = ""  # CC, MLO, ...
    laterality: str = ""  # L or R
    manufacturer: str = ""
    body_part: str = ""
    implant: bool | None = None
    burned_in_annotation: bool | None = None


NO_HEADER = ImageHeader()  # of the formats that say nothing


def is_dicom(data: bytes) -> bool:
    """Whether the bytes are a DICOM file (PS3.10): a preamble of 128 bytes and "DICM"."""
    return data[128:132] == b"DICM"
