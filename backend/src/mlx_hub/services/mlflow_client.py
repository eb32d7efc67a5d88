"""MLflow as the mirror speaks to it: each call blocks, gives up soon, and may be repeated without doing more.

Importing this module imports mlflow, which takes seconds and memory: only the mirror's thread does, never the API. What
belongs together is found again by tags, `hub.job_id` on runs and `hub.version_id` on model versions, so a call that was
cut off before it could be confirmed finds what it made.
"""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import requests
import structlog
from mlflow import MlflowClient
from mlflow.entities import Experiment, Metric, Param, Run, ViewType
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, RESOURCE_DOES_NOT_EXIST, ErrorCode

from mlx_hub.models.job import JobStatus
from mlx_hub.services.mlflow_store import MlflowDownError, RowRefusedError, Told
from mlx_hub.services.outbox import OutboxKind

log = structlog.get_logger(__name__)

EXPERIMENT = "mlx-hub"
JOB_TAG, RUN_KEY_TAG, VERSION_TAG, VERSION_ID_TAG = "hub.job_id", "hub.run_key", "hub.version", "hub.version_id"
_RUN_STATUS = {JobStatus.COMPLETED: "FINISHED", JobStatus.FAILED: "FAILED", JobStatus.CANCELLED: "KILLED"}
_MAX_PARAM_CHARACTERS = 6000
"""MLflow 3.17, utils/validation.py; so are the rules for names below."""
_MAX_PARAMS = 100
_PLAIN_MODEL_NAME = re.compile(r"[\w .@+=~-]{1,200}")
_RESERVED_ALIAS = re.compile(r"latest|v\d+", re.IGNORECASE)
_NOT_ABOUT_THE_ROW = frozenset({401, 403, 408, 429})


