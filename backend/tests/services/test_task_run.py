"""Tasks from the row to the output, and why some have none."""

import json
import shutil
from pathlib import Path
from uuid import UUID

import mlx.core as mx
import numpy as np
import pytest
from fixtures.tasks import AdapterMaker, Tasks
from fixtures.training import ModelMaker, write_rows
from mlx_hub.core.logit_check import logits
from mlx_hub.core.manifest import read_manifest
from mlx_hub.models.dataset import Dataset
from mlx_hub.models.job import Download, JobStatus
from mlx_hub.models.registered_model import ModelVersion, RegisteredModel
from mlx_hub.services.model_cache import leased_snapshot
from mlx_hub.services.tasks import ExportFormat
from mlx_hub.services.worker_context import WorkerContext
from mlx_lm import load
from sqlmodel.ext.asyncio.session import AsyncSession

TOKENS = np.arange(40, 100, dtype=np.int32)


def difference(first: Path, second: Path, *adapters: Path | None) -> float:
    """Between the logits of two models, each perhaps with an adapter, as mlx-lm loads them."""
    found = [
        logits(load(str(folder), adapter_path=str(adapter) if adapter else None)[0], TOKENS)
        for folder, adapter in zip((first, second), adapters or (None, None), strict=True)
    ]
    return float(mx.abs(found[0] - found[1]).max())


@pytest.fixture
def base(sqlite_tasks: Tasks, tiny_models: ModelMaker) -> RegisteredModel:
    return sqlite_tasks.add_base(tiny_models())


@pytest.fixture
def version(sqlite_tasks: Tasks, base: RegisteredModel, trained_adapter: AdapterMaker) -> ModelVersion:
    return sqlite_tasks.add_adapter(base, trained_adapter(), base_commit="c" * 40)


@pytest.mark.parametrize("format", [ExportFormat.ADAPTER, ExportFormat.PEFT])
def test_export_ends_with_whole_files_and_says_so(
    tasks: Tasks, tiny_models: ModelMaker, trained_adapter: AdapterMaker, format: ExportFormat
) -> None:
    version = tasks.add_adapter(tasks.add_base(tiny_models()), trained_adapter(), base_commit="c" * 40, seed=7)
    task_id = tasks.ask_export(version, format)

    task = tasks.run(task_id)

    assert (task.status, task.error_message) == (JobStatus.COMPLETED, None)
    assert (task.phase, task.progress, task.machine_id) == ("completed", 1.0, "here")
    assert task.started_at is not None
    assert task.completed_at is not None
    output = tasks.job_dir(task_id) / "output"
    assert task.result["num_bytes"] == read_manifest(output).num_bytes
    assert (task.result["format"], task.result["version"]) == (format, 1)
    assert json.loads((output / "lineage.json").read_text())["seed"] == 7
    statuses = [event["status"] for event in tasks.events_of(task_id)]
    assert (statuses[0], statuses[1], statuses[-1]) == ("queued", "running", "completed")
    assert tasks.events_of(task_id)[-1]["has_archive"] is True


def test_fused_export_keeps_the_adapter_of_a_4_bit_base(
    sqlite_tasks: Tasks, tiny_models: ModelMaker, trained_adapter: AdapterMaker
) -> None:
    model, adapter = tiny_models(bits=4), trained_adapter(bits=4)
    version = sqlite_tasks.add_adapter(sqlite_tasks.add_base(model), adapter)
    task_id = sqlite_tasks.ask_export(version, ExportFormat.FUSED)

    task = sqlite_tasks.run(task_id)

    assert task.status == JobStatus.COMPLETED, task.error_message
    assert task.result["is_dequantised"] is True
    output = sqlite_tasks.job_dir(task_id) / "output"
    assert difference(output, model, None, adapter) < 1e-3 < 0.1 < difference(output, model)


def test_peft_export_of_a_quantised_base_has_a_note(
    sqlite_tasks: Tasks, tiny_models: ModelMaker, trained_adapter: AdapterMaker
) -> None:
    version = sqlite_tasks.add_adapter(sqlite_tasks.add_base(tiny_models(bits=4)), trained_adapter(bits=4))

    task = sqlite_tasks.run(sqlite_tasks.ask_export(version, ExportFormat.PEFT))

    assert "org/base is quantised" in task.result["notes"][0]


