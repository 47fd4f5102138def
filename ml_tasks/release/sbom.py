"""The bill of materials of a release image (CycloneDX 1.6): every package, and the model itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from docker import DockerClient

import ml_tasks
from ml_tasks.errors import ReleaseError
from ml_tasks.release.base_labels import SOURCES
from ml_tasks.release.bundle import add_record, run_started, sums_sha256, version_of
from ml_tasks.release.engine import engine_errors
from ml_tasks.release.image_labels import BASE_DIGEST
from ml_tasks.release.installed import Installed, installed_in
from ml_tasks.release.sbom_components import (
    LockedHashes,
    bundle_components,
    debian_component,
    locked_hashes,
    python_component,
    system_components,
)
from ml_tasks.release.serving_base import checkout_file

NAME = "sbom"  # in the release's record
_LOCK = "requirements/serving.txt"
_NAMESPACE = UUID("6f0c2c63-9f0c-5a52-8b5f-5d1f0a6d7c11")  # of our serial numbers


def keep_sbom(client: DockerClient, bundle: Path, image_id: str) -> Path:
    """Lists what is in the image and adds the bill to the release's record; gives its file.

    The same image gives the same bytes; one that was built on another base gets a bill of its own.

    Raises:
        ReleaseError: the image does not list its packages.
        EngineUnavailable: the engine stopped answering.
    """
    kept = sbom_of(bundle, image_id)
    if kept is not None:
        return kept
    installed = installed_in(client, image_id)
    with engine_errors(client, "the bill of materials was made"):
        labels = client.images.get(image_id).labels
    hashes = locked_hashes(checkout_file(_LOCK))
    return add_record(bundle, NAME, sbom(bundle, image_id, labels, installed, hashes))


def sbom_of(bundle: Path, image_id: str) -> Path | None:
    """The bill of this very image in the release's record; None where there is none."""
    for path in sorted((bundle.parent / "record").glob(f"{NAME}*.json")):
        try:
            described = json.loads(path.read_bytes())["metadata"]["component"]["bom-ref"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ReleaseError(
                f"{path} is no bill of materials any more ({type(error).__name__}); restore it "
                "from a copy, or move it away and run build_image again"
            ) from error
        if described == image_id:
            return path
    return None


def sbom(
    bundle: Path,
    image_id: str,
    labels: dict[str, str],
    installed: Installed,
    hashes: LockedHashes,
) -> dict[str, Any]:
    """The bill as CycloneDX JSON; depends on nothing but what is given."""
    bom = Bom(serial_number=uuid5(_NAMESPACE, image_id))
    bom.metadata.timestamp = run_started(bundle)
    bom.metadata.component = image = _image(bundle, image_id, labels)
    bom.components.update(system_components(installed))
    bom.components.update(python_component(one, hashes) for one in installed.python_packages)
    bom.components.update(
        debian_component(one, installed.system) for one in installed.debian_packages
    )
    bom.components.update(bundle_components(bundle, version_of(bundle)))
    bom.components.add(_service(labels))
    bom.register_dependency(image, bom.components)
    content: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    return content


def _image(bundle: Path, image_id: str, labels: dict[str, str]) -> Component:
    told = {
        "mammography:sums-sha256": sums_sha256(bundle),
        "mammography:base": labels.get(BASE_DIGEST, ""),
    }
    return Component(
        type=ComponentType.CONTAINER,
        name="mammography-inference",
        version=version_of(bundle),
        bom_ref=image_id,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=image_id.removeprefix("sha256:"))],
        properties=[Property(name=name, value=value) for name, value in told.items()],
    )


def _service(labels: dict[str, str]) -> Component:
    """The code of the service, which is copied into the base and so is no installed package."""
    return Component(
        type=ComponentType.APPLICATION,
        name=ml_tasks.__name__,
        bom_ref="file:app/ml_tasks",
        properties=[Property(name=f"mammography:{SOURCES.split('.')[1]}", value=labels[SOURCES])],
    )
