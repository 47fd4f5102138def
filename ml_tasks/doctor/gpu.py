"""The GPU, whether training's libraries can use it, and whether containers get it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ml_tasks.doctor.findings import Finding, note, ok, to_mend
from ml_tasks.doctor.place import Place, words_of
from ml_tasks.records import Record

NAME, RUNTIME = "GPU", "GPU in containers"
_QUERY = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]


class GpuFacts(Record):
    """What the driver shows, and what is there to use it."""

    driver: bool = False  # NVIDIA's kernel module is loaded
    gpus: tuple[str, ...] = ()  # as nvidia-smi lists them
    cuda_packages: bool = False  # TensorFlow's CUDA libraries are installed
    engine: bool = False  # a Docker engine answers
    runtimes: tuple[str, ...] = ()  # that it knows


def look(_: Place) -> GpuFacts:
    """Asks the driver; the engine's part is added once that has answered."""
    said = words_of(_QUERY)
    return GpuFacts(
        driver=Path("/proc/driver/nvidia/version").exists(),
        gpus=tuple(line.strip() for line in (said or "").splitlines() if line.strip()),
        cuda_packages=_cuda_packages(),
    )


def judge(facts: GpuFacts) -> list[Finding]:
    """One line where there is no GPU; else one for it, and one for containers."""
    if not facts.gpus:
        if facts.driver:
            return [
                to_mend(
                    NAME,
                    "NVIDIA's driver is loaded, but nvidia-smi shows no GPU",
                    "run nvidia-smi and mend what it says; a restart helps after an update",
                )
            ]
        return [ok(NAME, "none: trains on the CPU")]
    return [_libraries(facts), *_runtime(facts)]


def _libraries(facts: GpuFacts) -> Finding:
    shown = "; ".join(facts.gpus)
    if facts.cuda_packages:
        return ok(NAME, shown)
    return note(
        NAME,
        f"{shown}, but TensorFlow's CUDA libraries are not installed here: trains on the CPU",
        "train in the image mammography-gpu (`mammo images --role gpu`), or install "
        "requirements/gpu.txt",
    )


def _runtime(facts: GpuFacts) -> list[Finding]:
    if not facts.engine:
        return []
    if "nvidia" in facts.runtimes:
        return [ok(RUNTIME, "the engine knows NVIDIA's container runtime")]
    return [
        note(
            RUNTIME,
            "the engine does not know NVIDIA's container runtime, so gpu-worker cannot start",
            "install nvidia-container-toolkit, run `sudo nvidia-ctk runtime configure` and restart "
            "the engine",
        )
    ]


def _cuda_packages() -> bool:
    for name in ("nvidia-cudnn-cu12", "nvidia-cudnn-cu13", "jax-cuda12-plugin"):
        try:
            version(name)
        except PackageNotFoundError:
            continue
        return True
    return False
