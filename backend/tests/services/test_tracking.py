"""What a job did arrives in a real MLflow, once and in order, whatever happens to MLflow, the wire and the mirror."""

import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import pytest
from fixtures.databases import do_in_session
from fixtures.mlflow import MirrorProcess, MlflowServer, Wire, run_mirror
from fixtures.processes import wait_until
from mlx_hub.models.job import JobStatus, MirrorState, Outbox, TrainingJob
from mlx_hub.models.registered_model import ModelKind, ModelVersion, RegisteredModel
from mlx_hub.services import outbox
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

T = TypeVar("T")

pytestmark = pytest.mark.timeout(400)
"""The first test waits for MLflow to make its tables."""


@dataclass
class Work:
    """The database of a worker that has jobs; each call is a transaction of its own."""

    home: Path
    database_url: str

    def do(self, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
        return do_in_session(self.database_url, work)

    def add_job(self) -> TrainingJob:
        job = TrainingJob(name="run", store_id="store", adapter_name="poet", model_id=None, dataset_id=None)

        async def add(session: AsyncSession) -> TrainingJob:
            session.add(job)
            return job

        return self.do(add)

    def tell(self, *rows: Callable[[AsyncSession], None]) -> None:
        """Each row in a transaction of its own."""
        for row in rows:

            async def add(session: AsyncSession, row: Callable[[AsyncSession], None] = row) -> None:
                row(session)

            self.do(add)

    def train(self, job: TrainingJob, steps: range) -> None:
        """What a worker tells of a run with these steps."""
        self.tell(
            lambda session: outbox.start_run(session, job, {"lora_rank": 16}),
            *(lambda session, step=step: outbox.log_metrics(session, job.id, [point(step)]) for step in steps),
            lambda session: outbox.end_run(session, job.id, JobStatus.COMPLETED),
        )

    def pending(self) -> list[Outbox]:
        async def read(session: AsyncSession) -> list[Outbox]:
            return list((await session.exec(select(Outbox).order_by(col(Outbox.id)))).all())

        return self.do(read)

    def run_id(self, job: TrainingJob) -> str | None:
        async def read(session: AsyncSession) -> str | None:
            return (await session.get_one(TrainingJob, job.id)).mlflow_run_id

        return self.do(read)

    def state(self) -> MirrorState | None:
        async def read(session: AsyncSession) -> MirrorState | None:
            return await session.get(MirrorState, "mlflow")

        return self.do(read)

    def wait_until_told(self, mirror: MirrorProcess) -> None:
        wait_until(lambda: not self.pending(), 120, hint=lambda: f"{self.state()} {mirror.log()[-2000:]}")


def point(step: int) -> dict[str, float]:
    """Values that tell their step."""
    return {"step": step, "t": 1_800_000_000 + step, "train_loss": 1 / step, "tokens_per_second": 100.0 + step}


@pytest.fixture
def work(tmp_path: Path, migrated_sqlite_url: str) -> Work:
    return Work(tmp_path, migrated_sqlite_url)


def test_a_run_its_files_its_version_and_the_alias_arrive(migrated_url: str, tmp_path: Path, mlflow: MlflowServer) -> None:
    work = Work(tmp_path, migrated_url)
    job, name = work.add_job(), f"team/poet:{uuid4().hex}"
    model = RegisteredModel(name=name, base_model="org/base", kind=ModelKind.ADAPTER, description="Rhymes.")
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapters.safetensors").write_bytes(b"weights")
    (tmp_path / "trainer.log").write_text("done")
    version = ModelVersion(model_id=model.id, version=3, path=str(tmp_path / "adapter"))

    async def add(session: AsyncSession) -> None:
        session.add(model)
        await session.flush()
        session.add(version)
        outbox.start_run(session, job, {"lora_rank": 16, "learning_rate": 5e-5})
        outbox.log_metrics(session, job.id, [point(step) for step in range(1, 4)] + [{**point(4), "train_loss": float("nan")}])
        outbox.log_artifacts(session, job.id, tmp_path / "trainer.log", "logs")
        outbox.log_artifacts(session, job.id, tmp_path / "gone", "logs")
        outbox.add_version(session, model, version, job.id)
        for alias, number in (("champion", 3), ("latest", 3), ("old", 3), ("old", None), ("unknown", 99)):
            outbox.move_alias(session, name, alias, number)
        outbox.end_run(session, job.id, JobStatus.COMPLETED)

    work.do(add)
    with run_mirror(tmp_path, migrated_url, mlflow.uri) as mirror:
        work.wait_until_told(mirror)

    (run,) = mlflow.runs(job.id)
    run_id = run["info"]["run_id"]
    assert (run["info"]["status"], run["info"]["run_name"], work.run_id(job)) == ("FINISHED", "run", run_id)
    assert {param["key"]: param["value"] for param in run["data"]["params"]} == {"lora_rank": "16", "learning_rate": "5e-05"}
    history = mlflow.history(run_id, "train_loss")
    assert history[:3] == [(1, 1.0), (2, 1 / 2), (3, 1 / 3)]
    assert history[3][1] != history[3][1]
    assert mlflow.artifacts(run_id, "logs") == ["logs/trainer.log"]
    assert mlflow.artifacts(run_id, "adapter/v3") == ["adapter/v3/adapters.safetensors"]
    (registered,) = [
        found
        for found in mlflow.call("registered-models/search", max_results=1000)["registered_models"]
        if {"key": "hub.model", "value": name} in found.get("tags", [])
    ]
    assert [alias["alias"] for alias in registered["aliases"]] == ["champion"]
    champion = mlflow.call("registered-models/alias", name=registered["name"], alias="champion")["model_version"]
    assert (champion["run_id"], {tag["key"]: tag["value"] for tag in champion["tags"]}["hub.version"]) == (run_id, "3")

    async def version_run(session: AsyncSession) -> str | None:
        return (await session.get_one(ModelVersion, version.id)).mlflow_run_id

    assert work.do(version_run) == run_id


def test_the_local_store_is_its_owners_alone(mlflow: MlflowServer) -> None:
    assert [folder.stat().st_mode & 0o777 for folder in (mlflow.data_dir, mlflow.data_dir / "mlflow")] == [0o700, 0o700]


def test_a_dead_server_loses_and_delays_nothing(work: Work, mlflow: MlflowServer) -> None:
    mlflow.stop()
    jobs = [work.add_job(), work.add_job()]
    with run_mirror(work.home, work.database_url, mlflow.uri) as mirror:
        work.train(jobs[0], range(1, 30))
        wait_until(lambda: (state := work.state()) is not None and state.error is not None, hint=mirror.log)
        began = time.monotonic()
        work.train(jobs[1], range(1, 30))
        assert time.monotonic() - began < 25
        assert len(work.pending()) == 2 * 31

        mlflow.start()
        work.wait_until_told(mirror)
        state = work.state()
        assert state is not None
        assert (state.error, state.told_at is None) == (None, False)

    for job in jobs:
        (run,) = mlflow.runs(job.id)
        assert run["info"]["status"] == "FINISHED"
        assert mlflow.history(run["info"]["run_id"], "train_loss") == [(step, 1 / step) for step in range(1, 30)]


def test_a_server_that_swallows_everything_keeps_no_worker_from_stopping(work: Work, mlflow: MlflowServer, wire: Wire) -> None:
    wire.is_black_hole = True
    work.train(work.add_job(), range(1, 3))
    with run_mirror(work.home, work.database_url, wire.uri) as mirror:
        wait_until(lambda: work.state() is not None, hint=mirror.log)

        began = time.monotonic()
        assert mirror.stop() == 0, mirror.log()
        assert time.monotonic() - began < 25

    assert len(work.pending()) == 4
    state = work.state()
    assert state is not None
    with run_mirror(work.home, work.database_url, mlflow.uri) as mirror:
        work.wait_until_told(mirror)


@pytest.mark.slow
def test_a_slow_server_gets_everything(work: Work, mlflow: MlflowServer, wire: Wire) -> None:
    wire.delay_seconds = 0.5
    job = work.add_job()
    with run_mirror(work.home, work.database_url, wire.uri) as mirror:
        work.train(job, range(1, 20))
        work.wait_until_told(mirror)

    (run,) = mlflow.runs(job.id)
    assert mlflow.history(run["info"]["run_id"], "train_loss") == [(step, 1 / step) for step in range(1, 20)]


@pytest.mark.slow
@pytest.mark.parametrize("call", ["runs/create", "runs/log-batch"])
def test_a_mirror_killed_before_mlflow_could_confirm_repeats_without_doubling(
    work: Work, mlflow: MlflowServer, wire: Wire, call: str
) -> None:
    wire.swallows_answer_to = call.encode()
    job = work.add_job()
    work.train(job, range(1, 5))
    with run_mirror(work.home, work.database_url, wire.uri) as mirror:
        assert wire.has_swallowed.wait(60), mirror.log()
        mirror.stop(signal.SIGKILL)
    assert mlflow.runs(job.id)

    with run_mirror(work.home, work.database_url, mlflow.uri) as mirror:
        work.wait_until_told(mirror)

    (run,) = mlflow.runs(job.id)
    assert run["info"]["status"] == "FINISHED"
    assert mlflow.history(run["info"]["run_id"], "train_loss") == [(step, 1 / step) for step in range(1, 5)]


@pytest.mark.slow
def test_two_mirrors_on_one_database_make_one_run_of_each_job(work: Work, mlflow: MlflowServer) -> None:
    jobs = [work.add_job() for _ in range(8)]
    with (
        run_mirror(work.home, work.database_url, mlflow.uri) as first,
        run_mirror(work.home, work.database_url, mlflow.uri),
    ):
        for job in jobs:
            work.train(job, range(1, 4))
        work.wait_until_told(first)

    for job in jobs:
        (run,) = mlflow.runs(job.id)
        assert mlflow.history(run["info"]["run_id"], "train_loss") == [(step, 1 / step) for step in range(1, 4)]


def test_what_mlflow_refuses_is_set_aside_and_the_rest_goes_on(work: Work, mlflow: MlflowServer) -> None:
    job = work.add_job()
    work.tell(
        lambda session: outbox.log_metrics(session, job.id, [{"step": 1, "t": 1.0, "loss!": 1.0}]),
        lambda session: outbox.log_metrics(session, job.id, [point(2)]),
        lambda session: outbox.end_run(session, job.id, JobStatus.FAILED),
    )
    with run_mirror(work.home, work.database_url, mlflow.uri) as mirror:
        wait_until(lambda: len(work.pending()) == 1, hint=mirror.log)

    (row,) = work.pending()
    assert row.set_aside_at is not None
    assert "loss!" in str(row.error)
    (run,) = mlflow.runs(job.id)
    assert run["info"]["status"] == "FAILED"
    assert mlflow.history(run["info"]["run_id"], "train_loss") == [(2, 1 / 2)]


def test_a_job_that_goes_on_keeps_its_run_and_one_that_starts_over_gets_a_new_one(work: Work, mlflow: MlflowServer) -> None:
    job = work.add_job()
    work.train(job, range(1, 3))
    work.tell(
        lambda session: outbox.start_run(session, job, {"lora_rank": 16, "steps": 4}),
        lambda session: outbox.log_metrics(session, job.id, [point(3)]),
        lambda session: outbox.start_run(session, job, {"lora_rank": 8}, starts_over=True),
        lambda session: outbox.start_run(session, job, {"lora_rank": 8}, starts_over=True),
        lambda session: outbox.log_metrics(session, job.id, [point(1)]),
    )
    with run_mirror(work.home, work.database_url, mlflow.uri) as mirror:
        work.wait_until_told(mirror)

    first, second = (run["info"]["run_id"] for run in mlflow.runs(job.id))
    assert [step for step, _ in mlflow.history(first, "train_loss")] == [1, 2, 3]
    assert [step for step, _ in mlflow.history(second, "train_loss")] == [1]
    assert work.run_id(job) == second


@pytest.mark.slow
def test_without_a_server_the_local_store_is_used_and_a_server_over_it_shows_it(work: Work, mlflow: MlflowServer) -> None:
    job = work.add_job()
    (work.home / "note.txt").write_text("x")
    work.train(job, range(1, 3))
    work.tell(lambda session: outbox.log_artifacts(session, job.id, work.home / "note.txt", "logs"))

    with run_mirror(mlflow.home, work.database_url, None) as mirror:
        work.wait_until_told(mirror)

    (run,) = mlflow.runs(job.id)
    assert mlflow.artifacts(run["info"]["run_id"], "logs") == ["logs/note.txt"]


def test_a_password_in_the_uri_is_told_to_nobody(work: Work) -> None:
    work.train(work.add_job(), range(1, 2))
    with run_mirror(work.home, work.database_url, "http://user:s3cr3t%21@127.0.0.1:9/") as mirror:
        wait_until(lambda: (state := work.state()) is not None and state.error is not None, hint=mirror.log)
        state = work.state()

    assert state is not None
    assert state.uri == "http://127.0.0.1:9"
    for text in (mirror.log(), str(state.error), state.uri):
        assert "s3cr3t" not in text
    assert "mlflow_down" in mirror.log()
