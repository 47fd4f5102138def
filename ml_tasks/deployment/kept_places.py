"""Says what config.yaml places where no backup would look.

Runs inside the workers' image, as text given to its Python: the configuration is read there as the
tasks read it, and a backup needs neither an environment nor an image of just this checkout.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path


def misplaced(file: Path, folders: Iterable[str]) -> Iterator[str]:
    """Settings whose files a backup of `folders`, which lie beside `file`, would not hold.

    Raises:
        ConfigError: the configuration cannot be read.
    """
    from ml_tasks.config import load_config

    config, wanted = load_config(file), {name: file.parent / name for name in folders}
    for name, place in wanted.items():
        found = getattr(config.paths, name, place)
        if found != place:
            yield f"paths.{name} is {found}, and must be {name}"
    key = config.release.signing_key
    if key is not None and not any(key.is_relative_to(place) for place in wanted.values()):
        yield f"release.signing_key is {key}; move it to releases/{key.name} and name that"


if __name__ == "__main__":
    for line in misplaced(Path(sys.argv[1]), sys.argv[2:]):
        sys.stdout.write(f"{line}\n")
