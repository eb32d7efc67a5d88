"""What a task does: which core function or tool process does it, with what, and where the output goes."""

import asyncio
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.core.adapter_export import export_adapter, export_peft, part_of
from mlx_hub.core.adapters import read_adapter
from mlx_hub.core.model_card import Lineage
from mlx_hub.core.model_files import ModelFiles, read_model_files
from mlx_hub.core.run_config import TrainingError
from mlx_hub.core.stopping import StopRequestedError
from mlx_hub.core.tool_files import FuseSpec, ToolSpec, read_result, write_spec
from mlx_hub.errors import StorageFullError, WrongStateError
from mlx_hub.models.job import Task
from mlx_hub.models.registered_model import ModelVersion, RegisteredModel
from mlx_hub.services.hub_facts import find_quantization
from mlx_hub.services.imported_model import ImportedModel
from mlx_hub.services.model_cache import DISK_MARGIN_BYTES, leased_snapshot
from mlx_hub.services.quantised_model import QuantisedModel
from mlx_hub.services.registry import get_row, root_model
from mlx_hub.services.task_events import IMPORT, QUANTISE
from mlx_hub.services.tasks import OUTPUT, ExportFormat, job_folder
from mlx_hub.services.tool_process import run_tool
from mlx_hub.services.worker_context import WorkerContext

T = TypeVar("T")

TOOL_MODULE = "mlx_hub.core.export"


class TaskCancelledError(Exception):
    """The work ended because people wanted it to."""


