"""`mammo <stage>`: every stage without Airflow, through the same functions."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from ml_tasks import sequences
from ml_tasks.cli_approve import add_answer, answer_or_ask
from ml_tasks.cli_deployment import add_deployment_commands
from ml_tasks.cli_operation import add_operation_commands
from ml_tasks.cli_release import Command, add_release_commands, config_here
from ml_tasks.config import CONFIG_VARIABLE, Config, load_config, parse_settings
from ml_tasks.dataset.importers.data_sets import KINDS, import_data_set
from ml_tasks.errors import ConfigError, GateRefused, MammoError
from ml_tasks.progress import log_to_terminal
from ml_tasks.records import STAGES, ChangesRecord, Decision
from ml_tasks.release.approval import ApprovalRecord
from ml_tasks.release.audit import acting, person_here

_REPLAY = "judge the last N evaluated runs by the limits as they are set now; changes nothing"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; gives its exit status (0 done, 1 failed, 2 bad settings, 3 does not
    ship, 4 a person must decide first)."""
    chosen = _parser().parse_args(arguments)
    return guarded(lambda: chosen.command(chosen))


def guarded(command: Callable[[], int]) -> int:
    """Runs `command`; an expected error becomes one readable message and an exit status."""
    log_to_terminal()
    try:
        with acting(person_here()):
            return command()
    except MammoError as error:
        sys.stderr.write(f"\n{type(error).__name__}: {error}\n")
        return error.exit_status
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped; nothing half-written was left in place\n")
        return 130


def clean_main(arguments: Sequence[str] | None = None) -> int:
    """`python -m ml_tasks.preprocessing clean --input data/raw --output data/cleaned`."""
    parser = argparse.ArgumentParser(prog="python -m ml_tasks.preprocessing")
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("clean", help="validate raw images, clean and split them")
    command.add_argument("--input", type=Path, help="raw folder with two class folders")
    command.add_argument("--output", type=Path, help="folder for the cleaned set")
    _config_arguments(command)
    chosen = parser.parse_args(arguments)

    def run() -> int:
        settings = parse_settings(chosen.set)
        for key, value in (("paths.raw", chosen.input), ("paths.cleaned", chosen.output)):
            if value is not None:
                settings[key] = str(value.absolute())
        sequences.clean(load_config(chosen.config, settings))
        return 0

    return guarded(run)


def train_main(arguments: Sequence[str] | None = None) -> int:
    """`python -m ml_tasks.train --config config.yaml`; exit status 3 if the gate says no PASS."""
    parser = argparse.ArgumentParser(prog="python -m ml_tasks.train")
    _config_arguments(parser)
    chosen = parser.parse_args(arguments)

    def run() -> int:
        sequences.train_and_judge(_config(chosen))
        return 0

    return guarded(run)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mammo", description="Raw mammograms to a tested, pushed image of a service."
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    for stage in STAGES:
        command = _command(commands, stage, _stage, f"the stage {stage} of one run")
        which: Any = command
        if stage == Decision.stage:
            which = command.add_mutually_exclusive_group(required=True)
            which.add_argument("--replay", type=int, metavar="N", help=_REPLAY)
        which.add_argument("--run", required=which is command, help="the run's id")
        if stage == ChangesRecord.stage:
            command.add_argument("--force", action="store_true", help="go on in any case")
        if stage == ApprovalRecord.stage:
            add_answer(command)
        command.set_defaults(stage=stage)
    whole = _command(commands, "run", _run, "all stages of a new run, without Airflow")
    whole.add_argument("--run", help="the new run's id; the time if not given")
    release = _command(commands, "release", _release, "build, smoke-test and push a model")
    release.add_argument("--run", help="a run that passed the gate; else the one in paths.model")
    verify = _command(commands, "verify", _verify, "whether an image is a release as it was signed")
    verify.add_argument("image", help="a version, REPOSITORY:TAG, REPOSITORY@DIGEST, or an id")
    verify.add_argument("--key", type=Path, help="file of the public keys to trust")
    verify.add_argument("--record", type=Path, help="the release's record, if it lies elsewhere")
    imports = _command(commands, "import", _import, "a data set into data/raw/<Class>/")
    imports.add_argument("--kind", choices=KINDS, help="a public data set in its own layout")
    imports.add_argument("--from", type=Path, dest="source", help="with --kind: its folder")
    imports.add_argument("--images", type=Path, help="without --kind: folder of the images")
    imports.add_argument("--labels", type=Path, help="CSV with the columns file, label, patient_id")
    imports.add_argument("--output", type=Path, help="the new raw folder (paths.raw)")
    sample = _command(commands, "sample", _sample, "synthetic mammograms for a demo without data")
    sample.add_argument("--output", type=Path, help="the new raw folder (paths.raw)")
    sample.add_argument("--patients", type=int, help="two pictures each (520)")
    track = _command(commands, "track", _track, "runs and releases that MLflow missed")
    track.add_argument("--run", help="this run too, even if it is not finished")
    track.add_argument("--all", action="store_true", help="every run that was judged")
    add_release_commands(partial(_command, commands))
    add_operation_commands(partial(_command, commands))
    add_deployment_commands(partial(_command, commands))
    base = _command(commands, "serving-base", _serving_base, "the base of the service's image")
    base.add_argument("--wheels", type=Path, help="folder that keeps the downloaded wheels")
    demo = _command(commands, "demo", _demo, "set everything up here and run the pipeline once")
    demo.add_argument("--data", type=Path, help="raw folder; phantoms if there are no data")
    _command(commands, "stop", _stop, "end everything that demo started")
    return parser


