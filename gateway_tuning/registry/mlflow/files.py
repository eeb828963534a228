"""Where MLflow says that a version's files lie: with us, unless a copy is asked for."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway_tuning.registry.mlflow.client import Client
from gateway_tuning.registry.mlflow.tags import ID
from gateway_tuning.registry.model_version import ModelVersion
from gateway_tuning.storage import layout
from gateway_tuning.storage.object_store import ObjectStore

_EXPERIMENT, _FOLDER = "gateway-tuning", "model"


@dataclass(frozen=True, slots=True)
class Kept:
    source: str
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Files:
    """`copy` uploads the files to MLflow with a run that has the version's metrics and hyperparameters."""

    objects: ObjectStore
    copy: bool = False

    def keep(self, client: Client, version: ModelVersion) -> Kept:
        """Raises IntegrityError for a file that is to be copied and does not match its checksum."""
        if self.copy and version.files:
            return self._copied(client, version)
        folder = self.objects.uri(layout.model_file(version.id, ""))
        # A path of this machine means nothing elsewhere, and a server refuses it. The tags name key and checksum.
        local = folder.startswith("file:") or "://" not in folder
        return Kept(f"gateway-tuning:/{version.id}" if local or not version.files else folder)

    def _copied(self, client: Client, version: ModelVersion) -> Kept:
        with client.runs() as mlflow, tempfile.TemporaryDirectory() as folder:
            run = _run(mlflow, version)
            for name, file in sorted(version.files.items()):
                path = self.objects.download(file.key, Path(folder) / name, sha256=file.sha256)
                mlflow.log_artifact(run.info.run_id, str(path), _FOLDER)
                path.unlink()
            mlflow.set_terminated(run.info.run_id)
        return Kept(f"{run.info.artifact_uri}/{_FOLDER}", run.info.run_id)


def _run(mlflow: Any, version: ModelVersion) -> Any:
    """The run of the version: one that broke off is gone on with."""
    experiment = mlflow.get_experiment_by_name(_EXPERIMENT)
    id_ = mlflow.create_experiment(_EXPERIMENT) if experiment is None else experiment.experiment_id
    found = mlflow.search_runs([id_], f"tags.`{ID}` = '{version.id}'", max_results=1)
    run = found[0] if found else mlflow.create_run(id_, tags={ID: version.id}, run_name=version.id)
    for name, value in version.metrics.items():
        mlflow.log_metric(run.info.run_id, name, value, step=0)
    for name, value in version.hyperparameters.items():
        mlflow.log_param(run.info.run_id, name, value)
    return run
