"""The Python base image: pulled where a registry can be reached, else built of Debian packages."""

from __future__ import annotations

from docker import DockerClient
from docker.errors import ImageNotFound

from ml_tasks.release.debian_root import build_from_packages
from ml_tasks.release.engine import engine_errors
from ml_tasks.release.upstream import pulled

# The number rises when `build` makes another tree: one that was made before is not taken then.
TAG = "mammography-python-base:bookworm-2"
UPSTREAM = "python:3.11-slim-bookworm"
_PACKAGES = ("python3", "python3-venv", "ca-certificates")


def ensure_python_base(client: DockerClient) -> str:
    """The id of the Python base image, made first where it is missing.

    Raises:
        ReleaseError: it can neither be pulled nor built; the text says why and what to do.
        EngineUnavailable: the engine stopped answering.
    """
    with engine_errors(client, "the Python base image was looked for"):
        try:
            return str(client.images.get(TAG).id)
        except ImageNotFound:
            pass
        found = pulled(client, UPSTREAM)
        if found is None:
            build_from_packages(client, TAG, _PACKAGES)
        else:
            client.images.get(found).tag(*TAG.split(":"))
        return str(client.images.get(TAG).id)
