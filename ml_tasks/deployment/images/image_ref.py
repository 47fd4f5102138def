"""An image of the stack as it stands in the engine now, and what it took to have it there."""

from __future__ import annotations

from dataclasses import dataclass

from docker import DockerClient


@dataclass(frozen=True)
class ImageRef:
    """Name and id, size in bytes (layers that it shares count in full), and seconds it took."""

    name: str
    id: str
    size: int
    seconds: float  # 0 where it was there

    @classmethod
    def of(cls, client: DockerClient, name: str, seconds: float) -> ImageRef:
        """The image that `name` is in the engine."""
        image = client.images.get(name)
        return cls(name, str(image.id), int(image.attrs["Size"]), seconds)

    def summary(self) -> str:
        """One line for people."""
        done = f"made in {self.seconds:.0f} s" if self.seconds else "was there"
        return f"{self.name:32} {self.size / 1e6:5.0f} MB  {done}"
