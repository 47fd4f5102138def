"""The settings of the image: what ships, how it is tested, where it goes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from ml_tasks.config_section import Section

REGISTRY_URL = "release.registry_url"
_OF_THIS_PLACE = {
    "MAMMO_REGISTRY": "release.registry",
    "MAMMO_REGISTRY_URL": REGISTRY_URL,
}


class SmokeLimits(Section):
    """What the image must keep to while it is smoke-tested under production flags."""

    ready_seconds: float = Field(60, gt=0, le=600)  # from the container's start to /ready
    p95_ms: float = Field(1000, gt=0)  # of one answer, raw file in, over HTTP
    memory_mb: float = Field(600, gt=0)  # the most that the container ever held
    image_mb: float = Field(600, gt=0)  # unpacked
    drain_seconds: float = Field(10, gt=0, le=600)  # SIGTERM to exit, with a request in flight


class ReleaseConfig(Section):
    """The image and where it goes."""

    image: str = Field("mammography-inference", pattern=r"^[a-z0-9]+([._/-][a-z0-9]+)*$")
    registry: str = Field("localhost:5000", pattern=r"^[A-Za-z0-9.-]+(:\d{1,5})?(/[a-z0-9._/-]+)?$")
    registry_url: str | None = Field(None, pattern=r"^https?://[A-Za-z0-9.-]+(:\d{1,5})?$")
    precision: Literal["float32", "int8"] = "float32"
    signing_key: Path | None = None  # None: made once, below paths.releases
    push: bool = True
    push_attempts: int = Field(4, ge=1, le=20)
    smoke_images: int = Field(64, ge=1, le=1000)
    smoke: SmokeLimits = SmokeLimits()

    def anchored(self, folder: Path) -> ReleaseConfig:
        """The same with the key's path made absolute; a relative one starts at `folder`."""
        if self.signing_key is None:
            return self
        return self.model_copy(update={"signing_key": folder / self.signing_key.expanduser()})


def registry_of_this_place(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings that the machine decides: the registry as its Docker engine (MAMMO_REGISTRY)
    and as its workers (MAMMO_REGISTRY_URL) reach it.
    """
    return {key: environment[name] for name, key in _OF_THIS_PLACE.items() if environment.get(name)}


def registry_url_of_this_place(environment: Mapping[str, str]) -> dict[str, str]:
    """Of these, what differs between the workers of one run: how each reaches the registry."""
    here = registry_of_this_place(environment)
    return {REGISTRY_URL: here[REGISTRY_URL]} if REGISTRY_URL in here else {}
