"""Scores a folder and tells the most memory it took: `-m tests.scoring.peak_memory CONFIG FOLDER`.

A process of its own, since the most memory of a process never falls again.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ml_tasks.batch_scoring import score_folder
from ml_tasks.config import load_config


def peak_kib() -> int:
    """The most memory this process ever held, in KiB; not what its parent held, as getrusage."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def main() -> None:
    """Prints the images that were scored and the peak in KiB."""
    config, folder = Path(sys.argv[1]), Path(sys.argv[2])
    summary = score_folder(load_config(config), folder, folder.name)
    sys.stdout.write(f"{summary.plan.images} {peak_kib()}\n")


if __name__ == "__main__":
    main()
