"""The model that requests get when they name none: found on this machine, else fetched from the Hugging Face Hub.

All methods run on the event loop. A fetch is a child process; disk work goes to threads.
"""

import asyncio
import contextlib
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec
import structlog
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from unified_mlx_app.models.hub_fetch import Failed, Fetched, Planned, Progressed, Report, decode_report
from unified_mlx_app.models.local_models import LocalModel, LocalModels, UnusableModelError, read_model

PLAN_SECONDS = 20.0
"""The Hub answers within this time or counts as out of reach."""
STALL_SECONDS = 600.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DefaultModelStatus:
    """`bytes_total` is None until the Hub has said it; `reason` is set when the model is unavailable."""

    state: Literal["ready", "fetching", "unavailable"]
    name: str
    bytes_done: int = 0
    bytes_total: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class HubAccess:
    """Where models are fetched from and kept. `endpoint` None is the one that huggingface_hub is set to."""

    cache_dir: Path
    endpoint: str | None = None
    retry_seconds: float = 300.0


class DefaultModel:
    """`configured` is a Hugging Face id or a local folder, which is served under the folder's name."""

    def __init__(self, configured: str, *, local: LocalModels, hub: HubAccess) -> None:
        self._configured = configured
        self._local = local
        self._hub = hub
        self._folder = _local_folder(configured)
        self.name = self._folder.name if self._folder else configured
        self.model: LocalModel | None = None
        self.status = DefaultModelStatus("fetching", self.name)
        self._decided = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def has_name(self, name: str) -> bool:
        """Whether clients mean this model: by its name or by the exact words of the setting."""
        return name in (self.name, self._configured)

    def start(self) -> None:
        """Begin to make the model available, in the background."""
        self._task = asyncio.create_task(self._run(), name="default_model")

    async def close(self) -> None:
        """Stop a fetch that is under way."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def wait_until_decided(self, timeout_seconds: float) -> None:
        """Wait until it is known whether the model is here, comes, or does not come; at most so long."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._decided.wait(), timeout_seconds)

    async def _run(self) -> None:
        while not await self._is_here():
            failure = await self._fetch()
            if failure is None:
                continue
            self.status = DefaultModelStatus("unavailable", self.name, reason=failure.reason)
            self._decided.set()
            log.warning("default_model_unavailable", model=self.name, reason=failure.reason, retries=failure.is_temporary)
            if not failure.is_temporary:
                return
            await asyncio.sleep(self._hub.retry_seconds)
        self.status = DefaultModelStatus("ready", self.name)
        self._decided.set()
        log.info("default_model_ready", model=self.name)

    async def _is_here(self) -> bool:
        if self._folder is None:
            found = await asyncio.to_thread(self._local.find, self.name)
            self.model = found and replace(found, source="default")
            return found is not None
        with contextlib.suppress(UnusableModelError, OSError):
            self.model = await asyncio.to_thread(read_model, self._folder, name=self.name, source="default")
        return self.model is not None

    async def _fetch(self) -> Failed | None:
        """None when the model now lies in the cache."""
        if self._folder:
            return Failed(await asyncio.to_thread(_why_unusable, self._folder), is_temporary=False)
        try:
            validate_repo_id(self.name)
        except HFValidationError:
            return Failed("it is neither a folder on this machine nor a Hugging Face id", is_temporary=False)
        # While a retry is under way the model stays unavailable, so that requests keep their answer.
        return await self._run_child()

    async def _run_child(self) -> Failed | None:
        arguments = [self.name, str(self._hub.cache_dir), *([self._hub.endpoint] if self._hub.endpoint else [])]
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "unified_mlx_app.models.hub_fetch",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            return await self._follow(child)
        finally:
            if child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    child.kill()
            await child.wait()

    async def _follow(self, child: asyncio.subprocess.Process) -> Failed | None:
        assert child.stdout is not None
        timeout_seconds = PLAN_SECONDS
        while True:
            try:
                line = await asyncio.wait_for(child.stdout.readline(), timeout_seconds)
            except TimeoutError:
                return Failed("the Hugging Face Hub does not answer", is_temporary=True)
            if not line:
                return Failed("the process that fetches it ended early", is_temporary=True)
            with contextlib.suppress(msgspec.DecodeError):
                match self._note(decode_report(line)):
                    case Fetched():
                        await asyncio.to_thread(self._local.scan)
                        if await self._is_here():
                            return None
                        return Failed("what the Hub sent is not a model that can be served", is_temporary=False)
                    case Failed() as failure:
                        return failure
                    case _:
                        timeout_seconds = STALL_SECONDS

    def _note(self, report: Report) -> Report:
        match report:
            case Planned(bytes_total=bytes_total):
                self.status = DefaultModelStatus("fetching", self.name, bytes_total=bytes_total)
                self._decided.set()
                log.info("default_model_fetching", model=self.name, bytes_total=bytes_total)
            case Progressed(bytes_done=bytes_done):
                self.status = replace(self.status, bytes_done=max(bytes_done, self.status.bytes_done))
            case _:
                pass
        return report


def _local_folder(configured: str) -> Path | None:
    try:
        folder = Path(configured).expanduser()
        return folder.resolve() if folder.is_dir() else None
    except (OSError, ValueError, RuntimeError):
        return None


def _why_unusable(folder: Path) -> str:
    try:
        read_model(folder, name=folder.name, source="default")
    except (UnusableModelError, OSError) as error:
        return f"the folder {folder} cannot be served: {error}"
    return f"the folder {folder} changed while it was read"
