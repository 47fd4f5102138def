"""What the finished size costs, in figures."""

from __future__ import annotations

import pytest

from ml_tasks.dataset.lesion_cost import lesion_cost


def test_lesions_narrower_than_the_limit_are_counted() -> None:
    cost = lesion_cost([0.5, 1.4, 1.5, 20.0], limit=3, side=128)
    assert cost is not None
    assert (cost.lesions, cost.small) == (4, 2)
    assert cost.smallest == 1 and cost.median == pytest.approx(2.9)
    assert "2 of 4 annotated lesions are narrower than 3 pixels at 128x128" in cost.sentence()


def test_without_annotations_there_is_nothing_to_say() -> None:
    assert lesion_cost([], limit=3, side=128) is None
