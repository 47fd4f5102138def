"""What trains, in words, from made records; and the driver read through its real library."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ml_tasks.model.device import (
    Devices,
    Gpu,
    GpuProcess,
    holders,
    preflight,
    read_devices,
    shown_gpus,
)

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = GpuProcess(pid=4321, name="/usr/bin/python3", used_bytes=61_000_000_000)
HIDDEN = GpuProcess(pid=77)


def gpu(index: int = 0, *processes: GpuProcess, free: float = 79.1e9) -> Gpu:
    return Gpu(
        index=index,
        uuid=f"GPU-{index}a2b",
        name="NVIDIA H100 80GB HBM3",
        total_bytes=85_520_809_984,
        free_bytes=int(free),
        compute_capability=(9, 0),
        processes=processes,
    )


def devices(*gpus: Gpu, usable: int | None = None, unknown: str = "") -> Devices:
    seen = len(gpus) if usable is None else usable
    return Devices(backend="tensorflow", usable=seen, cores=16, gpus=gpus, unknown=unknown)


def test_a_free_gpu_is_named_with_its_memory() -> None:
    assert preflight(devices(gpu())) == (
        "GPU 0: NVIDIA H100 80GB HBM3, 79.1 of 85.5 GB free; no process holds its memory"
    )
    assert devices(gpu()).summary() == "GPU NVIDIA H100 80GB HBM3"


def test_who_holds_a_gpus_memory_is_named_the_largest_first() -> None:
    """Before an hour is lost to a notebook that somebody left open."""
    found = gpu(1, HIDDEN, NOTEBOOK, free=18e9)
    assert holders(found) == (
        "its memory is held by process 4321 (/usr/bin/python3, 61.0 GB), process 77 "
        "(name unknown, how much is unknown)"
    )
    assert holders(found) in preflight(devices(found, gpu(2)))
    assert preflight(devices(found, gpu(2))).endswith("; 1 more not used")


def test_without_a_gpu_one_line_says_why_and_that_training_goes_on() -> None:
    none = devices(unknown="no NVIDIA driver is installed")
    assert preflight(none) == (
        "No GPU: no NVIDIA driver is installed; training on the CPU (16 cores)"
    )
    assert none.summary() == "CPU (16 cores)"
    assert "CUDA_VISIBLE_DEVICES leaves none" in preflight(devices())


def test_a_gpu_that_the_backend_cannot_use_is_told() -> None:
    """A TensorFlow without CUDA trains on the CPU without a word of its own."""
    assert preflight(devices(gpu(), usable=0)) == (
        "No GPU: NVIDIA H100 80GB HBM3 is there, but the tensorflow backend is installed without "
        "support for it; training on the CPU (16 cores)"
    )


def test_a_gpu_that_the_driver_does_not_describe_is_used_all_the_same() -> None:
    line = preflight(devices(usable=1, unknown="the NVIDIA driver does not answer (Unknown Error)"))
    assert line.startswith("GPU: 1 visible, its free memory is unknown (the NVIDIA driver does not")


@pytest.mark.parametrize(
    ("visible", "indices"),
    [
        (None, [0, 1, 2]),
        ("", []),
        ("-1", []),
        ("2, 0", [2, 0]),
        ("1,9,0", [1]),  # as CUDA does: what follows an unknown one is not seen
        ("GPU-1a", [1]),
        ("GPU-", []),
    ],
)
def test_only_the_gpus_that_cuda_shows_to_this_process_count(
    visible: str | None, indices: list[int]
) -> None:
    assert [gpu.index for gpu in shown_gpus((gpu(0), gpu(1), gpu(2)), visible)] == indices


def test_this_machine_is_described() -> None:
    found = read_devices({})
    assert found.cores == os.cpu_count()
    line = preflight(found)
    assert "\n" not in line
    assert line.startswith("GPU" if found.usable else "No GPU: ")


LIBRARY = """
#include <string.h>
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned pid; unsigned long long used; unsigned gi, ci; } Process;
int nvmlInitWithFlags(unsigned f) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = 1; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **h) { *h = (void *)(long)(i + 1); return 0; }
int nvmlDeviceGetMemoryInfo(void *h, Memory *m) {
  m->total = 16000000000; m->free = 9000000000; m->used = 7000000000; return 0; }
int nvmlDeviceGetCudaComputeCapability(void *h, int *a, int *b) { *a = 7; *b = 5; return 0; }
int nvmlDeviceGetUUID(void *h, char *s, unsigned n) { strcpy(s, "GPU-0a2b"); return 0; }
int nvmlDeviceGetName(void *h, char *s, unsigned n) { strcpy(s, "Tesla T4"); return 0; }
int nvmlDeviceGetComputeRunningProcesses_v3(void *h, unsigned *n, Process *p) {
  if (*n < 2) { *n = 2; return 7; }
  p[0].pid = 11; p[0].used = 6500000000; p[1].pid = 12; p[1].used = ~0ULL; *n = 2; return 0; }
int nvmlSystemGetProcessName(unsigned pid, char *s, unsigned n) {
  if (pid == 12) return 6;
  strcpy(s, "python"); return 0; }
"""
SCRIPT = "from ml_tasks.model.device import read_devices; print(read_devices().model_dump_json())"


def test_the_driver_is_read_through_its_own_library(tmp_path: Path) -> None:
    """NVIDIA's Python binding, unchanged, on a library of the driver's interface made here."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    (tmp_path / "nvml.c").write_text(LIBRARY)
    library = tmp_path / "libnvidia-ml.so.1"
    command = [compiler, "-shared", "-fPIC", "-o", str(library), str(tmp_path / "nvml.c")]
    subprocess.run(command, check=True)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path), "PYTHONPATH": str(ROOT)}
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True
    )
    (found,) = Devices.model_validate_json(done.stdout).gpus
    assert found.name == "Tesla T4" and found.compute_capability == (7, 5)
    assert (found.free_bytes, found.total_bytes) == (9_000_000_000, 16_000_000_000)
    assert found.processes == (
        GpuProcess(pid=11, name="python", used_bytes=6_500_000_000),
        GpuProcess(pid=12),
    )
