"""What the same films and settings give where nothing is killed: the stage alone, in a worker."""

from __future__ import annotations

import shlex

from ml_tasks.run_paths import RunPaths
from ml_tasks.storage import sha256_file
from tests.stack.fault_run import FaultRun

# What is written anew by the stage and by those that follow it.
_LATER = {
    "preprocess": ("plan_cleaning", "clean_shard", "cleaned", "train", "evaluate"),
    "train": ("train", "checkpoint", "logs", "evaluate"),
}


def undisturbed(run: FaultRun, stage: str, service: str) -> RunPaths:
    """Runs one stage of a copy of the run by hand in a worker of `service`; the copy."""
    name = f"undisturbed-{stage}-{run.paths.root.name}"
    there, copy = (f"/mammo/runs/{folder}" for folder in (run.paths.root.name, name))
    later = " ".join(f"{copy}/{folder}" for folder in (*_LATER[stage], "gate", "approve"))
    commands = (
        f"cp -r {shlex.quote(there)} {shlex.quote(copy)}",
        f"rm -rf {later}",
        f"mammo {stage} --config /mammo/config.yaml --run {shlex.quote(name)}",
    )
    run.stack.compose.exec(service, ["sh", "-c", " && ".join(commands)])
    return RunPaths(run.stack.config.paths.runs, name)


def cleaned_hashes(run: RunPaths) -> dict[str, str]:
    """The cleaned set: pictures, arrays, index and image spec, each with its SHA-256.

    Not its reports, which name the run.
    """
    folder = run.stage("preprocess")
    files = [*folder.glob("*/*/*.png"), *folder.glob("*.npy")]
    files += [folder / "index.csv", folder / "image_spec.json"]
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in sorted(files)}
