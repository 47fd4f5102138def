"""One image of a Dockerfile and the files it takes, with the end of the log where that fails."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from docker import DockerClient
from docker.errors import BuildError

from ml_tasks.errors import ReleaseError
from ml_tasks.release.context import write_context

_STEP_SECONDS = 900  # an engine that writes a gigabyte of packages into a layer is silent so long
_TAIL = 2000  # characters of a failed build's output


def build_image(
    client: DockerClient,
    reference: str,
    parts: Mapping[str, Path | bytes],
    arguments: Mapping[str, str],
    labels: Mapping[str, str] | None = None,
    network: str = "none",
) -> None:
    """Builds `parts` (name in the context -> file; "Dockerfile" among them), tags it `reference`.

    Raises:
        ReleaseError: a step failed; the text ends with what it said.
    """
    patience, client.api.timeout = client.api.timeout, _STEP_SECONDS
    try:
        with tempfile.TemporaryFile() as context:
            write_context(context, parts)
            context.seek(0)
            client.images.build(
                fileobj=context,
                custom_context=True,
                tag=reference,
                network_mode=network,
                use_config_proxy=False,  # a proxy's address may hold a password
                buildargs=dict(arguments),
                labels=dict(labels or {}),
                rm=True,
                forcerm=True,
            )
    except BuildError as error:
        tail = "".join(str(line.get("stream", "")) for line in error.build_log)[-_TAIL:]
        if not tail.strip():
            raise
        raise ReleaseError(
            f"{reference} could not be built: {error.msg}\n{tail.strip()}"
        ) from error
    finally:
        client.api.timeout = patience
