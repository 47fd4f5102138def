"""The release image: the serving base and one layer with the bundle, the same bytes every time."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import requests
from docker import DockerClient
from docker.errors import DockerException, ImageNotFound
from docker.models.images import Image

from ml_tasks.errors import ReleaseError
from ml_tasks.release.base_labels import base_labels, check_base_labels
from ml_tasks.release.bundle import FILES, SUMS, verify, version_of
from ml_tasks.release.context import write_context, write_layer
from ml_tasks.release.engine import engine_errors
from ml_tasks.release.image_config import (
    BaseImage,
    base_image,
    layers_of,
    release_config,
    run_by,
)
from ml_tasks.release.image_labels import BASE_DIGEST, BASE_NAME, created, release_labels
from ml_tasks.release.serving_base import checkout_file, serving_sources

FOLDER = "release"  # in the image, at its root
_LOCK = "requirements/serving.txt"


@dataclass(frozen=True)
class BuiltImage:
    """A release image in the engine; `id` names its exact content, `size_bytes` is uncompressed."""

    reference: str
    id: str
    size_bytes: int


def build_release_image(
    client: DockerClient, bundle: Path, repository: str, serving_base: str
) -> BuiltImage:
    """Makes `<repository>:<version>` from a sealed bundle; needs no network, and runs nothing.

    The archive that the engine loads holds the new layer alone, since the engine has those of the
    base. The same bundle on the same base gives the same image, whenever and wherever it is made.

    Raises:
        ReleaseError: the bundle was altered, the base is of other code than is installed, or the
            engine refuses the image.
        EngineUnavailable: the engine stopped answering; nothing of the bundle is touched.
    """
    verify(bundle)
    reference = f"{repository}:{version_of(bundle)}"
    try:
        with engine_errors(client, f"{reference} was built"):
            found = client.images.get(serving_base)
            expected = base_labels(serving_sources(), checkout_file(_LOCK))
            check_base_labels(serving_base, found.labels, expected)
            image_id = _load(client, bundle, base_image(serving_base, found), reference)
            size = int(client.images.get(image_id).attrs["Size"])
    except (DockerException, requests.exceptions.Timeout) as error:
        raise ReleaseError(
            f"the engine did not take {reference}: {error}. It must keep images as Docker's "
            "classic store does (overlay2; not the containerd image store), and still hold every "
            f"layer of {serving_base}"
        ) from error
    return BuiltImage(reference, image_id, size)


def check_release_image(client: DockerClient, image_id: str, bundle: Path) -> None:
    """Refuses an image that is gone, or is not this bundle put on its base.

    What is compared is the content: the layers by their hashes, the one of the bundle computed from
    the bundle as it lies there; and how the image is run. Labels are compared, but prove nothing.

    Raises:
        ReleaseError: says which.
        EngineUnavailable: the engine stopped answering.
    """
    with engine_errors(client, "the release image was looked for"):
        image = _image(client, image_id, f"the image {image_id[:19]}")
        told = image.labels
        base_id = told.get(BASE_DIGEST, "")
        if not base_id:
            raise ReleaseError(
                f"the image {image_id[:19]} was made of another release, or none (it has no label "
                f"{BASE_DIGEST}); run build_image again"
            )
        base = _image(client, base_id, f"the base {base_id[:19]} of the image {image_id[:19]}")
        base_name = told.get(BASE_NAME, "")
        known = base_image(base_name, base)
        labels = {**known.labels, **release_labels(bundle, base_name, base_id)}
    layers, running = layers_of(image), run_by(image)
    running.pop("Labels", None)
    complaints = {
        f"its layers below the release are not those of its base {base_id[:19]}": (
            layers[:-1] == known.layers
        ),
        f"its last layer {layers[-1][:19]} is not that of {bundle}": (
            layers[-1] == layer_digest(bundle)
        ),
        f"its labels differ: {_differing(told, labels)}": told == labels,
        "it is not run as its base is": (
            running == {key: value for key, value in known.config.items() if key != "Labels"}
        ),
    }
    wrong = [complaint for complaint, fits in complaints.items() if not fits]
    if wrong:
        raise ReleaseError(
            f"the image {image_id[:19]} was made of another release ({'; '.join(wrong)}); "
            "run build_image again"
        )


def layer_digest(bundle: Path) -> str:
    """The hash of the layer that holds this bundle, the same on every machine."""
    with tempfile.TemporaryFile() as layer:
        return _write_release(layer, bundle)


def write_archive(target: IO[bytes], bundle: Path, base: BaseImage, reference: str) -> str:
    """Writes the archive that `docker load` makes the release image of; gives the image's id."""
    with tempfile.TemporaryDirectory(prefix="mammo-layer-") as folder:
        layer = Path(folder) / "layer.tar"
        with layer.open("w+b") as stream:
            digest = _write_release(stream, bundle)
        labels = release_labels(bundle, base.name, base.id)
        step = f"ml_tasks build_image: /{FOLDER} of {version_of(bundle)}"
        config = release_config(base, digest, labels, created(bundle), step)
        image_id = hashlib.sha256(config).hexdigest()
        layers = [f"{one.removeprefix('sha256:')}/layer.tar" for one in (*base.layers, digest)]
        manifest = [{"Config": f"{image_id}.json", "RepoTags": [reference], "Layers": layers}]
        write_context(
            target,
            {
                "manifest.json": json.dumps(manifest).encode(),
                f"{image_id}.json": config,
                layers[-1]: layer,
            },
        )
    return f"sha256:{image_id}"


def _load(client: DockerClient, bundle: Path, base: BaseImage, reference: str) -> str:
    with tempfile.TemporaryFile() as archive:
        image_id = write_archive(archive, bundle, base, reference)
        archive.seek(0)
        client.images.load(archive)
    return str(client.images.get(image_id).id)


def _write_release(stream: IO[bytes], bundle: Path) -> str:
    write_layer(stream, {f"{FOLDER}/{name}": bundle / name for name in (*FILES, SUMS)})
    stream.seek(0)
    # The type asks for more of a stream than is needed.
    return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"  # type: ignore[arg-type]


def _image(client: DockerClient, image_id: str, what: str) -> Image:
    try:
        return client.images.get(image_id)
    except ImageNotFound:
        raise ReleaseError(f"{what} is no longer in the engine; run build_image again") from None


def _differing(found: dict[str, str], expected: dict[str, str]) -> str:
    names = sorted(key for key in {*found, *expected} if found.get(key) != expected.get(key))
    return ", ".join(f"{key} is {found.get(key)}, not {expected.get(key)}" for key in names)
