"""Settings of the backend, read from the environment once in each process; names as in the README."""

import sys
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}

LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "::1", "host.docker.internal"})
"""Names of this machine. The last is what containers call it; nobody can have a name under `.internal` in the DNS."""


def parse_bytes(value: object) -> int:
    """Bytes from an int or a human size such as "50GB" or "512 MiB". Raises ValueError."""
    if isinstance(value, int):
        return value
    text = str(value).strip().upper()
    number = text.rstrip("BKMGTI ")
    unit = text[len(number) :].strip()
    if unit not in _UNITS:
        raise ValueError(f"{value!r} is not a size; write for example 512MB or 8GiB")
    return int(float(number) * _UNITS[unit])


Bytes = Annotated[int, BeforeValidator(parse_bytes), Field(ge=0)]
ExpandedPath = Annotated[Path, BeforeValidator(lambda value: Path(str(value)).expanduser())]


class Settings(BaseSettings):
    """All settings; unknown variables are ignored, a bad value stops the start with the variable's name."""

    model_config = SettingsConfigDict(env_prefix="MLX_HUB_", extra="ignore", frozen=True, populate_by_name=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8002, ge=0, le=65535, description="Port of the API.")
    data_dir: ExpandedPath = Field(Path("~/.mlx-hub").expanduser(), description="Datasets, runs, exports and the machine's id.")
    database_url: str | None = Field(
        None, validation_alias="DATABASE_URL", description="postgresql://…; default: a SQLite file in the data folder."
    )
    mlflow_tracking_uri: str | None = Field(
        None, validation_alias="MLFLOW_TRACKING_URI", description="MLflow server; default: the local store of the data folder."
    )
    model_cache_dir: ExpandedPath = Field(
        Path("~/.cache/mlx-hub").expanduser(), validation_alias="MODEL_CACHE_DIR", description="Downloaded models."
    )
    model_cache_max_size: Bytes = Field(
        50 * 10**9,
        validation_alias="MODEL_CACHE_MAX_SIZE",
        description="Bytes of downloaded models; least recently used go first.",
    )
    hub_endpoint: str = Field("https://huggingface.co", validation_alias="HF_ENDPOINT", description="The hub or a mirror of it.")
    hub_token: SecretStr | None = Field(None, validation_alias="HF_TOKEN", description="Token for gated models.")
    machine_id: str | None = Field(
        None, max_length=64, pattern=r"^[A-Za-z0-9._-]+$", description="Name of this worker; default: made from the host's name."
    )
    lease_seconds: float = Field(
        60.0, ge=5, description="A worker silent for so long is taken for dead; another worker of its data folder takes its work."
    )
    worker_stall_seconds: float = Field(
        600.0, gt=0, description="A trainer that neither steps nor says that it is alive for so long is started again."
    )
    worker_metrics_host: str = Field("127.0.0.1", description="Address at which the worker serves its /metrics.")
    worker_metrics_port: int = Field(8003, ge=0, le=65535, description="Port of the worker's /metrics.")
    inference_url: str = Field("http://localhost:8080", description="Where the inference server answers.")
    inference_api_key: SecretStr | None = Field(
        None, validation_alias="MLX_API_KEY", description="The key that the inference server asks for, if it does."
    )
    allowed_hosts: tuple[str, ...] = Field((), description="Names of this machine, besides localhost, that clients may use.")
    max_body: Bytes = Field(8 * 2**20, description="Largest JSON body.")
    max_upload: Bytes = Field(10 * 2**30, description="Largest dataset file.")
    max_rows: int = Field(5_000_000, ge=1, description="Most rows of a dataset.")
    cors_origins: tuple[str, ...] = Field(
        ("http://localhost:3005", "http://127.0.0.1:3005"), description="Origins of browsers that may call the API."
    )


def read_settings() -> Settings:
    """Settings of the environment. Exits with status 2, naming the variable that is wrong."""
    try:
        return Settings()  # pyright: ignore[reportCallIssue]
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            sys.stderr.write(f"{_variable(str(problem['loc'][0]))}: {problem['msg']}\n")
        raise SystemExit(2) from None


def _variable(location: str) -> str:
    """A field with an alias is told by it, any other by its own name."""
    return f"MLX_HUB_{location.upper()}" if location in Settings.model_fields else location
