"""What the tests of batch scoring share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scoring.batches import Toy, toy_release


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[Toy]:
    """A toy release in production; chunks of four images, two shards."""
    with toy_release(tmp_path) as made:
        yield made
