"""The release image: the serving base, one layer with the bundle, and labels that say which."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from docker import DockerClient
from docker.errors import BuildError, ImageNotFound

from ml_tasks.errors import ReleaseError
from ml_tasks.release.bundle import FILES, SUMS, sums_sha256, verify, version_of
from ml_tasks.release.context import write_context
from ml_tasks.release.engine import engine_errors

_OCI = "org.opencontainers.image"
_OWN = "mammography"


@dataclass(frozen=True)
class BuiltImage:
    """A release image in the engine; `id` names its exact content, `size_bytes` is uncompressed."""

    reference: str
    id: str
    size_bytes: int


def build_release_image(
    client: DockerClient, bundle: Path, repository: str, serving_base: str
) -> BuiltImage:
    """Builds `<repository>:<version>` from a sealed bundle; needs no network.

    Building the same bundle on the same base again gives the image that is there already.

    Raises:
        ReleaseError: the bundle was altered, or the build failed.
        EngineUnavailable: the engine stopped answering; nothing of the bundle is touched.
    """
    verify(bundle)
    reference = f"{repository}:{version_of(bundle)}"
    with engine_errors(client, f"{reference} was built"):
        base_id = str(client.images.get(serving_base).id)
        parts: Mapping[str, Path | bytes] = {
            "Dockerfile": dockerfile(base_id, labels(bundle, base_id)).encode(),
            **{f"release/{name}": bundle / name for name in (*FILES, SUMS)},
        }
        context = io.BytesIO()
        write_context(context, parts)
        context.seek(0)
        image_id = _build(client, context, reference)
        return BuiltImage(reference, image_id, int(client.images.get(image_id).attrs["Size"]))


def check_release_image(client: DockerClient, image_id: str, bundle: Path) -> None:
    """Refuses an image that is gone, or was not made of this bundle.

    Raises:
        ReleaseError: says which.
        EngineUnavailable: the engine stopped answering.
    """
    with engine_errors(client, "the release image was looked for"):
        try:
            found = client.images.get(image_id).labels
        except ImageNotFound:
            raise ReleaseError(
                f"the image {image_id[:19]} is no longer in the engine; run build_image again"
            ) from None
    expected = sums_sha256(bundle)
    if found.get(f"{_OWN}.sums-sha256") != expected:
        raise ReleaseError(
            f"the image {image_id[:19]} was made of another release (its SHA256SUMS hash is "
            f"{found.get(f'{_OWN}.sums-sha256')}, that of {bundle} is {expected}); "
            "run build_image again"
        )


def labels(bundle: Path, base_id: str) -> dict[str, str]:
    """The image's labels: OCI's own names where there is one."""
    lineage = json.loads((bundle / "lineage.json").read_bytes())
    return {
        f"{_OCI}.title": "mammography inference",
        f"{_OCI}.description": "Research use; not a diagnosis.",
        f"{_OCI}.version": version_of(bundle),
        f"{_OCI}.created": str(lineage["run_started_at"]),
        f"{_OCI}.base.digest": base_id,
        f"{_OWN}.run-id": str(lineage["run_id"]),
        f"{_OWN}.manifest-sha256": str(lineage["manifest_sha256"]),
        f"{_OWN}.config-sha256": str(lineage["config_sha256"]),
        f"{_OWN}.sums-sha256": sums_sha256(bundle),
    }


def dockerfile(base_id: str, labels: Mapping[str, str]) -> str:
    """The Dockerfile of a release: labels and one COPY; its layer is all that a push adds."""
    lines = [f"FROM {base_id}"]
    # JSON quoting escapes quotes and line breaks; `$` would be expanded by the builder.
    lines += [
        f"LABEL {name}={json.dumps(value).replace('$', chr(92) + '$')}"
        for name, value in labels.items()
    ]
    lines.append("COPY release /release")
    return "\n".join(lines) + "\n"


def _build(client: DockerClient, context: io.BytesIO, reference: str) -> str:
    try:
        image, _ = client.images.build(
            fileobj=context,
            custom_context=True,
            tag=reference,
            network_mode="none",
            rm=True,
            forcerm=True,
        )
    except BuildError as error:
        if error.msg == "Unknown":  # the stream ended early: engine_errors asks the engine why
            raise
        raise ReleaseError(f"{reference} could not be built: {error.msg}") from error
    return str(image.id)
