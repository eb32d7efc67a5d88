"""A job becomes a served version of its adapter, on both databases, and every way in which it may fail is told."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from fixtures.jobs import COMMIT, Jobs
from fixtures.training import ModelMaker, completion_rows, read_metrics, write_run_folder
from mlx_hub.core.run_files import ExitReport
from mlx_hub.models.job import Event, JobStatus, Metric, Outbox
from mlx_hub.models.registered_model import ModelAlias, ModelVersion, RegisteredModel
from mlx_hub.services import training
from mlx_hub.services.training_run import run_training
from sqlmodel import col, select

pytestmark = pytest.mark.timeout(300)

WEIGHTS = "model.safetensors"
_SETTINGS: dict[str, Any] = {"steps": 25, "batch_size": 5, "learning_rate": 0.005, "lora_rank": 4, "validation_share": 0.2}
_ROWS = [{"prompt": f"question {i}", "completion": "always the same answer"} for i in range(25)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 1 MB; needs root."""
    path = tmp_path / "small"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", path], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting a file system needs root")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def test_a_job_becomes_a_served_version(jobs: Jobs) -> None:
    job_id = jobs.create(_ROWS, eval_every=10, **_SETTINGS)

    job = jobs.train(job_id)

    assert (job.status, job.phase, job.error_message) == (JobStatus.COMPLETED, "completed", None)
    assert (job.step, job.num_steps, job.machine_id) == (25, 25, jobs.machine_id)
    assert job.preflight["num_held_out_rows"] == 5
    assert job.preflight["probe"]["peak_memory_bytes"] > 0
    _check_metrics(jobs, job_id)
    _check_version(jobs, job)
    assert [event.payload["phase"] for event in _events(jobs, "job")][-1] == "completed"
    assert _events(jobs, "model")[-1].payload["aliases"] == {"champion": 1, "latest": 1}
    kinds = [row.kind for row in jobs.rows(select(Outbox).order_by(col(Outbox.id)))]
    assert (kinds[0], kinds[-1]) == ("start_run", "end_run")
    assert {"metrics", "add_version", "move_alias"} < set(kinds)

    jobs.run(lambda context: run_training(context, job_id, 0))

    assert len(jobs.rows(select(ModelVersion))) == 1


def _check_metrics(jobs: Jobs, job_id: Any) -> None:
    """The table has what the trainer wrote, each number once; the loss falls."""
    stored = {(row.name, row.step): row.value for row in jobs.rows(select(Metric).where(col(Metric.job_id) == job_id))}
    written = {
        (name, line["step"]): value
        for line in read_metrics(jobs.run_dir(job_id))
        for name, value in line.items()
        if name not in ("step", "t")
    }
    assert stored == written
    assert stored["train_loss", 25] < 0.7 * stored["train_loss", 1]
    assert [step for name, step in sorted(stored) if name == "val_loss"] == [0, 10, 20, 25]
    told = [point for event in _events(jobs, "metrics") for point in event.payload["points"]]
    assert sum(len(point) - 2 for point in told) == len(written)


def _check_version(jobs: Jobs, job: Any) -> None:
    (version,) = jobs.rows(select(ModelVersion))
    adapter = jobs.in_session(lambda session: session.get_one(RegisteredModel, version.model_id))
    assert (job.model_version_id, version.version) == (version.id, 1)
    assert (adapter.name, adapter.kind, adapter.base_model_id) == (job.adapter_name, "adapter", job.model_id)
    assert Path(version.path) == jobs.data_dir / "adapters" / str(adapter.id) / "1"
    assert (Path(version.path) / "adapters.safetensors").read_bytes() == jobs.adapter(job.id)
    assert (version.base_commit, version.dataset_id, version.seed) == (COMMIT, job.dataset_id, 42)
    assert (version.config, version.sha256 is not None) == (job.config, True)
    assert "mlx-lm" in (version.code_version or "")
    metrics = version.metrics
    assert metrics["is_better"] is True
    assert metrics["adapter_loss"] < metrics["base_loss"]
    assert metrics["adapter_perplexity"] < metrics["base_perplexity"]
    assert (metrics["is_held_out"], metrics["num_evaluated_rows"], metrics["step"]) == (True, 5, 25)
    assert len(version.samples) == 3
    assert version.samples[0]["expected"] == "always the same answer"
    aliases = jobs.rows(select(ModelAlias.alias).order_by(col(ModelAlias.alias)))
    assert aliases == ["champion", "latest"]
    assert jobs.inference.served[f"{adapter.name}@champion"]["adapter_path"] == version.path


