"""The service's image is Apache-2.0: what its lock installs may ask for no more than notices."""

from __future__ import annotations

import re
from importlib.metadata import distribution

import pytest

from ml_tasks.release.serving_base import checkout_file

_PINS = re.findall(
    r"^(\S+?)==", checkout_file("requirements/serving.txt").read_text(), re.MULTILINE
)
_FITTING = re.compile(
    r"\b(Apache|MIT|BSD|ISC|PSF|Python Software Foundation|HPND|Zlib|Unlicense)", re.IGNORECASE
)
_COPYLEFT = re.compile(r"\b(A?GPL|LGPL|GNU|MPL|EUPL|SSPL|CeCILL)|affero", re.IGNORECASE)
# GDCM's tools and libjpeg of the pylibjpeg family: what DICOM readers commonly add.
_KEPT_OUT = ("python-gdcm", "gdcm", "pylibjpeg-libjpeg", "pylibjpeg", "gpl")


def licence(name: str) -> str:
    """A package's licence as its metadata state it: expression, field or classifiers."""
    stated = distribution(name).metadata

    def first(key: str) -> str:
        # `get_all` alone takes an absent key in every implementation of the interface.
        return next(iter(stated.get_all(key, [])), "").split("\n")[0]

    classifiers = [text for text in stated.get_all("Classifier", []) if "License ::" in text]
    field = first("License-Expression") or first("License")
    return "; ".join(text for text in (field, *classifiers) if text)


@pytest.mark.parametrize("name", _PINS)
def test_every_package_of_the_service_has_a_licence_that_fits(name: str) -> None:
    found = licence(name)
    assert _FITTING.search(found), f"{name}: {found!r}"
    assert not _COPYLEFT.search(found), f"{name}: {found!r}"


def test_decoders_of_other_licences_are_not_in_the_lock() -> None:
    assert len(_PINS) >= 20
    assert not {name.lower() for name in _PINS} & set(_KEPT_OUT)


def test_a_licence_that_does_not_fit_would_be_noticed() -> None:
    for text in ("GPL-3.0-only", "LGPLv3+", "GNU Affero General Public License", "MPL-2.0"):
        assert _COPYLEFT.search(text)
    assert not _FITTING.search("GPL-3.0-only")
