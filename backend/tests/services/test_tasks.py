"""What may be asked for, and the status changes that make sense."""

from pathlib import Path
from uuid import UUID, uuid4

import pytest
from fixtures.tasks import AdapterMaker, Tasks
from fixtures.training import ModelMaker
from mlx_hub.errors import ConflictError, HubError, InvalidInputError, NotFoundError, WrongStateError
from mlx_hub.models.base import PageRequest
from mlx_hub.models.job import Download, DownloadStatus, Event, JobStatus, Task
from mlx_hub.models.registered_model import ModelVersion, RegisteredModel
from mlx_hub.services.tasks import (
    ExportFormat,
    QuantiseRequest,
    cancel_task,
    list_tasks,
    needs_accelerator,
    read_task,
    request_export,
    request_quantise,
)
from mlx_hub.services.versions import Lineage, add_version
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession


def export(tasks: Tasks, model_id: UUID, format: ExportFormat = ExportFormat.ADAPTER, version: int | None = None) -> Task:
    return tasks.in_session(lambda session: request_export(session, tasks.place, model_id, format=format, version=version))


def quantise(tasks: Tasks, model_id: UUID, *, bits: int = 4, **options: object) -> Task:
    request = QuantiseRequest(bits, **options)  # pyright: ignore[reportArgumentType]
    return tasks.in_session(lambda session: request_quantise(session, tasks.place, model_id, request))


def cancel(tasks: Tasks, task_id: UUID) -> Task:
    return tasks.in_session(lambda session: cancel_task(session, task_id))


def events_of(tasks: Tasks, task_id: UUID) -> list[str]:
    async def work(session: AsyncSession) -> list[str]:
        query = select(Event).where(col(Event.subject_id) == str(task_id)).order_by(col(Event.id))
        return [event.payload["status"] for event in (await session.exec(query)).all()]

    return tasks.in_session(work)


@pytest.fixture
def base(sqlite_tasks: Tasks, tiny_models: ModelMaker) -> RegisteredModel:
    return sqlite_tasks.add_base(tiny_models())


@pytest.fixture
def version(sqlite_tasks: Tasks, base: RegisteredModel, trained_adapter: AdapterMaker) -> ModelVersion:
    return sqlite_tasks.add_adapter(base, trained_adapter())


def test_export_is_queued_for_the_newest_version(tasks: Tasks, tiny_models: ModelMaker, trained_adapter: AdapterMaker) -> None:
    version = tasks.add_adapter(tasks.add_base(tiny_models()), trained_adapter())
    tasks.in_session(lambda session: add_version(session, version.model_id, str(trained_adapter()), Lineage()))

    newest, first = export(tasks, version.model_id), export(tasks, version.model_id, version=1)

    assert (newest.arguments["version"], first.arguments["version"]) == (2, 1)
    assert (newest.kind, newest.status, newest.attempt) == ("export", JobStatus.QUEUED, 0)
    assert newest.store_id == tasks.place.store_id
    assert newest.subject_id == version.model_id
    assert events_of(tasks, newest.id) == ["queued"]


def test_only_what_puts_a_model_into_memory_needs_the_accelerator(
    sqlite_tasks: Tasks, base: RegisteredModel, version: ModelVersion
) -> None:
    exports = {format: export(sqlite_tasks, version.model_id, format) for format in ExportFormat}

    assert {format for format, task in exports.items() if needs_accelerator(task)} == {ExportFormat.FUSED}
    assert needs_accelerator(quantise(sqlite_tasks, base.id))


def test_unknown_model_and_version(sqlite_tasks: Tasks, version: ModelVersion) -> None:
    with pytest.raises(NotFoundError):
        export(sqlite_tasks, uuid4())
    with pytest.raises(NotFoundError) as caught:
        export(sqlite_tasks, version.model_id, version=2)
    assert caught.value.field == "version"


def test_model_without_versions_has_nothing_to_export(sqlite_tasks: Tasks, base: RegisteredModel) -> None:
    with pytest.raises(WrongStateError, match="no version"):
        export(sqlite_tasks, base.id)


def test_fused_needs_the_weights_of_the_base_here(sqlite_tasks: Tasks, version: ModelVersion) -> None:
    (sqlite_tasks.folder.root / "models--org--base" / "refs" / "main").unlink()

    with pytest.raises(WrongStateError, match="download them first"):
        export(sqlite_tasks, version.model_id, ExportFormat.FUSED)
    assert export(sqlite_tasks, version.model_id, ExportFormat.PEFT).status == JobStatus.QUEUED


def test_full_fine_tune_has_no_peft_format(sqlite_tasks: Tasks, base: RegisteredModel, tmp_path: Path) -> None:
    version = sqlite_tasks.add_adapter(base, tmp_path, config={"fine_tune_type": "full"})

    with pytest.raises(InvalidInputError) as caught:
        export(sqlite_tasks, version.model_id, ExportFormat.PEFT)
    assert caught.value.field == "format"


