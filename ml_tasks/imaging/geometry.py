"""Where a point of the file comes to lie in the finished picture, computed exactly."""

from __future__ import annotations

from ml_tasks.records import Record


class Geometry(Record):
    """The way from a file's pixels to the finished picture: reduce, crop, mirror, pad, resize.

    Lengths are pixels of the reduced image, of which one covers `factor` x `factor` of the file.
    """

    factor: int
    left: int  # of the crop
    top: int
    width: int
    height: int
    mirrored: bool
    side: int  # of the finished picture

    @property
    def square(self) -> int:
        """The side of the square that the crop was padded to."""
        return max(self.width, self.height)

    @property
    def scale(self) -> float:
        """Finished pixels for each pixel of the file."""
        return self.side / (self.square * self.factor)

    def to_finished(self, x: float, y: float) -> tuple[float, float]:
        """A point of the file (x from the left, y from the top) in the finished picture.

        Pixel indices, both ways: (0, 0) is the centre of the first pixel.
        """
        across = (x + 0.5) / self.factor - self.left
        down = (y + 0.5) / self.factor - self.top
        if self.mirrored:
            across = self.width - across
        down += (self.square - self.height) // 2
        return across * self.side / self.square - 0.5, down * self.side / self.square - 0.5
