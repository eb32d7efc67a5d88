"""What is told to MLflow stands in the caller's transaction, in the order of the calls, and is JSON on both databases."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from fixtures.databases import do_in_session
from mlx_hub.models.job import JobStatus, Outbox, TrainingJob
from mlx_hub.services import outbox
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

InSession = Callable[[Callable[[AsyncSession], Awaitable[Any]]], Any]


@pytest.fixture
def in_session(migrated_url: str) -> InSession:
    """Runs its argument in a transaction."""
    return lambda work: do_in_session(migrated_url, work)


async def _rows(session: AsyncSession) -> list[Outbox]:
    return list((await session.exec(select(Outbox).order_by(col(Outbox.id)))).all())


def test_rows_of_one_transaction_keep_the_order_of_the_calls(in_session: InSession) -> None:
    job_id = uuid4()

    async def tell(session: AsyncSession) -> None:
        for step in range(300):
            outbox.log_metrics(session, job_id, [{"step": step, "t": 1.5, "loss": 0.5}])
        outbox.end_run(session, job_id, JobStatus.COMPLETED)

    in_session(tell)

    rows = in_session(_rows)
    assert [row.payload["points"][0]["step"] for row in rows[:-1]] == list(range(300))
    assert (rows[-1].kind, rows[-1].subject_id, rows[-1].payload["status"]) == ("end_run", str(job_id), "completed")


def test_a_transaction_that_fails_tells_nothing(in_session: InSession) -> None:
    async def tell(session: AsyncSession) -> None:
        outbox.end_run(session, uuid4(), JobStatus.FAILED)
        await session.flush()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        in_session(tell)

    assert in_session(_rows) == []


def test_numbers_that_json_cannot_say_survive(in_session: InSession) -> None:
    async def tell(session: AsyncSession) -> None:
        outbox.log_metrics(session, uuid4(), [{"step": 1, "t": 2.0, "a": float("nan"), "b": float("-inf"), "c": 1e300}])
        outbox.log_metrics(session, uuid4(), [])

    in_session(tell)

    (row,) = in_session(_rows)
    assert [float(row.payload["points"][0][name]) for name in ("b", "c")] == [float("-inf"), 1e300]
    assert row.payload["points"][0]["a"] == "nan"


def test_a_run_that_starts_over_has_a_key_of_its_attempt(in_session: InSession) -> None:
    job = TrainingJob(name="run", store_id="s", adapter_name="poet", model_id=None, dataset_id=None, attempt=3)

    async def tell(session: AsyncSession) -> None:
        outbox.start_run(session, job, {"lora_rank": 16})
        outbox.start_run(session, job, {"lora_rank": 8}, starts_over=True)

    in_session(tell)

    first, second = (row.payload for row in in_session(_rows))
    assert (first["run_key"], second["run_key"]) == (None, f"{job.id}:3")
    assert (first["params"], second["adapter_name"]) == ({"lora_rank": "16"}, "poet")
