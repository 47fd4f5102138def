"""Every error this package raises on purpose: what is wrong, the value, and what to do about it."""

from __future__ import annotations


class MammoError(Exception):
    """Base of all expected errors; its text is written for the person who runs the pipeline."""

    exit_status = 1


class ConfigError(MammoError):
    """A setting is unknown or out of its bounds."""

    exit_status = 2


class DataError(MammoError):
    """The raw data cannot be used as they are."""


class DataUnsettled(DataError):
    """The raw data change while they are listed: a copy is still going on."""


class ImageRejected(MammoError):
    """One file is not a usable image; `code` is stable, the text is for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class StageOrderError(MammoError):
    """A stage was started before the one it builds on, or after that one was run anew."""


class WorkersLost(MammoError):
    """The processes that share the work cannot be started."""


class TrainingError(MammoError):
    """The network could not be built or trained."""


class TrainingStopped(MammoError):
    """Training was asked to end before it was complete; the next attempt goes on from there."""

    exit_status = 128 + 15  # as a shell reports a process that SIGTERM ended


class RunBusy(MammoError):
    """Another process works on this very run."""


class MetricError(MammoError):
    """A metric that the gate needs is missing or is no number: nothing may be shipped."""


class StorageError(MammoError):
    """A file could not be written in full; what stood there before is untouched."""


class ReleaseError(MammoError):
    """A release is incomplete, altered, or answers otherwise than it was judged."""


class EngineUnavailable(MammoError):
    """No Docker engine answers."""


class PushError(MammoError):
    """The registry did not take the image; `production` has not moved."""


class PushRefused(PushError):
    """The registry does not let this engine push: trying again would not help."""


class ProductionMoved(PushRefused):
    """`production` is not what the gate compared with any more; it was left where it is."""


class ChampionError(MammoError):
    """What is in production cannot be told: nothing may be judged against it, nor without it."""


class AuditError(MammoError):
    """The audit log is damaged or was edited: what people decided cannot be told from it."""


class ApprovalPending(MammoError):
    """A person must decide before this goes on; nobody has yet."""

    exit_status = 4


class ApprovalRefused(MammoError):
    """An answer that does not count: nobody was asked, or it lacks a name or a reason."""


class DriftError(MammoError):
    """What the service sees cannot be compared with what the model was trained on."""


class ScoringError(MammoError):
    """A folder cannot be scored as it was asked for; nothing of an earlier batch was changed."""


class ImagesUnreachable(MammoError):
    """The folder that is scored went away meanwhile; a disk may come back by itself."""


class RegistryUnavailable(MammoError):
    """The image registry does not answer; that passes by itself, or somebody starts it."""


class RegistryRefused(MammoError):
    """The image registry wants another login, or is none: trying again would not help."""


class TrackingError(MammoError):
    """MLflow did not take a run or a release; the run's own directory still holds everything."""


class StackError(MammoError):
    """The local stack (engine, registry, Airflow, TensorBoard) could not be started."""


class ArchiveRefused(StackError):
    """A backup or a bundle is damaged, altered, or of something else; nothing was touched."""


class GateRefused(MammoError):
    """The gate's verdict is not PASS: a normal outcome, told apart by its exit status."""

    exit_status = 3


class StageSkipped(MammoError):
    """The stage has nothing to do here, for the reason given: no failure."""

    exit_status = 0
