"""The parts of an image as CycloneDX components: packages, interpreter, system, model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from cyclonedx.contrib.license.exceptions import InvalidSpdxLicenseException
from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from packageurl import PackageURL

from ml_tasks.release.bundle import FILES
from ml_tasks.release.installed import DebianPackage, Installed, PythonPackage
from ml_tasks.storage import sha256_file

_MODEL = "model.onnx"  # the one that answers; model.h5 is the same network as it was trained
# The classifiers that name one licence; the others ("BSD License") name a family.
_CLASSIFIERS = {
    "OSI Approved :: MIT License": "MIT",
    "OSI Approved :: Apache Software License": "Apache-2.0",
    "OSI Approved :: ISC License (ISCL)": "ISC",
}
_PIN = re.compile(r"^(\S+?)==([^\s;\\]+)((?:[^\n]*\\\n[^\n]*--hash=sha256:[0-9a-f]{64})+)", re.M)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
LockedHashes = Mapping[tuple[str, str], tuple[str, ...]]  # (name, version) -> of its files


def system_components(installed: Installed) -> Iterator[Component]:
    """The operating system, as far as it says what it is, and the Python interpreter."""
    name, version = installed.system.get("id", ""), installed.system.get("version_id", "")
    if name:
        yield Component(
            type=ComponentType.OPERATING_SYSTEM,
            name=name,
            version=version or None,
            bom_ref=f"os:{name}@{version}",
        )
    yield Component(
        type=ComponentType.PLATFORM,
        name="cpython",
        version=installed.python,
        purl=(purl := PackageURL("generic", None, "python", installed.python)),
        bom_ref=purl.to_string(),
    )


def python_component(package: PythonPackage, locked: LockedHashes) -> Component:
    """A Python package; the lock's hashes are of the files that may have been installed."""
    name = normalized(package.name)
    purl = PackageURL("pypi", None, name, package.version)
    hashes = locked.get((name, package.version), ())
    return Component(
        type=ComponentType.LIBRARY,
        name=package.name,
        version=package.version,
        purl=purl,
        bom_ref=purl.to_string(),
        licenses=licences(package),
        # Where the lock knows several files, which of them was taken is not known.
        hashes=[_sha256(hashes[0])] if len(hashes) == 1 else (),
        properties=[Property(name="mammography:lock-sha256", value=one) for one in hashes],
    )


def debian_component(package: DebianPackage, system: Mapping[str, str]) -> Component:
    """A Debian package; its source package is what security notices name."""
    told = {
        "arch": package.architecture,
        "distro": "-".join(filter(None, (system.get("id"), system.get("version_id")))),
        "upstream": package.source.split(" ")[0],
    }
    qualifiers = {key: value for key, value in told.items() if value}
    purl = PackageURL("deb", "debian", package.name, package.version, qualifiers)
    return Component(
        type=ComponentType.LIBRARY,
        name=package.name,
        version=package.version,
        purl=purl,
        bom_ref=purl.to_string(),
    )


def bundle_components(bundle: Path, version: str) -> Iterator[Component]:
    """The model that answers, and each other file of the release."""
    yield Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name="mammography-classifier",
        version=version,
        description="DenseNet-121 in ONNX. Research use; not a diagnosis.",
        bom_ref=f"file:release/{_MODEL}",
        hashes=[_sha256(sha256_file(bundle / _MODEL))],
        properties=[Property(name="mammography:file", value=f"release/{_MODEL}")],
    )
    for name in FILES:
        if name != _MODEL:
            yield Component(
                type=ComponentType.FILE,
                name=f"release/{name}",
                bom_ref=f"file:release/{name}",
                hashes=[_sha256(sha256_file(bundle / name))],
            )


def licences(package: PythonPackage) -> Iterable[License]:
    """What a package says of its licence: an expression, an SPDX id, or the packager's words."""
    factory = LicenseFactory()
    if package.expression:
        return [factory.make_from_string(package.expression)]
    named = [_CLASSIFIERS.get(text, text.split(" :: ")[-1]) for text in package.classifiers]
    if package.licence and not named:
        return [factory.make_from_string(package.licence)]
    found: list[License] = []
    for name in dict.fromkeys(named):
        try:
            found.append(factory.make_with_id(name))
        except InvalidSpdxLicenseException:
            found.append(factory.make_with_name(name))
    return found


def locked_hashes(lock: Path) -> LockedHashes:
    """The SHA-256 of every file that the lock allows, by package and version."""
    return {
        (normalized(name), version): tuple(_HASH.findall(hashes))
        for name, version, hashes in _PIN.findall(lock.read_text())
    }


def normalized(name: str) -> str:
    """A Python package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _sha256(content: str) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=content)
