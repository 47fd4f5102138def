"""The one module that speaks to MLflow; doing a thing twice changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ml_tasks.errors import TrackingError
from ml_tasks.release.champion import PRODUCTION  # the alias is called like the tag
from ml_tasks.tracking.content import RunContent
from ml_tasks.tracking.place import Place
from ml_tasks.tracking.releases import ReleaseContent

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

_TOLD = "told_sha256"  # tag: what of the run was written in full
_SUPERSEDED = "superseded"
_AT_ONCE = 100  # parameters, tags or metrics; MLflow takes no more of the first two
T = TypeVar("T")


class Store:
    """An open MLflow with the experiment of this pipeline.

    Raises:
        TrackingError: MLflow is not installed, or the experiment was deleted there.
        Exception: whatever MLflow raises when it does not answer.
    """

    def __init__(self, place: Place) -> None:
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            raise TrackingError(
                f"MLflow is not installed here ({error}); run ./setup_ml.sh, or set "
                "tracking.enabled to false"
            ) from error
        if place.database is not None:
            place.database.parent.mkdir(parents=True, exist_ok=True)
        self._client = MlflowClient(tracking_uri=place.uri)
        self._experiment = self._open_experiment(place)

    def note(self, run: RunContent) -> str:
        """Writes one run, unless MLflow holds all of it already; gives MLflow's id of it."""
        found = self._find(run) or self._new(run)
        noted = str(found.info.run_id)
        if found.data.tags.get(_TOLD) == run.sha256:
            return noted
        self._write_parameters(found, run.parameters)
        self._write_figures(noted, run)
        for name, path in run.files.items():
            self._client.log_artifact(noted, str(path), str(Path(name).parent))
        stale = set(found.data.tags) & {"failed_stage", "failure"} - set(run.tags)
        for name in stale:
            self._client.delete_tag(noted, name)
        self._set_status(noted, run)
        # Last: only what was written to its end counts as told.
        self._write_tags(noted, {**run.tags, "training": run.training, _TOLD: run.sha256})
        return noted

    def register(self, release: ReleaseContent, noted: str) -> None:
        """Registers a release as a version of the model, with the files of its bundle."""
        if self._version(release.model, release.version) is not None:
            return
        self._ensure_model(release.model)
        folder = f"releases/{release.version}"
        self._client.log_artifacts(noted, str(release.bundle), folder)
        artifacts = self._client.get_run(noted).info.artifact_uri
        self._client.create_model_version(
            release.model,
            source=f"{artifacts}/{folder}",
            run_id=noted,
            tags=release.tags,
            description=release.description,
        )

    def point_production_to(self, model: str, version: str) -> None:
        """Sets the alias to the release in production, if it is registered and not there yet."""
        wanted = self._version(model, version)
        if wanted is None:
            return
        pointed = self._client.get_registered_model(model).aliases.get(PRODUCTION)
        if str(pointed) != str(wanted.version):
            self._client.set_registered_model_alias(model, PRODUCTION, wanted.version)

    def _open_experiment(self, place: Place) -> str:
        found = self._client.get_experiment_by_name(place.experiment)
        if found is None:
            where = None if place.artifacts is None else place.artifacts.as_uri()
            return str(self._client.create_experiment(place.experiment, artifact_location=where))
        if found.lifecycle_stage != "active":
            raise TrackingError(
                f"the experiment {place.experiment!r} was deleted in MLflow; restore it there "
                f"(`mlflow experiments restore --experiment-id {found.experiment_id}`), or name "
                "another one in tracking.experiment"
            )
        return str(found.experiment_id)

    def _find(self, run: RunContent) -> Run | None:
        """The run as noted before; one of an earlier training of this run is marked as such."""
        known = self._client.search_runs(
            [self._experiment], f"tags.run_folder = '{run.folder}'", max_results=1000
        )
        current = None
        for each in sorted(known, key=lambda each: each.info.run_id):
            if each.data.tags.get("training", "") in ("", run.training):
                current = current or each
            elif _SUPERSEDED not in each.data.tags:
                self._client.set_tag(each.info.run_id, _SUPERSEDED, "trained anew since")
        return current

    def _new(self, run: RunContent) -> Run:
        tags = {"run_folder": run.folder, "training": run.training}
        return self._client.create_run(self._experiment, run.started, tags, run.name)

    def _write_parameters(self, found: Run, parameters: Mapping[str, str]) -> None:
        """MLflow never changes a parameter: what differs from what was noted stands in a tag."""
        from mlflow.entities import Param

        before: Mapping[str, str] = found.data.params
        new = [Param(name, text) for name, text in parameters.items() if name not in before]
        for part in _parts(new):
            self._client.log_batch(found.info.run_id, params=part)
        changed = [
            f"{name}: {before[name]} -> {text}"
            for name, text in parameters.items()
            if before.get(name, text) != text
        ]
        if changed:
            self._client.set_tag(found.info.run_id, "settings_changed", "; ".join(changed)[:5000])

    def _write_figures(self, noted: str, run: RunContent) -> None:
        from mlflow.entities import Metric

        metrics = [Metric(f.name, f.value, f.when, f.step) for f in run.figures]
        for part in _parts(metrics):
            self._client.log_batch(noted, metrics=part)

    def _write_tags(self, noted: str, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        for part in _parts([RunTag(name, text) for name, text in tags.items()]):
            self._client.log_batch(noted, tags=part)

    def _set_status(self, noted: str, run: RunContent) -> None:
        if run.status == "RUNNING":
            self._client.update_run(noted, run.status)
        else:
            self._client.set_terminated(noted, run.status, run.ended)

    def _version(self, model: str, version: str) -> ModelVersion | None:
        """The registered version of a release."""
        found = self._client.search_model_versions(
            f"name = '{model}' and tags.version = '{version}'"
        )
        return min(found, key=lambda each: int(each.version), default=None)

    def _ensure_model(self, model: str) -> None:
        if not self._client.search_registered_models(f"name = '{model}'"):
            self._client.create_registered_model(
                model, description="Releases of the pipeline; docs/tracking.md"
            )


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """The items in pieces that MLflow takes at once."""
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]
