"""What trains: the GPU, its free memory and who holds the rest, or the CPU and why."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ml_tasks.model.backend import keras, usable_gpus
from ml_tasks.records import Record

_GB = 1e9


class GpuProcess(Record):
    """A process that holds memory of a GPU."""

    pid: int
    name: str = ""
    used_bytes: int | None = None  # not told inside of some containers


class Gpu(Record):
    """One GPU as NVIDIA's driver describes it."""

    index: int
    uuid: str
    name: str
    total_bytes: int
    free_bytes: int
    compute_capability: tuple[int, int]
    processes: tuple[GpuProcess, ...] = ()


class Devices(Record):
    """What this process could train on, and what it will."""

    backend: str
    usable: int  # GPUs that Keras's backend sees
    cores: int
    gpus: tuple[Gpu, ...] = ()  # that the driver shows to this process
    unknown: str = ""  # why the driver could not be asked

    @property
    def gpu(self) -> Gpu | None:
        """The GPU that trains, if the driver knows it."""
        return self.gpus[0] if self.usable and self.gpus else None

    def summary(self) -> str:
        """The device in a few words."""
        if not self.usable:
            return f"CPU ({self.cores} cores)"
        return f"GPU {self.gpu.name}" if self.gpu else f"GPU ({self.usable} visible)"


def read_devices(environment: Mapping[str, str] | None = None) -> Devices:
    """Asks Keras's backend, and NVIDIA's driver where there is one."""
    gpus, unknown = _driver_gpus()
    environment = os.environ if environment is None else environment
    return Devices(
        backend=keras.config.backend(),
        usable=usable_gpus(),
        cores=os.cpu_count() or 1,
        gpus=shown_gpus(gpus, environment.get("CUDA_VISIBLE_DEVICES")),
        unknown=unknown,
    )


def shown_gpus(gpus: tuple[Gpu, ...], visible: str | None) -> tuple[Gpu, ...]:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves to this process, in its order; None: all.

    As CUDA reads it: numbers or beginnings of UUIDs, and the first unknown one ends the list.
    """
    if visible is None:
        return gpus
    shown: list[Gpu] = []
    for word in (part.strip() for part in visible.split(",")):
        found = [
            gpu
            for gpu in gpus
            if (word.isdecimal() and gpu.index == int(word))
            or (word.startswith("GPU-") and gpu.uuid.startswith(word))
        ]
        if len(found) != 1:
            break
        shown += found
    return tuple(shown)


def preflight(devices: Devices) -> str:
    """One line for the log: what trains, and what to know about it before it starts."""
    if not devices.usable:
        return f"No GPU: {_why_none(devices)}; training on the CPU ({devices.cores} cores)"
    gpu = devices.gpu
    if gpu is None:
        why = devices.unknown or "CUDA_VISIBLE_DEVICES names none that the driver knows"
        return f"GPU: {devices.usable} visible, its free memory is unknown ({why})"
    others = f"; {len(devices.gpus) - 1} more not used" if len(devices.gpus) > 1 else ""
    return (
        f"GPU {gpu.index}: {gpu.name}, {gpu.free_bytes / _GB:.1f} of {gpu.total_bytes / _GB:.1f} "
        f"GB free; {holders(gpu)}{others}"
    )


def holders(gpu: Gpu) -> str:
    """Who holds memory of a GPU, the largest first."""
    if not gpu.processes:
        return "no process holds its memory"
    ranked = sorted(gpu.processes, key=lambda process: -(process.used_bytes or 0))
    return "its memory is held by " + ", ".join(_in_words(process) for process in ranked)


def _in_words(process: GpuProcess) -> str:
    amount = (
        "how much is unknown"
        if process.used_bytes is None
        else f"{process.used_bytes / _GB:.1f} GB"
    )
    return f"process {process.pid} ({process.name or 'name unknown'}, {amount})"


def _why_none(devices: Devices) -> str:
    if devices.gpus:
        return (
            f"{devices.gpus[0].name} is there, but the {devices.backend} backend is installed "
            "without support for it"
        )
    return devices.unknown or "CUDA_VISIBLE_DEVICES leaves none to this process, or there is none"


def _driver_gpus() -> tuple[tuple[Gpu, ...], str]:
    """All GPUs of this machine, and in words why they could not be asked for."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError_LibraryNotFound:
        return (), "no NVIDIA driver is installed"
    except pynvml.NVMLError as error:
        return (), f"the NVIDIA driver does not answer ({error})"
    try:
        count = pynvml.nvmlDeviceGetCount()
        return tuple(_gpu(pynvml, index) for index in range(count)), ""
    except pynvml.NVMLError as error:
        return (), f"the NVIDIA driver does not answer ({error})"
    finally:
        pynvml.nvmlShutdown()


def _gpu(nvml: Any, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    return Gpu(
        index=index,
        uuid=nvml.nvmlDeviceGetUUID(handle),
        name=nvml.nvmlDeviceGetName(handle),
        total_bytes=memory.total,
        free_bytes=memory.free,
        compute_capability=(major, minor),
        processes=tuple(
            GpuProcess(pid=found.pid, name=_name(nvml, found.pid), used_bytes=found.usedGpuMemory)
            for found in nvml.nvmlDeviceGetComputeRunningProcesses(handle)
        ),
    )


def _name(nvml: Any, pid: int) -> str:
    try:
        return str(nvml.nvmlSystemGetProcessName(pid))
    except nvml.NVMLError:  # a process of another container, or of another user
        return ""
