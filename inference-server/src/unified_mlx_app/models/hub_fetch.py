"""The process that fetches one model from the Hugging Face Hub.

`python -m unified_mlx_app.models.hub_fetch REPO CACHE [ENDPOINT]` writes one JSON object a line to standard output:
`Planned`, `Progressed`, then `Fetched` or `Failed`. It is a process of its own so that it can be killed at any time and
takes no time from the event loop.
"""

import errno
import shutil
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import msgspec
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
)
from msgspec import Struct
from tqdm.asyncio import tqdm_asyncio

from unified_mlx_app.models.local_models import UnusableModelError, check_config, read_json_object

SMALL_FILES = ["*.json", "*.jinja", "*.txt", "*.model"]
WEIGHT_FILES = ["*.safetensors"]
FREE_MARGIN_BYTES = 2**30
CONNECT_TIMEOUT_SECONDS = 5.0
REPORT_SECONDS = 0.5


class Planned(Struct, frozen=True, tag="planned"):
    """The Hub answered, and there is room on the disk."""

    bytes_total: int


class Progressed(Struct, frozen=True, tag="progressed"):
    bytes_done: int


class Fetched(Struct, frozen=True, tag="fetched"):
    path: str


class Failed(Struct, frozen=True, tag="failed"):
    """`reason` is one sentence without its full stop. A later try may succeed when `is_temporary`."""

    reason: str
    is_temporary: bool


Report = Planned | Progressed | Fetched | Failed

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Report] = msgspec.json.Decoder(Report)


def decode_report(line: bytes) -> Report:
    """Raises msgspec.DecodeError."""
    return _decoder.decode(line)


def _report(report: Report) -> None:
    sys.stdout.buffer.write(_encoder.encode(report) + b"\n")
    sys.stdout.buffer.flush()


class _ByteBar(tqdm_asyncio):  # type: ignore[type-arg]
    """Reports the bytes written to disk, all files together, instead of drawing a bar."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.pop("name", None)
        self._counts = str(kwargs.get("desc", "")).startswith("Reconstructing")
        self._reported_at = 0.0
        super().__init__(*args, **{**kwargs, "disable": True})
        self._num_bytes = 0

    def update(self, n: float | None = 1) -> bool | None:
        self._num_bytes += int(n or 0)
        if self._counts and time.monotonic() - self._reported_at > REPORT_SECONDS:
            self._reported_at = time.monotonic()
            _report(Progressed(self._num_bytes))
        return None


def _fetch(repo_id: str, cache_dir: Path, endpoint: str | None) -> str:
    """The snapshot's folder. The weights come last, so that a snapshot with weights is complete."""
    revision = HfApi(endpoint=endpoint).model_info(repo_id, timeout=CONNECT_TIMEOUT_SECONDS).sha
    config = hf_hub_download(repo_id, "config.json", revision=revision, cache_dir=cache_dir, endpoint=endpoint)
    check_config(read_json_object(Path(config)))
    snapshot = partial(snapshot_download, repo_id, revision=revision, cache_dir=cache_dir, endpoint=endpoint)
    _plan(snapshot(allow_patterns=SMALL_FILES + WEIGHT_FILES, dry_run=True), cache_dir)
    snapshot(allow_patterns=SMALL_FILES, tqdm_class=_ByteBar)
    return str(snapshot(allow_patterns=SMALL_FILES + WEIGHT_FILES, tqdm_class=_ByteBar))


def _plan(files: list[Any], cache_dir: Path) -> None:
    """Refuse before the first large byte what cannot end well."""
    if not any(file.filename.endswith(".safetensors") for file in files):
        raise UnusableModelError("the repository has no safetensors weights")
    missing_bytes = sum(file.file_size or 0 for file in files if file.will_download)
    folder = cache_dir
    while not folder.exists():
        folder = folder.parent
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < missing_bytes + FREE_MARGIN_BYTES:
        raise UnusableModelError(
            f"it needs {missing_bytes / 1e9:.1f} GB and 1 GB to spare, and {free_bytes / 1e9:.1f} GB are free in {cache_dir}"
        )
    _report(Planned(missing_bytes))


def _failure(error: Exception) -> Failed:
    """What went wrong in words for the person who set the model's name."""
    match error:
        case UnusableModelError():
            return Failed(str(error), is_temporary=False)
        case OfflineModeIsEnabled():
            return Failed("it is not in the local cache and HF_HUB_OFFLINE is set", is_temporary=False)
        case GatedRepoError():
            return Failed("the repository is gated: accept its terms on the Hub and set HF_TOKEN", is_temporary=False)
        case RepositoryNotFoundError():
            return Failed("the Hub has no such repository, or it is private and HF_TOKEN is not set", is_temporary=False)
        case RemoteEntryNotFoundError():
            return Failed("the repository has no config.json", is_temporary=False)
        case HfHubHTTPError():
            status = error.response.status_code
            return Failed(f"the Hub answered with status {status}", is_temporary=status >= 500 or status == 429)
        case OSError(errno=errno.ENOSPC):
            return Failed("the disk is full", is_temporary=False)
        case httpx2.HTTPError() | LocalEntryNotFoundError() | OSError():
            return Failed("the Hugging Face Hub cannot be reached", is_temporary=True)
        case _:
            return Failed(f"the download failed ({type(error).__name__})", is_temporary=False)


def main(arguments: list[str]) -> None:
    repo_id, cache_dir, *endpoint = arguments
    try:
        _report(Fetched(_fetch(repo_id, Path(cache_dir), endpoint[0] if endpoint else None)))
    except BrokenPipeError:
        # The server is gone; nobody waits for this model any more.
        sys.exit(1)
    except Exception as error:  # the edge of the process: every failure becomes a sentence
        _report(_failure(error))


if __name__ == "__main__":
    main(sys.argv[1:])