def _events(jobs: Jobs, kind: str) -> list[Event]:
    return jobs.rows(select(Event).where(col(Event.kind) == kind).order_by(col(Event.id)))


def test_rows_that_cannot_be_learned_refuse_the_job_with_their_lines(sqlite_jobs: Jobs) -> None:
    jobs = sqlite_jobs
    bad = [{"prompt": "a"}, {"messages": [{"role": "user", "content": "q"}]}, {"prompt": "a", "completion": ""}]
    job_id = jobs.create([{"prompt": "a", "completion": "b"}, *bad], **_SETTINGS)

    job = jobs.train(job_id)

    assert (job.status, job.phase, job.error_code) == (JobStatus.FAILED, "preparing", "too_many_bad_rows")
    assert "line 2" in (job.error_message or "")
    assert [(problem["line"], problem["code"]) for problem in job.preflight["problems"]] == [
        (2, "unknown_format"),
        (3, "no_answer"),
        (4, "empty_content"),
    ]
    assert not (jobs.run_dir(job_id) / "ckpt").exists()


def test_a_dataset_that_was_changed_is_not_trained_on(sqlite_jobs: Jobs) -> None:
    jobs = sqlite_jobs
    job_id = jobs.create(_ROWS, **_SETTINGS)
    (file,) = (jobs.data_dir / "datasets").iterdir()
    file.write_bytes(file.read_bytes().replace(b"same", b"SAME"))

    job = jobs.train(job_id)

    assert (job.status, job.error_code) == (JobStatus.FAILED, "dataset_changed")


def test_a_loss_that_is_no_number_ends_at_the_last_good_checkpoint(sqlite_jobs: Jobs) -> None:
    jobs = sqlite_jobs
    settings = {"fine_tune_type": "full", "optimizer": "sgd", "learning_rate": 100.0, "weight_decay": 1.0, "max_grad_norm": None}
    job_id = jobs.create(completion_rows(20), steps=60, schedule="constant", save_every=1, **settings)

    job = jobs.train(job_id)

    assert (job.status, job.error_code, job.exit_signal) == (JobStatus.FAILED, "nan_loss", None)
    assert f"checkpoint is of step {job.step}" in (job.error_message or "")
    assert (jobs.run_dir(job_id) / "ckpt" / f"step-{job.step}" / "state.json").exists()
    assert "training_failed" in job.log_tail
    assert jobs.rows(select(ModelVersion)) == []


@pytest.fixture
def trained_model(tmp_path: Path, tiny_models: ModelMaker, run_trainer: Callable[..., ExitReport]) -> Path:
    """A base model that knows the answer of `_ROWS` already."""
    run_dir = write_run_folder(tmp_path / "before", _ROWS, tiny_models(), **{**_SETTINGS, "fine_tune_type": "full"})
    run_trainer(run_dir)
    folder = tmp_path / "trained"
    shutil.copytree(tiny_models(), folder)
    weights = {**mx.load(str(folder / WEIGHTS)), **mx.load(str(run_dir / "adapter" / "adapters.safetensors"))}
    mx.eval(weights)
    mx.save_safetensors(str(folder / WEIGHTS), weights, {"format": "mlx"})
    return folder


