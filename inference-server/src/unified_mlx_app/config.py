"""Settings of the inference server, read once from the environment in `main.py`.

Names and defaults are those of the README. MLX itself reads other `MLX_*` variables, so unknown
ones are ignored; a known one with a bad value stops the start with the variable's name.
"""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, computed_field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from unified_mlx_app.rule_specs import RuleSpec, parse_rules

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


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
RateLimit = Annotated[str | None, Field(pattern=r"^([1-9]\d{0,8}/(second|minute|hour|day))?$")]
ExpandedPath = Annotated[Path, BeforeValidator(lambda value: Path(str(value)).expanduser())]


class Settings(BaseSettings):
    """All settings. `None` on a byte budget means: chosen from the machine at start."""

    model_config = SettingsConfigDict(env_prefix="MLX_", extra="ignore", frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    api_port: int = Field(8080, ge=0, le=65535, description="Port of the API.")
    text_model: str = Field(
        "mlx-community/Qwen2.5-7B-Instruct-4bit", min_length=1, description="Default model: a Hugging Face id or a local folder."
    )
    max_tokens: int = Field(2048, ge=1, le=1_000_000, description="Tokens to generate when a request names no limit.")
    temperature: float = Field(0.7, ge=0, le=2, description="Temperature when a request names none.")

    draft_model: str | None = Field(
        None, min_length=1, description="Smaller model that guesses ahead for the default one: a known name or a local folder."
    )
    num_draft_tokens: int = Field(4, ge=1, le=16, description="Tokens guessed in the first pass of an answer.")
    prompt_lookup: bool = Field(False, description="Guess ahead for the default model from the text so far.")

    prompt_cache_enabled: bool = Field(True, description="Reuse KV state of repeated prefixes.")
    prompt_cache_dir: ExpandedPath = Field(
        Path("~/.unified-mlx/cache/prompts").expanduser(), description="Folder of the disk tier."
    )
    prompt_cache_max_entries: int = Field(10, ge=1, le=100_000, description="Entries kept in memory.")
    prompt_cache_persist: bool = Field(True, description="Keep entries on disk as well.")
    prompt_cache_memory: Bytes | None = Field(
        None, description="Bytes of KV state kept in memory (default: a third of the memory limit)."
    )
    prompt_cache_disk: Bytes = Field(20 * 10**9, description="Bytes of KV state kept on disk.")
    prompt_cache_scope: Literal["key", "shared"] = Field(
        "key", description="Who shares KV state: the requests of one API key, or all (shared)."
    )
    prompt_cache_rules: Annotated[tuple[RuleSpec, ...], NoDecode, BeforeValidator(parse_rules)] = Field(
        (), description="Rules for text that changes from call to call, such as billing_header,current_date (default: none)."
    )
    response_cache_enabled: bool = Field(False, description="Answer repeated deterministic requests from memory.")
    response_cache_max_entries: int = Field(1000, ge=1, description="Responses kept in memory.")
    stored_responses_max_entries: int = Field(10_000, ge=0, description="Responses kept in the database for later ones.")
    stored_responses_seconds: float = Field(
        30 * 86_400, gt=0, le=3650 * 86_400, description="Time that a stored response is kept after its last use."
    )

    max_batch_size: int = Field(32, ge=1, le=256, description="Rows decoded together.")
    max_queue: int = Field(512, ge=0, description="Requests waiting beyond the batch before 429.")
    prefill_chunk_tokens: int = Field(256, ge=16, le=8192, description="Prompt tokens processed between two decode steps.")
    memory_limit: Bytes | None = Field(None, description="Bytes for weights and KV state (default: 75 % of the device's).")
    model_ttl_seconds: float = Field(0, ge=0, description="Unload an unpinned model idle for so long; 0 never does.")
    request_timeout_seconds: float = Field(3600, gt=0, description="Deadline of a request.")
    drain_seconds: float = Field(
        20, ge=0, le=600, description="Time running requests get at shutdown; the process is gone 8 s later."
    )
    min_free_disk: Bytes = Field(256 * 2**20, description="Free bytes on the cache's disk below which /health/deep says so.")
    min_free_memory: Bytes = Field(256 * 2**20, description="Available bytes of memory below which /health/deep warns.")
    max_body: Bytes = Field(8 * 2**20, description="Largest request body.")
    api_key: SecretStr | None = Field(
        None, min_length=16, description="The operator's own key, for everything; a non-loopback host needs it or a stored one."
    )
    allowed_hosts: tuple[str, ...] = Field((), description="Names of this machine, besides localhost, that clients may use.")
    cors_origins: tuple[str, ...] = Field(
        ("http://localhost:3005", "http://127.0.0.1:3005"), description="Origins of browsers that may call the API."
    )

    otlp_endpoint: Annotated[str | None, BeforeValidator(parse_otlp_endpoint)] = Field(
        None,
        validation_alias="OTLP_ENDPOINT",
        description="Collector that gets traces, such as http://localhost:4317; default: none.",
    )
    log_level: LogLevel = Field("info", description="Least level of events that are logged.")
    log_format: LogFormat = Field("auto", description="auto: text on a terminal, JSON elsewhere.")

    rate_limit_infer: RateLimit = Field(
        None,
        description="Requests to generate, embed and tokenise, by key or address, such as 60/minute; empty: no limit "
        "(default: 600/minute, none on a loopback host).",
    )
    rate_limit_read: RateLimit = Field(
        None, description="The same for what is only read (default: 3000/minute, none on a loopback host)."
    )
    rate_limit_admin: RateLimit = Field(
        None, description="The same for administration (default: 600/minute, none on a loopback host)."
    )
    rate_limit_failed_keys: RateLimit = Field(
        None, description="Wrong keys from one address (default: 30/minute, none on a loopback host)."
    )

    database_url: str | None = Field(None, validation_alias="DATABASE_URL", description="postgresql://…; default: a SQLite file.")
    model_cache_dir: ExpandedPath = Field(
        Path("~/.cache/mlx-hub").expanduser(), validation_alias="MODEL_CACHE_DIR", description="Models downloaded by the backend."
    )

    @computed_field
    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return self.host in {"localhost", "::1"} or self.host.startswith("127.")

    @property
    def is_key_asked(self) -> bool:
        """Whether callers have to say who they are."""
        return not self.is_loopback or self.api_key is not None
