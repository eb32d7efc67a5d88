"""What both sides of the mirror know of MLflow: where it is, and how telling it ends. Does not import it, so anybody may ask."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import UUID

from mlx_hub.config import Settings


@dataclass(frozen=True, slots=True)
class MlflowStore:
    """`uri` goes to MLflow's client, `shown` to people. For HTTP the password is in neither; `shown` never has one."""

    uri: str
    shown: str
    username: str | None = None
    password: str | None = None
    artifact_location: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What MLflow confirmed: the run of the job, and which of our versions is in it."""

    job_id: UUID | None = None
    run_id: str | None = None
    version_id: UUID | None = None


class MlflowDownError(Exception):
    """Nothing can be told now: it does not answer, answers everything with errors, or lets nobody in. Waiting may help."""


class RowRefusedError(Exception):
    """MLflow works but not for this one thing. `is_certain` when it is what was told; else MLflow may be in trouble."""

    def __init__(self, reason: str, *, is_certain: bool) -> None:
        super().__init__(reason)
        self.is_certain = is_certain


def local_folder(settings: Settings) -> Path:
    """Of the store that needs no server: `mlflow.db`, and `artifacts` beside it."""
    return (settings.data_dir / "mlflow").absolute()


def mlflow_store(settings: Settings) -> MlflowStore:
    """The server that `MLFLOW_TRACKING_URI` names, or the local store of the data folder."""
    if settings.mlflow_tracking_uri is None:
        folder = local_folder(settings)
        uri = f"sqlite:///{folder / 'mlflow.db'}"
        return MlflowStore(uri, uri, artifact_location=str(folder / "artifacts"))
    uri = settings.mlflow_tracking_uri.rstrip("/")
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return MlflowStore(uri, uri)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    if parts.scheme not in {"http", "https"}:
        return MlflowStore(uri, bare)
    return MlflowStore(bare, bare, username=unquote(parts.username or ""), password=unquote(parts.password or ""))
