"""What the finished size costs: lesions that are too small to be seen in it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from ml_tasks.records import Record


class LesionCost(Record):
    """Sizes of the annotated lesions in the finished pictures; diameters in its pixels."""

    lesions: int
    smallest: float
    median: float
    limit: float
    small: int  # narrower than `limit`
    side: int  # of the finished picture

    def sentence(self) -> str:
        """For people."""
        return (
            f"{self.small} of {self.lesions} annotated lesions are narrower than {self.limit:g} "
            f"pixels at {self.side}x{self.side} (smallest {self.smallest:.1f}, median "
            f"{self.median:.1f}): what is not in the picture cannot be learned"
        )


def lesion_cost(radii: Sequence[float], limit: float, side: int) -> LesionCost | None:
    """The cost for lesions of these radii, in finished pixels; None where none is annotated."""
    if not radii:
        return None
    diameters = [2 * radius for radius in radii]
    return LesionCost(
        lesions=len(diameters),
        smallest=min(diameters),
        median=statistics.median(diameters),
        limit=limit,
        small=sum(diameter < limit for diameter in diameters),
        side=side,
    )
