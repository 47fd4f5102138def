"""Which images a machine without a network needs: the stack's, and what they are built on."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ml_tasks.deployment.compose import docker
from ml_tasks.deployment.say import Say
from ml_tasks.deployment.streams import compressed, output_of
from ml_tasks.errors import StackError

SERVING_BASE = "mammography-serving-base"
_NAMED = re.compile(r"^\s+image:\s*[\"']?([^\s\"'$#]+)", re.M)
# Not on every machine: the image with CUDA, and what measures the stack.
_OPTIONAL = ("mammography-gpu", "mammography-prometheus", "mammography-statsd")


def images_to_carry(project: Path, say: Say) -> dict[str, str]:
    """Tag -> id of everything that is needed; what is optional and not there is told.

    Raises:
        StackError: something that is needed is not there.
    """
    named = dict.fromkeys(_NAMED.findall((project / "docker-compose.yaml").read_text()))
    found = {}
    for name in [*named, serving_base(project)]:
        if (image := inspected(name)) is not None:
            found[name] = image
        elif name.startswith(_OPTIONAL):
            say(f"{name} is not in this engine, and will not be in the bundle")
        else:
            raise StackError(f"the image {name} is not there: make images base-images")
    below = {tag: image for tag, image in _tagged() if _is_below(image, found.values())}
    return {tag: str(image["Id"]) for tag, image in (below | found).items()}


def serving_base(project: Path) -> str:
    """The base on which this version of the code builds releases; built where that can be done.

    Raises:
        StackError: there is none.
    """
    mammo = project / ".venv" / "bin" / "mammo"
    if mammo.exists():
        command = [str(mammo), "serving-base"]
        said = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
        if said.returncode:
            raise StackError(f"the serving base cannot be made:\n{said.stderr.strip()[-2000:]}")
        return said.stdout.split()[-1]
    newest = docker("images", "--format", "{{.Repository}}:{{.Tag}}", SERVING_BASE).split()
    if not newest:
        raise StackError("the serving base is not there: ./setup_ml.sh, then make bundle again")
    return newest[0]


def image_stream(tags: Iterable[str]) -> Iterator[bytes]:
    """All images as one stream for `docker load`; what they share is in it once.

    Raises:
        StackError: the engine cannot write them out.
    """
    return compressed(output_of(["docker", "save", *tags], "writing out the images"))


def inspected(tag: str) -> dict[str, Any] | None:
    """What the engine says of an image; None where it has none of this name."""
    command = ["docker", "image", "inspect", tag]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(done.stdout)[0] if done.returncode == 0 else None


def _tagged() -> Iterator[tuple[str, dict[str, Any]]]:
    listed = docker("images", "--format", "{{.Repository}}:{{.Tag}}", "mammography-*").split()
    for tag in listed:
        image = None if "<none>" in tag else inspected(tag)
        if image is not None:
            yield tag, image


def _is_below(image: dict[str, Any], others: Iterable[dict[str, Any]]) -> bool:
    """Whether one of the others was built on it, so that it costs nothing to take it along."""
    layers = image["RootFS"]["Layers"]
    return any(other["RootFS"]["Layers"][: len(layers)] == layers for other in others)