def test_a_result_worse_than_its_base_is_told_and_is_no_champion_and_the_inference_server_may_be_down(
    sqlite_jobs: Jobs, trained_model: Path
) -> None:
    jobs = sqlite_jobs
    jobs.model_files = trained_model
    job_id = jobs.create(_ROWS, **{**_SETTINGS, "steps": 5, "learning_rate": 2.0, "schedule": "constant", "max_grad_norm": None})
    jobs.inference.is_failing = True
    try:
        job = jobs.train(job_id)
    finally:
        jobs.inference.is_failing = False
    name = f"{job.adapter_name}@latest"
    was_served = name in jobs.inference.served
    jobs.run(lambda context: context.promotions.sync())

    assert job.status == JobStatus.COMPLETED
    (version,) = jobs.rows(select(ModelVersion))
    assert (version.metrics["is_better"], version.metrics["is_held_out"]) == (False, True)
    assert version.metrics["adapter_loss"] > version.metrics["base_loss"]
    assert jobs.rows(select(ModelAlias.alias)) == ["latest"]
    assert not was_served
    assert jobs.inference.served[name]["adapter_path"] == version.path


@pytest.mark.slow
def test_a_full_fine_tune_is_registered_not_served_and_goes_on_when_extended(sqlite_jobs: Jobs) -> None:
    jobs = sqlite_jobs
    settings = {
        "fine_tune_type": "full",
        "learning_rate": 1e-3,
        "schedule": "constant",
        "validation_share": 0.0,
        "eval_every": 100,
    }
    job_id = jobs.create(completion_rows(20), steps=4, **settings)
    jobs.train(job_id)

    jobs.in_session(lambda session: training.extend_job(session, job_id, steps=8))
    extended = jobs.train(job_id, attempt=1)
    extended_adapter = jobs.adapter(job_id)
    jobs.in_session(lambda session: training.retry_job(session, job_id))
    retried = jobs.train(job_id, attempt=2)

    assert (extended.status, extended.step, extended.num_steps) == (JobStatus.COMPLETED, 8, 8)
    # Begun again with the new length, it ends with what going on has made.
    assert (retried.status, jobs.adapter(job_id)) == (JobStatus.COMPLETED, extended_adapter)
    versions = jobs.rows(select(ModelVersion).order_by(col(ModelVersion.version)))
    assert [version.version for version in versions] == [1, 2, 3]
    assert retried.model_version_id == versions[2].id
    assert [(version.metrics["is_servable"], version.metrics["step"]) for version in versions] == [
        (False, 4),
        (False, 8),
        (False, 8),
    ]
    assert "full fine-tune" in versions[0].metrics["note"]
    assert jobs.rows(select(ModelAlias)) == []


@pytest.mark.slow
def test_a_full_disk_fails_the_job_and_with_room_it_goes_on(
    sqlite_jobs: Jobs, small_disk: Path, run_trainer: Callable[..., ExitReport]
) -> None:
    """The run's folder is on a disk of its own, which is full after some checkpoints."""
    jobs = sqlite_jobs
    settings = {
        "steps": 12,
        "save_every": 1,
        "keep_checkpoints": 100,
        "validation_share": 0.0,
        "learning_rate": 1e-3,
        "lora_rank": 8,
    }
    job_id = jobs.create(completion_rows(20), **settings)
    (jobs.data_dir / "runs").mkdir(parents=True)
    jobs.run_dir(job_id).symlink_to(small_disk)

    full = jobs.train(job_id)
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    jobs.in_session(lambda session: training.resume_job(session, job_id))
    resumed = jobs.train(job_id, attempt=1)
    whole = write_run_folder(small_disk.with_name("whole"), completion_rows(20), jobs.model_files, **settings)
    run_trainer(whole)

    assert (full.status, full.error_code) == (JobStatus.FAILED, "storage_full")
    assert "then resume" in (full.error_message or "")
    assert resumed.status == JobStatus.COMPLETED
    assert jobs.adapter(job_id) == (whole / "adapter" / "adapters.safetensors").read_bytes()