class TaskWork:
    """The work of one attempt. `stop` is set from outside when people want it to end."""

    def __init__(self, context: WorkerContext, task: Task, stop: threading.Event) -> None:
        self.job_dir = job_folder(context.settings.data_dir, task.id)
        self._context = context
        self._task = task
        self._stop = stop
        self._is_abandoned = False
        self._made = _made_by(context, task, self.job_dir)

    async def run(self) -> dict[str, Any]:
        """Make the output; what it returns describes it. Raises TaskCancelledError, HubError and TrainingError."""
        await asyncio.to_thread(self.job_dir.mkdir, mode=0o700, parents=True, exist_ok=True)
        match self._made:
            case None:
                return await self._export()
            case QuantisedModel() as quantised:
                async with quantised.prepared() as spec:
                    result = await self._run_tool(spec)
            case ImportedModel() as imported:
                folder = await imported.prepared()
                result = await self._in_thread(lambda: imported.copy(folder, check=self._check))
        await self._made.local.publish(result["sha256"])
        return result

    async def register(self, session: AsyncSession, result: dict[str, Any]) -> dict[str, Any]:
        """Add the rows that come with the output; more of what describes it."""
        if self._made is None:
            return {}
        return await self._made.local.register(session, await self._made.origin(session, result))

    def discard(self) -> None:
        """Delete what there is of the output; the log stays. Blocks."""
        for folder in (self.job_dir / OUTPUT, part_of(self.job_dir / OUTPUT)):
            shutil.rmtree(folder, ignore_errors=True)
        if self._made:
            self._made.local.discard()

    async def _export(self) -> dict[str, Any]:
        arguments = self._task.arguments
        async with self._context.readers.begin() as session:
            version = await session.get(ModelVersion, UUID(arguments["version_id"]))
            if version is None:
                raise WrongStateError("The version was deleted in the meantime.")
            base = await root_model(session, await get_row(session, version.model_id))
        lineage = lineage_of(arguments["model_name"], version, base.base_model)
        adapter = Path(version.path)
        await self._in_thread(lambda: _check_adapter(adapter, version.sha256))
        output = self.job_dir / OUTPUT
        described: dict[str, Any]
        match ExportFormat(arguments["format"]):
            case ExportFormat.ADAPTER:
                described = await self._in_thread(lambda: export_adapter(adapter, output, lineage, check=self._check))
            case ExportFormat.PEFT:
                is_quantised = await self._is_quantised(base)
                described = await self._in_thread(
                    lambda: export_peft(adapter, output, lineage, is_base_quantised=is_quantised, check=self._check)
                )
            case ExportFormat.FUSED:
                described = await self._fuse(base, version, lineage, output)
        return {"format": arguments["format"], "version": version.version, **described}

    async def _fuse(self, base: RegisteredModel, version: ModelVersion, lineage: Lineage, output: Path) -> dict[str, Any]:
        async with leased_snapshot(self._context.sessions, self._context.folder, base) as (snapshot, commit):
            if version.base_commit and commit and version.base_commit != commit:
                raise WrongStateError(
                    f"The version was trained on commit {version.base_commit} of {base.base_model}, but {commit} is in the "
                    "model cache: download that revision."
                )
            needed = fused_bytes(await asyncio.to_thread(read_model_files, snapshot))
            await asyncio.to_thread(_check_room, self.job_dir, needed)
            spec = FuseSpec(model_path=str(snapshot), adapter_path=version.path, output_path=str(output), lineage=lineage)
            return await self._run_tool(spec)

    async def _is_quantised(self, base: RegisteredModel) -> bool:
        """As far as the weights are here to tell; else by the name, as people name them."""
        try:
            async with leased_snapshot(self._context.sessions, self._context.folder, base) as (snapshot, _):
                return (await asyncio.to_thread(read_model_files, snapshot)).quantization is not None
        except WrongStateError:
            return find_quantization(base.base_model, [], {}) is not None

    async def _run_tool(self, spec: ToolSpec) -> dict[str, Any]:
        await asyncio.to_thread(write_spec, self.job_dir, spec)
        stall_seconds = self._context.settings.worker_stall_seconds
        report = await run_tool(self.job_dir, TOOL_MODULE, is_stopped=self._stop.is_set, stall_seconds=stall_seconds)
        if report.status == "stopped":
            raise TaskCancelledError
        if report.status == "failed":
            raise TrainingError(report.error_code or "internal_error", report.error_message or "The work failed.")
        return await asyncio.to_thread(read_result, self.job_dir)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Its result. Cancelled, it waits until the thread has met a check, so that no two work in one folder."""
        thread = asyncio.create_task(asyncio.to_thread(work))
        try:
            return await asyncio.shield(thread)
        except asyncio.CancelledError:
            self._is_abandoned = True
            await asyncio.wait({thread})
            with suppress(Exception):
                thread.result()
            raise

    def _check(self) -> None:
        if self._stop.is_set() or self._is_abandoned:
            raise StopRequestedError


def _made_by(context: WorkerContext, task: Task, job_dir: Path) -> QuantisedModel | ImportedModel | None:
    """The model that the task makes for the model cache; None when it makes files for people."""
    if task.kind == QUANTISE:
        return QuantisedModel(context, task, job_dir)
    return ImportedModel(context, task, job_dir) if task.kind == IMPORT else None


def lineage_of(name: str, version: ModelVersion, base_model: str) -> Lineage:
    return Lineage(
        name=name,
        base_model=base_model,
        version=version.version,
        base_commit=version.base_commit,
        dataset_sha256=version.dataset_sha256,
        seed=version.seed,
        code_version=version.code_version,
        mlflow_run_id=version.mlflow_run_id,
        created_at=version.created_at.isoformat(),
        config=version.config,
        metrics=version.metrics,
    )


def fused_bytes(files: ModelFiles) -> int:
    """What a model's weights take when they are no longer quantised."""
    if files.quantization is None:
        return files.weights_bytes
    bits = int(files.quantization.get("bits") or 4)
    scales = [tensor for name, tensor in files.tensors.items() if name.endswith(".scales")]
    width = 4 if any(tensor.dtype == "F32" for tensor in scales) else 2
    return sum(
        tensor.num_values * 32 // bits * width if tensor.dtype == "U32" else tensor.num_bytes for tensor in files.tensors.values()
    )


def _check_room(folder: Path, num_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < num_bytes + DISK_MARGIN_BYTES:
        raise StorageFullError(f"The export needs {num_bytes} bytes and the disk has {free}: free some space, then ask again.")


def _check_adapter(adapter: Path, sha256: str | None) -> None:
    """Raises TrainingError `bad_adapter` when the files are gone, broken or not those that were registered."""
    info = read_adapter(adapter)
    if sha256 is not None and info.sha256 != sha256:
        raise TrainingError("bad_adapter", f"The adapter in {adapter} is no longer the one that was registered.")
