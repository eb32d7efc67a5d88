"""Rows of training jobs: what may become of them, who may do it, and that of two who try only one succeeds."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from fixtures.jobs import COMMIT, Jobs, add_dataset, add_model, change_row
from mlx_hub.errors import ConflictError, HubError, InvalidInputError, NotFoundError, WrongStateError
from mlx_hub.models.base import PageRequest, utc_now
from mlx_hub.models.dataset import Dataset
from mlx_hub.models.job import TRANSITIONS, Event, JobStatus, Metric, TrainingJob
from mlx_hub.models.registered_model import ModelKind, RegisteredModel
from mlx_hub.services import training
from mlx_hub.services.job_claim import CancelRequestedError, JobClaim, LostJobError, refuse_cancelled
from mlx_hub.services.training_request import NewJob
from mlx_hub.services.worker_context import WorkerContext
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

_ROWS = [{"prompt": "a", "completion": "b"}]
_PASSED = {"refusal_code": None, "steps_per_epoch": 10, "base_commit": COMMIT}


@pytest.fixture
def made(jobs: Jobs) -> tuple[UUID, UUID]:
    """A model and a dataset."""

    async def work(session: AsyncSession) -> tuple[UUID, UUID]:
        model = await add_model(session, jobs.cache, jobs.model_files, store="s")
        return model.id, (await add_dataset(session, jobs.data_dir, _ROWS)).id

    return jobs.in_session(work)


def _create(jobs: Jobs, made: tuple[UUID, UUID], **wanted: Any) -> training.TrainingJobDetails:
    return jobs.in_session(lambda session: training.create_job(session, jobs.folder, NewJob(*made, **wanted), store_id="s"))


def _set(jobs: Jobs, job_id: UUID, **values: Any) -> None:
    jobs.in_session(lambda session: change_row(session, job_id, **values))


def _claim(context: WorkerContext, job_id: UUID, attempt: int = 0) -> JobClaim:
    return JobClaim(context.sessions, job_id, attempt, "machine")


def test_a_new_job_has_all_its_settings_and_a_name_made_of_both(jobs: Jobs, made: tuple[UUID, UUID]) -> None:
    first = _create(jobs, made, config={"lora_rank": 4})
    second = _create(jobs, made)

    model = jobs.in_session(lambda session: session.get_one(RegisteredModel, made[0]))
    dataset = jobs.in_session(lambda session: session.get_one(Dataset, made[1]))
    assert first.adapter_name == first.name == f"{model.name.removeprefix('org/')}-{dataset.name}"
    assert second.adapter_name == first.adapter_name
    assert (first.config["lora_rank"], first.config["learning_rate"], first.config["epochs"]) == (4, 5e-5, 3)
    assert (first.status, first.phase, first.progress) == (JobStatus.QUEUED, "queued", 0.0)
    assert (first.model_name, first.dataset_name) == (model.name, dataset.name)
    assert (first.queue_position, second.queue_position) == (1, 2)
    assert [event.subject_id for event in jobs.rows(select(Event).order_by(col(Event.id)))] == [str(first.id), str(second.id)]


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"lora_rank": 0}, "config.lora_rank"),
        ({"lora_ranks": 4}, "config.lora_ranks"),
        ({"target_modules": [1]}, "config.target_modules"),
        ({"epochs": "3"}, "config.epochs"),
    ],
)
def test_a_setting_that_is_wrong_is_named(sqlite_jobs: Jobs, config: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInputError) as raised:
        _create(sqlite_jobs, (uuid4(), uuid4()), config=config)

    assert raised.value.field == field


def test_a_name_that_belongs_to_something_else_is_refused_or_avoided(jobs: Jobs, made: tuple[UUID, UUID]) -> None:
    plain = _create(jobs, made)

    async def take_names(session: AsyncSession) -> tuple[UUID, UUID]:
        other = await add_model(session, jobs.cache, jobs.model_files, store="s")
        session.add(
            RegisteredModel(name=plain.adapter_name, base_model=other.name, kind=ModelKind.ADAPTER, base_model_id=other.id)
        )
        return other.id, made[1]

    other_made = jobs.in_session(take_names)

    assert _create(jobs, made).adapter_name == f"{plain.adapter_name}-2"
    assert _create(jobs, other_made, adapter_name=plain.adapter_name).adapter_name == plain.adapter_name
    with pytest.raises(ConflictError, match="an adapter of") as raised:
        _create(jobs, made, adapter_name=plain.adapter_name)
    assert raised.value.field == "adapter_name"
    with pytest.raises(ConflictError, match="a base model"):
        _create(jobs, made, adapter_name=plain.model_name)
    _create(jobs, made, adapter_name="soon taken")
    with pytest.raises(ConflictError, match="on another model"):
        _create(jobs, other_made, adapter_name="soon taken")


def test_what_is_not_there_is_told_by_its_field(jobs: Jobs, made: tuple[UUID, UUID]) -> None:
    async def add_others(session: AsyncSession) -> tuple[UUID, UUID]:
        missing = RegisteredModel(name="org/missing", base_model="org/missing")
        adapter = RegisteredModel(name="adapter", base_model="org/missing", kind=ModelKind.ADAPTER)
        session.add_all([missing, adapter])
        return missing.id, adapter.id

    missing, adapter = jobs.in_session(add_others)
    cases: list[tuple[tuple[UUID, UUID], type[HubError], str, str]] = [
        ((uuid4(), made[1]), NotFoundError, "model_id", "no model"),
        ((made[0], uuid4()), NotFoundError, "dataset_id", "no dataset"),
        ((missing, made[1]), WrongStateError, "model_id", "download it first"),
        ((adapter, made[1]), InvalidInputError, "model_id", "is an adapter"),
    ]

    for ids, kind, field, message in cases:
        with pytest.raises(kind, match=message) as raised:
            _create(jobs, ids)
        assert raised.value.field == field


def test_a_queued_job_is_cancelled_at_once_and_no_worker_takes_it(jobs: Jobs, made: tuple[UUID, UUID]) -> None:
    job_id = _create(jobs, made).id

    cancelled = jobs.in_session(lambda session: training.cancel_job(session, job_id))

    assert (cancelled.status, cancelled.completed_at is not None) == (JobStatus.CANCELLED, True)
    assert jobs.run(lambda context: _claim(context, job_id).take()) is None
    with pytest.raises(WrongStateError, match="cancelled"):
        jobs.in_session(lambda session: training.cancel_job(session, job_id))


def test_of_cancel_and_completion_one_wins(jobs: Jobs, made: tuple[UUID, UUID]) -> None:
    """Both at once, often: a cancel that was accepted is what becomes of the job, one that was refused changes nothing."""

    async def race(context: WorkerContext, job_id: UUID) -> tuple[bool, str]:
        claim = _claim(context, job_id)

        async def work() -> None:
            if await claim.take() is None:
                return
            try:
                async with claim.transaction(status=JobStatus.COMPLETED, completed_at=utc_now()) as (_, job):
                    refuse_cancelled(job)
            except CancelRequestedError:
                async with claim.transaction(status=JobStatus.CANCELLED, completed_at=utc_now()):
                    pass

        async def cancel() -> bool:
            try:
                async with context.sessions.begin() as session:
                    await training.cancel_job(session, job_id)
            except WrongStateError:
                return False
            return True

        was_accepted, _ = await asyncio.gather(cancel(), work())
        async with context.sessions.begin() as session:
            return was_accepted, (await session.get_one(TrainingJob, job_id)).status

    async def races(context: WorkerContext) -> set[tuple[bool, str]]:
        return {await race(context, job_id) for job_id in ids}

    ids = [_create(jobs, made).id for _ in range(15)]

    assert jobs.run(races) <= {(True, JobStatus.CANCELLED), (False, JobStatus.COMPLETED)}


def test_two_workers_never_take_one_attempt(jobs: Jobs, made: tuple[UUID, UUID]) -> None:
    job_id = _create(jobs, made).id

    async def take(context: WorkerContext) -> list[bool]:
        claims = [JobClaim(context.sessions, job_id, 0, f"machine-{number}") for number in range(8)]
        return [job is not None for job in await asyncio.gather(*(claim.take() for claim in claims))]

    assert sum(jobs.run(take)) == 1
    assert jobs.read(job_id).started_at is not None


def test_an_old_attempt_writes_nothing(jobs: Jobs, made: tuple[UUID, UUID]) -> None:
    job_id = _create(jobs, made).id
    _set(jobs, job_id, status=JobStatus.RUNNING, attempt=2, machine_id="machine")

    async def write(context: WorkerContext) -> None:
        async with _claim(context, job_id, attempt=1).transaction(step=99):
            pass

    with pytest.raises(LostJobError):
        jobs.run(write)
    assert jobs.read(job_id).step == 0


_Action = Callable[[AsyncSession, UUID], Awaitable[training.TrainingJobDetails]]


@pytest.mark.parametrize(
    ("action", "allowed"),
    [
        (training.resume_job, {JobStatus.FAILED, JobStatus.CANCELLED}),
        (training.retry_job, {JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.COMPLETED}),
        (lambda session, job_id: training.extend_job(session, job_id, steps=50), {JobStatus.COMPLETED}),
    ],
    ids=["resume", "retry", "extend"],
)
def test_ended_jobs_are_queued_again_and_others_are_not(
    jobs: Jobs, made: tuple[UUID, UUID], action: _Action, allowed: set[JobStatus]
) -> None:
    job_id = _create(jobs, made, config={"steps": 20}).id
    left = {"is_cancel_requested": True, "error_code": "x", "log_tail": "line", "exit_signal": 9, "machine_id": "m", "step": 20}

    for attempt, status in enumerate(JobStatus, start=1):
        _set(jobs, job_id, status=status, attempt=attempt, preflight=_PASSED, num_steps=20, **left)
        if status not in allowed:
            with pytest.raises(WrongStateError, match=status):
                jobs.in_session(lambda session: action(session, job_id))
            continue
        assert JobStatus.QUEUED in TRANSITIONS[status]
        job = jobs.in_session(lambda session: action(session, job_id))
        assert (job.status, job.phase, job.attempt) == (JobStatus.QUEUED, "queued", attempt + 1)
        assert (job.is_cancel_requested, job.error_code, job.log_tail, job.exit_signal) == (False, None, [], None)
        assert (job.machine_id, job.completed_at) == (None, None)


def test_retry_forgets_what_the_run_did(jobs: Jobs, made: tuple[UUID, UUID]) -> None:
    job_id = _create(jobs, made).id
    _set(jobs, job_id, status=JobStatus.FAILED, preflight=_PASSED, step=7)

    async def add_metric(session: AsyncSession) -> None:
        session.add(Metric(job_id=job_id, name="train_loss", step=1, value=2.0))

    jobs.in_session(add_metric)

    job = jobs.in_session(lambda session: training.retry_job(session, job_id))

    assert (job.step, job.preflight, job.train_loss) == (0, {}, None)
    assert jobs.rows(select(Metric)) == []


def test_extending_is_to_more_in_all(jobs: Jobs, made: tuple[UUID, UUID]) -> None:
    job_id = _create(jobs, made, config={"epochs": 2}).id
    _set(jobs, job_id, status=JobStatus.COMPLETED, preflight=_PASSED, num_steps=20, step=20)

    for length in ({"steps": 20}, {"epochs": 2}):
        with pytest.raises(InvalidInputError, match="20 steps already") as raised:
            jobs.in_session(lambda session, length=length: training.extend_job(session, job_id, **length))
        assert raised.value.field in length
    job = jobs.in_session(lambda session: training.extend_job(session, job_id, epochs=5))

    assert (job.config["epochs"], job.config["steps"], job.num_steps) == (5, None, 50)
    assert job.progress == 0.4


def test_a_job_whose_dataset_is_gone_is_not_queued_again(jobs: Jobs, made: tuple[UUID, UUID]) -> None:
    job_id = _create(jobs, made).id
    _set(jobs, job_id, status=JobStatus.CANCELLED, dataset_id=None)

    with pytest.raises(WrongStateError, match="dataset was deleted"):
        jobs.in_session(lambda session: training.resume_job(session, job_id))


def test_only_an_ended_job_is_deleted_with_its_folder(jobs: Jobs, made: tuple[UUID, UUID]) -> None:
    job_id = _create(jobs, made).id
    jobs.run_dir(job_id).mkdir(parents=True)

    async def delete(context: WorkerContext) -> None:
        await training.delete_job(context.sessions, jobs.data_dir, job_id)

    with pytest.raises(WrongStateError, match="queued"):
        jobs.run(delete)
    assert jobs.run_dir(job_id).exists()
    _set(jobs, job_id, status=JobStatus.FAILED)
    jobs.run(delete)

    assert not jobs.run_dir(job_id).exists()
    with pytest.raises(NotFoundError):
        jobs.run(delete)


def test_the_list_is_filtered_and_tells_the_pace(jobs: Jobs, made: tuple[UUID, UUID]) -> None:
    running, queued = _create(jobs, made).id, _create(jobs, made).id
    _set(jobs, running, status=JobStatus.RUNNING, step=3, num_steps=10)

    async def add_metrics(session: AsyncSession) -> None:
        start = utc_now()
        for step in (1, 2, 3):
            at = start.replace(microsecond=0).timestamp() + 2 * step
            moment = start.fromtimestamp(at, start.tzinfo)
            session.add(Metric(job_id=running, name="train_loss", step=step, value=3.0 / step, recorded_at=moment))

    jobs.in_session(add_metrics)

    def ids(**wanted: Any) -> list[UUID]:
        page = PageRequest(number=1, size=10)
        found = jobs.in_session(lambda session: training.list_jobs(session, training.JobFilter(**wanted), page))
        return [job.id for job in found.items]

    assert ids() == [queued, running]
    assert ids(statuses=[JobStatus.RUNNING]) == [running]
    assert ids(model_id=made[0], dataset_id=made[1]) == [queued, running]
    assert ids(model_id=uuid4()) == []
    job = jobs.in_session(lambda session: training.read_job(session, running))
    assert (job.train_loss, job.val_loss, job.remaining_seconds, job.progress) == (1.0, None, 14.0, 0.3)