def _command(commands: Any, name: str, function: Command, text: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    _config_arguments(command)
    command.set_defaults(command=function)
    return command


def _config_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        type=Path,
        default=Path(os.environ.get(CONFIG_VARIABLE) or "config.yaml"),
        help=f"the configuration file; without it that of {CONFIG_VARIABLE}, else config.yaml",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="e.g. model.weights=none"
    )


def _config(chosen: argparse.Namespace) -> Config:
    return load_config(chosen.config, parse_settings(chosen.set))


def _stage(chosen: argparse.Namespace) -> int:
    settings = parse_settings(chosen.set)
    if getattr(chosen, "replay", None) is not None:
        return _replay(chosen, settings)
    if chosen.stage == ApprovalRecord.stage:
        return answer_or_ask(chosen, settings)
    if chosen.stage == STAGES[0]:
        sequences.begin_run(chosen.run, chosen.config, settings)
    force = getattr(chosen, "force", False)
    record = sequences.run_stage(chosen.stage, chosen.run, chosen.config, settings, force=force)
    return GateRefused.exit_status if getattr(record, "passed", True) is False else 0


def _replay(chosen: argparse.Namespace, settings: dict[str, Any]) -> int:
    from ml_tasks.evaluation.replay import replay, table

    other = [key for key in settings if not key.startswith("gate.")]
    if other or chosen.replay < 1:
        wrong = f"--set {other[0]}" if other else f"--replay {chosen.replay}"
        raise ConfigError(
            f"{wrong}: a replay judges at least one run anew and trains none, so that only "
            "gate.* can be set"
        )
    config = _config(chosen)
    found = replay(config.paths.runs, config.gate, chosen.replay)
    sys.stdout.write(table(found) if found else f"no run in {config.paths.runs} was evaluated\n")
    return 0


def _run(chosen: argparse.Namespace) -> int:
    run_id = chosen.run or sequences.new_run_id("manual")
    decision = sequences.run_all(run_id, chosen.config, parse_settings(chosen.set))
    return 0 if decision.passed else GateRefused.exit_status


def _release(chosen: argparse.Namespace) -> int:
    sequences.release_current(config_here(chosen), chosen.run)
    return 0


def _verify(chosen: argparse.Namespace) -> int:
    from ml_tasks.release.engine import connect
    from ml_tasks.release.verification import verify_image

    with closing(connect()) as client:
        checks = verify_image(client, config_here(chosen), chosen.image, chosen.key, chosen.record)
    sys.stdout.write("".join(f"{check.line()}\n" for check in checks))
    failed = [check.name for check in checks if check.passed is False]
    verdict = f"NOT verified: {', '.join(failed)}" if failed else "verified"
    sys.stdout.write(f"{chosen.image}: {verdict}\n")
    return 1 if failed else 0


def _track(chosen: argparse.Namespace) -> int:
    outcome = sequences.track(_config(chosen), chosen.run, chosen.all)
    sys.stdout.write(f"{outcome.summary()}\n")
    return 0 if outcome.complete else 1


def _import(chosen: argparse.Namespace) -> int:
    from ml_tasks.dataset.importers.labelled_folder import import_images

    kind, source, images, labels = chosen.kind, chosen.source, chosen.images, chosen.labels
    output = chosen.output or _config(chosen).paths.raw
    if kind and source and not (images or labels):
        done = import_data_set(kind, source, output)
    elif images and labels and not (kind or source):
        done = import_images(images, labels, output)
    else:
        raise ConfigError("import takes --kind and --from, or --images and --labels")
    sys.stdout.write(f"{output}: {done.summary()}\n")
    return 0


def _sample(chosen: argparse.Namespace) -> int:
    from ml_tasks.dataset.phantoms import PATIENTS, write_sample

    output = chosen.output or _config(chosen).paths.raw
    patients = PATIENTS if chosen.patients is None else chosen.patients
    sys.stdout.write(f"{output}: {write_sample(output, patients)} phantoms\n")
    return 0


def _serving_base(chosen: argparse.Namespace) -> int:
    from ml_tasks.release.engine import connect
    from ml_tasks.release.serving_base import ensure_serving_base

    wheels = chosen.wheels or chosen.config.absolute().parent / ".local" / "wheels"
    with closing(connect()) as client:
        sys.stdout.write(f"{ensure_serving_base(client, wheels)}\n")
    return 0


def _demo(chosen: argparse.Namespace) -> int:
    from ml_tasks.local_stack.demo import DemoOptions, demo

    if chosen.set:
        raise ConfigError("demo takes no --set; write the value into config.yaml")
    return demo(DemoOptions.from_environment(config=chosen.config.absolute(), data=chosen.data))


def _stop(chosen: argparse.Namespace) -> int:
    from ml_tasks.local_stack.stop import stop

    return stop()


if __name__ == "__main__":
    sys.exit(main())