class MlflowTeller:
    """Tells one MLflow store; used by one thread at a time. `tell` raises MlflowDownError and RowRefusedError, nothing else."""

    def __init__(self, uri: str, *, artifact_location: str | None) -> None:
        self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        self._artifact_location = artifact_location
        self._experiment_id: str | None = None
        self._runs: dict[str, str] = {}
        """The id of each job's present run."""
        self._tellers: dict[str, Callable[[dict[str, Any]], Told]] = {
            OutboxKind.START_RUN: self._start_run,
            OutboxKind.METRICS: self._log_metrics,
            OutboxKind.END_RUN: self._end_run,
            OutboxKind.ARTIFACTS: self._log_artifacts,
            OutboxKind.ADD_VERSION: self._add_version,
            OutboxKind.MOVE_ALIAS: self._move_alias,
        }

    def tell(self, kind: str, payload: dict[str, Any]) -> Told:
        """Does what a row of the outbox asks for; a second time it changes nothing."""
        try:
            return self._tellers[kind](payload)
        except Exception as error:
            # What was found before may be gone: a run that somebody deleted, a server with another store.
            self._runs.clear()
            self._experiment_id = None
            raise self._judged(error) from error

    def _judged(self, error: Exception) -> MlflowDownError | RowRefusedError:
        """Whether the row is to blame, or MLflow as a whole."""
        status, reason = _status_of(error), _reason(error)
        if status is None or status in _NOT_ABOUT_THE_ROW:
            return MlflowDownError(reason)
        try:
            self._client.search_experiments(max_results=1)
        except Exception as probe_error:
            return MlflowDownError(_reason(probe_error))
        return RowRefusedError(reason, is_certain=status < 500)

    def _start_run(self, payload: dict[str, Any]) -> Told:
        run = self._find_run(payload["job_id"], payload["run_key"]) or self._create_run(payload)
        if run.info.lifecycle_stage != "active":
            return self._skipped("mlflow_run_deleted", payload)
        run_id: str = run.info.run_id
        self._runs[payload["job_id"]] = run_id
        missing = [
            Param(name, value[:_MAX_PARAM_CHARACTERS]) for name, value in payload["params"].items() if name not in run.data.params
        ]
        for start in range(0, len(missing), _MAX_PARAMS):
            self._client.log_batch(run_id, params=missing[start : start + _MAX_PARAMS])
        if run.info.status != "RUNNING":
            self._client.update_run(run_id, status="RUNNING")
        return Told(job_id=UUID(payload["job_id"]), run_id=run_id)

    def _log_metrics(self, payload: dict[str, Any]) -> Told:
        if (run_id := self._active_run(payload)) is None:
            return self._skipped("mlflow_run_deleted", payload)
        self._client.log_batch(
            run_id,
            metrics=[
                Metric(name, float(value), int(point["t"] * 1000), int(point["step"]))
                for point in payload["points"]
                for name, value in point.items()
                if name not in {"step", "t"}
            ],
        )
        return Told(job_id=UUID(payload["job_id"]), run_id=run_id)

    def _end_run(self, payload: dict[str, Any]) -> Told:
        if (run_id := self._active_run(payload)) is None:
            return self._skipped("mlflow_run_deleted", payload)
        status = _RUN_STATUS[JobStatus(payload["status"])]
        self._client.set_terminated(run_id, status=status, end_time=int(payload["ended_at"] * 1000))
        return Told(job_id=UUID(payload["job_id"]), run_id=run_id)

    def _log_artifacts(self, payload: dict[str, Any]) -> Told:
        if not Path(payload["folder"]).exists():
            return self._skipped("mlflow_artifacts_gone", payload)
        if (run_id := self._active_run(payload)) is None:
            return self._skipped("mlflow_run_deleted", payload)
        self._upload(run_id, Path(payload["folder"]), payload["artifact_path"])
        return Told(job_id=UUID(payload["job_id"]), run_id=run_id)

    def _add_version(self, payload: dict[str, Any]) -> Told:
        folder, artifact_path = Path(payload["folder"]), f"adapter/v{payload['version']}"
        if not folder.exists():
            return self._skipped("mlflow_artifacts_gone", payload)
        if (run_id := self._active_run(payload)) is None:
            return self._skipped("mlflow_run_deleted", payload)
        name = registered_name(payload["model_name"])
        told = Told(job_id=UUID(payload["job_id"]), run_id=run_id, version_id=UUID(payload["version_id"]))
        if self._find_version(name, VERSION_ID_TAG, payload["version_id"]):
            return told
        self._upload(run_id, folder, artifact_path)
        try:
            self._client.create_registered_model(
                name, tags={"hub.model": payload["model_name"]}, description=payload["description"]
            )
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
                raise
        tags = {
            VERSION_TAG: str(payload["version"]),
            VERSION_ID_TAG: payload["version_id"],
            JOB_TAG: payload["job_id"],
        }
        self._client.create_model_version(name, source=f"runs:/{run_id}/{artifact_path}", run_id=run_id, tags=tags)
        return told

    def _move_alias(self, payload: dict[str, Any]) -> Told:
        name, alias = registered_name(payload["model_name"]), payload["alias"]
        if _RESERVED_ALIAS.fullmatch(alias):
            # MLflow's own `latest` always means the highest version.
            return Told()
        if payload["version"] is None:
            try:
                self._client.delete_registered_model_alias(name, alias)
            except MlflowException as error:
                if error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
                    raise
            return Told()
        version = self._find_version(name, VERSION_TAG, str(payload["version"]))
        if version is None:
            return self._skipped("mlflow_version_unknown", payload)
        self._client.set_registered_model_alias(name, alias, version.version)
        return Told()

    def _active_run(self, payload: dict[str, Any]) -> str | None:
        """The run of a job, made when there is none. None when somebody deleted it in MLflow, who will not want it back."""
        job_id: str = payload["job_id"]
        if job_id not in self._runs:
            unknown = {"job_id": job_id, "name": job_id, "adapter_name": "", "run_key": None, "started_at": None}
            run = self._find_run(job_id, None) or self._create_run(unknown)
            if run.info.lifecycle_stage != "active":
                return None
            self._runs[job_id] = run.info.run_id
        return self._runs[job_id]

    def _find_run(self, job_id: str, run_key: str | None) -> Run | None:
        """The newest run of the job, or the one with that key."""
        tag, value = (RUN_KEY_TAG, run_key) if run_key else (JOB_TAG, job_id)
        found = self._client.search_runs(
            [self._experiment()],
            f"tags.`{tag}` = '{value}'",
            run_view_type=ViewType.ALL,
            max_results=1,
            order_by=["attributes.start_time DESC"],
        )
        return found[0] if found else None

    def _create_run(self, payload: dict[str, Any]) -> Run:
        tags = {
            JOB_TAG: payload["job_id"],
            "hub.adapter": payload["adapter_name"],
            **({RUN_KEY_TAG: payload["run_key"]} if payload["run_key"] else {}),
        }
        started_at = int(payload["started_at"] * 1000) if payload["started_at"] else None
        return self._client.create_run(self._experiment(), start_time=started_at, tags=tags, run_name=payload["name"])

    def _experiment(self) -> str:
        """The id of our experiment, made when there is none and restored when it was deleted."""
        if self._experiment_id is None:
            found: Experiment | None = self._client.get_experiment_by_name(EXPERIMENT)
            if found is None:
                self._experiment_id = self._client.create_experiment(EXPERIMENT, artifact_location=self._artifact_location)
            else:
                if found.lifecycle_stage != "active":
                    self._client.restore_experiment(found.experiment_id)
                self._experiment_id = found.experiment_id
        return self._experiment_id

    def _find_version(self, name: str, tag: str, value: str) -> ModelVersion | None:
        """The newest: a model that was deleted here may have left versions of the same numbers."""
        matches = f"name = '{name}' and tags.`{tag}` = '{value}'"
        found = self._client.search_model_versions(matches, max_results=1, order_by=["version_number DESC"])
        return found[0] if found else None

    def _upload(self, run_id: str, path: Path, artifact_path: str) -> None:
        if path.is_dir():
            self._client.log_artifacts(run_id, str(path), artifact_path)
        else:
            self._client.log_artifact(run_id, str(path), artifact_path)

    def _skipped(self, event: str, payload: dict[str, Any]) -> Told:
        log.warning(event, job_id=payload.get("job_id"), model=payload.get("model_name"))
        return Told()


def registered_name(model_name: str) -> str:
    """What a model is called in MLflow, whose names take no slash or colon; a changed name gets a digest that keeps it apart."""
    if _PLAIN_MODEL_NAME.fullmatch(model_name):
        return model_name
    plain = re.sub(r"[^\w.@+=~-]+", "-", model_name)[:180]
    return f"{plain}-{hashlib.sha256(model_name.encode()).hexdigest()[:8]}"


def _status_of(error: Exception) -> int | None:
    """The HTTP status that MLflow answered with, or would have. None when nothing answered, or the disk failed."""
    if isinstance(error, requests.HTTPError):
        return error.response.status_code if error.response is not None else None
    if isinstance(error, MlflowException):
        cause = error.__cause__ or error.__context__
        if isinstance(cause, requests.exceptions.RetryError):
            # mlflow's session answers a 5xx with this when it may not try again.
            return 500
        return None if isinstance(cause, requests.RequestException) else error.get_http_status_code()
    return None if isinstance(error, OSError) else 500


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500]
