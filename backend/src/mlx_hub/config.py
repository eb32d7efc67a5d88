"""Settings of the backend, read from the environment once in each process; names as in the README."""

import ipaddress
import sys
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import limits
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}

_MIN_KEY_CHARACTERS = 16

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


def parse_otlp_endpoint(value: object) -> str | None:
    """An address of a collector; an empty one is none. Raises ValueError, without the value: it might have a password in it."""
    text = str(value or "").strip()
    if not text:
        return None
    try:
        parts = urlsplit(text)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_address = False
    if not is_address:
        raise ValueError("write for example http://localhost:4317, or http://localhost:4318 for OTLP over HTTP")
    if "@" in text:
        raise ValueError("send a name and a password by OTEL_EXPORTER_OTLP_HEADERS instead")
    return text


Bytes = Annotated[int, BeforeValidator(parse_bytes), Field(ge=0)]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "json", "text"]
"""auto: text on a terminal, JSON elsewhere."""
ExpandedPath = Annotated[Path, BeforeValidator(lambda value: Path(str(value)).expanduser())]


def _checked_rate(text: str) -> str:
    if text and len(limits.parse_many(text)) != 1:
        raise ValueError(f"{text!r} is not one rate; write for example 60/minute, or nothing for no limit")
    return text


Rate = Annotated[str, AfterValidator(_checked_rate)]
"""Such as 60/minute; the empty text is no limit."""


def _checked_key(key: SecretStr) -> SecretStr:
    if len(key.get_secret_value()) < _MIN_KEY_CHARACTERS:
        raise ValueError(f"a key needs at least {_MIN_KEY_CHARACTERS} characters; `openssl rand -hex 32` makes one")
    return key


Key = Annotated[SecretStr, AfterValidator(_checked_key)]


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to that address."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


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
    otlp_endpoint: Annotated[str | None, BeforeValidator(parse_otlp_endpoint)] = Field(
        None,
        validation_alias="OTLP_ENDPOINT",
        description="Collector that gets traces, such as http://localhost:4317; default: none.",
    )
    log_level: LogLevel = Field("info", description="Least level of events that are logged.")
    log_format: LogFormat = Field("auto", description="auto: text on a terminal, JSON elsewhere.")
    inference_url: str = Field("http://localhost:8080", description="Where the inference server answers.")
    inference_api_key: SecretStr | None = Field(
        None, validation_alias="MLX_API_KEY", description="The key that the inference server asks for, if it does."
    )
    api_key: Annotated[Key | None, BeforeValidator(lambda value: value or None)] = Field(
        None,
        description="The operator's own key, which may do everything; without it, and on a loopback address, no key is asked.",
    )
    rate_limit_read: Rate | None = Field(
        None, description="Requests that only read, of one client; default: 1200/minute, none on a loopback address."
    )
    rate_limit_write: Rate | None = Field(
        None, description="Requests that write or compute; default: 240/minute, none on a loopback address."
    )
    rate_limit_hub: Rate | None = Field(
        None, description="Searches and downloads, which ask the hub; default: 120/minute, none on a loopback address."
    )
    rate_limit_failed_keys: Rate | None = Field(
        None, description="Requests of one address without a key that counts; default: 30/minute, none on a loopback address."
    )
    allowed_hosts: tuple[str, ...] = Field((), description="Names of this machine, besides localhost, that clients may use.")
    max_body: Bytes = Field(8 * 2**20, description="Largest JSON body.")
    max_upload: Bytes = Field(10 * 2**30, description="Largest dataset file.")
    min_free_disk: Bytes = Field(256 * 2**20, description="Free bytes on its disks below which the backend is not ready.")
    min_free_memory: Bytes = Field(256 * 2**20, description="Available bytes of memory below which /health/deep warns.")
    max_rows: int = Field(5_000_000, ge=1, description="Most rows of a dataset.")
    cors_origins: tuple[str, ...] = Field(
        ("http://localhost:3005", "http://127.0.0.1:3005"), description="Origins of browsers that may call the API."
    )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.host)


class LogSettings(BaseSettings):
    """What a process that is told nothing else knows of logs: trainers and tools, whose starter adds the `context`."""

    model_config = SettingsConfigDict(env_prefix="MLX_HUB_LOG_", extra="ignore", frozen=True)

    level: LogLevel = "info"
    format: LogFormat = "auto"
    context: dict[str, str] = {}


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
