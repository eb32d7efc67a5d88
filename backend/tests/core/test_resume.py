"""Runs that are killed, cancelled, torn or extended end as if nothing had happened, bit for bit."""

import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.training import (
    ModelMaker,
    RunMaker,
    adapter_bytes,
    completion_rows,
    read_metrics,
    series,
    wait_for_step,
    write_run_folder,
)
from mlx_hub.core.checkpoints import checkpoint_folder, newest_checkpoint
from mlx_hub.core.run_files import ExitReport, is_running, read_exit, read_heartbeat

RunTrainer = Callable[..., ExitReport]
TrainerStarter = Callable[[Path], subprocess.Popen[bytes]]
_SETTINGS = {
    "steps": 30,
    "optimizer": "adamw",
    "schedule": "cosine",
    "warmup_steps": 3,
    "lora_dropout": 0.2,
    "gradient_accumulation": 2,
    "batch_size": 2,
    "save_every": 4,
    "eval_every": 5,
    "validation_share": 0.2,
}
_ROWS = completion_rows(30)
_SAME_NAMES = ("train_loss", "learning_rate", "grad_norm", "trained_tokens", "epoch", "val_loss")


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory, tiny_models: ModelMaker, run_trainer: RunTrainer) -> Path:
    """The run that the others have to equal; do not write to it."""
    run_dir = write_run_folder(tmp_path_factory.mktemp("unbroken"), _ROWS, tiny_models(), **_SETTINGS)
    run_trainer(run_dir)
    return run_dir


def assert_same_run(run_dir: Path, expected: Path) -> None:
    assert adapter_bytes(run_dir) == adapter_bytes(expected)
    for name in _SAME_NAMES:
        assert series(run_dir, name) == series(expected, name), name
    assert [line["step"] for line in read_metrics(run_dir)] == [line["step"] for line in read_metrics(expected)]


def kill_and_resume(run_dir: Path, start_trainer: TrainerStarter, draw: random.Random, num_kills: int) -> None:
    """Kill the run `num_kills` times, each time a little further on and at any moment of a step, then let it end."""
    last_step = 0
    for _ in range(num_kills):
        process = start_trainer(run_dir)
        last_step = min(29, last_step + draw.randint(1, 30 // num_kills))
        wait_for_step(run_dir, last_step, process)
        time.sleep(draw.random() * 0.1)
        process.kill()
        process.wait()
        found = newest_checkpoint(run_dir)
        last_step = found[1].progress.step if found else 0
    process = start_trainer(run_dir)
    assert process.wait(120) == 0, (run_dir / "log.txt").read_text()


def test_run_killed_at_random_moments_ends_with_the_same_adapter(
    make_run: RunMaker, unbroken: Path, start_trainer: TrainerStarter
) -> None:
    killed = make_run("killed", _ROWS, **_SETTINGS)

    kill_and_resume(killed, start_trainer, random.Random(), 3)

    assert_same_run(killed, unbroken)
    assert (killed / "exit.json").read_bytes() == (unbroken / "exit.json").read_bytes()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("optimizer", ["adamw", "adafactor", "muon"])
@pytest.mark.parametrize("fine_tune_type", ["lora", "dora", "full"])
def test_run_killed_often_ends_with_the_same_weights(
    make_run: RunMaker, run_trainer: RunTrainer, start_trainer: TrainerStarter, optimizer: str, fine_tune_type: str
) -> None:
    settings = {**_SETTINGS, "optimizer": optimizer, "fine_tune_type": fine_tune_type}
    unbroken = make_run("unbroken", _ROWS, **settings)
    killed = make_run("killed", _ROWS, **settings)
    run_trainer(unbroken)

    kill_and_resume(killed, start_trainer, random.Random(), 6)

    assert_same_run(killed, unbroken)


def test_stopped_run_saves_within_a_step_and_resumes_exactly(
    make_run: RunMaker, run_trainer: RunTrainer, unbroken: Path, start_trainer: TrainerStarter
) -> None:
    stopped = make_run("stopped", _ROWS, **{**_SETTINGS, "save_every": 1000})

    process = start_trainer(stopped)
    wait_for_step(stopped, 7, process)
    beat = read_heartbeat(stopped)
    assert beat is not None
    assert beat.pid == process.pid
    assert is_running(beat)
    process.send_signal(signal.SIGTERM)
    status = process.wait(30)
    report = read_exit(stopped)
    found = newest_checkpoint(stopped)
    resumed = run_trainer(stopped)

    assert status == 0
    assert report is not None
    assert (report.status, report.adapter_step) == ("stopped", None)
    assert 7 <= report.step < 30
    assert found is not None
    assert found[1].progress.step == report.step
    assert resumed.status == "completed"
    assert_same_run(stopped, unbroken)


def test_torn_checkpoint_costs_its_steps_only(make_run: RunMaker, run_trainer: RunTrainer, unbroken: Path) -> None:
    torn = make_run("torn", _ROWS, **_SETTINGS)
    shutil.copytree(unbroken / "ckpt", torn / "ckpt")
    shutil.copyfile(unbroken / "metrics.jsonl", torn / "metrics.jsonl")
    weights = checkpoint_folder(torn, 30) / "adapters.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])

    report = run_trainer(torn)

    assert report.status == "completed"
    assert_same_run(torn, unbroken)


def test_finished_run_goes_on_with_more_steps(make_run: RunMaker, run_trainer: RunTrainer) -> None:
    settings = {**_SETTINGS, "schedule": "constant", "warmup_steps": 0, "eval_every": 4}
    unbroken = make_run("unbroken", _ROWS, **{**settings, "steps": 20})
    extended = make_run("extended", _ROWS, **{**settings, "steps": 8})
    run_trainer(unbroken)

    first = run_trainer(extended)
    make_run("extended", _ROWS, **{**settings, "steps": 20})
    second = run_trainer(extended)

    assert (first.step, second.step) == (8, 20)
    assert_same_run(extended, unbroken)


def test_finished_run_started_again_only_says_so_again(make_run: RunMaker, run_trainer: RunTrainer) -> None:
    run_dir = make_run(rows=_ROWS, **{**_SETTINGS, "steps": 5})
    first = run_trainer(run_dir)
    metrics, adapter = (run_dir / "metrics.jsonl").read_bytes(), adapter_bytes(run_dir)

    second = run_trainer(run_dir)

    assert second == first
    assert (run_dir / "metrics.jsonl").read_bytes() == metrics
    assert adapter_bytes(run_dir) == adapter


def test_settings_without_effect_on_the_weights_may_change_on_the_way(make_run: RunMaker, run_trainer: RunTrainer) -> None:
    run_trainer(make_run(steps=2))

    report = run_trainer(make_run(steps=3, save_every=1, eval_every=1, keep_checkpoints=1))

    assert (report.status, report.step) == ("completed", 3)


def test_other_data_does_not_continue_an_old_run(make_run: RunMaker, run_trainer: RunTrainer) -> None:
    run_trainer(make_run(steps=2))

    report = run_trainer(make_run(rows=completion_rows(21), steps=3))

    assert (report.status, report.error_code) == ("failed", "config_changed")


def test_disk_that_refuses_a_checkpoint_fails_the_run(make_run: RunMaker, run_trainer: RunTrainer) -> None:
    run_dir = make_run(steps=3)
    (run_dir / "ckpt").write_text("a file where the folder should be")

    report = run_trainer(run_dir)

    assert (report.status, report.error_code) == ("failed", "checkpoint_failed")
