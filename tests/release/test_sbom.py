"""The bill of materials from what an image lists: valid, the same bytes, licences as they stand."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from ml_tasks.errors import EngineUnavailable
from ml_tasks.release.base_labels import SOURCES
from ml_tasks.release.installed import DebianPackage, Installed, PythonPackage
from ml_tasks.release.sbom import keep_sbom, sbom
from ml_tasks.release.sbom_components import licences, locked_hashes, normalized
from ml_tasks.release.serving_base import checkout_file
from tests.toy_run import make_toy_bundle

IMAGE = "sha256:" + "e" * 64
LABELS = {SOURCES: "1" * 64}


def python(
    name: str, expression: str = "", licence: str = "", classifiers: tuple[str, ...] = ()
) -> PythonPackage:
    return PythonPackage(
        name=name, version="1.0", expression=expression, licence=licence, classifiers=classifiers
    )


PYTHON = (
    python("pillow_heif", expression="BSD-3-Clause AND MIT"),
    python("uvloop", "", "MIT License", ("OSI Approved :: Apache Software License",)),
    python("odd", licence="do what you like, <but> “kindly”"),
    python("silent"),
)
DEBIAN = (
    DebianPackage(name="libc6", version="2.36-9", architecture="amd64", source="glibc (2.36)"),
    DebianPackage(name="gcc-12-base", version="12.2.0-14", architecture="amd64", source=""),
)


def installed(reverse: bool = False, system: bool = True) -> Installed:
    return Installed(
        python="3.11.2",
        system={"id": "debian", "version_id": "12"} if system else {},
        python_packages=PYTHON[::-1] if reverse else PYTHON,
        debian_packages=DEBIAN[::-1] if reverse else DEBIAN,
    )


@pytest.mark.parametrize("system", [True, False])
def test_a_bill_is_valid_whatever_an_image_leaves_unsaid(tmp_path: Path, system: bool) -> None:
    content = sbom(make_toy_bundle(tmp_path), IMAGE, LABELS, installed(system=system), {})
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(content)) is None
    refs = [part["bom-ref"] for part in content["components"]]
    assert len(refs) == len(set(refs))
    (all_of,) = [one for one in content["dependencies"] if one["ref"] == IMAGE]
    assert sorted(all_of["dependsOn"]) == sorted(refs)


def test_the_order_of_a_list_does_not_matter(tmp_path: Path) -> None:
    bundle = make_toy_bundle(tmp_path)
    first = sbom(bundle, IMAGE, LABELS, installed(), {})
    assert sbom(bundle, IMAGE, LABELS, installed(reverse=True), {}) == first
    other = sbom(bundle, "sha256:" + "f" * 64, LABELS, installed(), {})
    assert other["serialNumber"] != first["serialNumber"]


def test_debian_packages_name_their_source_which_notices_go_by(tmp_path: Path) -> None:
    content = sbom(make_toy_bundle(tmp_path), IMAGE, LABELS, installed(), {})
    purls = {part["name"]: part.get("purl") for part in content["components"]}
    assert purls["libc6"] == (
        "pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=debian-12&upstream=glibc"
    )
    assert "upstream" not in purls["gcc-12-base"]


def test_a_hash_is_the_packages_own_only_where_the_lock_knows_one_file(tmp_path: Path) -> None:
    locked = {("odd", "1.0"): ("a" * 64,), ("silent", "1.0"): ("b" * 64, "c" * 64)}
    content = sbom(make_toy_bundle(tmp_path), IMAGE, LABELS, installed(), locked)
    parts = {part["name"]: part for part in content["components"]}
    assert parts["odd"]["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    assert "hashes" not in parts["silent"]
    assert [one["value"] for one in parts["silent"]["properties"]] == ["b" * 64, "c" * 64]


@pytest.mark.parametrize(
    ("package", "expected"),
    [
        (PYTHON[0], ["BSD-3-Clause AND MIT"]),
        (PYTHON[1], ["Apache-2.0"]),
        (python("a", licence="BSD-3-Clause"), ["BSD-3-Clause"]),
        (python("a", classifiers=("OSI Approved :: BSD License",)), ["BSD License"]),
        (python("a", expression="mit"), ["MIT"]),
        (PYTHON[2], ["do what you like, <but> “kindly”"]),
        (PYTHON[3], []),
    ],
)
def test_a_licence_is_told_as_the_package_states_it(
    package: PythonPackage, expected: list[str]
) -> None:
    found = [
        getattr(one, "value", None) or getattr(one, "id", None) or getattr(one, "name", None)
        for one in licences(package)
    ]
    assert found == expected


def test_every_pin_of_the_lock_is_read_with_all_of_its_hashes() -> None:
    lock = checkout_file("requirements/serving.txt")
    text = lock.read_text()
    found = locked_hashes(lock)
    assert len(found) == text.count("==") > 10
    assert sum(map(len, found.values())) == text.count("--hash=sha256:")


def test_names_are_compared_as_an_index_compares_them() -> None:
    assert normalized("Pydantic_Core") == normalized("pydantic-core") == normalized("pydantic.core")


def test_an_engine_that_goes_while_the_bill_is_made_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes back by itself is tried again; an unknown error would not be."""

    def gone(*_: object) -> None:
        raise requests.exceptions.ConnectionError("gone")

    monkeypatch.setattr("ml_tasks.release.sbom.installed_in", lambda *_: installed())
    client: Any = SimpleNamespace(
        images=SimpleNamespace(get=gone), ping=gone, api=SimpleNamespace(timeout=60)
    )
    with pytest.raises(EngineUnavailable, match="while the bill of materials was made"):
        keep_sbom(client, make_toy_bundle(tmp_path), IMAGE)
