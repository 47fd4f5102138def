"""Looks through an HDF5 file for anything but plain numbers stored in that very file."""

from __future__ import annotations

from collections.abc import Iterator

import h5py
import numpy as np

_MOST_OBJECTS = 100_000  # DenseNet-121 has under 2,000
_MOST_BYTES = 2 << 30  # of all numbers, unpacked; DenseNet-121 has 28 MB
_OWN_FILTERS = range(1, 32)  # of HDF5 itself; others are loaded from plugins, which are programs


def objections(file: h5py.File) -> Iterator[str]:
    """What speaks against reading numbers from `file`, in words; nothing if it is harmless.

    Raises:
        OSError, KeyError, ValueError, TypeError, RuntimeError: as h5py does where it is damaged.
    """
    seen: set[int] = set()
    size = 0
    for name, item in _objects(file, seen):
        if isinstance(item, str):
            yield item
            continue
        yield from _attributes(name, item)
        if isinstance(item, h5py.Dataset):
            yield from _dataset(name, item)
            size += item.size * item.dtype.itemsize if item.shape is not None else 0
        elif not isinstance(item, h5py.Group):
            yield f"{name} is a {type(item).__name__}, not numbers"
        if len(seen) > _MOST_OBJECTS or size > _MOST_BYTES:
            yield f"it claims more than {_MOST_OBJECTS:,} parts or {_MOST_BYTES >> 30} GiB"
            return


def _objects(
    group: h5py.Group, seen: set[int]
) -> Iterator[tuple[str, h5py.Group | h5py.Dataset | str]]:
    """Every object once, with its name; a link that is not followed comes as the objection."""
    waiting = [("/", group)]
    while waiting:
        name, item = waiting.pop()
        address = h5py.h5o.get_info(item.id).addr
        if address in seen:  # the same object under another name: a loop, perhaps
            continue
        seen.add(address)
        yield name, item
        if not isinstance(item, h5py.Group):
            continue
        for key in item:
            link, place = item.get(key, getlink=True), f"{name.rstrip('/')}/{key}"
            if isinstance(link, h5py.ExternalLink):
                yield place, f"{place} is an external link to {link.filename}"
            elif isinstance(link, h5py.SoftLink):
                yield place, f"{place} is a soft link to {link.path}"
            else:
                waiting.append((place, item[key]))


def _dataset(name: str, item: h5py.Dataset) -> Iterator[str]:
    plan = item.id.get_create_plist()
    if plan.get_external_count():
        file = plan.get_external(0)[0].decode(errors="replace")
        yield f"{name} keeps its numbers in another file, {file}"
    elif item.is_virtual:
        sources = ", ".join(sorted({source.file_name for source in item.virtual_sources()}))
        yield f"{name} is a virtual dataset over {sources}"
    elif item.dtype.kind not in "fiub":
        yield f"{name} holds {item.dtype} objects, not numbers"
    elif any(plan.get_filter(n)[0] not in _OWN_FILTERS for n in range(plan.get_nfilters())):
        yield f"{name} is packed by a filter that is not HDF5's own"
    elif not _finite(item):
        yield f"{name} holds numbers that are not finite"


def _finite(item: h5py.Dataset) -> bool:
    if item.dtype.kind != "f" or item.size * item.dtype.itemsize > _MOST_BYTES:
        return True
    return bool(np.isfinite(item[()]).all())


def _attributes(name: str, item: h5py.Group | h5py.Dataset) -> Iterator[str]:
    for key in item.attrs:
        kind = item.attrs.get_id(key).dtype
        if kind.kind in "fiubSU" or h5py.check_string_dtype(kind):
            continue
        yield f"the attribute {key} of {name} holds {kind} objects, not text or numbers"