def test_quantised_model_is_registered_and_lies_in_the_cache(tasks: Tasks, tiny_models: ModelMaker) -> None:
    base = tasks.add_base(tiny_models())
    dataset = Dataset(name="rows", format="text", path="", sha256="d" * 64, num_rows=1, num_bytes=1)
    dataset.path = str(write_rows(tasks.data_dir / "rows.jsonl", [{"text": "The lamp is in the attic."}]))

    async def add(session: AsyncSession) -> None:
        session.add(dataset)

    tasks.in_session(add)

    task = tasks.run(tasks.ask_quantise(base, dataset_id=dataset.id))

    assert task.status == JobStatus.COMPLETED, task.error_message
    result = task.result
    assert (result["name"], result["bits"], result["measured_on"]) == ("local/small", 4, "rows of the dataset")
    assert result["size_after_bytes"] < result["size_before_bytes"] / 5
    assert result["perplexity_before"] > 1
    assert result["perplexity_after"] > 1

    async def found(context: WorkerContext) -> tuple[RegisteredModel, Download, Path, str | None]:
        async with context.readers.begin() as session:
            model = await session.get_one(RegisteredModel, UUID(result["model_id"]))
            download = await session.get_one(Download, UUID(result["download_id"]))
        async with leased_snapshot(context.sessions, context.folder, model) as (snapshot, commit):
            return model, download, snapshot, commit

    model, download, snapshot, commit = tasks.with_context(found)
    assert (model.name, model.base_model, model.tags["quantised_from"]) == ("local/small", "local/small", "org/base")
    assert (download.status, download.is_pinned, download.revision) == ("ready", True, "main")
    assert download.model_id == model.id
    assert download.details["quantization"] == "4-bit"
    assert commit == result["commit"] == download.commit
    assert snapshot == tasks.folder.snapshot("local/small", commit)
    assert tasks.folder.read_ref("local/small", "main") == commit
    assert difference(snapshot, snapshot) == 0
    assert not any(tasks.folder.partials.glob("*/*"))


def test_quantised_model_needs_room_under_the_quota(sqlite_tasks: Tasks, base: RegisteredModel) -> None:
    sqlite_tasks.max_cache_bytes = 10_000

    task = sqlite_tasks.run(sqlite_tasks.ask_quantise(base))

    assert (task.status, task.error_code) == (JobStatus.FAILED, "storage_full")
    assert task.error_message is not None
    assert "MODEL_CACHE_MAX_SIZE" in task.error_message


def test_name_taken_in_the_meantime_leaves_nothing_in_the_cache(sqlite_tasks: Tasks, base: RegisteredModel) -> None:
    task_id = sqlite_tasks.ask_quantise(base)

    async def take(session: AsyncSession) -> None:
        session.add(RegisteredModel(name="local/small", base_model="org/other"))

    sqlite_tasks.in_session(take)

    task = sqlite_tasks.run(task_id)

    assert (task.status, task.error_code) == (JobStatus.FAILED, "conflict")
    assert sqlite_tasks.folder.read_ref("local/small", "main") is None
    assert not any(sqlite_tasks.folder.partials.glob("*/*"))


@pytest.mark.parametrize("format", list(ExportFormat))
def test_altered_adapter_is_not_exported(
    sqlite_tasks: Tasks, version: ModelVersion, tmp_path: Path, format: ExportFormat
) -> None:
    copy = shutil.copytree(version.path, tmp_path / "copy")

    async def move(session: AsyncSession) -> None:
        row = await session.get_one(ModelVersion, version.id)
        row.path, row.sha256 = str(copy), "0" * 64

    sqlite_tasks.in_session(move)

    task = sqlite_tasks.run(sqlite_tasks.ask_export(version, format))

    assert (task.status, task.error_code) == (JobStatus.FAILED, "bad_adapter")
    assert not (sqlite_tasks.job_dir(task.id) / "output").exists()


def test_other_commit_of_the_base_is_refused(sqlite_tasks: Tasks, base: RegisteredModel, trained_adapter: AdapterMaker) -> None:
    version = sqlite_tasks.add_adapter(base, trained_adapter(), base_commit="e" * 40)

    task = sqlite_tasks.run(sqlite_tasks.ask_export(version, ExportFormat.FUSED))

    assert (task.status, task.error_code) == (JobStatus.FAILED, "wrong_state")
    assert task.error_message is not None
    assert "e" * 40 in task.error_message


def test_failure_of_the_tool_is_told_with_its_reason(
    sqlite_tasks: Tasks, tiny_models: ModelMaker, trained_adapter: AdapterMaker
) -> None:
    version = sqlite_tasks.add_adapter(sqlite_tasks.add_base(tiny_models("mamba2")), trained_adapter("qwen3"))

    task = sqlite_tasks.run(sqlite_tasks.ask_export(version, ExportFormat.FUSED))

    assert (task.status, task.error_code) == (JobStatus.FAILED, "bad_adapter")
    assert task.error_message is not None
    assert "does not fit its base model" in task.error_message
