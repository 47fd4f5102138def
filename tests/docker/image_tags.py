"""The tags of an engine, while other tests remove images of theirs."""

from __future__ import annotations

from docker import DockerClient


def tags_of(engine: DockerClient, name: str) -> list[str]:
    """Every tag that holds `name`.

    `images.list` would look at each image by itself, and fail over one that is gone meanwhile.
    """
    found = (tag for image in engine.api.images() for tag in image["RepoTags"] or ())
    return [tag for tag in found if name in tag]
