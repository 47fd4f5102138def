"""How large a file, and the picture that its header claims, may be: checked before decoding.

So that no file that is read takes more than 512 MB of a process, of which NumPy, OpenCV and the
decoders themselves are about 70. Grey films of 8 or 16 bits reach `ImageSpec.max_megapixels`; what
takes more bytes a pixel on its way to grey reaches fewer.
"""

from __future__ import annotations

from ml_tasks.errors import ImageRejected
from ml_tasks.imaging.spec import ImageSpec

MOST_FILE_BYTES = 128 * 1024 * 1024  # 50 megapixels of 16 bits are 100 MB
_MOST_BYTES = 120_000_000  # decoded, before it is reduced


def check_file_size(size: int) -> None:
    """Refuses a file of too many bytes.

    Raises:
        ImageRejected: `too_large`.
    """
    if size > MOST_FILE_BYTES:
        raise ImageRejected(
            "too_large",
            f"the file has {size:,} bytes; at most {MOST_FILE_BYTES:,} are read, which a grey film "
            "of 50 megapixels does not need",
        )


def check_size(width: int, height: int, spec: ImageSpec, bytes_each: float = 1) -> None:
    """Refuses a picture by its sides in pixels, and the bytes that a pixel takes while decoding.

    Raises:
        ImageRejected: `too_large` or `too_small`.
    """
    if width * height > spec.max_megapixels * 1e6:
        raise ImageRejected(
            "too_large",
            f"the header claims {width}x{height} pixels; "
            f"at most {spec.max_megapixels:g} megapixels are read",
        )
    if width * height * bytes_each > _MOST_BYTES:
        raise ImageRejected(
            "too_large",
            f"{width}x{height} pixels of {bytes_each:g} bytes need too much memory; "
            "save it as plain grey of 8 or 16 bits",
        )
    if min(width, height) < spec.min_side:
        raise ImageRejected(
            "too_small", f"{width}x{height} pixels; each side needs at least {spec.min_side}"
        )