@pytest.mark.parametrize(
    ("model", "name", "bits"),
    [("org/base", "local/base-4bit", 4), ("Qwen3 0.6B!", "local/Qwen3-0.6B-8bit", 8), ("模型", "local/model-4bit", 4)],
)
def test_name_of_a_quantised_model_is_made_from_the_model(
    sqlite_tasks: Tasks, base: RegisteredModel, model: str, name: str, bits: int
) -> None:
    async def rename(session: AsyncSession) -> None:
        (await session.get_one(RegisteredModel, base.id)).name = model

    sqlite_tasks.in_session(rename)

    assert quantise(sqlite_tasks, base.id, bits=bits).arguments["name"] == name


@pytest.mark.parametrize("name", ["../etc", "a/b", "a--b", ".hidden", "a b", "x" * 97])
def test_name_that_cannot_be_a_folder_is_refused(sqlite_tasks: Tasks, base: RegisteredModel, name: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        quantise(sqlite_tasks, base.id, name=name)
    assert caught.value.field == "name"


def test_name_is_given_once(tasks: Tasks, tiny_models: ModelMaker) -> None:
    base = tasks.add_base(tiny_models())
    quantise(tasks, base.id, name="small")

    with pytest.raises(ConflictError, match="Another task is making 'local/small'"):
        quantise(tasks, base.id, bits=8, name="small")
    tasks.add_base(tiny_models(), name="local/known")
    with pytest.raises(ConflictError, match="already") as caught:
        quantise(tasks, base.id, name="known")
    assert caught.value.field == "name"


def test_what_cannot_be_quantised(sqlite_tasks: Tasks, base: RegisteredModel, version: ModelVersion) -> None:
    async def add_download(session: AsyncSession) -> None:
        details = {"quantization": "4-bit"}
        session.add(Download(repo_id="org/base", revision="main", status=DownloadStatus.READY, commit="c" * 40, details=details))

    with pytest.raises(WrongStateError, match="is an adapter"):
        quantise(sqlite_tasks, version.model_id)
    with pytest.raises(NotFoundError) as caught:
        quantise(sqlite_tasks, base.id, dataset_id=uuid4())
    assert caught.value.field == "dataset_id"
    sqlite_tasks.in_session(add_download)
    with pytest.raises(WrongStateError, match=r"quantised already \(4-bit\)"):
        quantise(sqlite_tasks, base.id)


OUTCOMES: dict[JobStatus, JobStatus | type[HubError]] = {
    JobStatus.QUEUED: JobStatus.CANCELLED,
    JobStatus.RUNNING: JobStatus.RUNNING,
    JobStatus.COMPLETED: WrongStateError,
    JobStatus.FAILED: WrongStateError,
    JobStatus.CANCELLED: WrongStateError,
}


@pytest.mark.parametrize("status", list(JobStatus))
def test_cancelling_in_each_state(tasks: Tasks, tiny_models: ModelMaker, tmp_path: Path, status: JobStatus) -> None:
    version = tasks.add_adapter(tasks.add_base(tiny_models()), tmp_path)
    task = export(tasks, version.model_id)
    tasks.change(task.id, status=status)
    expected = OUTCOMES[status]

    if isinstance(expected, JobStatus):
        cancelled = cancel(tasks, task.id)
        assert (cancelled.status, cancelled.is_cancel_requested) == (expected, True)
        assert (cancelled.completed_at is not None) is (expected == JobStatus.CANCELLED)
        assert events_of(tasks, task.id) == ["queued", expected]
    else:
        with pytest.raises(expected, match=f"is {status} cannot be cancelled"):
            cancel(tasks, task.id)


def test_tasks_are_listed_by_kind_and_status(sqlite_tasks: Tasks, base: RegisteredModel, version: ModelVersion) -> None:
    first, second = export(sqlite_tasks, version.model_id), export(sqlite_tasks, version.model_id, ExportFormat.PEFT)
    third = quantise(sqlite_tasks, base.id)
    cancel(sqlite_tasks, first.id)

    async def listed(session: AsyncSession, **filters: list[str] | list[JobStatus]) -> list[UUID]:
        page = await list_tasks(session, PageRequest(1, 10), **filters)  # pyright: ignore[reportArgumentType]
        assert page.total == len(page.items)
        return [task.id for task in page.items]

    assert sqlite_tasks.in_session(listed) == [third.id, second.id, first.id]
    assert sqlite_tasks.in_session(lambda session: listed(session, kinds=["export"])) == [second.id, first.id]
    assert sqlite_tasks.in_session(lambda session: listed(session, statuses=[JobStatus.CANCELLED])) == [first.id]


def test_unknown_task(sqlite_tasks: Tasks) -> None:
    with pytest.raises(NotFoundError):
        sqlite_tasks.in_session(lambda session: read_task(session, uuid4()))
    with pytest.raises(NotFoundError):
        cancel(sqlite_tasks, uuid4())
